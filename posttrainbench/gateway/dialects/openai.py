"""OpenAI Responses and Chat Completions, which many other providers speak too.

The login of a ChatGPT subscription is refused: its tokens are renewed by the CLI itself against another host, and its
requests go to a backend that is no part of this interface.
"""

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
    objects,
    positive,
    remote,
    text,
    walk,
)
from posttrainbench.gateway.ledger import Cause, Tokens

ROUTES: tuple[Route, ...] = (
    Route("openai.responses", "POST", re.compile(r"/v1/responses"), metered=True),
    Route("openai.compact", "POST", re.compile(r"/v1/responses/compact"), metered=True),
    Route("openai.chat", "POST", re.compile(r"/v1/chat/completions"), metered=True),
    Route("openai.models", "GET", re.compile(r"/v1/models(/[A-Za-z0-9._:-]{1,200})?"), model=False),
    Route("openai.search", "POST", re.compile(r"/v1/alpha/search"), model=False, web=True),
)
WEB_TOOLS = ("web_search", "mcp")
CAUSES: dict[str, Cause] = {
    "insufficient_quota": "usage_limit",
    "billing_hard_limit_reached": "usage_limit",
    "usage_limit_reached": "usage_limit",
    "usage_not_included": "usage_limit",
    "rate_limit_exceeded": "rate_limit",
    "context_length_exceeded": "context_exceeded",
    "invalid_api_key": "auth",
    "authentication_error": "auth",
    "content_policy_violation": "refused",
    "content_filter": "refused",
    "invalid_prompt": "refused",
    "server_error": "overloaded",
    "server_is_overloaded": "overloaded",
    "slow_down": "rate_limit",
}
ERRORS = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_FINAL = ("response.completed", "response.incomplete", "response.failed")


def offered(headers: Mapping[str, str], query: Mapping[str, str]) -> list[str]:
    return [bearer(headers)]


def authorize(headers: MutableMapping[str, str], credential: Credential) -> None:
    headers["Authorization"] = f"Bearer {credential.value}"


def unusable(credential: Credential) -> str:
    if credential.kind == "api_key":
        return ""
    return (
        "The login of a ChatGPT subscription cannot be held by the gateway: its tokens are renewed by Codex itself, "
        "against another host. Give an API key instead."
    )


def copies(body: Mapping[str, Any]) -> int:
    return positive(body.get("n")) or 1


def output_limit(body: Mapping[str, Any]) -> int | None:
    for key in ("max_output_tokens", "max_completion_tokens", "max_tokens"):
        if limit := positive(body.get(key)):
            return limit
    return None


def with_output_limit(route: Route, body: dict[str, Any], limit: int) -> dict[str, Any]:
    keys = {"openai.responses": "max_output_tokens", "openai.chat": "max_completion_tokens"}
    return body | {keys[route.name]: limit} if route.name in keys else body


def refers(body: Mapping[str, Any]) -> bool:
    if body.get("previous_response_id") or body.get("conversation") or body.get("prompt"):
        return True
    return any(one.get("type") == "item_reference" for one in objects(body.get("input")))


def refused(body: Mapping[str, Any]) -> str:
    if body.get("background"):
        return "`background` is not allowed: tokens of an answer that nobody waits for cannot be counted."
    if "models" in body:
        return "`models` is not allowed: a run uses one model, and no other one in its place."
    return ""


def without_web(body: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    edited, names = _without(body, "tools")
    if isinstance(body.get("input"), list):
        # Some models get their tools as an item of the input.
        items = [_without(item, "tools") if isinstance(item, dict) else (item, []) for item in body["input"]]
        if any(removed for _, removed in items):
            edited = edited | {"input": [item for item, _ in items]}
            names += [name for _, removed in items for name in removed]
    for key in ("web_search_options", "plugins"):
        if key in body:
            edited = {name: value for name, value in edited.items() if name != key}
            names.append(key)
    if names and (not edited.get("tools") or text(at(edited, "tool_choice", "type")).startswith(WEB_TOOLS)):
        edited = {key: value for key, value in edited.items() if key != "tool_choice"}
    return edited, names


def _without(holder: dict[str, Any], key: str) -> tuple[dict[str, Any], list[str]]:
    tools = holder.get(key)
    if not isinstance(tools, list):
        return holder, []
    names = [kind for tool in tools if (kind := text(at(tool, "type"))).startswith(WEB_TOOLS)]
    if not names:
        return holder, []
    return holder | {key: [tool for tool in tools if not text(at(tool, "type")).startswith(WEB_TOOLS)]}, names


def fetched(body: Mapping[str, Any]) -> str:
    for one in walk([body.get("input"), body.get("messages")]):
        places = (one.get("file_url"), one.get("image_url"), at(one, "image_url", "url"))
        for place in places:
            if remote(place):
                return remote(place)
    return ""


def read(reading: Reading, event: Mapping[str, Any]) -> None:
    kind = event.get("type")
    if isinstance(kind, str) and (kind.startswith("response.") or kind == "error"):
        _read_event(reading, kind, event)
    elif "choices" in event or str(event.get("object")).startswith("chat.completion"):
        _read_chat(reading, event)
    elif "usage" in event or "output" in event:
        _read_response(reading, event)
    elif "error" in event:
        _read_failure(reading, event)


def _read_event(reading: Reading, kind: str, event: Mapping[str, Any]) -> None:
    if kind.endswith(".delta"):
        reading.text_bytes += len(text(event.get("delta"), 2**30).encode("utf-8", "replace"))
    elif kind == "response.created":
        reading.model = text(at(event, "response", "model"))
    elif kind in _FINAL and isinstance(event.get("response"), dict):
        _read_response(reading, event["response"])
    elif kind == "error":
        _read_failure(reading, event if isinstance(event.get("error"), dict) else {"error": event})


def _read_response(reading: Reading, response: Mapping[str, Any]) -> None:
    reading.model = text(response.get("model")) or reading.model
    reading.finished = True
    usage = response.get("usage")
    if isinstance(usage, dict):
        reading.counted = True
        reading.tokens = _tokens(
            usage, "input_tokens", "output_tokens", "input_tokens_details", "output_tokens_details"
        )
    if isinstance(response.get("error"), dict):
        _read_failure(reading, response)
    if at(response, "incomplete_details", "reason") == "content_filter":
        reading.cause, reading.detail = "refused", "The answer was stopped by the provider's content filter."


def _read_chat(reading: Reading, event: Mapping[str, Any]) -> None:
    reading.model = text(event.get("model")) or reading.model
    usage = event.get("usage")
    if isinstance(usage, dict):
        reading.counted = True
        reading.tokens = _tokens(
            usage, "prompt_tokens", "completion_tokens", "prompt_tokens_details", "completion_tokens_details"
        )
    for choice in objects(event.get("choices")):
        if choice.get("finish_reason"):
            reading.finished = True
        if choice.get("finish_reason") == "content_filter":
            reading.cause, reading.detail = "refused", "The answer was stopped by the provider's content filter."
        for one in walk(choice.get("delta")):
            for key in ("content", "reasoning_content", "arguments", "refusal"):
                reading.text_bytes += len(text(one.get(key), 2**30).encode("utf-8", "replace"))
    if isinstance(event.get("error"), dict):
        _read_failure(reading, event)


def _tokens(usage: Mapping[str, Any], read: str, wrote: str, read_details: str, wrote_details: str) -> Tokens:
    cached = min(count(at(usage, read_details, "cached_tokens")), count(usage.get(read)))
    written = min(count(at(usage, read_details, "cache_write_tokens")), count(usage.get(read)) - cached)
    return Tokens(
        input=count(usage.get(read)) - cached - written,
        cached=cached,
        cache_write=written,
        output=count(usage.get(wrote)),
        reasoning=count(at(usage, wrote_details, "reasoning_tokens")),
    )


def _read_failure(reading: Reading, event: Mapping[str, Any]) -> None:
    found = failure(0, event)
    reading.cause, reading.detail = found.cause, found.detail


def failure(status: int, body: Mapping[str, Any]) -> Failure:
    held = at(body, "error")
    code, kind, message = (text(at(held, key)) for key in ("code", "type", "message"))
    cause = CAUSES.get(code) or CAUSES.get(kind) or by_status(status)
    if cause == "invalid_request" and ("context length" in message.lower() or "context window" in message.lower()):
        cause = "context_exceeded"
    return Failure(cause, message or text(held) or code or kind)


def final(route: str) -> int:
    """Codex asks again at a 403, as often as it is set up to; CLIs on Chat Completions ask again at a 400."""
    return 400 if route in ("openai.responses", "openai.compact") else 403


def error(status: int, message: str) -> dict[str, Any]:
    kind = ERRORS.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}
