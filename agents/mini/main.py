"""mini: asks a model what to do next, does it in bash, tells it what came of that, until it has no more to do.

Nothing in it knows one model from another, so it compares models. It prints a JSON line for each thing that happens and
keeps the conversation in ~/.mini, so `--continue` goes on from there, wherever it was ended.

It protects nothing from the model: what keeps a command in its bounds is the sandbox around it.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shell import Shell

sys.path.insert(0, os.environ["PTB_LLM"])
import llm

# What else lies in that folder is in nobody's way.
del sys.path[0]

VERSION = "1"
PATHS = {"anthropic": "/anthropic", "openai": "/openai/v1", "gemini": "/gemini"}
USUAL_SECONDS = 1800.0
LONG = int(os.environ.get("MINI_CONTEXT", "180000"))
"""Tokens from which on a conversation is shortened unasked: long ones cost more and are read less well."""
NEWEST = 12
"""Messages that are never abbreviated."""
BRIEF = 600
SYSTEM = """You work alone on a Linux machine, through one tool: bash. Nobody answers questions; decide yourself.

Each command runs in a bash of its own. The working folder is kept from one command to the next, variables are not. \
There is no terminal and no input. Long outputs are cut in the middle. A command is stopped, with all it started, when \
its time limit is over; start what takes long in the background with its output in a file \
(`nohup python train.py > train.log 2>&1 &`), and sleep between looks at it. After each command you are told how much \
time is left. What counts is what lies on disk when time is over: keep something valid there early, and improve it.

When nothing is left to do, answer without calling the tool. That ends the session, and whatever still runs with it."""
CONTINUE = "The session goes on, and there is time left. Look at what you have, and improve it."
INTERRUPTED = "[interrupted from outside; it is not known how far it came]"
DROPPED = "[Older turns are left out here, since the conversation grew too long. Files on disk are as you left them.]"
NUDGES = {
    "length": "Your answer was cut off at the limit of its length, and nothing of it was run. Take smaller steps.",
    "malformed": "Your answer could not be read. Call bash, or say that you are done.",
    "end": "Your answer was empty. Call bash, or say that you are done.",
}
BASH = llm.Tool(
    "bash",
    "Runs a command in bash and gives its output, standard error included.",
    {
        "type": "object",
        "properties": {
            "command": {"type": "string", "description": "The command; several lines are fine."},
            "timeout": {"type": "number", "description": f"Time limit in seconds; {USUAL_SECONDS:.0f} unless given."},
        },
        "required": ["command"],
    },
)


class Terminated(SystemExit):
    """Someone asked us to end."""


def terminate(*_: Any) -> None:
    """For SIGTERM: end as an exception does, so that the command that runs is ended too."""
    raise Terminated(143)


def left() -> float:
    """Seconds until the deadline."""
    return float(os.environ.get("PTB_DEADLINE") or "inf") - time.monotonic()


def say(kind: str, **what: Any) -> None:
    """Print an event."""
    print(json.dumps({"type": kind, **what, "at": datetime.now(UTC).isoformat(timespec="milliseconds")}), flush=True)


class Conversation:
    """On disk before anything is done about it. `open_calls`: what the model called and has no output of yet."""

    def __init__(self, path: Path) -> None:
        self.path, self.open_calls = path, list[dict[str, str]]()
        self.messages = [llm.Message("system", SYSTEM)]

    def load(self) -> bool:
        """Take up the stored one; False where there is none."""
        try:
            stored = json.loads(self.path.read_text(encoding="utf-8"))
            self.messages = [llm.Message(**message) for message in stored["messages"]]
            self.open_calls = list(stored["open_calls"])
        except (OSError, ValueError, TypeError, KeyError):
            return False
        for call in list(self.open_calls):
            self.answer(call, INTERRUPTED)
        return True

    def add(self, message: llm.Message, calls: Sequence[llm.ToolCall] = ()) -> None:
        """Append and store."""
        self.messages.append(message)
        self.open_calls += [{"id": call.id, "name": call.name} for call in calls]
        self.store()

    def answer(self, call: dict[str, str], output: str) -> None:
        """Append the output of a call."""
        self.open_calls.remove(call)
        self.add(llm.Message("tool", output, **call))

    def store(self) -> None:
        """Write it beside its place and move it there."""
        fresh = self.path.with_suffix(".fresh")
        fresh.write_text(json.dumps({"messages": [asdict(m) for m in self.messages], "open_calls": self.open_calls}))
        fresh.replace(self.path)

    def shorten(self) -> bool:
        """Abbreviate old outputs; where that gives little, leave the older half of the turns out. False if it can't."""
        old, new = self.messages[:-NEWEST], self.messages[-NEWEST:]
        brief = [*(replace(m, text=abbreviated(m.text)) if m.role == "tool" else m for m in old), *new]
        if size(brief) > 0.7 * size(self.messages):
            turns = [n for n, message in enumerate(self.messages) if message.role == "assistant"]
            if len(turns) < 2:
                return False
            brief = [*self.messages[:2], llm.Message("user", DROPPED), *self.messages[turns[len(turns) // 2] :]]
        self.messages = brief
        self.store()
        return True


def abbreviated(text: str) -> str:
    """Both ends of a long text."""
    return text if len(text) <= BRIEF else f"{text[: BRIEF // 2]}\n[… abbreviated …]\n{text[-BRIEF // 2 :]}"


def size(messages: Sequence[llm.Message]) -> int:
    """How long a conversation is, in characters as they are sent."""
    return sum(len(json.dumps(message.native)) if message.native else len(message.text) for message in messages)


def run(call: llm.ToolCall, shell: Shell) -> tuple[str, int | None]:
    """Do what the model wants; the text that it gets, and the exit code if something was run to its end."""
    if call.name != BASH.name:
        return f"[there is no tool {call.name[:100]!r}, only bash]", None
    wanted = call.arguments or {}
    command, limit = wanted.get("command"), wanted.get("timeout")
    if not isinstance(command, str) or not command.strip():
        return "[nothing was run: the arguments must be an object with a text `command`]", None
    limit = limit if isinstance(limit, int | float) and limit > 0 else USUAL_SECONDS
    began = time.monotonic()
    ran = shell.run(command, max(1.0, min(limit, left())))
    took = f"{time.monotonic() - began:.1f} s"
    if (rest := left()) < float("inf"):
        took += f"; {int(max(0.0, rest) // 3600)} h {int(max(0.0, rest) % 3600 // 60):02} min left"
    state = "stopped" if ran.exit_code is None else f"exit code {ran.exit_code}"
    return "\n".join(filter(None, [ran.output, f"[{state}; {took}]"])), ran.exit_code


def work(model: llm.Model, talk: Conversation, shell: Shell) -> str:
    """Ask and do, until there is no more to do; why it is over. Raises llm.ModelError."""
    silent = 0
    while left() > 1:
        try:
            patience = llm.Patience(seconds=min(900.0, left()))
            reply = llm.complete(
                model, talk.messages, [BASH], patience, lambda error, pause: print(error, file=sys.stderr)
            )
        except llm.ModelError as error:
            if error.cause == "context_exceeded" and talk.shorten():
                continue
            raise
        talk.add(reply.message, reply.tool_calls)
        calls = [asdict(call) for call in reply.tool_calls]
        say("assistant", text=reply.text, reasoning=reply.reasoning, tool_calls=calls, usage=asdict(reply.usage))
        for call in reply.tool_calls:
            output, code = run(call, shell)
            talk.answer({"id": call.id, "name": call.name}, output)
            say("result", id=call.id, output=output, exit_code=code)
        silent = 0 if reply.tool_calls else silent + 1
        if reply.stop == "end" and reply.text.strip():
            return "done"
        if silent > 3:
            return "silent"
        if silent:
            talk.add(llm.Message("user", NUDGES.get(reply.stop, NUDGES["end"])))
        if reply.usage.total > LONG:
            talk.shorten()
    return "deadline"


def main() -> int:
    """One session, or one more part of it."""
    home = Path(os.environ["HOME"]) / ".mini"
    shell = Shell(home, Path(os.environ.get("PTB_WORKSPACE") or Path.cwd()))
    talk, text = Conversation(home / "conversation.json"), ""
    if continued := "--continue" in sys.argv[1:] and talk.load():
        told = os.environ.get("PTB_CONTINUE_FILE")
        text = Path(told).read_text(encoding="utf-8") if told and Path(told).exists() else CONTINUE
    talk.add(
        llm.Message("user", text if continued else Path(os.environ["PTB_PROMPT_FILE"]).read_text(encoding="utf-8"))
    )
    dialect: Any = os.environ["MINI_DIALECT"]
    address = os.environ["MINI_GATEWAY"] + PATHS[dialect]
    effort: Any = os.environ.get("MINI_EFFORT") or None
    model = llm.Model(dialect, os.environ["MINI_MODEL"], address, os.environ["MINI_KEY"], effort)
    signal.signal(signal.SIGTERM, terminate)
    say("start", model=model.name, version=VERSION)
    try:
        say("end", reason=work(model, talk, shell))
    except llm.ModelError as error:
        say("error", cause=error.cause, message=str(error))
        say("end", reason="error")
        print(error, file=sys.stderr)
        return 1
    except Terminated:
        say("end", reason="terminated")
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
