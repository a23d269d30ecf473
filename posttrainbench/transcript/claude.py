"""Claude Code: `--output-format stream-json --verbose`.

Each block of an answer is an event of its own; blocks of one answer bear the same message id. The usage beside them is
that of the answer's beginning, so its output is not known. A failure of the model interface comes as an answer of the
model `<synthetic>`, and as a `result` with `is_error` whose subtype may still be `success`. There may be several
`result` events, when a background task ends after the agent has; `modelUsage` counts on over all of them.
"""

from collections.abc import Iterator
from typing import Any

from posttrainbench.gateway.ledger import Tokens
from posttrainbench.transcript import events as e
from posttrainbench.transcript.foreign import Record, count, integer, mapping, number, sequence, text, word

SYNTHETIC = "<synthetic>"


def events(record: Record) -> Iterator[e.Event]:
    """What a line says."""
    kind, subtype = word(record.get("type")), word(record.get("subtype"))
    match kind, subtype:
        case "system", "init":
            yield e.Began(
                at=record.get("timestamp"),
                session=word(record.get("session_id")),
                model=word(record.get("model")),
                version=word(record.get("claude_code_version")),
            )
        case "system", "api_retry":
            yield e.Troubled(
                message=f"{text(record.get('error'))}, attempt {count(record.get('attempt'))}",
                status=integer(record.get("error_status")),
                retrying=True,
            )
        case "assistant", _:
            yield from answer(record, mapping(record.get("message")))
        case "user", _:
            yield from results(record)
        case "result", _:
            yield from ending(record, subtype)
        case _:
            yield e.Noted(name=f"{kind}/{subtype}" if subtype else kind or "without a type")


def moment(record: Record) -> str | float | None:
    """The line's own time."""
    at = record.get("timestamp")
    return at if isinstance(at, str | float | int) and not isinstance(at, bool) else None


def answer(record: Record, message: Record) -> Iterator[e.Event]:
    """Blocks of the model's answer."""
    at, thread = moment(record), word(record.get("parent_tool_use_id"))
    identity, model = word(message.get("id")), word(message.get("model"))
    if model == SYNTHETIC or record.get("error"):
        yield e.Troubled(at=at, message=text(message.get("content")) or text(record.get("error")))
        return
    content = message.get("content")
    for one in sequence(content) or [{"type": "text", "text": content}]:
        block = mapping(one)
        match block.get("type"):
            case "text":
                yield e.Said(at=at, thread=thread, message=identity, model=model, text=text(block.get("text")))
            case "thinking":
                said = text(block.get("thinking"))
                yield e.Said(at=at, thread=thread, message=identity, model=model, text=said, reasoning=True)
            case "tool_use" | "server_tool_use":
                yield e.Called(
                    at=at,
                    thread=thread,
                    message=identity,
                    model=model,
                    id=word(block.get("id")),
                    name=word(block.get("name")) or "unnamed",
                    arguments=mapping(block.get("input")),
                )
            case other:
                yield e.Noted(name=f"block {word(other)}")
    if usage := mapping(message.get("usage")):
        yield e.Used(thread=thread, message=identity, tokens=tokens(usage), output_known=False)
    if message.get("stop_reason") == "refusal":
        yield e.Troubled(at=at, message="the model refused", cause="refused")


def results(record: Record) -> Iterator[e.Event]:
    """What tools answered, and what else the agent was told."""
    at, thread = moment(record), word(record.get("parent_tool_use_id"))
    content = mapping(record.get("message")).get("content")
    if isinstance(content, str):
        yield e.Prompted(at=at, thread=thread, text=content)
        return
    for one in sequence(content):
        block = mapping(one)
        if block.get("type") == "tool_result":
            yield e.Answered(
                at=at,
                thread=thread,
                id=word(block.get("tool_use_id")),
                text=text(block.get("content")),
                error=block.get("is_error") is True,
            )
        else:
            yield e.Prompted(at=at, thread=thread, text=text([one]))


def ending(record: Record, subtype: str) -> Iterator[e.Event]:
    """The totals, and how it ended."""
    since = mapping(record.get("model_usage_since_last_result"))
    models = [mapping(one) for one in since.values()]
    if models:
        costs = [number(one.get("costUSD")) for one in models]
        yield e.Reported(
            tokens=Tokens(
                input=sum(count(one.get("inputTokens")) for one in models),
                cached=sum(count(one.get("cacheReadInputTokens")) for one in models),
                cache_write=sum(count(one.get("cacheCreationInputTokens")) for one in models),
                output=sum(count(one.get("outputTokens")) for one in models),
            ),
            cost_usd=None if None in costs else sum(cost or 0.0 for cost in costs),
        )
    elif usage := mapping(record.get("usage")):
        yield e.Reported(tokens=tokens(usage))
    failed = record.get("is_error") is True or subtype.startswith("error")
    yield e.Ended(
        ok=not failed,
        message=(text(record.get("result")) or subtype) if failed else subtype,
        status=integer(record.get("api_error_status")),
        cause="refused" if record.get("stop_reason") == "refusal" else None,
    )


def tokens(usage: Record) -> Tokens:
    """Usage as Anthropic's interface tells it."""
    read: dict[str, Any] = mapping(usage)
    return Tokens(
        input=count(read.get("input_tokens")),
        cached=count(read.get("cache_read_input_tokens")),
        cache_write=count(read.get("cache_creation_input_tokens")),
        output=count(read.get("output_tokens")),
    )
