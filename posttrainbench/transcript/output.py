"""The lines of a session's stored output, each with the time that it came.

`output.log` holds the bytes as they came; of too many, the first and the last, with a line between them that says how
many were dropped. `output.index` says, to the second, when how many bytes had come. An agent can print a line that
looks like the one about dropped bytes: times after it are then wrong, and nothing else.
"""

import bisect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from posttrainbench.transcript.foreign import MAX_LINE_BYTES

DROPPED = re.compile(rb"\[(\d{1,15}) bytes of output were dropped here\]\n?")
MAX_INDEX_BYTES = 64 * 2**20
KEPT_OF_LONG = 4096


class Line(NamedTuple):
    """A line of output."""

    content: bytes
    t: float | None
    """Seconds since the session's start at which it had come, to a second; None where that is not known."""
    dropped: int = 0
    """Bytes that were dropped here; the line is then not the agent's."""


class Mark(msgspec.Struct, frozen=True):
    """A line of the index."""

    t: float
    offset: int


class Index:
    """When bytes came."""

    def __init__(self, marks: list[Mark]) -> None:
        self.offsets, self.times = [mark.offset for mark in marks], [mark.t for mark in marks]

    def time(self, offset: int) -> float | None:
        """Seconds since the start at which the byte at `offset` of the whole stream came."""
        position = bisect.bisect_right(self.offsets, offset)
        return self.times[position - 1] if position else None


def read_index(path: Path) -> Index:
    """The index; lines that a crash cut, or that go backwards, are left out."""
    marks: list[Mark] = []
    try:
        with path.open("rb") as file:
            content = file.read(MAX_INDEX_BYTES)
    except OSError:
        return Index([])
    for line in content.splitlines():
        try:
            mark = msgspec.json.decode(line, type=Mark)
        except (msgspec.DecodeError, UnicodeError):
            continue
        if not marks or (mark.offset >= marks[-1].offset and mark.t >= marks[-1].t):
            marks.append(mark)
    return Index(marks)


def lines(log: Path, index: Index) -> Iterator[Line]:
    """Every line, one at a time. Of a line that is too long to be read, the beginning."""
    try:
        file = log.open("rb")
    except OSError:
        return
    offset = 0
    with file:
        while content := file.readline(MAX_LINE_BYTES + 1):
            size = len(content)
            if size > MAX_LINE_BYTES:
                content = content[:KEPT_OF_LONG]
                while size and (rest := file.readline(MAX_LINE_BYTES)):
                    size += len(rest)
                    if rest.endswith(b"\n"):
                        break
            if content.startswith(b"[") and (match := DROPPED.fullmatch(content)):
                offset += int(match[1]) - 1  # The newline before the notice is not the agent's.
                yield Line(b"", index.time(offset), int(match[1]))
                continue
            offset += size
            yield Line(content, index.time(offset - 1))
