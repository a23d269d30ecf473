"""What goes into a request to a model, and what comes out of it, whoever the provider is."""

from dataclasses import dataclass, field
from typing import Any, Literal

Dialect = Literal["anthropic", "openai", "gemini"]
Effort = Literal["low", "medium", "high", "xhigh", "max"]
Cause = Literal[
    "auth",
    "rate_limit",
    "usage_limit",
    "overloaded",
    "context_exceeded",
    "refused",
    "invalid_request",
    "connection",
    "invalid_answer",
]
"""Why no answer came. `invalid_answer`: one came, and was not what was asked for."""


@dataclass(frozen=True)
class Model:
    """A model and where it is asked."""

    dialect: Dialect
    name: str
    base_url: str | None = None
    """None: the provider's own."""
    key: str | None = field(default=None, repr=False)
    """None: the environment's ANTHROPIC_API_KEY, OPENAI_API_KEY or GEMINI_API_KEY."""
    effort: Effort | None = None
    """How much to think. None leaves it to the provider, and is the only choice for a model that does not think."""
    max_tokens: int = 32_000
    """Of one answer, thinking included."""


@dataclass(frozen=True)
class Tool:
    """A function that the model may call."""

    name: str
    description: str
    parameters: dict[str, Any]
    """JSON schema of an object."""


@dataclass(frozen=True)
class ToolCall:
    """The model's wish to call a tool."""

    id: str
    name: str
    arguments: dict[str, Any] | None
    """None: what came is no JSON object, or was cut off."""


@dataclass(frozen=True)
class Message:
    """A part of a conversation. `dataclasses.asdict` of it is plain JSON, and `Message(**…)` its inverse."""

    role: Literal["system", "user", "assistant", "tool"]
    text: str = ""
    id: str = ""
    """Of the call that a tool's output answers."""
    name: str = ""
    """Of the tool."""
    native: Any = None
    """The model's turn as its provider gave it. Opaque: only the dialect that made it reads it."""


@dataclass(frozen=True)
class Usage:
    """Tokens, counted as the gateway's ledger counts them: none stands in two fields but reasoning, which is a part of
    output."""

    input: int = 0
    """Neither read from nor written to a cache."""
    cached: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.input + self.cached + self.cache_write + self.output

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.input + other.input,
            self.cached + other.cached,
            self.cache_write + other.cache_write,
            self.output + other.output,
            self.reasoning + other.reasoning,
        )


@dataclass(frozen=True)
class Reply:
    """The model's next turn."""

    text: str
    reasoning: str
    """What the provider shows of the model's thinking."""
    tool_calls: tuple[ToolCall, ...]
    stop: Literal["end", "tools", "length", "malformed"]
    """`length`: cut off at `max_tokens`; `malformed`: the provider could not read what its model wrote."""
    usage: Usage
    message: Message
    """To be appended to the conversation."""


@dataclass(frozen=True)
class Answer:
    """A structured answer and what it took, repair included."""

    value: dict[str, Any]
    usage: Usage


class ModelError(Exception):
    """No usable answer came; `str()` is a sentence without the key."""

    def __init__(self, cause: Cause, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.cause: Cause = cause
        self.retry_after = retry_after
        """Seconds that the provider asks to wait."""
