"""The seam between a run and the place where foreign code runs.

`local` is a process group (inside bubblewrap where it is installed). Each kind satisfies `Sandbox` and stands in
`kinds.KINDS`. A detached session is found again by its handle, which is JSON in the run's journal.
"""

from pathlib import Path
from typing import Literal, Protocol

from posttrainbench.strict import Value
from posttrainbench.supervisor.usage import SAMPLE_SECONDS

DISK_GAP = f"What the agent takes on the disk is measured every {SAMPLE_SECONDS:g} s or slower, not held by the kernel."
"""A sentence for `Sandbox.isolation`."""


class Mounts(Value, frozen=True, kw_only=True):
    """Host folders, by what may be done with them. Absolute paths."""

    read: list[str]
    write: list[str]


class SessionSpec(Value, frozen=True, kw_only=True):
    """A session to start. Paths are the host's, absolute; a kind that mounts them elsewhere rewrites them."""

    run: str
    session: str
    """Folder of the supervisor's files (the package supervisor says which)."""
    workspace: str
    bench: str
    model: str
    agent: str
    home: str
    tmp: str
    command: list[str]
    resume_command: list[str]
    env: dict[str, str]
    seconds: float
    """The agent's time, as its clock has it."""
    overtime_seconds: float = 0.0
    """How much later SIGTERM comes."""
    grace_seconds: float
    """From SIGTERM to SIGKILL."""
    max_output_bytes: int
    max_disk_bytes: int = 0
    """What workspace, home and tmp may take together; 0: no limit."""
    early_stop_times: int
    early_stop_seconds_left: float
    gateway: str = ""
    """Folder of the gateway's sockets, the only way out; empty: there is none. No kind gives any other network."""
    relays: dict[str, str] = {}
    """Port on the sandbox's own 127.0.0.1, and the socket in `gateway` that it leads to."""
    installed: str = ""
    """Folder of the agent's program; empty: it brings none."""
    gpus: int = 0
    interactive: bool = False
    wrapper: list[str] = []
    """What a kind puts before both commands; the word `{status_fd}` in it is the descriptor that bubblewrap reports to,
    `{block_fd}` the one that it waits for."""


class JobSpec(Value, frozen=True, kw_only=True):
    """A process that is waited for: it gets no network, and dies with ptb."""

    command: list[str]
    cwd: str
    env: dict[str, str]
    mounts: Mounts
    log: str
    """File that takes its stdout and stderr, bounded."""
    seconds: float
    gpus: int = 0


class JobResult(Value, frozen=True, kw_only=True):
    """How a job ended."""

    exit_code: int
    timed_out: bool
    seconds: float
    tail: str
    """The last lines of its output, decoded with replacement."""


class Handle(Value, frozen=True, kw_only=True):
    """What finds a detached session again."""

    kind: str
    data: dict[str, str]


Happening = Literal["out_of_memory", "supervisor_lost", "engine_stopped", "gpu_lost"]
"""What may befall a session from outside."""


class Sandbox(Protocol):
    """A kind of sandbox."""

    name: str

    def isolation(self) -> list[str]:
        """What this kind does NOT isolate on this machine, a sentence each; empty for a full sandbox."""
        ...

    def python(self) -> str:
        """The Python interpreter inside the sandbox."""
        ...

    def start(self, spec: SessionSpec) -> Handle:
        """Start a detached session. Never starts a second one in the same session folder: the supervisor claims it."""
        ...

    def state(self, spec: SessionSpec, handle: Handle | None) -> Literal["absent", "running", "ended", "lost"]:
        """absent: never started; ended: the supervisor wrote its result; lost: it is gone without one."""
        ...

    def stop(self, spec: SessionSpec, handle: Handle | None, reason: str) -> None:
        """End the session and everything in it, now; idempotent."""
        ...

    def close(self, spec: SessionSpec, handle: Handle | None) -> None:
        """Make sure that nothing of the session is left running; idempotent. Called before anything is frozen."""
        ...

    def incidents(self, spec: SessionSpec, handle: Handle | None) -> list[tuple[Happening, str]]:
        """What befell a session that was closed, as this kind of sandbox knows it, each with its detail."""
        ...

    def evaluator(self) -> str:
        """Digest of the image that jobs run in, part of what a cached score depends on; empty where ptb's own packages
        are what scores."""
        ...

    def run(self, spec: JobSpec) -> JobResult:
        """Run a job to its end; everything it started is gone afterwards."""
        ...


def absolute(path: Path) -> str:
    """A host path as a spec holds it."""
    return str(path.resolve())
