"""Anthropic Messages. Streamed underneath, since the SDK takes long answers in no other way."""

from collections.abc import Sequence
from typing import Any

from .failures import failure
from .shape import arguments, count, items, plain, text, within
from .values import Message, Model, Reply, Tool, ToolCall, Usage

CACHE = {"type": "ephemeral"}


def ask(
    model: Model, key: str, messages: Sequence[Message], tools: Sequence[Tool], form: dict[str, Any] | None
) -> Reply:
    """The model's next turn, from one request."""
    import anthropic

    with (
        anthropic.Anthropic(api_key=key, base_url=model.base_url, max_retries=0) as client,
        client.messages.stream(**_request(model, messages, tools, form)) as stream,
    ):
        for _ in stream:
            pass
        # Without a message_start there is no snapshot, and asking for it is an AssertionError.
        message = plain(stream.current_message_snapshot.to_dict(warnings=False))
    return _reply(model, key, message)


def _request(
    model: Model, messages: Sequence[Message], tools: Sequence[Tool], form: dict[str, Any] | None
) -> dict[str, Any]:
    request: dict[str, Any] = {"model": model.name, "max_tokens": model.max_tokens, "messages": _turns(messages)}
    if system := "\n\n".join(message.text for message in messages if message.role == "system"):
        request["system"] = [{"type": "text", "text": system, "cache_control": CACHE}]
    if tools:
        request["tools"] = [
            {"name": tool.name, "description": tool.description, "input_schema": tool.parameters} for tool in tools
        ]
    output: dict[str, Any] = {}
    if model.effort:
        # Models before 4.6 know neither; for them, name no effort. Newer ones show no thinking unless asked to.
        request["thinking"] = {"type": "adaptive", "display": "summarized"}
        output["effort"] = model.effort
    if form:
        output["format"] = {"type": "json_schema", "schema": form}
    return {**request, "output_config": output} if output else request


def _turns(messages: Sequence[Message]) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = []
    for message in messages:
        content: list[dict[str, Any]]
        match message.role:
            case "system":
                continue
            case "assistant":
                written = [{"type": "text", "text": message.text}] if message.text.strip() else []
                content = written if message.native is None else message.native
            case "user":
                content = [{"type": "text", "text": message.text or "(nothing)"}]
            case "tool":
                output = message.text or "(no output)"
                content = [{"type": "tool_result", "tool_use_id": message.id, "content": output}]
        role = "assistant" if message.role == "assistant" else "user"
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] = [*turns[-1]["content"], *content]
        elif content:
            turns.append({"role": role, "content": content})
    # The last turn, for the next request to read, and the one before it, which this request reads.
    for turn in [turn for turn in turns if turn["role"] == "user"][-2:]:
        turn["content"][-1] = {**turn["content"][-1], "cache_control": CACHE}
    return turns


def _reply(model: Model, key: str, message: Any) -> Reply:
    stop = text(message, "stop_reason")
    if not stop:
        raise failure(model, key, "connection", "The stream ended before the answer did.")
    if stop == "refusal":
        why = text(message, "stop_details", "explanation") or text(message, "stop_details", "category")
        raise failure(model, key, "refused", why)
    if stop == "model_context_window_exceeded":
        raise failure(model, key, "context_exceeded", "The answer did not fit any more.")
    # Blocks without text are given and not taken back; neither is a turn that only thinks.
    content = [
        {name: value for name, value in block.items() if value is not None}
        for block in items(message, "content")
        if block.get("type") != "text" or text(block, "text").strip()
    ]
    if all(block.get("type") in ("thinking", "redacted_thinking") for block in content):
        spoken: list[dict[str, Any]] = []
    else:
        spoken = content
    calls = [
        ToolCall(text(block, "id"), text(block, "name"), arguments(block.get("input")))
        for block in spoken
        if block.get("type") == "tool_use"
    ]
    if stop == "max_tokens" and calls and content[-1].get("type") == "tool_use":
        calls[-1] = ToolCall(calls[-1].id, calls[-1].name, None)
    said = "".join(text(block, "text") for block in content)
    return Reply(
        text=said,
        reasoning="\n\n".join(filter(None, (text(block, "thinking") for block in content))),
        tool_calls=tuple(calls),
        stop="length" if stop == "max_tokens" else "tools" if calls else "end",
        usage=_usage(within(message, "usage")),
        message=Message("assistant", said, native=spoken),
    )


def _usage(usage: Any) -> Usage:
    return Usage(
        input=count(usage, "input_tokens"),
        cached=count(usage, "cache_read_input_tokens"),
        cache_write=count(usage, "cache_creation_input_tokens"),
        output=count(usage, "output_tokens"),
        reasoning=count(usage, "output_tokens_details", "thinking_tokens"),
    )
