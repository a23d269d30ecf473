"""Codex CLI: `codex exec --json`, with its classic tools and in code mode, whose commands come as the same items.

An item is told when it starts and when it is completed. Ids of items begin anew when a session is continued. Usage
counts over the whole thread, so that after a continuation the last one is the total.
"""

from collections.abc import Iterator

from posttrainbench.gateway.ledger import Tokens
from posttrainbench.transcript import events as e
from posttrainbench.transcript.foreign import Record, count, integer, mapping, text, word

TOLD = {"command_execution", "mcp_tool_call", "web_search", "file_change", "todo_list", "collab_tool_call"}
"""Items that are calls of tools."""
OUTCOME = {"id", "type", "status", "aggregated_output", "exit_code", "result", "error"}
"""Members of such an item that are not what was asked for."""


def events(record: Record) -> Iterator[e.Event]:
    """What a line says."""
    kind = word(record.get("type"))
    match kind:
        case "thread.started":
            yield e.Began(session=word(record.get("thread_id")))
        case "item.started" | "item.updated" | "item.completed":
            yield from item(mapping(record.get("item")), completed=kind == "item.completed")
        case "turn.completed":
            if usage := mapping(record.get("usage")):
                yield e.Reported(tokens=tokens(usage), cumulative=True)
            yield e.Ended(ok=True)
        case "turn.failed":
            yield e.Ended(ok=False, message=text(mapping(record.get("error")).get("message")))
        case "error":
            said = text(record.get("message"))
            yield e.Troubled(message=said, retrying=said.startswith("Reconnecting"))
        case _:
            yield e.Noted(name=kind or "without a type")


def item(item: Record, *, completed: bool) -> Iterator[e.Event]:
    """What an item says."""
    kind, identity = word(item.get("type")), word(item.get("id"))
    if kind in TOLD:
        name = "shell" if kind == "command_execution" else kind
        if kind == "mcp_tool_call":
            name = f"{word(item.get('server'))}.{word(item.get('tool'))}"
        asked = {key: value for key, value in item.items() if key not in OUTCOME}
        yield e.Called(id=identity, name=name, arguments=asked)
        if completed:
            yield e.Answered(
                id=identity,
                text=text(next((item[key] for key in ("aggregated_output", "result", "error") if item.get(key)), "")),
                error=word(item.get("status")) in ("failed", "declined"),
                exit_code=integer(item.get("exit_code")),
            )
    elif not completed:
        yield e.Noted(name=f"unfinished {kind}")
    elif kind in ("agent_message", "reasoning"):
        yield e.Said(text=text(item.get("text")), reasoning=kind == "reasoning")
    elif kind == "error":
        yield e.Troubled(message=text(item.get("message")), retrying=True)
    else:
        yield e.Noted(name=f"item {kind}")


def tokens(usage: Record) -> Tokens:
    """Usage as OpenAI's Responses tell it: input includes what was cached, output what was reasoned."""
    cached, written = count(usage.get("cached_input_tokens")), count(usage.get("cache_write_input_tokens"))
    return Tokens(
        input=max(count(usage.get("input_tokens")) - cached - written, 0),
        cached=cached,
        cache_write=written,
        output=count(usage.get("output_tokens")),
        reasoning=count(usage.get("reasoning_output_tokens")),
    )
