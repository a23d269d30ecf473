"""The ledger: a line before an exchange with the provider begins and one after it, and what all lines come to.

`<run>/gateway/ledger.jsonl`. What was begun and never ended (the gateway was killed) counts against the budget with
what was reserved for it, so a budget holds across restarts; a summary counts only what the provider has said.

A line is one write to a file opened for appending, so a `kill -9` loses at most the line that was being written. Lines
that are cut off, too long, or no JSON of ours are skipped by every reader.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from posttrainbench.strict import Value

MAX_LINE_BYTES = 64 * 2**10

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
    estimated: bool = False
    """The provider's count never came (the stream was cut, the agent hung up): `tokens` is reckoned from bytes."""
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
    unserved: bool = False
    """Whether the agent's own model never gave it a whole answer, and the provider or the gateway is why: what an agent
    did not ask, asked badly, or did not wait for is its own affair."""


HUNG_UP = "The agent hung up before the answer was whole."
"""Detail of an exchange that the agent itself ended."""
OTHERS: tuple[Cause | None, ...] = ("auth", "rate_limit", "usage_limit", "overloaded", "connection", "stall")
"""Causes that are not the agent's."""

_LINE = msgspec.json.Decoder(Begin | End)


class Ledger:
    """The file, open for appending."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _ends_whole(path):
            os.write(self._file, b"\n")

    def write(self, line: Begin | End) -> None:
        """Append one line; OSError where the disk refuses."""
        content = msgspec.json.encode(line) + b"\n"
        if os.write(self._file, content) != len(content):
            raise OSError("The ledger took a part of a line; the disk is probably full.")

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def lines(path: Path) -> Iterator[Begin | End]:
    """All whole lines, in their order; nothing where there is no file."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        while content := file.readline(MAX_LINE_BYTES):
            if not content.endswith(b"\n"):
                _skip_rest(file.readline, content)
                continue
            try:
                yield _LINE.decode(content)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue


def exchanges(path: Path) -> tuple[dict[int, Begin], dict[int, End]]:
    """The beginnings and the ends, each by number; an end without a beginning is left out."""
    begun: dict[int, Begin] = {}
    ended: dict[int, End] = {}
    for line in lines(path):
        if isinstance(line, Begin):
            begun.setdefault(line.n, line)
        elif line.n in begun:
            ended.setdefault(line.n, line)
    return begun, ended


def summary(path: Path) -> Usage:
    """What all lines come to. A refused exchange counts with its cause, but as use of no model: nothing was sent."""
    begun, ended = exchanges(path)
    used: dict[tuple[str, bool], list[End]] = {}
    causes: dict[str, int] = {}
    for n, end in ended.items():
        if end.cause is not None:
            causes[end.cause] = causes.get(end.cause, 0) + 1
        if end.attempts:
            used.setdefault((begun[n].model, begun[n].background), []).append(end)
    models = [
        ModelUsage(
            model=model,
            background=background,
            requests=len(ends),
            tokens=added(end.tokens for end in ends),
            cost_usd=_cost(ends),
        )
        for (model, background), ends in sorted(used.items())
    ]
    return Usage(
        exchanges=len(begun),
        answered=sum(end.status == 200 and end.cause in (None, "refused") for end in ended.values()),
        models=models,
        cost_usd=_cost([end for ends in used.values() for end in ends]),
        throttled_seconds=round(sum(end.throttled_seconds for end in ended.values()), 3),
        causes=dict(sorted(causes.items())),
        unfinished=len(begun) - len(ended),
        unserved=not any(_served(begun[n], end) for n, end in ended.items())
        and any(_failed(begun[n], end) for n, end in ended.items()),
    )


def _served(begin: Begin, end: End) -> bool:
    """Whether the agent's own model answered: not a small one beside it, nor a count of tokens, which reserves none."""
    return begin.reserved_tokens > 0 and not begin.background and end.status == 200 and end.cause in (None, "refused")


def _failed(begin: Begin, end: End) -> bool:
    """Whether the provider or the gateway is why it has no answer. Which models may be asked for is the plan's affair,
    so one that the provider does not know is too."""
    unknown = end.status == 404 and bool(begin.model) and begin.model in end.detail
    if not end.attempts:
        return end.cause == "auth"  # The gateway was started without a key.
    tried = any(one.status is None or one.cause in OTHERS for one in end.attempts)
    return tried or unknown or (end.cause in OTHERS and end.detail != HUNG_UP)


def added(parts: Iterable[Tokens]) -> Tokens:
    """The sum, kind by kind."""
    every = list(parts)
    return Tokens(**{name: sum(getattr(part, name) for part in every) for name in Tokens.__struct_fields__})


def _cost(ends: Iterable[End]) -> float | None:
    """The sum in USD; None as soon as one that used tokens has no known price."""
    total = 0.0
    for end in ends:
        if end.cost_usd is None:
            if end.tokens.total:
                return None
            continue
        total += end.cost_usd
    return round(total, 9)


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        if not size:
            return True
        file.seek(size - 1)
        return file.read(1) == b"\n"


def _skip_rest(readline: Callable[[int], bytes], content: bytes) -> None:
    """Read on to the end of a line that is too long."""
    while content and not content.endswith(b"\n"):
        content = readline(MAX_LINE_BYTES)
