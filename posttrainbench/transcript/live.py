"""An agent's output for a person who watches: what it says, what it runs, the first lines of what comes of it.

It takes bytes as they come, in any pieces. What it gives is text without anything that a terminal would obey.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from posttrainbench.transcript import events as e
from posttrainbench.transcript import formats
from posttrainbench.transcript.foreign import MAX_LINE_BYTES, bounded, whole

RESULT_LINES = 6
SAID_LINES = 200
LINE_CHARS = 300
MAX_RUNNING = 1000
COMMANDS = ("command", "cmd", "script")
"""Arguments of a tool that are what is run."""
SUBJECTS = ("file_path", "filePath", "path", "absolute_path", "pattern", "query", "url", "description")
"""Arguments that say what else a tool is about."""


def plain(text: str) -> str:
    """Foreign text without what a terminal would obey: control characters become spaces."""
    return "".join(char if char.isprintable() else " " for char in text)


def last(format_: str, output: str, count: int) -> list[str]:
    """The last lines, rendered, of the end of an output; its first line may have been cut and is left out."""
    live = Live(format_)
    whole_lines = output.partition("\n")[2] or output
    return [*live.feed(whole_lines.encode("utf-8", "replace")), *live.close()][-count:]


class Live:
    """Renders the output of one agent."""

    def __init__(self, format_: str) -> None:
        self.format = format_
        self.rest = bytearray()
        self.skipping = False
        self.running: dict[str, None] = {}
        self.pieces = ""

    def feed(self, chunk: bytes) -> Iterator[str]:
        """Lines for what is complete with this chunk."""
        self.rest += chunk
        *complete, rest = self.rest.split(b"\n")
        self.rest = rest
        for line in complete:
            if self.skipping:
                self.skipping = False
                continue
            yield from self.line(bytes(line))
        if len(self.rest) > MAX_LINE_BYTES:
            if not self.skipping:
                yield from self.line(bytes(self.rest[:LINE_CHARS]))
            self.skipping = True
            self.rest.clear()

    def close(self) -> Iterator[str]:
        """Lines for what is left without a newline at its end."""
        rest, self.rest = bytes(self.rest), bytearray()
        if rest and not self.skipping:
            yield from self.line(rest)
        yield from self.flushed()

    def line(self, line: bytes) -> Iterator[str]:
        """Lines for one line of output."""
        for event in formats.read(self.format, line):
            if not (isinstance(event, e.Said) and event.piece):
                yield from self.flushed()
            yield from self.event(event)

    def flushed(self) -> Iterator[str]:
        """What was said in pieces and has no newline yet."""
        if self.pieces:
            yield from paragraph(self.pieces)
            self.pieces = ""

    def event(self, event: e.Event) -> Iterator[str]:
        """Lines for an event."""
        match event:
            case e.Plain(text=text):
                yield cut(text)
            case e.Began():
                yield cut(f"== started {' '.join(filter(None, (event.model, event.version)))}".rstrip())
            case e.Prompted(text=text):
                yield from paragraph(text, "> ", RESULT_LINES)
            case e.Said(piece=True, text=text):
                *lines, self.pieces = (self.pieces + text[:MAX_LINE_BYTES]).split("\n")
                for line in lines[:SAID_LINES]:
                    yield cut(line)
                if len(self.pieces) > 10 * LINE_CHARS:
                    yield from self.flushed()
            case e.Said():
                yield from paragraph(event.text, "~ " if event.reasoning else "")
            case e.Called():
                yield from self.called(event)
            case e.Answered():
                yield from self.answered(event)
            case e.Troubled():
                yield cut(f"! {'trying again: ' if event.retrying else ''}{status(event.status)}{event.message}")
            case e.Ended():
                said = "" if event.ok else f" with an error: {status(event.status)}{event.message}"
                yield cut(f"== ended{said}")
            case _:
                return

    def called(self, event: e.Called) -> Iterator[str]:
        """A call, the first time that it is told."""
        if event.id in self.running:
            return
        self.running[event.id] = None
        if len(self.running) > MAX_RUNNING:
            del self.running[next(iter(self.running))]
        command = next((event.arguments[key] for key in COMMANDS if event.arguments.get(key)), None)
        if isinstance(command, list):
            command = " ".join(str(part) for part in bounded(command))
        if isinstance(command, str):
            yield from paragraph(command, "$ ", RESULT_LINES)
        else:
            yield cut(f"* {event.name} {subject(event.arguments)}".rstrip())

    def answered(self, event: e.Answered) -> Iterator[str]:
        """The first lines of a result."""
        self.running.pop(event.id, None)
        yield from paragraph(event.text, "  | ", RESULT_LINES)
        if event.error or event.exit_code:
            yield f"  | failed, exit code {event.exit_code}" if event.exit_code else "  | failed"


def status(number: int | None) -> str:
    """`529 `, or nothing."""
    return "" if number is None else f"{number} "


def subject(arguments: dict[str, Any]) -> str:
    """What a call is about, in a few words."""
    for key in SUBJECTS:
        if isinstance(arguments.get(key), str):
            return str(arguments[key])
    return msgspec.json.encode(bounded(arguments, chars=2 * LINE_CHARS)).decode() if arguments else ""


def paragraph(text: str, mark: str = "", most: int = SAID_LINES) -> Iterator[str]:
    """The lines of a text, the first `most` of them."""
    lines = text.strip("\r\n").split("\n", most)
    folded = lines[most].count("\n") + 1 if len(lines) > most else 0
    for n, line in enumerate(lines[:most]):
        if line.strip() or (n and mark == ""):
            yield cut(mark + line)
    if folded:
        yield f"{mark}… {folded} more lines"


def cut(line: str) -> str:
    """One line, of bounded length, harmless to a terminal."""
    if len(line) > LINE_CHARS:
        line = f"{line[:LINE_CHARS]} … {len(line) - LINE_CHARS} more characters"
    return plain(whole(line.expandtabs(4) if len(line) < 1000 else line))
