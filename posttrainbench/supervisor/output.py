"""A session's output: taken from a pipe as it comes, stored within bounds."""

import contextlib
import os
import select
import time
from pathlib import Path

from .files import append

INDEX_SECONDS = 1.0
DRAIN_SECONDS = 2.0


class Output:
    """Stores a stream within bounds: its first half as it comes, its last half in memory until the end."""

    def __init__(self, log: int, index: Path, limit: int) -> None:
        self.log, self.index, self.half = log, index, max(limit, 2) // 2
        self.total = self.kept = self.unwritable = 0
        self.tail = bytearray()
        self.indexed = -INDEX_SECONDS

    def write(self, chunk: bytes, t: float) -> None:
        """Take what came at `t`."""
        if t - self.indexed >= INDEX_SECONDS:
            append(self.index, {"t": round(t, 3), "offset": self.total})
            self.indexed = t
        head = chunk[: max(0, self.half - self.total)]
        self.total += len(chunk)
        self._store(head)
        self.tail += chunk[len(head) :]
        if len(self.tail) > 2 * self.half:  # Twice, so that bytes are moved rarely.
            del self.tail[: -self.half]

    def close(self) -> None:
        """Store the last half, after a line that says how much was dropped before it."""
        del self.tail[: -self.half]
        dropped = self.total - min(self.total, self.half) - len(self.tail)
        if dropped:
            with contextlib.suppress(OSError):
                os.write(self.log, b"\n[%d bytes of output were dropped here]\n" % dropped)
        self._store(bytes(self.tail))

    def _store(self, data: bytes) -> None:
        while data:
            try:
                done = os.write(self.log, data)
            except OSError:
                self.unwritable += len(data)
                return
            self.kept += done
            data = data[done:]


class Stream:
    """The pipe that a command prints to. `started`: CLOCK_MONOTONIC of the session's beginning, in seconds."""

    def __init__(self, output: Output, started: float) -> None:
        self.output, self.started, self.pipe = output, started, -1

    def open(self) -> int:
        """Begin anew; returns the end to write to."""
        self.pipe, write = os.pipe()
        return write

    def close(self) -> None:
        """Leave what has not been taken."""
        if self.pipe >= 0:
            os.close(self.pipe)
            self.pipe = -1

    def pump(self, seconds: float) -> bool:
        """Take one piece of output if some comes within `seconds`; False when none came."""
        if self.pipe < 0:
            time.sleep(seconds)
            return False
        if not select.select([self.pipe], [], [], seconds)[0]:
            return False
        chunk = os.read(self.pipe, 1 << 20)
        if not chunk:  # Every writer has closed it; the command may live on.
            self.close()
            return False
        self.output.write(chunk, time.monotonic() - self.started)
        return True

    def drain(self) -> None:
        """Take what is still in the pipe, but not for ever: something outside the tree may hold it."""
        until = time.monotonic() + DRAIN_SECONDS
        while self.pump(0) and time.monotonic() < until:
            pass
        self.close()
