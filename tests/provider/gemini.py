"""Gemini generateContent."""

from typing import Any

from provider.causes import GEMINI
from provider.script import Fault
from provider.wire import Asked, Event, Reply, Tool

WRITES = False


def read(body: dict[str, Any], model: str, stream: bool) -> Asked:
    """What a body asks for; model and kind of answer stand in the path."""
    said, results = [], 0
    for content in body.get("contents", []):
        parts = content.get("parts", [])
        results += sum("functionResponse" in part for part in parts)
        if content.get("role") == "model":
            said += [part["text"] for part in parts if part.get("text") and not part.get("thought")]
    declared = [one for tool in body.get("tools", []) for one in tool.get("functionDeclarations", [])]
    return Asked(
        model=model,
        stream=stream,
        results=results,
        said=said,
        tools=[Tool(one["name"], one.get("parametersJsonSchema") or one.get("parameters") or {}) for one in declared],
    )


def objection(body: dict[str, Any]) -> str:
    """Why the API would refuse the conversation: as many results as calls must follow a turn with calls."""
    before = 0
    for content in body.get("contents", []):
        results = sum("functionResponse" in part for part in content.get("parts", []))
        if results != before:
            return (
                "Please ensure that the number of function response parts is equal to the number of function call "
                "parts of the function call turn."
            )
        before = sum("functionCall" in part for part in content.get("parts", []))
    return ""


def _usage(reply: Reply) -> dict[str, Any]:
    used = reply.tokens
    prompt = used.input + used.cached
    return {
        "promptTokenCount": prompt,
        "cachedContentTokenCount": used.cached,
        "candidatesTokenCount": used.output - used.reasoning,
        "thoughtsTokenCount": used.reasoning,
        "totalTokenCount": prompt + used.output,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt}],
    }


def _chunk(reply: Reply, parts: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    candidate = {"content": {"role": "model", "parts": parts}, "index": 0, **more}
    return {
        "candidates": [candidate],
        "usageMetadata": _usage(reply),
        "modelVersion": reply.model,
        "responseId": reply.id,
    }


def _parts(reply: Reply) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    if reply.think:
        parts.append({"text": reply.think, "thought": True})
    if reply.text:
        parts.append({"text": reply.text})
    for call in reply.calls:
        parts.append({"functionCall": {"id": call.id, "name": call.tool.name, "args": call.arguments}})
    if reply.calls:
        parts[-len(reply.calls)]["thoughtSignature"] = "c2lnbmVk"
    return parts


def answer(reply: Reply) -> dict[str, Any]:
    """The whole answer."""
    return _chunk(reply, _parts(reply), finishReason="STOP")


def events(reply: Reply) -> list[Event]:
    """A chunk a part; each counts what has been used so far, the last one all of it."""
    parts = _parts(reply)
    chunks = [_chunk(reply, [part]) for part in parts]
    for chunk in chunks[:-1]:
        chunk["usageMetadata"] = {**chunk["usageMetadata"], "candidatesTokenCount": 1, "thoughtsTokenCount": 0}
    chunks[-1]["candidates"][0]["finishReason"] = "STOP"
    return [("", chunk) for chunk in chunks]


def error(fault: Fault) -> tuple[int, dict[str, Any]]:
    """Status and body of an error."""
    status, name, message, details = GEMINI[fault.cause]
    status = fault.status if fault.cause == "server" else status
    return status, {"error": {"code": status, "message": message, "status": name, "details": details}}


def stream_error(fault: Fault) -> list[Event]:
    """An error inside a stream."""
    return [("", error(fault)[1])]
