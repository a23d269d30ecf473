"""The ledger: a line before an exchange with the provider begins and one after it, and what all lines come to.

`<run>/gateway/ledger.jsonl`. What was begun and never ended (the gateway was killed) counts with what was reserved for
it, so a budget holds across restarts.
"""

from typing import Literal

from posttrainbench.strict import Value

Cause = Literal[
    "auth",
    "rate_limit",
    "usage_limit",
    "overloaded",
    "context_exceeded",
    "refused",
    "invalid_request",
    "connection",
    "stall",
    "budget",
    "policy",
    "other",
]
"""Why an exchange failed. `budget` and `policy` are ours: the run's limit, and the protocol's rules."""


class Tokens(Value, frozen=True, kw_only=True):
    """Tokens of one or more exchanges, as the provider counted them. No token stands in two fields but reasoning, which
    is a part of output."""

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


class Attempt(Value, frozen=True, kw_only=True):
    """One try at the provider. Seconds."""

    status: int | None
    """None: no answer came."""
    seconds: float
    waited: float = 0.0
    """Pause before the next try."""
    cause: Cause | None = None


class Begin(Value, frozen=True, kw_only=True, tag="begin", tag_field="line"):
    """Before anything is sent."""

    n: int
    t: float
    """CLOCK_MONOTONIC of the host, as the supervisor's clock."""
    at: str
    """UTC, ISO 8601."""
    route: str
    """`anthropic.messages`, `openai.responses`, `hub`, …"""
    model: str
    background: bool
    reserved_usd: float
    reserved_tokens: int
    digest: str
    """Of the request's body."""


class End(Value, frozen=True, kw_only=True, tag="end", tag_field="line"):
    """After it is over."""

    n: int
    t: float
    status: int
    """What the agent got."""
    seconds: float
    first_byte_seconds: float | None
    attempts: list[Attempt]
    throttled_seconds: float
    """Spent waiting for the provider to take requests again."""
    answered_model: str
    """The model that the provider says has answered; empty if it does not say."""
    tokens: Tokens
    cost_usd: float | None
    """None: no price is known for the model."""
    sent_bytes: int
    received_bytes: int
    cause: Cause | None
    detail: str = ""
    repeats: int | None = None
    """Number of the exchange that this one is a retry of, by the CLI's own account or by its body."""
    body: str = ""
    """File with request and answer below `bodies/`, secrets redacted."""


class ModelUsage(Value, frozen=True, kw_only=True):
    """What was used of one model."""

    model: str
    background: bool
    requests: int
    tokens: Tokens
    cost_usd: float | None


class Usage(Value, frozen=True, kw_only=True):
    """What all lines of a ledger come to; part of the record."""

    exchanges: int
    answered: int
    """Those that ended with the provider's full answer."""
    models: list[ModelUsage]
    cost_usd: float | None
    """None as soon as one part has no known price."""
    throttled_seconds: float
    causes: dict[str, int]
    """How many exchanges failed, by cause."""
    unfinished: int
    """Begun and never ended: the gateway was killed meanwhile."""
