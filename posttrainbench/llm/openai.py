"""OpenAI Responses. Nothing is stored with the provider: reasoning comes encrypted and goes back with the next turn."""

from collections.abc import Sequence
from typing import Any

from . import schema
from .failures import cause_of, failure
from .shape import arguments, count, items, plain, text, within
from .values import Message, Model, Reply, Tool, ToolCall, Usage


def ask(
    model: Model, key: str, messages: Sequence[Message], tools: Sequence[Tool], form: dict[str, Any] | None
) -> Reply:
    """The model's next turn, from one request."""
    import openai

    done: list[Any] = []
    last: Any = None
    with (
        openai.OpenAI(api_key=key, base_url=model.base_url, max_retries=0) as client,
        client.responses.create(stream=True, **_request(model, messages, tools, form)) as stream,
    ):
        for event in stream:
            if event.type == "response.output_item.done":
                done.append(plain(event.item.to_dict(warnings=False)))
            elif event.type in ("response.completed", "response.incomplete", "response.failed"):
                last = plain(event.response.to_dict(warnings=False))
            elif event.type == "error":
                said = plain(event.to_dict(warnings=False))
                raise failure(
                    model, key, cause_of(None, text(said, "code"), text(said, "message")), text(said, "message")
                )
    # Finished items come one by one; some servers repeat them at the end and some do not.
    return _reply(model, key, last, done or items(last, "output"))


def _request(
    model: Model, messages: Sequence[Message], tools: Sequence[Tool], form: dict[str, Any] | None
) -> dict[str, Any]:
    request: dict[str, Any] = {
        "model": model.name,
        "max_output_tokens": model.max_tokens,
        "input": _input(messages),
        "store": False,
        "include": ["reasoning.encrypted_content"],
    }
    if system := "\n\n".join(message.text for message in messages if message.role == "system"):
        request["instructions"] = system
    if tools:
        request["tools"] = [
            {
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.parameters,
                "strict": False,
            }
            for tool in tools
        ]
    if model.effort:
        request["reasoning"] = {"effort": model.effort, "summary": "auto"}
    if form:
        shape = {"type": "json_schema", "name": "answer", "schema": form, "strict": schema.is_strict(form)}
        request["text"] = {"format": shape}
    return request


def _input(messages: Sequence[Message]) -> list[dict[str, Any]]:
    given: list[dict[str, Any]] = []
    for message in messages:
        match message.role:
            case "system":
                pass
            case "user":
                given.append({"role": "user", "content": message.text})
            case "assistant" if message.native is None:
                given.append({"role": "assistant", "content": message.text})
            case "assistant":
                given += message.native
            case "tool":
                given.append({"type": "function_call_output", "call_id": message.id, "output": message.text})
    return given


def _reply(model: Model, key: str, response: Any, output: list[Any]) -> Reply:
    if response is None:
        raise failure(model, key, "connection", "The stream ended before the answer did.")
    if response.get("status") == "failed":
        code, said = text(response, "error", "code"), text(response, "error", "message")
        raise failure(model, key, cause_of(None, code, said), said or code)
    why = text(response, "incomplete_details", "reason")
    if why == "content_filter":
        raise failure(model, key, "refused", "The provider's filter stopped the answer.")
    kept = _kept(output)
    calls = tuple(
        ToolCall(text(item, "call_id"), text(item, "name"), arguments(item.get("arguments")))
        for item in kept
        if item.get("type") == "function_call"
    )
    parts = [part for item in kept if item.get("type") == "message" for part in items(item, "content")]
    if not calls and (refusal := "".join(text(part, "refusal") for part in parts)):
        raise failure(model, key, "refused", refusal)
    said = "".join(text(part, "text") for part in parts)
    thoughts = [text(part, "text") for item in output if isinstance(item, dict) for part in items(item, "summary")]
    return Reply(
        text=said,
        reasoning="\n\n".join(filter(None, thoughts)),
        tool_calls=calls,
        stop="length" if why else "tools" if calls else "end",
        usage=_usage(within(response, "usage")),
        message=Message("assistant", said, native=kept),
    )


def _kept(output: list[Any]) -> list[dict[str, Any]]:
    """The items that may go back: nothing cut off, no reasoning that only the provider's store would know, and none
    that nothing follows."""
    kept = [
        {name: value for name, value in item.items() if value is not None}
        for item in output
        if isinstance(item, dict)
        and item.get("status") != "incomplete"
        and (item.get("type") != "reasoning" or item.get("encrypted_content"))
    ]
    while kept and kept[-1].get("type") == "reasoning":
        kept.pop()
    return kept


def _usage(usage: Any) -> Usage:
    cached, written = count(usage, "input_tokens_details", "cached_tokens"), 0
    written = count(usage, "input_tokens_details", "cache_write_tokens")
    return Usage(
        input=max(0, count(usage, "input_tokens") - cached - written),
        cached=cached,
        cache_write=written,
        output=count(usage, "output_tokens"),
        reasoning=count(usage, "output_tokens_details", "reasoning_tokens"),
    )
