"""What the dialects share: what was asked, what is answered, and which tool of a request runs shell commands."""

import json
from dataclasses import dataclass, field
from typing import Any

from posttrainbench.gateway.ledger import Tokens


@dataclass(frozen=True)
class Tool:
    """A tool that a request offers."""

    name: str
    schema: dict[str, Any]
    code: bool = False
    """It takes JavaScript, not arguments (the code mode of Codex)."""


@dataclass(frozen=True)
class Asked:
    """A request, read."""

    model: str
    stream: bool
    results: int = 0
    """Results of tools in it."""
    said: list[str] = field(default_factory=list)
    """Texts of the assistant in it."""
    tools: list[Tool] = field(default_factory=list)
    thinks: bool = True
    """Whether reasoning may be shown."""


@dataclass(frozen=True)
class Call:
    """A call of a tool."""

    id: str
    tool: Tool
    arguments: dict[str, Any]
    source: str = ""
    """JavaScript, for a tool that takes code."""


@dataclass(frozen=True)
class Reply:
    """An answer, before it is put in a protocol's words."""

    id: str
    model: str
    text: str
    think: str
    calls: list[Call]
    tokens: Tokens


Event = tuple[str, Any]
"""Name (empty: none) and data of a server-sent event; text is sent as it is."""

SHELLS = ("Bash", "bash", "exec_command", "shell_command", "shell", "run_shell_command", "exec")


def shell(tools: list[Tool]) -> Tool | None:
    """The tool that runs shell commands, as each of the CLIs calls it."""
    by_name = {tool.name: tool for tool in tools}
    return next((by_name[name] for name in SHELLS if name in by_name), None)


def call(tool: Tool, command: str, id_: str) -> Call:
    """A call that runs the command, with what the tool's schema asks for besides."""
    if tool.code:
        source = f"const done = await tools.exec_command({{cmd: {json.dumps(command)}}});\ntext(JSON.stringify(done));"
        return Call(id_, tool, {}, source)
    known = tool.schema.get("properties", {})
    name = "cmd" if "cmd" in known else "command"
    is_list = known.get(name, {}).get("type") == "array"
    arguments: dict[str, Any] = {name: ["bash", "-lc", command] if is_list else command}
    for wanted in tool.schema.get("required", []):
        if wanted not in arguments:
            arguments[wanted] = {"boolean": False, "number": 1, "integer": 1}.get(known[wanted].get("type"), wanted)
    return Call(id_, tool, arguments)


def texts(content: Any, *types: str) -> list[str]:
    """The texts of a message's content: a string, or blocks of those types."""
    if isinstance(content, str):
        return [content]
    return [block["text"] for block in content or [] if block.get("type") in types]


def halves(text: str) -> list[str]:
    """Two pieces, as a stream brings it."""
    middle = len(text) // 2
    return [piece for piece in (text[:middle], text[middle:]) if piece]
