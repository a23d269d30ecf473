"""OpenAI Responses."""

import json
from typing import Any

from provider.causes import OPENAI
from provider.script import Fault
from provider.wire import Asked, Call, Event, Reply, Tool, halves, texts

WRITES = False
CREATED = 1_790_000_000


def read(body: dict[str, Any], model: str, stream: bool) -> Asked:
    """What a body asks for. Codex declares its tools inside the input for some models."""
    given = body.get("input", [])
    items = given if isinstance(given, list) else []
    said, results, declared = [], 0, list(body.get("tools") or [])
    for item in items:
        kind = item.get("type", "message")
        results += kind.endswith("_call_output")
        if kind == "message" and item.get("role") == "assistant":
            said += texts(item["content"], "output_text")
        if kind == "additional_tools":
            declared += item["tools"]
    return Asked(
        model=body.get("model", ""),
        stream=bool(body.get("stream")),
        results=results,
        said=said,
        tools=[tool for one in declared for tool in _tools(one)],
    )


def objection(body: dict[str, Any]) -> str:
    """Why the API would refuse the conversation: every call has its output, and every output its call."""
    items = body["input"] if isinstance(body.get("input"), list) else []
    calls = {item["call_id"] for item in items if item.get("type", "").endswith("_call") and "call_id" in item}
    outputs = {item["call_id"] for item in items if item.get("type", "").endswith("_call_output")}
    lone = ", ".join(sorted(calls ^ outputs))
    return f"No tool output found for function call {lone}." if lone else ""


def _tools(declared: dict[str, Any]) -> list[Tool]:
    match declared.get("type"):
        case "namespace":
            return [tool for one in declared["tools"] for tool in _tools(one)]
        case "function":
            return [Tool(declared["name"], declared.get("parameters") or {})]
        case "custom" if declared["name"] == "exec":
            return [Tool("exec", {}, code=True)]
        case _:
            return []


def _call(call: Call) -> dict[str, Any]:
    common = {"status": "completed", "call_id": f"call_{call.id}", "name": call.tool.name}
    if call.tool.code:
        return {"type": "custom_tool_call", "id": f"ctc_{call.id}", **common, "input": call.source}
    return {"type": "function_call", "id": f"fc_{call.id}", **common, "arguments": json.dumps(call.arguments)}


def _items(reply: Reply) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if reply.think:
        summary = [{"type": "summary_text", "text": reply.think}]
        items.append({"type": "reasoning", "id": f"rs_{reply.id}", "summary": summary, "encrypted_content": "c2VhbGVk"})
    if reply.text:
        content = [{"type": "output_text", "text": reply.text, "annotations": [], "logprobs": []}]
        message = {"type": "message", "id": f"msg_{reply.id}", "status": "completed", "role": "assistant"}
        items.append({**message, "content": content})
    return items + [_call(call) for call in reply.calls]


def answer(reply: Reply) -> dict[str, Any]:
    """The whole response."""
    used = reply.tokens
    prompt = used.input + used.cached + used.cache_write
    return {
        "id": f"resp_{reply.id}",
        "object": "response",
        "created_at": CREATED,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": reply.model,
        "output": _items(reply),
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": {
            "input_tokens": prompt,
            "input_tokens_details": {"cached_tokens": used.cached},
            "output_tokens": used.output,
            "output_tokens_details": {"reasoning_tokens": used.reasoning},
            "total_tokens": prompt + used.output,
        },
    }


def events(reply: Reply) -> list[Event]:
    """The response as a stream; usage stands in its last event."""
    whole = answer(reply)
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    found: list[dict[str, Any]] = [
        {"type": f"response.{what}", "response": begun} for what in ("created", "in_progress")
    ]
    for index, item in enumerate(whole["output"]):
        at = {"item_id": item["id"], "output_index": index}
        started = {**item, "status": "in_progress"}
        match item["type"]:
            case "function_call":
                started["arguments"] = ""
                parts = [
                    {"type": "response.function_call_arguments.delta", **at, "delta": p}
                    for p in halves(item["arguments"])
                ]
                parts.append({"type": "response.function_call_arguments.done", **at, "arguments": item["arguments"]})
            case "custom_tool_call":
                started["input"] = ""
                parts = [
                    {"type": "response.custom_tool_call_input.delta", **at, "delta": p} for p in halves(item["input"])
                ]
                parts.append({"type": "response.custom_tool_call_input.done", **at, "input": item["input"]})
            case "reasoning":
                started = {"type": "reasoning", "id": item["id"], "summary": []}
                parts = _summary(item, at)
            case _:
                started["content"] = []
                parts = _text(item, at)
        found.append({"type": "response.output_item.added", "output_index": index, "item": started})
        found += [*parts, {"type": "response.output_item.done", "output_index": index, "item": item}]
    found.append({"type": "response.completed", "response": whole})
    return [(event["type"], {**event, "sequence_number": number}) for number, event in enumerate(found)]


def _text(item: dict[str, Any], at: dict[str, Any]) -> list[dict[str, Any]]:
    part, at = item["content"][0], {**at, "content_index": 0}
    deltas = [
        {"type": "response.output_text.delta", **at, "delta": piece, "logprobs": []} for piece in halves(part["text"])
    ]
    return [
        {"type": "response.content_part.added", **at, "part": {**part, "text": ""}},
        *deltas,
        {"type": "response.output_text.done", **at, "text": part["text"], "logprobs": []},
        {"type": "response.content_part.done", **at, "part": part},
    ]


def _summary(item: dict[str, Any], at: dict[str, Any]) -> list[dict[str, Any]]:
    part, at = item["summary"][0], {**at, "summary_index": 0}
    return [
        {"type": "response.reasoning_summary_part.added", **at, "part": {**part, "text": ""}},
        {"type": "response.reasoning_summary_text.delta", **at, "delta": part["text"]},
        {"type": "response.reasoning_summary_text.done", **at, "text": part["text"]},
        {"type": "response.reasoning_summary_part.done", **at, "part": part},
    ]


def error(fault: Fault) -> tuple[int, dict[str, Any]]:
    """Status and body of an error."""
    status, kind, code, message = OPENAI[fault.cause]
    status = fault.status if fault.cause == "server" else status
    return status, {"error": {"message": message, "type": kind, "param": None, "code": code}}


def stream_error(fault: Fault) -> list[Event]:
    """An error inside a stream."""
    _, _, code, message = OPENAI[fault.cause]
    failed = {"code": code or "server_error", "message": message}
    response = {
        "id": "resp_0",
        "object": "response",
        "created_at": CREATED,
        "status": "failed",
        "error": failed,
        "output": [],
    }
    return [("response.failed", {"type": "response.failed", "sequence_number": 1, "response": response})]
