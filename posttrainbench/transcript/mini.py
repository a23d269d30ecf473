"""Our own agent `mini`: a line an answer of the model, and a line a result."""

from collections.abc import Iterator

from posttrainbench.gateway.ledger import Tokens
from posttrainbench.transcript import events as e
from posttrainbench.transcript.foreign import Record, count, integer, mapping, record, sequence, text, word

CAUSES: dict[str, e.CauseName] = {
    "auth": "auth",
    "rate_limit": "rate_limit",
    "usage_limit": "usage_limit",
    "overloaded": "overloaded",
    "context_exceeded": "context_exceeded",
    "refused": "refused",
    "budget": "budget",
}


def events(line: Record) -> Iterator[e.Event]:
    """What a line says."""
    at, kind = word(line.get("at")) or None, word(line.get("type"))
    match kind:
        case "start":
            yield e.Began(at=at, model=word(line.get("model")), version=word(line.get("version")))
        case "assistant":
            yield from answer(line, at)
        case "result":
            code = integer(line.get("exit_code"))
            said = text(line.get("output"))
            yield e.Answered(at=at, id=word(line.get("id")), text=said, error=bool(code), exit_code=code)
        case "error":
            yield e.Troubled(at=at, message=text(line.get("message")), cause=CAUSES.get(word(line.get("cause"))))
        case "end":
            reason = word(line.get("reason"))
            yield e.Ended(at=at, ok=reason in ("done", "finished"), message=reason, cause=CAUSES.get(reason))
        case _:
            yield e.Noted(name=kind or "without a type")


def answer(line: Record, at: str | None) -> Iterator[e.Event]:
    """One answer of the model."""
    yield e.Stepped(at=at)
    if reasoning := text(line.get("reasoning")):
        yield e.Said(at=at, text=reasoning, reasoning=True)
    if said := text(line.get("text")):
        yield e.Said(at=at, text=said)
    for one in sequence(line.get("tool_calls")):
        call = mapping(one)
        asked = call.get("arguments")
        yield e.Called(
            at=at,
            id=word(call.get("id")),
            name=word(call.get("name")) or "unnamed",
            arguments=(record(asked.encode("utf-8", "replace")) or {"text": asked})
            if isinstance(asked, str)
            else mapping(asked),
        )
    if usage := mapping(line.get("usage")):
        used = Tokens(
            input=count(usage.get("input")),
            cached=count(usage.get("cached")),
            cache_write=count(usage.get("cache_write")),
            output=count(usage.get("output")),
            reasoning=count(usage.get("reasoning")),
        )
        yield e.Used(tokens=used)
        yield e.Reported(tokens=used)
