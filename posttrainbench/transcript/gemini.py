"""Gemini CLI: `--output-format stream-json`.

Text comes in pieces. The model that a session names at its start may be replaced silently; `stats` of the result name
the real one. Thoughts stand in the session's own file alone.
"""

from collections.abc import Iterator

from posttrainbench.gateway.ledger import Tokens
from posttrainbench.transcript import events as e
from posttrainbench.transcript.claude import moment
from posttrainbench.transcript.foreign import Record, count, integer, mapping, text, word


def events(record: Record) -> Iterator[e.Event]:
    """What a line says."""
    at, kind = moment(record), word(record.get("type"))
    match kind:
        case "init":
            yield e.Began(at=at, session=word(record.get("session_id")), model=word(record.get("model")))
        case "message" if record.get("role") == "user":
            yield e.Prompted(at=at, text=text(record.get("content")))
        case "message":
            yield e.Said(at=at, text=text(record.get("content")), piece=record.get("delta") is True)
        case "tool_use":
            yield e.Called(
                at=at,
                id=word(record.get("tool_id")),
                name=word(record.get("tool_name")) or "unnamed",
                arguments=mapping(record.get("parameters")),
            )
        case "tool_result":
            error = mapping(record.get("error"))
            yield e.Answered(
                at=at,
                id=word(record.get("tool_id")),
                text=text(record.get("output")) or text(error.get("message")),
                error=record.get("status") == "error",
            )
        case "error":
            fatal = record.get("severity") == "error"
            yield e.Troubled(at=at, message=text(record.get("message")), retrying=not fatal)
        case "result":
            yield from ending(record)
        case _:
            yield e.Noted(name=kind or "without a type")


def ending(record: Record) -> Iterator[e.Event]:
    """The totals of this start of the program, and how it ended."""
    stats, error = mapping(record.get("stats")), mapping(record.get("error"))
    if stats:
        yield e.Reported(tokens=tokens(stats))
    yield e.Ended(
        at=moment(record),
        ok=record.get("status") == "success",
        message=text(error.get("message")),
        status=integer(error.get("code")),
    )


def tokens(stats: Record) -> Tokens:
    """`input_tokens` include the cached ones; what is in the total and in neither of both was thought."""
    cached, asked = count(stats.get("cached")), count(stats.get("input_tokens"))
    output = count(stats.get("output_tokens"))
    thought = max(count(stats.get("total_tokens")) - asked - output, 0)
    return Tokens(input=max(asked - cached, 0), cached=cached, output=output + thought, reasoning=thought)
