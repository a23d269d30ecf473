"""OpenAI Chat Completions."""

import json
from typing import Any

from provider import responses
from provider.script import Fault
from provider.wire import Asked, Event, Reply, Tool, halves, texts

WRITES = False
error = responses.error


def read(body: dict[str, Any], model: str, stream: bool) -> Asked:
    """What a body asks for."""
    messages = body.get("messages", [])
    said = [
        text for message in messages if message["role"] == "assistant" for text in texts(message.get("content"), "text")
    ]
    functions = [tool["function"] for tool in body.get("tools") or [] if tool.get("type") == "function"]
    return Asked(
        model=body.get("model", ""),
        stream=bool(body.get("stream")),
        results=sum(message["role"] == "tool" for message in messages),
        said=said,
        tools=[Tool(function["name"], function.get("parameters") or {}) for function in functions],
    )


def objection(body: dict[str, Any]) -> str:
    """Why the API would refuse the conversation: every call has its tool message, and every such message its call."""
    messages = body.get("messages", [])
    calls = {call["id"] for message in messages for call in message.get("tool_calls") or []}
    outputs = {message.get("tool_call_id") for message in messages if message["role"] == "tool"}
    lone = ", ".join(sorted(str(one) for one in calls ^ outputs))
    return f"'tool_calls' must be followed by tool messages responding to each 'tool_call_id': {lone}" if lone else ""


def _message(reply: Reply) -> dict[str, Any]:
    calls = [
        {
            "id": f"call_{call.id}",
            "type": "function",
            "function": {"name": call.tool.name, "arguments": json.dumps(call.arguments)},
        }
        for call in reply.calls
    ]
    return {
        "role": "assistant",
        "content": reply.text or None,
        "refusal": None,
        **({"reasoning_content": reply.think} if reply.think else {}),
        **({"tool_calls": calls} if calls else {}),
    }


def _usage(reply: Reply) -> dict[str, Any]:
    used = reply.tokens
    prompt = used.input + used.cached
    return {
        "prompt_tokens": prompt,
        "completion_tokens": used.output,
        "total_tokens": prompt + used.output,
        "prompt_tokens_details": {"cached_tokens": used.cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": used.reasoning, "audio_tokens": 0},
    }


def answer(reply: Reply) -> dict[str, Any]:
    """The whole completion."""
    finish = "tool_calls" if reply.calls else "stop"
    choice = {"index": 0, "message": _message(reply), "logprobs": None, "finish_reason": finish}
    head = {"id": f"chatcmpl-{reply.id}", "object": "chat.completion", "created": responses.CREATED}
    return {**head, "model": reply.model, "choices": [choice], "usage": _usage(reply)}


def events(reply: Reply) -> list[Event]:
    """The completion as a stream, with a chunk for the usage before its end, as `include_usage` asks for."""
    message = _message(reply)
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning_content": piece} for piece in halves(reply.think)]
    deltas += [{"content": piece} for piece in halves(reply.text)]
    for index, call in enumerate(message.get("tool_calls", [])):
        named = {**call, "function": {**call["function"], "arguments": ""}}
        deltas.append({"tool_calls": [{"index": index, **named}]})
        pieces = halves(call["function"]["arguments"])
        deltas += [{"tool_calls": [{"index": index, "function": {"arguments": piece}}]} for piece in pieces]
    head = {"id": f"chatcmpl-{reply.id}", "object": "chat.completion.chunk", "created": responses.CREATED}
    head["model"] = reply.model
    found = [
        {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}], "usage": None} for delta in deltas
    ]
    finish = "tool_calls" if reply.calls else "stop"
    found.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}], "usage": None})
    found.append({**head, "choices": [], "usage": _usage(reply)})
    return [*(("", event) for event in found), ("", "[DONE]")]


def stream_error(fault: Fault) -> list[Event]:
    """An error inside a stream."""
    return [("", error(fault)[1])]
