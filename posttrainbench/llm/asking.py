"""Asking a model: the dialect's module, patience with what passes, and one repair of an answer that does not fit."""

import json
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from . import anthropic, failures, gemini, openai, schema
from .values import Answer, Message, Model, ModelError, Reply, Tool, Usage

ASK = {"anthropic": anthropic.ask, "openai": openai.ask, "gemini": gemini.ask}
KEYS = {"anthropic": "ANTHROPIC_API_KEY", "openai": "OPENAI_API_KEY", "gemini": "GEMINI_API_KEY"}
PASSING = ("rate_limit", "overloaded", "connection")
"""Causes that pass by themselves."""


@dataclass(frozen=True)
class Patience:
    """How long to go on asking. Seconds."""

    seconds: float = 600.0
    """From the first failure on."""
    first: float = 1.0
    """The first pause; each one is twice the one before."""
    longest: float = 60.0
    """The longest pause that is made unasked; a provider may ask for a longer one."""
    garbled: int = 2
    """How many answers that no SDK can read are asked for again: each is paid."""


def complete(
    model: Model,
    messages: Sequence[Message],
    tools: Sequence[Tool] = (),
    patience: Patience = Patience(),
    on_retry: Callable[[ModelError, float], None] = lambda error, pause: None,
) -> Reply:
    """The model's next turn; raises ModelError. `on_retry` is told of each failure that is waited out."""
    return _patiently(model, messages, tools, None, patience, on_retry)


def structured(
    model: Model,
    messages: Sequence[Message],
    answer: dict[str, Any],
    patience: Patience = Patience(),
) -> Answer:
    """An answer that fits the JSON schema of an object (the subset in schema.py); raises ModelError.

    Models are held to the schema by their providers. What does not fit all the same is shown to the model once.
    """
    form, usage, wrong = schema.sent(answer), Usage(), ""
    for _ in range(2):
        reply = _patiently(model, messages, (), form, patience, lambda error, pause: None)
        usage += reply.usage
        value, wrong = _read(reply, answer, model)
        if not wrong:
            return Answer(value, usage)
        repair = f"That answer cannot be used: {wrong}. Give the whole answer again, as JSON that fits the schema."
        messages = [*messages, reply.message, Message("user", repair)]
    raise failures.failure(model, _key(model), "invalid_answer", f"{wrong}, after one repair.")


def _read(reply: Reply, answer: dict[str, Any], model: Model) -> tuple[dict[str, Any], str]:
    if reply.stop == "length":
        return {}, f"it was cut off at {model.max_tokens} tokens"
    try:
        value = json.loads(reply.text)
        return value, schema.problem(value, answer) or ""
    except (ValueError, RecursionError):
        return {}, "it is not JSON" if reply.text.strip() else "it is empty"


def _key(model: Model) -> str:
    key = model.key or os.environ.get(KEYS[model.dialect], "")
    if not key:
        raise ModelError("auth", f"There is no key for {model.name}: set {KEYS[model.dialect]} in the environment.")
    return key


def _patiently(
    model: Model,
    messages: Sequence[Message],
    tools: Sequence[Tool],
    form: dict[str, Any] | None,
    patience: Patience,
    on_retry: Callable[[ModelError, float], None],
) -> Reply:
    key, pause, garbled, until = _key(model), patience.first, 0, None
    while True:
        try:
            return ASK[model.dialect](model, key, messages, tools, form)
        except Exception as found:
            # Not chained: an SDK's own message may hold the key.
            error = failures.understand(model, key, found)
        garbled += error.cause == "invalid_answer"
        until = until or time.monotonic() + patience.seconds
        wait = max(pause * random.uniform(0.75, 1.25), error.retry_after or 0.0)
        again = error.cause in PASSING or (error.cause == "invalid_answer" and garbled <= patience.garbled)
        if not again or time.monotonic() + wait > until:
            raise error
        on_retry(error, wait)
        time.sleep(wait)
        pause = min(2 * pause, patience.longest)
