"""Reads a copy of an answer while it is relayed: what it used, whether it is whole, and a bounded copy to be stored."""

import json
import zlib
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from posttrainbench.gateway.dialects import Reading, Wire

MAX_EVENT_BYTES = 16 * 2**20
MAX_ANSWER_BYTES = 64 * 2**20
MAX_KEPT_BYTES = 4 * 2**20


class Decoder(Protocol):
    """A stream's decompression."""

    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


class Meter:
    """Takes an answer piece by piece. What it cannot read it skips: an answer is relayed whatever it holds."""

    def __init__(self, wire: Wire, kind: str, encoding: str) -> None:
        self.reading = Reading()
        self.kept = bytearray()
        """The beginning of the answer, decompressed."""
        self.kept_whole = True
        self.readable = encoding in ("", "identity", "gzip", "x-gzip", "deflate")
        self.streams = kind == "text/event-stream"
        self._wire = wire
        self._decoder: Decoder | None = (
            zlib.decompressobj(47) if self.readable and encoding not in ("", "identity") else None
        )
        self._events = Events(self._event) if self.streams else None
        self._answer = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Read one piece as it came from the provider."""
        if not self.readable:
            return
        if self._decoder is not None:
            try:
                chunk = self._decoder.decompress(chunk, MAX_ANSWER_BYTES)
            except zlib.error:
                self.readable = False
                return
        room = MAX_KEPT_BYTES - len(self.kept)
        self.kept += chunk[:room]
        self.kept_whole = self.kept_whole and len(chunk) <= room
        if self._events is not None:
            self._events.feed(chunk)
        elif len(self._answer) + len(chunk) <= MAX_ANSWER_BYTES:
            self._answer += chunk
        else:
            self.readable = False

    def close(self) -> Reading:
        """Read what is left, at the answer's end."""
        if self._events is not None:
            self._events.close()
        elif self.readable and self._answer:
            for event in parsed(bytes(self._answer)):
                self._wire.read(self.reading, event)
            self._answer.clear()
        return self.reading

    def _event(self, data: bytes) -> None:
        if data == b"[DONE]":
            self.reading.finished = True
            return
        for event in parsed(data):
            self._wire.read(self.reading, event)


class Events:
    """Splits a stream of server-sent events into the data of each."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take
        self._buffer = bytearray()
        self._data: list[bytes] = []
        self._size = 0
        self._searched = 0

    def feed(self, chunk: bytes) -> None:
        """Read one piece; pieces need not end where events do."""
        self._buffer += chunk
        begin = 0
        while (end := self._buffer.find(b"\n", max(begin, self._searched))) != -1:
            self._line(bytes(self._buffer[begin:end]).rstrip(b"\r"))
            begin = end + 1
        del self._buffer[:begin]
        if len(self._buffer) > MAX_EVENT_BYTES:
            self._buffer.clear()
        self._searched = len(self._buffer)

    def close(self) -> None:
        """Take an event that no empty line ends."""
        self._line(bytes(self._buffer).rstrip(b"\r"))
        self._buffer.clear()
        self._line(b"")

    def _line(self, line: bytes) -> None:
        if not line:
            if self._data:
                self._take(b"\n".join(self._data))
            self._data, self._size = [], 0
        elif line.startswith(b"data:") and self._size <= MAX_EVENT_BYTES:
            self._data.append(line[5:].strip())
            self._size += len(line)


def parsed(content: bytes) -> list[dict[str, Any]]:
    """The JSON object in there, or the objects of its list; none if there is something else."""
    try:
        value = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:
            value = json.loads(content.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            return []
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict)]


class CountDropped:
    """Takes out of a stream of Chat Completions the chunk that carries the count of tokens and nothing else, for a
    client that has not asked for it. What it passes on is otherwise untouched, event by event."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, chunk: bytes) -> bytes:
        """The whole events up to now."""
        parts = (self._buffer + chunk).replace(b"\r\n", b"\n").split(b"\n\n")
        self._buffer = parts.pop()
        if len(self._buffer) > MAX_EVENT_BYTES:
            held, self._buffer = self._buffer, b""
            return b"".join(part + b"\n\n" for part in parts if not _only_counts(part)) + held
        return b"".join(part + b"\n\n" for part in parts if not _only_counts(part))

    def rest(self) -> bytes:
        """What no empty line ended."""
        held, self._buffer = self._buffer, b""
        return held


def _only_counts(event: bytes) -> bool:
    if b'"usage"' not in event or not event.startswith(b"data:"):
        return False
    return any(one.get("choices") == [] and one.get("usage") for one in parsed(event[5:]))
