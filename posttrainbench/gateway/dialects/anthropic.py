"""Anthropic Messages."""

import re
from collections.abc import Mapping, MutableMapping
from typing import Any

from posttrainbench.gateway.dialects.wire import (
    Credential,
    Failure,
    Reading,
    Route,
    at,
    bearer,
    by_status,
    count,
    positive,
    remote,
    text,
    walk,
)
from posttrainbench.gateway.ledger import Cause, Tokens

OAUTH_BETA = "oauth-2025-04-20"
ROUTES: tuple[Route, ...] = (
    Route("anthropic.messages", "POST", re.compile(r"/v1/messages"), metered=True),
    Route("anthropic.count_tokens", "POST", re.compile(r"/v1/messages/count_tokens")),
)
WEB_TOOLS = ("web_search", "web_fetch", "mcp_toolset")
CAUSES: dict[str, Cause] = {
    "authentication_error": "auth",
    "permission_error": "auth",
    "billing_error": "usage_limit",
    "rate_limit_error": "rate_limit",
    "overloaded_error": "overloaded",
    "api_error": "overloaded",
    "timeout_error": "overloaded",
    "invalid_request_error": "invalid_request",
    "not_found_error": "invalid_request",
    "request_too_large": "invalid_request",
}
ERRORS = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error"}
ERRORS |= {413: "request_too_large", 429: "rate_limit_error", 529: "overloaded_error"}
_LIMITS = ("credit balance", "usage limit", "spend limit", "monthly limit", "quota")


def offered(headers: Mapping[str, str], query: Mapping[str, str]) -> list[str]:
    return [headers.get("x-api-key", ""), bearer(headers)]


def authorize(headers: MutableMapping[str, str], credential: Credential) -> None:
    if credential.kind == "api_key":
        headers["x-api-key"] = credential.value
        return
    headers["Authorization"] = f"Bearer {credential.value}"
    betas = [beta.strip() for beta in headers.get("anthropic-beta", "").split(",") if beta.strip()]
    headers["anthropic-beta"] = ",".join([*betas, *([] if OAUTH_BETA in betas else [OAUTH_BETA])])


def unusable(credential: Credential) -> str:
    return ""


def copies(body: Mapping[str, Any]) -> int:
    return 1


def output_limit(body: Mapping[str, Any]) -> int | None:
    return positive(body.get("max_tokens"))


def with_output_limit(route: Route, body: dict[str, Any], limit: int) -> dict[str, Any]:
    return body | {"max_tokens": limit}


def refers(body: Mapping[str, Any]) -> bool:
    return "container" in body


def refused(body: Mapping[str, Any]) -> str:
    return ""


def without_web(body: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    tools = body.get("tools")
    kept: list[Any] = []
    removed: list[Any] = []
    for tool in tools if isinstance(tools, list) else []:
        kind = text(at(tool, "type"))
        (removed if kind.startswith(WEB_TOOLS) else kept).append(tool)
    names = [text(at(tool, "type")) for tool in removed]
    if "mcp_servers" in body:
        names.append("mcp_servers")
    if not names:
        return body, []
    without = {key: value for key, value in body.items() if key != "mcp_servers"}
    if removed:
        without["tools"] = kept
        if not kept or at(body, "tool_choice", "name") in [at(tool, "name") for tool in removed]:
            without.pop("tool_choice", None)
        if not kept:
            without.pop("tools")
    return without, names


def fetched(body: Mapping[str, Any]) -> str:
    for one in walk(body.get("messages"), skip="input"):
        source = one.get("source")
        if at(source, "type") == "url" and remote(at(source, "url")):
            return remote(at(source, "url"))
    return ""


def read(reading: Reading, event: Mapping[str, Any]) -> None:
    match event.get("type"):
        case "message":
            reading.model = text(event.get("model"))
            _count(reading, event.get("usage"))
            _stop(reading, event.get("stop_reason"))
            reading.counted = reading.finished = True
        case "message_start":
            reading.model = text(at(event, "message", "model"))
            _count(reading, at(event, "message", "usage"))
        case "content_block_delta":
            delta = event.get("delta")
            for key in ("text", "partial_json", "thinking"):
                reading.text_bytes += len(text(at(delta, key), 2**30).encode("utf-8", "replace"))
        case "message_delta":
            _count(reading, event.get("usage"))
            _stop(reading, at(event, "delta", "stop_reason"))
            reading.counted = True
        case "message_stop":
            reading.finished = True
        case "error":
            found = failure(0, event)
            reading.cause, reading.detail = found.cause, found.detail
        case _:
            pass


def _count(reading: Reading, usage: Any) -> None:
    """A key that is missing keeps what an earlier event said of it."""
    if not isinstance(usage, dict):
        return
    old = reading.tokens

    def now(key: str, before: int) -> int:
        return count(usage[key]) if isinstance(usage.get(key), int) else before

    reading.tokens = Tokens(
        input=now("input_tokens", old.input),
        cached=now("cache_read_input_tokens", old.cached),
        cache_write=now("cache_creation_input_tokens", old.cache_write),
        output=now("output_tokens", old.output),
        reasoning=count(at(usage, "output_tokens_details", "thinking_tokens")) or old.reasoning,
    )
    reading.long_write = count(at(usage, "cache_creation", "ephemeral_1h_input_tokens")) or reading.long_write


def _stop(reading: Reading, reason: Any) -> None:
    if reason == "refusal":
        reading.cause, reading.detail = "refused", "The model refused: stop_reason is `refusal`."


def failure(status: int, body: Mapping[str, Any]) -> Failure:
    kind, message = text(at(body, "error", "type")), text(at(body, "error", "message"))
    low = message.lower()
    cause = CAUSES.get(kind) or by_status(status)
    if any(word in low for word in _LIMITS) and cause in ("invalid_request", "rate_limit", "auth"):
        cause = "usage_limit"
    elif cause == "invalid_request" and ("prompt is too long" in low or "context limit" in low):
        cause = "context_exceeded"
    return Failure(cause, message or kind)


def final(route: str) -> int:
    return 403


def error(status: int, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": ERRORS.get(status, "api_error"), "message": message}}
