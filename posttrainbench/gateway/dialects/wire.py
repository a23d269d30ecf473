"""What the relay must know of a provider's interface; a module satisfies it.

What a request's body or an answer holds is hostile: any value may be missing or of another type. `at` reads into it.
"""

import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from posttrainbench.gateway.ledger import Cause, Tokens
from posttrainbench.strict import Value


class Credential(Value, frozen=True, kw_only=True):
    """The provider's key, or the token of a subscription. It is told to the gateway through a pipe."""

    kind: Literal["api_key", "oauth"]
    value: str


@dataclass(frozen=True)
class Route:
    """One kind of request."""

    name: str
    """As the ledger writes it."""
    method: Literal["GET", "POST"]
    path: re.Pattern[str]
    """Matches the whole path after the dialect's name; a group `model` in it where the model stands in the URL."""
    metered: bool = False
    """Whether the provider bills it."""
    model: bool = True
    """Whether it names a model."""
    web: bool = False
    """Whether all of it is a tool that looks into the web."""


@dataclass(frozen=True)
class Failure:
    """What a provider's error answer means."""

    cause: Cause
    detail: str
    retry_after: float | None = None
    """Seconds that the body (not the header) asks to wait."""


@dataclass
class Reading:
    """What has been read of an answer so far."""

    tokens: Tokens = field(default_factory=Tokens)
    long_write: int = 0
    """How many of `tokens.cache_write` are kept for an hour."""
    model: str = ""
    counted: bool = False
    """Whether the provider's final count has come."""
    finished: bool = False
    """Whether the answer's last part has come."""
    text_bytes: int = 0
    """Bytes of generated text; what is generated but not shown is not among them."""
    cause: Cause | None = None
    detail: str = ""


class Wire(Protocol):
    """A provider's interface."""

    ROUTES: tuple[Route, ...]

    def offered(self, headers: Mapping[str, str], query: Mapping[str, str]) -> list[str]:
        """What the agent shows as its key: all of it."""

    def authorize(self, headers: MutableMapping[str, str], credential: Credential) -> None:
        """Put the provider's credential into the headers."""

    def unusable(self, credential: Credential) -> str:
        """Why such a credential cannot be used here, a sentence; empty if it can."""

    def copies(self, body: Mapping[str, Any]) -> int:
        """How many answers to the same input are asked for."""

    def output_limit(self, body: Mapping[str, Any]) -> int | None:
        """How many tokens an answer may have by the request's own word."""

    def with_output_limit(self, route: Route, body: dict[str, Any], limit: int) -> dict[str, Any]:
        """The body with that limit."""

    def refers(self, body: Mapping[str, Any]) -> bool:
        """Whether a part of the input is kept by the provider, so that it is longer than the body."""

    def refused(self, body: Mapping[str, Any]) -> str:
        """Why a body is refused whatever the network policy, a sentence; empty if it is not."""

    def without_web(self, body: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """The body without the tools with which the provider reaches other hosts, and their names."""

    def fetched(self, body: Mapping[str, Any]) -> str:
        """An address that the provider is asked to fetch as input; empty if there is none."""

    def read(self, reading: Reading, event: Mapping[str, Any]) -> None:
        """Read the JSON of an event of a stream, or of a whole answer."""

    def failure(self, status: int, body: Mapping[str, Any]) -> Failure:
        """What an error answer means."""

    def final(self, route: str) -> int:
        """The status of a refusal at which the CLIs that use this route give up at once."""

    def error(self, status: int, message: str) -> dict[str, Any]:
        """An error answer as this provider would write it."""


def at(value: Any, *path: str | int) -> Any:
    """What stands under those keys and indices; None where there is nothing."""
    for key in path:
        if isinstance(value, dict) and isinstance(key, str):
            value = value.get(key)
        elif isinstance(value, list) and isinstance(key, int) and -len(value) <= key < len(value):
            value = value[key]
        else:
            return None
    return value


def count(value: Any) -> int:
    """A number of tokens; 0 for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**10 else 0


def positive(value: Any) -> int | None:
    """A positive whole number, or None."""
    return count(value) or None


def text(value: Any, limit: int = 500) -> str:
    """A string, shortened; empty for anything else."""
    return value[:limit] if isinstance(value, str) else ""


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; none for anything else."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def bearer(headers: Mapping[str, str]) -> str:
    """The token of an Authorization header."""
    kind, _, token = headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def walk(value: Any, skip: str = "") -> list[dict[str, Any]]:
    """All objects in a JSON value, at any depth, but for what stands under the key `skip`."""
    found: list[dict[str, Any]] = []
    todo = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, dict):
            found.append(one)
            todo.extend(inner for key, inner in one.items() if key != skip)
        elif isinstance(one, list):
            todo.extend(one)
    return found


def remote(value: Any) -> str:
    """An address that is not in the body itself, shortened; empty for anything else (`data:` too)."""
    return value[:200] if isinstance(value, str) and value and not value.strip().lower().startswith("data:") else ""


def named(body: Mapping[str, Any]) -> list[Any]:
    """All models that a body names: its own first, and those of tools that call one."""
    return [body.get("model"), *(tool["model"] for tool in objects(body.get("tools")) if "model" in tool)]


def by_status(status: int) -> Cause:
    """What an error's status says where its body says nothing."""
    if status in (401, 403):
        return "auth"
    if status == 429:
        return "rate_limit"
    if status in (400, 404, 413, 422):
        return "invalid_request"
    return "overloaded" if status >= 500 else "other"
