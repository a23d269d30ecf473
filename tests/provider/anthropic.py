"""Anthropic Messages."""

import json
from typing import Any

from provider.causes import ANTHROPIC
from provider.script import Fault
from provider.wire import Asked, Event, Reply, Tool, halves, texts

WRITES = True


def read(body: dict[str, Any], model: str, stream: bool) -> Asked:
    """What a body asks for."""
    said, results = [], 0
    for message in body.get("messages", []):
        if message["role"] == "assistant":
            said += texts(message["content"], "text")
        elif isinstance(message["content"], list):
            results += sum(block.get("type") == "tool_result" for block in message["content"])
    return Asked(
        model=body.get("model", ""),
        stream=bool(body.get("stream")),
        results=results,
        said=said,
        tools=[Tool(tool["name"], tool["input_schema"]) for tool in body.get("tools", []) if "input_schema" in tool],
        thinks=body.get("thinking", {}).get("type", "disabled") != "disabled",
    )


def objection(body: dict[str, Any]) -> str:
    """Why the API would refuse the conversation: the results of all calls of a turn, and no others, follow it."""
    before: set[str] = set()
    for place, message in enumerate(body.get("messages", [])):
        blocks = message["content"] if isinstance(message["content"], list) else []
        found = {block["tool_use_id"] for block in blocks if block.get("type") == "tool_result"}
        if found != before:
            ids = ", ".join(sorted(found ^ before))
            return f"messages.{place}: `tool_use` ids and `tool_result` blocks do not match: {ids}"
        before = {block["id"] for block in blocks if block.get("type") == "tool_use"}
    return ""


def _blocks(reply: Reply) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if reply.think:
        blocks.append({"type": "thinking", "thinking": reply.think, "signature": "c2lnbmVk"})
    if reply.text:
        blocks.append({"type": "text", "text": reply.text})
    for call in reply.calls:
        blocks.append({"type": "tool_use", "id": f"toolu_{call.id}", "name": call.tool.name, "input": call.arguments})
    return blocks


def _usage(reply: Reply) -> dict[str, Any]:
    return {
        "input_tokens": reply.tokens.input,
        "cache_creation_input_tokens": reply.tokens.cache_write,
        "cache_read_input_tokens": reply.tokens.cached,
        "cache_creation": {"ephemeral_5m_input_tokens": reply.tokens.cache_write, "ephemeral_1h_input_tokens": 0},
        "output_tokens": reply.tokens.output,
        "service_tier": "standard",
    }


def answer(reply: Reply) -> dict[str, Any]:
    """The whole message."""
    return {
        "id": f"msg_{reply.id}",
        "type": "message",
        "role": "assistant",
        "model": reply.model,
        "content": _blocks(reply),
        "stop_reason": "tool_use" if reply.calls else "end_turn",
        "stop_sequence": None,
        "usage": _usage(reply),
    }


def events(reply: Reply) -> list[Event]:
    """The message as a stream. Its start counts the input and one token of output; its end counts all."""
    whole = answer(reply)
    begun = {**whole, "content": [], "stop_reason": None, "usage": {**whole["usage"], "output_tokens": 1}}
    found: list[dict[str, Any]] = [{"type": "message_start", "message": begun}, {"type": "ping"}]
    for index, block in enumerate(whole["content"]):
        kind = block["type"]
        empty = {"thinking": {"thinking": "", "signature": ""}, "text": {"text": ""}, "tool_use": {"input": {}}}[kind]
        found.append({"type": "content_block_start", "index": index, "content_block": {**block, **empty}})
        if kind == "thinking":
            deltas = [{"type": "thinking_delta", "thinking": part} for part in halves(block["thinking"])]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        elif kind == "text":
            deltas = [{"type": "text_delta", "text": part} for part in halves(block["text"])]
        else:
            pieces = halves(json.dumps(block["input"]))
            deltas = [{"type": "input_json_delta", "partial_json": part} for part in pieces]
        found += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        found.append({"type": "content_block_stop", "index": index})
    delta = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    found += [{"type": "message_delta", "delta": delta, "usage": whole["usage"]}, {"type": "message_stop"}]
    return [(event["type"], event) for event in found]


def error(fault: Fault) -> tuple[int, dict[str, Any]]:
    """Status and body of an error."""
    status, kind, message = ANTHROPIC[fault.cause]
    status = fault.status if fault.cause == "server" else status
    return status, {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_0"}


def stream_error(fault: Fault) -> list[Event]:
    """An error inside a stream."""
    return [("error", error(fault)[1])]
