"""Gemini generateContent. A part that carries a thought signature goes back exactly as it came, in its place."""

import json
from collections.abc import Sequence
from typing import Any

from .failures import failure
from .shape import arguments, count, items, plain, text, within
from .values import Message, Model, Reply, Tool, ToolCall, Usage

OURS = "call-"
"""Begins the ids that we give to calls that have none; the model is not told of them."""
LEVELS = {"low": "LOW", "medium": "MEDIUM", "high": "HIGH", "xhigh": "XHIGH", "max": "XHIGH"}
REFUSALS = {"SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR", "ESCALATION"}


def ask(
    model: Model, key: str, messages: Sequence[Message], tools: Sequence[Tool], form: dict[str, Any] | None
) -> Reply:
    """The model's next turn, from one request."""
    from google import genai
    from google.genai import types

    # The SDK takes plain dicts too, but reads bytes out of JSON alone: signatures are bytes.
    contents = [types.Content.model_validate_json(json.dumps(turn)) for turn in _turns(messages)]
    options = types.HttpOptions(base_url=model.base_url, api_version="v1beta", timeout=600_000)
    # Said outright, or the environment may turn it into another product with another login.
    client = genai.Client(api_key=key, vertexai=False, http_options=options)
    try:
        config = types.GenerateContentConfig.model_validate(_config(model, messages, tools, form))
        stream = client.models.generate_content_stream(model=model.name, contents=contents, config=config)
        chunks = [
            plain(chunk.model_dump(mode="json", by_alias=True, exclude_none=True, warnings=False)) for chunk in stream
        ]
    finally:
        client.close()
    return _reply(model, key, chunks, len(messages))


def _config(
    model: Model, messages: Sequence[Message], tools: Sequence[Tool], form: dict[str, Any] | None
) -> dict[str, Any]:
    config: dict[str, Any] = {"max_output_tokens": model.max_tokens, "automatic_function_calling": {"disable": True}}
    if system := "\n\n".join(message.text for message in messages if message.role == "system"):
        config["system_instruction"] = system
    if tools:
        functions = [
            {"name": tool.name, "description": tool.description, "parameters_json_schema": tool.parameters}
            for tool in tools
        ]
        config["tools"] = [{"function_declarations": functions}]
    if model.effort:
        config["thinking_config"] = {"include_thoughts": True, "thinking_level": LEVELS[model.effort]}
    if form:
        config |= {"response_mime_type": "application/json", "response_json_schema": form}
    return config


def _turns(messages: Sequence[Message]) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = []
    for message in messages:
        parts: list[dict[str, Any]]
        match message.role:
            case "system":
                continue
            case "assistant":
                written = [{"text": message.text}] if message.text else []
                parts = written if message.native is None else message.native
            case "user":
                parts = [{"text": message.text}]
            case "tool":
                answer: dict[str, Any] = {"name": message.name, "response": {"output": message.text}}
                if not message.id.startswith(OURS):
                    answer["id"] = message.id
                parts = [{"functionResponse": answer}]
        role = "model" if message.role == "assistant" else "user"
        # The outputs of parallel calls have to come in one turn.
        if turns and turns[-1]["role"] == role:
            turns[-1]["parts"] = [*turns[-1]["parts"], *parts]
        elif parts:
            turns.append({"role": role, "parts": parts})
    return turns


def _reply(model: Model, key: str, chunks: list[Any], turn: int) -> Reply:
    parts: list[dict[str, Any]] = []
    finish, usage = "", None
    for chunk in chunks:
        if blocked := text(chunk, "promptFeedback", "blockReason"):
            raise failure(model, key, "refused", blocked)
        for candidate in items(chunk, "candidates")[:1]:
            parts += items(candidate, "content", "parts")
            finish = text(candidate, "finishReason") or finish
        usage = within(chunk, "usageMetadata") or usage
    if not finish:
        raise failure(model, key, "connection", "The stream ended before the answer did.")
    if finish in REFUSALS:
        raise failure(model, key, "refused", finish)
    parts = plain(_joined(parts))
    calls = tuple(
        ToolCall(
            text(part, "functionCall", "id") or f"{OURS}{turn}-{n}",
            text(part, "functionCall", "name"),
            _arguments(part),
        )
        for n, part in enumerate(parts)
        if isinstance(part.get("functionCall"), dict)
    )
    said = "".join(text(part, "text") for part in parts if not part.get("thought"))
    return Reply(
        text=said,
        reasoning="".join(text(part, "text") for part in parts if part.get("thought")),
        tool_calls=calls,
        stop=_stop(finish, bool(calls)),
        usage=_usage(usage),
        # A shown thought is for people; what the model needs of it is in the signatures.
        message=Message(
            "assistant",
            said,
            native=[part for part in parts if not part.get("thought") or part.get("thoughtSignature")],
        ),
    )


def _stop(finish: str, calls: bool) -> Any:
    if finish == "MAX_TOKENS":
        return "length"
    if finish != "STOP" and not calls:
        return "malformed"
    return "tools" if calls else "end"


def _arguments(part: dict[str, Any]) -> dict[str, Any] | None:
    return arguments(within(part, "functionCall", "args") or {})


def _joined(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Text that came in pieces as one part, except across a signature."""
    joined: list[dict[str, Any]] = []
    for part in parts:
        before = joined[-1] if joined else {}
        mergeable = set(part) <= {"text", "thought"} and set(before) <= {"text", "thought"} and "text" in before
        if mergeable and "text" in part and part.get("thought") == before.get("thought"):
            joined[-1] = {**before, "text": before["text"] + part["text"]}
        elif part:
            joined.append(part)
    return joined


def _usage(usage: Any) -> Usage:
    cached = count(usage, "cachedContentTokenCount")
    thoughts = count(usage, "thoughtsTokenCount")
    asked = count(usage, "promptTokenCount") + count(usage, "toolUsePromptTokenCount")
    return Usage(
        input=max(0, asked - cached),
        cached=cached,
        output=count(usage, "candidatesTokenCount") + thoughts,
        reasoning=thoughts,
    )
