"""The lines of a session's stored output, each with the time that it came.

`output.log` holds the bytes as they came; of too many, the first and the last, with a line between them that says how
many were dropped. `output.index` says, to the second, when how many bytes had come. An agent can print a line that
looks like the one about dropped bytes: times after it are then wrong, and nothing else.
"""

import bisect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

import msgspec

from posttrainbench.transcript.foreign import MAX_LINE_BYTES

DROPPED = re.compile(rb"^\[(\d{1,15}) bytes of output were dropped here\]\n?", re.MULTILINE)
MAX_INDEX_BYTES = 64 * 2**20
KEPT_OF_LONG = 4096
BLOCK_BYTES = 16384
READ_BYTES = 1 << 20


class Line(NamedTuple):
    """A line of output, or several that are plain text."""

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
    """Lines that begin like a JSON object one at a time, all text between them in blocks of at most BLOCK_BYTES. Of a
    line that is too long to be read, the beginning."""
    try:
        file = log.open("rb")
    except OSError:
        return
    offset = 0
    with file:
        for piece in _pieces(file):
            if piece.content.startswith(b"{"):
                offset += piece.size
                yield Line(piece.content, index.time(offset - 1))
                continue
            begin = 0
            for match in DROPPED.finditer(piece.content):
                yield from _block(piece.content[begin : match.start()], offset, index)
                offset += match.start() - begin + int(match[1]) - 1  # The newline before it is not the agent's.
                yield Line(b"", index.time(offset), int(match[1]))
                begin = match.end()
            yield from _block(piece.content[begin:], offset, index)
            offset += piece.size - begin


def _block(content: bytes, offset: int, index: Index) -> Iterator[Line]:
    if content:
        yield Line(content, index.time(offset))


class _Piece(NamedTuple):
    """A line that begins like an object, or a block of other lines."""

    content: bytes
    size: int
    """Of the original, where only its beginning is kept."""


def _pieces(file: IO[bytes]) -> Iterator[_Piece]:
    rest = b""
    while chunk := file.read(READ_BYTES):
        rest += chunk
        position = 0
        while end := _end(rest, position):
            yield _Piece(rest[position:end], end - position)
            position = end
        rest = rest[position:]
        if len(rest) > MAX_LINE_BYTES:
            skipped, after = _skip_line(file)
            yield _Piece(rest[:KEPT_OF_LONG], len(rest) + skipped)
            rest = after
    if rest:
        yield _Piece(rest, len(rest))


def _end(content: bytes, begin: int) -> int:
    """Where the piece that begins at `begin` ends; 0 where that is not known yet."""
    if content.startswith(b"{", begin):
        return content.find(b"\n", begin) + 1
    last = begin + BLOCK_BYTES
    found = content.find(b"\n{", begin, last)
    if found < 0:
        found = content.rfind(b"\n", begin, last)
    return found + 1 or (last if len(content) > last else 0)


def _skip_line(file: IO[bytes]) -> tuple[int, bytes]:
    """Read on to the end of a line; gives how many bytes that were, and what was read beyond it."""
    size = 0
    while chunk := file.read(READ_BYTES):
        head, newline, after = chunk.partition(b"\n")
        size += len(head) + len(newline)
        if newline:
            return size, after
    return size, b""
