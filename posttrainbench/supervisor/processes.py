"""The processes below this one: those of the session, and how they are ended."""

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
TICK_SECONDS = 0.05
KILL_SECONDS = 30.0
TICKS, PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
WAITED_FOR: set[int] = set()  # Children of ours that their Popen reaps.
OURS: set[int] = set()  # Those of them that are no part of the session.
PRCTL = ctypes.CDLL(None, use_errno=True).prctl


class Process(NamedTuple):
    """A row of /proc. `start` tells it from a later process with the same pid."""

    pid: int
    state: str
    parent: int
    group: int
    ticks: int
    start: int
    memory: int


def tree() -> list[Process]:
    """Every running process below this one but OURS. Orphans are, because it is a subreaper; what ended is reaped.
    Raises OSError where /proc cannot be read, as when the host has no descriptor left."""
    children: dict[int, list[Process]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError, ValueError, IndexError):
            text = Path(f"/proc/{name}/stat").read_bytes()
            # The command's name, in parentheses, may hold anything, parentheses too.
            f = text[text.rindex(b")") + 2 :].split()
            # A process whose first thread has ended looks like a zombie, and its other threads go on.
            state = "S" if f[0] == b"Z" and int(f[17]) > 1 else f[0].decode()
            ticks, memory = int(f[11]) + int(f[12]), int(f[21]) * PAGE
            row = Process(int(name), state, int(f[1]), int(f[2]), ticks, int(f[19]), memory)
            children.setdefault(row.parent, []).append(row)
    found = list(children.get(os.getpid(), []))
    for row in found:
        if row.state == "Z" and row.parent == os.getpid() and row.pid not in WAITED_FOR:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(row.pid, os.WNOHANG)
        found += children.get(row.pid, [])
    return [row for row in found if row.state not in "ZX" and row.pid not in OURS]


def ended_for_memory() -> int:
    """How many processes of a container the kernel has ended because its memory was used up, by the container's own
    control group, of either version. Not every engine tells."""
    for path in ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"):
        with contextlib.suppress(OSError, ValueError):
            rows = dict(line.split() for line in Path(path).read_text().splitlines())
            return int(rows.get("oom_kill", 0))
    return 0


class Tree:
    """What a session starts. `contained`: no process but its own can be seen, so all may be killed at one blow."""

    def __init__(self, contained: bool) -> None:
        self.contained = contained or os.getpid() == 1
        self.main: subprocess.Popen[bytes] | None = None
        self.wrapper: set[int] = set()
        """Pids of bubblewrap: of itself, and of the first process inside."""
        self.killed: set[tuple[int, int]] = set()
        """Pid and start of all that was met while it was being ended."""

    def alive(self) -> list[Process] | None:
        """What still runs of the tree, wrapper included; counts those that were met. None where that cannot be seen."""
        if self.main is None:
            return []
        self.main.poll()
        try:
            rows = tree()
        except OSError:
            return None
        self.killed.update((row.pid, row.start) for row in rows if row.pid not in self.wrapper)
        return rows

    def end(self, grace: float, meanwhile: Callable[[float], object]) -> None:
        """SIGTERM to every process, `grace` seconds, then SIGKILL until none is left. `meanwhile` is called with the
        seconds that it may take."""
        for row in self.alive() or []:
            # The wrapper would die of SIGTERM, and all within it at once, without their grace.
            if row.pid not in self.wrapper:
                send(os.kill, row.pid, signal.SIGTERM)
        until = time.monotonic() + grace
        while self.alive() != [] and time.monotonic() < until:
            meanwhile(TICK_SECONDS)
        until = time.monotonic() + KILL_SECONDS
        while (rows := self.alive()) != [] and time.monotonic() < until:
            if rows is None and self.main and self.main.poll() is None:
                send(os.killpg, self.main.pid, signal.SIGKILL)
            # A group is killed at one blow, so a process that forks and ends cannot slip through unless it leaves it.
            for group in {row.group for row in rows or []} - {os.getpgrp(), 0, 1}:
                send(os.killpg, group, signal.SIGKILL)
            for row in rows or []:
                send(os.kill, row.pid, signal.SIGKILL)
            if self.contained:
                send(os.kill, -1, signal.SIGKILL)
            meanwhile(0.001)


def send(function: Any, target: int, number: int) -> None:
    """Send a signal to what may be gone already."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        function(target, number)
