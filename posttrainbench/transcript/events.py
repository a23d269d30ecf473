"""What one line of an agent's output says, in the words that all formats share.

A format turns a line into these; steps, live rendering, causes and the reconciling of totals read nothing else.
"""

from typing import Any, Literal

from posttrainbench.gateway.ledger import Tokens
from posttrainbench.strict import Value

CauseName = Literal["auth", "rate_limit", "usage_limit", "overloaded", "context_exceeded", "refused", "budget", "none"]
"""Why an agent ended: the causes of catalog.Pattern, the run's own budget, or nothing of the kind."""


class Event(Value, frozen=True, kw_only=True):
    """Anything that a line says."""

    at: str | float | None = None
    """When, by the program's own clock."""
    thread: str = ""
    """The tool call that started the subagent whose doing this is; empty for the agent itself."""


class Began(Event, frozen=True, kw_only=True):
    """The program has started."""

    session: str = ""
    model: str = ""
    version: str = ""


class Prompted(Event, frozen=True, kw_only=True):
    """What the agent was told."""

    text: str


class Stepped(Event, frozen=True, kw_only=True):
    """A new answer of the model begins here."""

    message: str = ""


class Said(Event, frozen=True, kw_only=True):
    """Text or reasoning of the model."""

    text: str
    message: str = ""
    """Id of the model's answer that this is a part of, where the format has one."""
    model: str = ""
    reasoning: bool = False
    piece: bool = False
    """It continues the text before it, without a break."""


class Called(Event, frozen=True, kw_only=True):
    """The model called a tool. The same call may be told twice, when it starts and when it ends."""

    id: str
    name: str
    arguments: dict[str, Any]
    message: str = ""
    model: str = ""


class Answered(Event, frozen=True, kw_only=True):
    """A tool's result."""

    id: str
    text: str
    error: bool = False
    exit_code: int | None = None


class Used(Event, frozen=True, kw_only=True):
    """What the program says that one answer of the model took."""

    tokens: Tokens
    message: str = ""
    output_known: bool = True
    """False where the format tells the output's tokens before there is an output."""


class Reported(Event, frozen=True, kw_only=True):
    """Totals by the program's own count."""

    tokens: Tokens
    cost_usd: float | None = None
    cumulative: bool = False
    """Of the whole session so far, continuations included; else only since the last such report."""
    session: str = ""


class Troubled(Event, frozen=True, kw_only=True):
    """The model interface failed."""

    message: str
    status: int | None = None
    cause: CauseName | None = None
    """Where the format itself says it."""
    retrying: bool = False


class Ended(Event, frozen=True, kw_only=True):
    """The program says that it is done."""

    ok: bool
    message: str = ""
    status: int | None = None
    cause: CauseName | None = None


class Plain(Event, frozen=True, kw_only=True):
    """A line that is no event of the format."""

    text: str


class Noted(Event, frozen=True, kw_only=True):
    """An event without a meaning here: it is counted by its name."""

    name: str


class Gap(Event, frozen=True, kw_only=True):
    """Bytes of the output that were not kept."""

    dropped: int
