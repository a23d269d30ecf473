"""The plan of a run: everything that was decided before it starts, frozen, with every digest known by then.

Pure: reads the catalog's values, touches no network, model or sandbox.
"""

from posttrainbench.catalog import Decoding, Model, Task
from posttrainbench.protocol import Protocol
from posttrainbench.strict import Value

FORMAT = 1


class AgentPlan(Value, frozen=True, kw_only=True):
    """The agent, its variant merged in."""

    name: str
    variant: str
    version: str
    folder: str
    digest: str
    command: list[str]
    resume_command: list[str]
    env: dict[str, str]
    needs: list[str]
    transcript: str

    @property
    def label(self) -> str:
        """`claude` or `claude:opus`."""
        return f"{self.name}:{self.variant}" if self.variant else self.name


class Plan(Value, frozen=True, kw_only=True):
    """Everything decided before the start. `plan.json`."""

    format: int = FORMAT
    run: str
    created: str
    """UTC, ISO 8601."""
    ptb: str
    """Version of this program."""
    agent: AgentPlan
    task: Task
    task_folder: str
    task_digest: str
    data_dir: str | None
    model: Model
    protocol: Protocol
    hours: float
    seed: int
    limit: int | None
    """How many test questions are scored; None: all."""
    sandbox: str
    backend: str
    """Which engine generates answers: `hf` or `vllm`."""
    packages: dict[str, str]
    """Versions of the installed packages that can change a score."""
    code: str
    """Digest of the evaluator's code (cell.py) and the supervisor's."""

    @property
    def cell(self) -> str:
        """Base model × task."""
        return f"{self.model.name} × {self.task.name}"

    @property
    def decoding(self) -> Decoding:
        return self.task.decoding


