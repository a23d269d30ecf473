"""Gemini generateContent. Its JSON is that of protocol buffers: each key may be written in camel case or with
underscores."""

import re
from collections.abc import Mapping, MutableMapping
from typing import Any

from posttrainbench.gateway.dialects.wire import (
    Credential,
    Failure,
    Reading,
    Route,
    at,
    by_status,
    count,
    objects,
    positive,
    remote,
    text,
    walk,
)
from posttrainbench.gateway.ledger import Cause, Tokens

_MODEL = r"/v1(?:beta|alpha)?/models/(?P<model>[A-Za-z0-9._-]{1,200})"
ROUTES: tuple[Route, ...] = (
    Route("gemini.generate", "POST", re.compile(_MODEL + ":generateContent"), metered=True),
    Route("gemini.stream", "POST", re.compile(_MODEL + ":streamGenerateContent"), metered=True),
    Route("gemini.count_tokens", "POST", re.compile(_MODEL + ":countTokens")),
)
WEB_TOOLS = frozenset(
    ["googlesearch", "googlesearchretrieval", "urlcontext", "googlemaps", "enterprisewebsearch", "mcpservers"]
)
CAUSES: dict[str, Cause] = {
    "UNAUTHENTICATED": "auth",
    "PERMISSION_DENIED": "auth",
    "RESOURCE_EXHAUSTED": "rate_limit",
    "UNAVAILABLE": "overloaded",
    "INTERNAL": "overloaded",
    "DEADLINE_EXCEEDED": "overloaded",
    "INVALID_ARGUMENT": "invalid_request",
    "NOT_FOUND": "invalid_request",
    "FAILED_PRECONDITION": "invalid_request",
}
ERRORS = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}
ERRORS |= {429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}
REFUSALS = frozenset(["SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII", "RECITATION"])


def _plain(key: str) -> str:
    return key.replace("_", "").lower()


def _get(holder: Any, key: str) -> Any:
    """The value of a key in either spelling; the key is given in camel case."""
    if not isinstance(holder, dict):
        return None
    if key in holder:
        return holder[key]
    return holder.get(re.sub(r"([A-Z])", lambda found: "_" + found[1].lower(), key))


def offered(headers: Mapping[str, str], query: Mapping[str, str]) -> list[str]:
    return [headers.get("x-goog-api-key", ""), query.get("key", "")]


def authorize(headers: MutableMapping[str, str], credential: Credential) -> None:
    headers["x-goog-api-key"] = credential.value


def unusable(credential: Credential) -> str:
    if credential.kind == "api_key":
        return ""
    return (
        "A login with a Google account cannot be held by the gateway: the CLI renews it itself and uses another "
        "interface with it. Give an API key instead."
    )


def copies(body: Mapping[str, Any]) -> int:
    return positive(_get(_get(body, "generationConfig"), "candidateCount")) or 1


def output_limit(body: Mapping[str, Any]) -> int | None:
    return positive(_get(_get(body, "generationConfig"), "maxOutputTokens"))


def with_output_limit(route: Route, body: dict[str, Any], limit: int) -> dict[str, Any]:
    key = "generation_config" if "generation_config" in body else "generationConfig"
    held = body.get(key)
    return body | {key: (held if isinstance(held, dict) else {}) | {"maxOutputTokens": limit}}


def refers(body: Mapping[str, Any]) -> bool:
    return bool(_get(body, "cachedContent"))


def refused(body: Mapping[str, Any]) -> str:
    return ""


def without_web(body: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    tools = objects(body.get("tools"))
    names = [key for tool in tools for key in tool if _plain(key) in WEB_TOOLS]
    if not names:
        return body, []
    kept = [{key: value for key, value in tool.items() if _plain(key) not in WEB_TOOLS} for tool in tools]
    return body | {"tools": [tool for tool in kept if tool]}, names


def fetched(body: Mapping[str, Any]) -> str:
    for one in walk(body.get("contents"), skip="args"):
        if place := remote(_get(_get(one, "fileData"), "fileUri")):
            return place
    return ""


def read(reading: Reading, event: Mapping[str, Any]) -> None:
    """Each chunk repeats the count so far; the last one is the whole."""
    reading.model = text(_get(event, "modelVersion")) or reading.model
    usage = _get(event, "usageMetadata")
    if isinstance(usage, dict):
        reading.tokens = _tokens(usage)
    for candidate in objects(event.get("candidates")):
        reason = text(_get(candidate, "finishReason"))
        if reason:
            reading.finished = True
        if reason in REFUSALS:
            reading.cause, reading.detail = "refused", f"The answer was stopped: finishReason is {reason}."
        for part in objects(at(candidate, "content", "parts")):
            reading.text_bytes += len(text(part.get("text"), 2**30).encode("utf-8", "replace"))
    if blocked := text(_get(_get(event, "promptFeedback"), "blockReason")):
        reading.finished = True
        reading.cause, reading.detail = "refused", f"The prompt was refused: blockReason is {blocked}."
    reading.counted = (reading.finished and isinstance(usage, dict)) or reading.counted
    if isinstance(event.get("error"), dict):
        found = failure(0, event)
        reading.cause, reading.detail = found.cause, found.detail


def _tokens(usage: Mapping[str, Any]) -> Tokens:
    """Thoughts are billed as output, but stand beside it; prompts of tools are billed as input."""
    prompt, cached = count(_get(usage, "promptTokenCount")), count(_get(usage, "cachedContentTokenCount"))
    thoughts = count(_get(usage, "thoughtsTokenCount"))
    return Tokens(
        input=max(0, prompt - cached) + count(_get(usage, "toolUsePromptTokenCount")),
        cached=min(cached, prompt),
        output=count(_get(usage, "candidatesTokenCount")) + thoughts,
        reasoning=thoughts,
    )


def failure(status: int, body: Mapping[str, Any]) -> Failure:
    held = at(body, "error")
    kind, message = text(at(held, "status")), text(at(held, "message"))
    cause = CAUSES.get(kind) or by_status(status)
    low, details = message.lower(), walk(at(held, "details"))
    if any(text(one.get("reason")) == "API_KEY_INVALID" for one in details) or "api key not valid" in low:
        cause = "auth"
    elif cause == "rate_limit" and any("PerDay" in text(one.get("quotaId")) for one in details):
        cause = "usage_limit"
    elif cause == "invalid_request" and "token" in low and "exceed" in low:
        cause = "context_exceeded"
    delays = [re.fullmatch(r"(\d{1,6}(?:\.\d+)?)s", text(_get(one, "retryDelay"))) for one in details]
    return Failure(cause, message or kind, next((float(found[1]) for found in delays if found), None))


def final(route: str) -> int:
    return 403


def error(status: int, message: str) -> dict[str, Any]:
    return {"error": {"code": status, "message": message, "status": ERRORS.get(status, "UNKNOWN")}}
