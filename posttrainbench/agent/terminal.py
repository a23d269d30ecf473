"""A person's terminal on a session: connects to the socket that the shell inside keeps in its home folder.

The other side is a sandbox's: it can print what it likes to the terminal of the person who works in it, as any shell
can, and gets what that person types. Nothing else passes.
"""

import os
import select
import socket
import stat
import sys
import termios
import time
import tty
from pathlib import Path
from typing import Literal

from posttrainbench.errors import InfrastructureError

SOCKET = "terminal.sock"
DETACH = b"\x1d"
"""ctrl-]"""


def connect(home: Path, seconds: float = 20.0) -> socket.socket:
    """A connection to the shell; it is waited for, since it starts after the session."""
    until = time.monotonic() + seconds
    while True:
        try:
            return _connected(home)
        except OSError as error:
            if time.monotonic() > until:
                raise InfrastructureError(
                    f"The session's shell does not answer ({error}). `ptb logs` shows what it has printed."
                ) from error
        time.sleep(0.1)


def _connected(home: Path) -> socket.socket:
    folder = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        # A link could lead to any socket of the host's.
        if not stat.S_ISSOCK(os.stat(SOCKET, dir_fd=folder, follow_symlinks=False).st_mode):
            raise OSError(f"{SOCKET} is no socket")
        found = socket.socket(socket.AF_UNIX)
        # Through the descriptor: the path of a socket may hold a hundred characters only.
        found.connect(f"/proc/self/fd/{folder}/{SOCKET}")
        return found
    finally:
        os.close(folder)


def sit(home: Path, keyboard: int, screen: int) -> Literal["ended", "detached"]:
    """Pass bytes between a person's terminal and the shell until the shell ends or ctrl-] is typed."""
    with connect(home) as shell:
        before = termios.tcgetattr(keyboard)
        tty.setraw(keyboard)
        try:
            return _pass(shell, keyboard, screen)
        finally:
            termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def _pass(shell: socket.socket, keyboard: int, screen: int) -> Literal["ended", "detached"]:
    while True:
        ready, _, _ = select.select([shell.fileno(), keyboard], [], [])
        if shell.fileno() in ready:
            try:
                printed = shell.recv(65536)
            except OSError:
                printed = b""
            if not printed:
                return "ended"
            os.write(screen, printed)
        if keyboard in ready:
            typed = os.read(keyboard, 4096)
            if not typed or DETACH in typed:
                return "detached"
            shell.sendall(typed)


def at_terminal() -> bool:
    """Whether a person sits before this process."""
    return sys.stdin.isatty() and sys.stdout.isatty()
