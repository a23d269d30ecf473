"""Qwen Code: `--output-format stream-json`, which resembles Claude Code's.

Blocks of one answer come as messages with ids of their own, of which only the last has a usage, so ids say nothing
here. Input includes what was cached. The usage of a result counts on when a session is continued. No result comes when
one of its own limits ends it.
"""

from collections.abc import Iterator

from posttrainbench.gateway.ledger import Tokens
from posttrainbench.transcript import claude
from posttrainbench.transcript import events as e
from posttrainbench.transcript.foreign import Record, count, mapping, text, word


def events(record: Record) -> Iterator[e.Event]:
    """What a line says."""
    kind, subtype = word(record.get("type")), word(record.get("subtype"))
    match kind, subtype:
        case "system", "init":
            yield e.Began(
                session=word(record.get("session_id")),
                model=word(record.get("model")),
                version=word(record.get("qwen_code_version")),
            )
        case "system", "retry" | "api_retry":
            yield e.Troubled(message=text(record.get("error")) or "the request is tried again", retrying=True)
        case "assistant", _:
            message = mapping(record.get("message"))
            for event in claude.answer(record, message | {"id": ""}):
                if not isinstance(event, e.Used):
                    yield event
            if (used := tokens(mapping(message.get("usage")))).total:
                yield e.Used(thread=word(record.get("parent_tool_use_id")), tokens=used)
        case "user", _:
            yield from claude.results(record)
        case "result", _:
            if usage := mapping(record.get("usage")):
                session = word(record.get("session_id"))
                yield e.Reported(tokens=tokens(usage), cumulative=True, session=session)
            failed = record.get("is_error") is True
            said = text(mapping(record.get("error")).get("message")) or text(record.get("error"))
            yield e.Ended(ok=not failed, message=(said or text(record.get("result"))) if failed else subtype)
        case _:
            yield e.Noted(name=f"{kind}/{subtype}" if subtype else kind or "without a type")


def tokens(usage: Record) -> Tokens:
    """Usage as this program tells it."""
    cached = count(usage.get("cache_read_input_tokens"))
    return Tokens(
        input=max(count(usage.get("input_tokens")) - cached, 0),
        cached=cached,
        output=count(usage.get("output_tokens")),
    )
