"""opencode: `run --format json`.

No line tells totals: they are the sum of `step_finish`, which does not count the call that makes a title.
"""

from collections.abc import Iterator

from posttrainbench.gateway.ledger import Tokens
from posttrainbench.transcript import events as e
from posttrainbench.transcript.claude import moment
from posttrainbench.transcript.foreign import Record, count, integer, mapping, number, text, word


def events(record: Record) -> Iterator[e.Event]:
    """What a line says."""
    at, kind, part = moment(record), word(record.get("type")), mapping(record.get("part"))
    message = word(part.get("messageID"))
    match kind:
        case "step_start":
            yield e.Stepped(at=at, message=message)
        case "text" | "reasoning":
            yield e.Said(at=at, message=message, text=text(part.get("text")), reasoning=kind == "reasoning")
        case "tool_use":
            yield from tool(at, message, part)
        case "step_finish":
            used = tokens(mapping(part.get("tokens")))
            yield e.Used(at=at, message=message, tokens=used)
            yield e.Reported(tokens=used, cost_usd=number(part.get("cost")))
            if part.get("reason") != "tool-calls":
                yield ending(at, word(part.get("reason")))
        case "error":
            error = mapping(record.get("error"))
            data = mapping(error.get("data"))
            said = text(data.get("message")) or text(error.get("message")) or word(error.get("name"))
            yield e.Ended(at=at, ok=False, message=said, status=integer(data.get("statusCode")))
        case _:
            yield e.Noted(name=kind or "without a type")


def ending(at: str | float | None, reason: str) -> e.Ended:
    """Why the model stopped."""
    refused = reason == "content-filter"
    return e.Ended(at=at, ok=not refused, message=reason, cause="refused" if refused else None)


def tool(at: str | float | None, message: str, part: Record) -> Iterator[e.Event]:
    """A call of a tool and its result, which come in one line."""
    state, identity = mapping(part.get("state")), word(part.get("callID"))
    name = word(part.get("tool")) or "unnamed"
    yield e.Called(at=at, message=message, id=identity, name=name, arguments=mapping(state.get("input")))
    if state.get("status") in ("completed", "error"):
        yield e.Answered(
            at=at,
            id=identity,
            text=text(state.get("output")) or text(state.get("error")),
            error=state.get("status") == "error",
            exit_code=integer(mapping(state.get("metadata")).get("exit")),
        )


def tokens(usage: Record) -> Tokens:
    """Its input has no cached tokens in it, and its output no reasoning."""
    cache, reasoning = mapping(usage.get("cache")), count(usage.get("reasoning"))
    return Tokens(
        input=count(usage.get("input")),
        cached=count(cache.get("read")),
        cache_write=count(cache.get("write")),
        output=count(usage.get("output")) + reasoning,
        reasoning=reasoning,
    )
