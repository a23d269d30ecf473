"""What an SDK's exception means: one cause and one sentence, without the key.

Providers spell the same trouble differently and change their words; a status decides where it can, and words only where
one status stands for several troubles (a full context, an empty account, a key that is none).
"""

import re
from collections.abc import Mapping
from typing import Any

from .values import Cause, Model, ModelError

CONTEXT = re.compile(
    r"context_length_exceeded|prompt is too long|maximum context length|context (window|limit)|input token count"
    r"|request_too_large",
    re.IGNORECASE,
)
USAGE = re.compile(
    r"insufficient_quota|billing[ _](error|details|hard)|credit balance|usage limit|spend(ing)? limit|\bbudget\b",
    re.IGNORECASE,
)
REFUSED = re.compile(
    r"invalid_prompt|content_policy|content_filter|_policy(_violation)?\b|safety system", re.IGNORECASE
)
AUTH = re.compile(r"authentication_error|invalid_api_key|API key (not valid|not found|expired)", re.IGNORECASE)
RATE = re.compile(r"rate_limit", re.IGNORECASE)
BUSY = re.compile(r"overloaded|server_error|api_error|timeout|UNAVAILABLE|INTERNAL", re.IGNORECASE)

SENTENCES: dict[Cause, str] = {
    "auth": "The key for {model} was not accepted{status}: {detail} Check the key and what it may be used for.",
    "rate_limit": "{model} takes no more requests for now{status}: {detail} Wait, or ask the provider for more.",
    "usage_limit": "What may be spent on {model} is spent{status}: {detail} More has to be granted before it goes on.",
    "overloaded": "{model} is not available for now{status}: {detail} Try again later.",
    "context_exceeded": "The conversation is too long for {model}{status}: {detail} Shorten it.",
    "refused": "{model} refused to answer{status}: {detail}",
    "invalid_request": "{model} did not take the request{status}: {detail}",
    "connection": "No whole answer of {model} came{status}: {detail} Check the network, or try again.",
    "invalid_answer": "The answer of {model} cannot be used{status}: {detail}",
}


def failure(
    model: Model, key: str, cause: Cause, detail: str, status: int | None = None, wait: float | None = None
) -> ModelError:
    """The error of that cause, as a sentence."""
    detail = " ".join(detail.replace(key, "[key]").split())[:500] or "it gave no reason"
    detail += "" if detail[-1] in ".!?" else "."
    shown = "" if status is None or status == 200 else f" ({status})"
    name = model.name.replace(key, "[key]")[:100]
    return ModelError(cause, SENTENCES[cause].format(model=name, status=shown, detail=detail), wait)


def understand(model: Model, key: str, error: Exception) -> ModelError:
    """What an exception out of an SDK means."""
    if isinstance(error, ModelError):
        return error
    body = getattr(error, "body", None) or getattr(error, "details", None)
    status = getattr(error, "status_code", None) or getattr(error, "code", None)
    if isinstance(status, int) or isinstance(body, Mapping):
        status = status if isinstance(status, int) else None
        kind, said = _kind_and_words(body)
        cause = cause_of(status, kind, said or str(error))
        return failure(model, key, cause, said or str(error), status, _retry_after(error, body))
    if isinstance(error, OSError) or type(error).__module__.partition(".")[0] in (
        "httpx",
        "httpx2",
        "httpcore",
        "httpcore2",
    ):
        return failure(model, key, "connection", f"{type(error).__name__}: {error}")
    if type(error).__name__ in ("APIConnectionError", "APITimeoutError"):
        return failure(model, key, "connection", f"{error} {error.__cause__ or ''}")
    # What an SDK makes of an answer of another shape than it knows: any exception at all.
    return failure(model, key, "invalid_answer", f"{type(error).__name__}: {error}")


def cause_of(status: int | None, kind: str, said: str) -> Cause:
    """The cause, from the status, the provider's own name of the error, and its words."""
    both = f"{kind} {said}"
    if status == 413 or (CONTEXT.search(both) and (status is None or status < 429)):
        return "context_exceeded"
    if "RESOURCE_EXHAUSTED" in kind:
        # Gemini says the same words of a minute's quota and of a day's.
        return "usage_limit" if "PerDay" in kind else "rate_limit"
    if status == 402 or USAGE.search(both):
        return "usage_limit"
    if status in (401, 403) or AUTH.search(both):
        return "auth"
    if status == 429 or RATE.search(kind):
        return "rate_limit"
    if (status or 0) >= 500 or status in (408, 409) or (status in (None, 200) and BUSY.search(kind)):
        return "overloaded"
    return "refused" if REFUSED.search(both) else "invalid_request"


def _kind_and_words(body: Any) -> tuple[str, str]:
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    if not isinstance(body, Mapping):
        return "", body if isinstance(body, str) else ""
    inner = body["error"] if isinstance(body.get("error"), Mapping) else body
    kind = " ".join(str(inner[name]) for name in ("type", "code", "status") if inner.get(name))
    if "PerDay" in str(inner.get("details"))[:10_000]:
        kind += " PerDay"
    return kind, str(inner.get("message") or "")


def _retry_after(error: Exception, body: Any) -> float | None:
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    found = re.search(r"retryDelay\W+([0-9.]+)s", str(body)[:10_000])
    for text, scale in (
        (headers.get("retry-after-ms"), 1e-3),
        (headers.get("retry-after"), 1.0),
        (found and found[1], 1.0),
    ):
        try:
            seconds = float(text or "") * scale
        except ValueError:
            continue
        if 0 <= seconds < 1e9:
            return seconds
    return None
