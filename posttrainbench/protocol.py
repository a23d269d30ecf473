"""A protocol: the versioned rules that a run is done under and a board stands on."""

from typing import Literal

import msgspec

from posttrainbench.strict import Value


class EarlyStop(Value, frozen=True, kw_only=True):
    """What happens when the agent ends before its time: nothing, or its session is continued."""

    policy: Literal["end", "continue"] = "end"
    minutes_left: float = 30.0
    """Continue only while more than this many minutes remain."""
    times: int = 0
    """Continue at most this often."""


class Protocol(Value, frozen=True, kw_only=True):
    """The rules of a run. `protocols/<name>.toml`."""

    name: str
    version: int
    title: str
    hours: float
    """Wall time of the agent's session."""
    grace_seconds: float = 30.0
    """Between SIGTERM and SIGKILL at the deadline."""
    overtime_seconds: float = 0.0
    """How long the session goes on after its hours before SIGTERM; the agent's clock knows nothing of it."""
    gpus: int = 0
    network: Literal["none", "closed", "curated", "open"] = "none"
    """none: nothing, so no agent that calls a model provider; closed: the agent's model provider alone; curated: also
    the hub and the package indexes, through mirrors, and `allow_hosts`; open: any host. All goes by the gateway."""
    allow_hosts: list[str] = []
    """What `curated` lets through besides; `*.example.org` covers all hosts below it."""
    web_tools: bool = False
    """Whether the agent may use tools that its provider runs, such as web search."""
    chat_template: Literal["none", "family"] = "family"
    """`family`: the template declared for the model's architecture; `none`: prompts as plain text. Never the
    checkpoint's own."""
    visible_split: Literal["dev", "test"] = "dev"
    """Which questions the agent can measure itself on. test: the scored ones themselves, with their answers, as the
    original benchmark has it."""
    limit: int | None = None
    """Score a fixed random subset of this many test questions (None: all)."""
    dev_limit: int | None = None
    """How many dev questions evaluate.py uses unless told otherwise (None: all)."""
    max_tokens: int | None = None
    """At most this many new tokens an answer, where a task allows more: for machines on which more is out of reach."""
    samples: int | None = None
    """At most so many answers a question, where a task takes more."""
    decoding: Literal["task", "checkpoint"] = "task"
    """task: as the task says, whatever a checkpoint brings; checkpoint: as its generation_config.json says, within the
    bounds of evaluation/cell_decoding.py, else at temperature 1 (the original benchmark's rule)."""
    shots: dict[str, int] = {}
    """Worked examples in the scored prompts, by task; none where it is not named."""
    few_shot_baseline: bool = True
    """Measure the base model with worked examples in the prompt too, since much of a gain may be format."""
    max_checkpoint_gb: float = 40.0
    max_output_mb: float = 64.0
    """How much of the agent's output is kept: half from its beginning, half from its end."""
    max_disk_gb: float = 0.0
    """How much the agent's folders may take on the disk; more ends its session. 0: no limit."""
    min_free_gb: float = 1.0
    """Free disk that prepare asks for."""
    early_stop: EarlyStop = msgspec.field(default_factory=EarlyStop)
    weights: dict[str, float] = {}
    """Share of each task in a board's score, in all 1; equal shares where there are none. See docs/scores.md."""
    substitution: Literal["zero_uplift", "base_score"] = "zero_uplift"
    """What a run counts that left nothing to score. zero_uplift: no uplift, and neither does a score below base count
    less; base_score: the base model's score, in a mean of scores as they are (the original benchmark's rule)."""
    models: list[str] = []
    """Base models of a full board; none: those that most of its agents ran."""
    scored: bool = True
    """Whether boards may rank runs under this protocol; `smoke` is for trying things out."""

    def __post_init__(self) -> None:
        if self.weights and (min(self.weights.values()) <= 0 or abs(sum(self.weights.values()) - 1) > 1e-3):
            raise ValueError(f"weights must be above 0 and come to 1, these come to {sum(self.weights.values()):g}")
        if not all(1 <= number <= 100 for number in self.shots.values()):
            raise ValueError("shots must be 1 to 100 worked examples a task; a task without any is left out")
        if not 0.0 <= self.overtime_seconds <= 3600.0:
            raise ValueError(f"overtime_seconds must be 0 to 3600, not {self.overtime_seconds:g}")
