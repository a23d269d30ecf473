"""Logs of a gateway: files of JSON lines that only grow, up to a bound, and survive a kill.

A log that is full says so, and its owner then refuses to serve: nothing is fetched that is not written down, and an
agent that floods a log hides nothing. The reader skips lines that a kill cut, and reads a bounded part of the file.
"""

import os
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from posttrainbench.gateway.refusal import RefusedError
from posttrainbench.strict import disk

T = TypeVar("T")

BOUND = 128 * 1024**2
"""Bytes of a log, written and read: about half a million lines."""
LONGEST = 64 * 1024


class Lines:
    """Appends values to one file."""

    def __init__(self, path: Path, bound: int = BOUND) -> None:
        with disk(f"open {path.name}"):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab+") as file:
                self._size = file.seek(0, os.SEEK_END)
                file.seek(max(0, self._size - 1))
                if file.read(1) not in (b"", b"\n"):
                    self._size += file.write(b"\n")
            self._file = path.open("ab", buffering=0)
        self._name = path.name
        self._bound = bound

    def write(self, value: Any) -> None:
        """Append one value, with one write."""
        line = msgspec.json.encode(value) + b"\n"
        with disk(f"write {self._name}"):
            self._file.write(line)
        self._size += len(line)

    def check(self) -> None:
        """Raise a RefusedError if no more can be written down."""
        if self._size >= self._bound:
            raise RefusedError(
                429, f"This run has asked for so much that its log {self._name} is full; nothing more is served."
            )


def read_lines(path: Path, kind: type[T], bound: int = 2 * BOUND) -> list[T]:
    """All whole lines of `path` that are a `kind`, within its first `bound` bytes; none if there is no such file."""
    try:
        with path.open("rb") as file:
            content = file.read(bound)
    except FileNotFoundError:
        return []
    decoder = msgspec.json.Decoder(kind)
    found: list[T] = []
    for line in content.split(b"\n"):
        if 0 < len(line) <= LONGEST:
            try:
                found.append(decoder.decode(line))
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
    return found
