"""A person at a real terminal, in tests."""

import os
import pty
import select
import subprocess
import sys
import termios
import time
from pathlib import Path

from driving import environment


class Person:
    """Types at `ptb attach` and reads what it prints."""

    def __init__(self, cwd: Path, **env: str) -> None:
        self.side, inside = pty.openpty()
        command = [sys.executable, "-m", "posttrainbench.cli", "attach", "last"]
        self.ptb = subprocess.Popen(
            command, cwd=cwd, env=environment(**env), stdin=inside, stdout=inside, stderr=inside
        )
        os.close(inside)
        self.seen = b""

    def waits_for(self, words: bytes, seconds: float = 60) -> None:
        until = time.monotonic() + seconds
        while words not in self.seen:
            ready, _, _ = select.select([self.side], [], [], max(0.0, until - time.monotonic()))
            assert ready, f"{words!r} did not come; seen: {self.seen!r}"
            try:
                self.seen += os.read(self.side, 4096)
            except OSError:
                raise AssertionError(f"{words!r} did not come before the end; seen: {self.seen!r}") from None

    def sits(self, seconds: float = 60) -> None:
        """Wait until what is typed goes to the shell; before that it would be lost."""
        until = time.monotonic() + seconds
        while termios.tcgetattr(self.side)[3] & termios.ECHO:
            assert time.monotonic() < until, "the terminal was never handed over"
            time.sleep(0.05)

    def types(self, words: str) -> None:
        os.write(self.side, words.encode())
