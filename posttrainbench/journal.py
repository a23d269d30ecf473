"""The durable state of a run: a line before each stage acts and one after, and a lock that says who works on it.

A line is appended with one write and synced. A line that a crash cut off is ignored by the reader and overwritten by
the next line, so a journal is readable after a `kill -9` at any moment.
"""

import datetime
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import msgspec

from posttrainbench.errors import RunBusyError
from posttrainbench.strict import Value, disk


class Event(Value, frozen=True, kw_only=True):
    """One line of journal.jsonl."""

    at: str
    """UTC, ISO 8601."""
    stage: str
    event: Literal["begin", "done", "failed", "note"]
    seconds: float | None = None
    """How long the stage took; with `done`."""
    detail: dict[str, str] = {}


def now() -> str:
    """The time, UTC, ISO 8601, to the second."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Journal:
    """Appends to and reads one run's journal."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def events(self) -> list[Event]:
        """All whole lines."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return []
        whole = content[: content.rfind(b"\n") + 1]
        return [msgspec.json.decode(line, type=Event) for line in whole.splitlines()]

    def write(self, event: Event) -> None:
        """Append one event durably."""
        with disk("write the journal"), self._path.open("ab+") as file:
            file.seek(0)
            content = file.read()
            file.truncate(content.rfind(b"\n") + 1)
            file.write(msgspec.json.encode(event) + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def is_done(self, stage: str) -> bool:
        """Whether that stage's last word is `done`."""
        own = [event for event in self.events() if event.stage == stage and event.event != "note"]
        return bool(own) and own[-1].event == "done"

    def last(self) -> Event | None:
        """The last event, if any."""
        events = self.events()
        return events[-1] if events else None

    def notes(self, stage: str) -> list[dict[str, str]]:
        """Details of the notes that the stage left, oldest first."""
        return [event.detail for event in self.events() if event.stage == stage and event.event == "note"]

    def note(self, stage: str, **detail: str) -> None:
        """Leave something that a later ptb needs."""
        self.write(Event(at=now(), stage=stage, event="note", detail=detail))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Journal a stage before it acts and after; a failure is journalled and passes on."""
        self.write(Event(at=now(), stage=name, event="begin"))
        begin = time.monotonic()
        try:
            yield
        except Exception as error:
            self.write(
                Event(at=now(), stage=name, event="failed", detail={"error": f"{type(error).__name__}: {error}"})
            )
            raise
        self.write(Event(at=now(), stage=name, event="done", seconds=round(time.monotonic() - begin, 3)))


def process(pid: int) -> str:
    """`pid:start`, which no later process has; empty when there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return ""
    return f"{pid}:{stat[stat.rindex(b')') + 2 :].split()[19].decode()}"


def is_held(path: Path) -> bool:
    """Whether some process holds the lock on that file; the kernel lets go of it when the process ends."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False


def worker(path: Path) -> int | None:
    """The process that holds a run's lock file, if it can be found here; None when nobody holds it. Raises
    RunBusyError when somebody does who cannot be found: on another host, or in another container."""
    if not is_held(path):
        return None
    for _ in range(10):  # It says who it is a moment after it has the lock.
        known = path.read_text(errors="replace")
        pid, _, _ = known.partition(":")
        if pid.isdigit() and process(int(pid)) == known:
            return int(pid)
        time.sleep(0.1)
    raise RunBusyError(
        f"Another ptb is working on the run in {path.parent}, but it is no process of this host. Stop it where it runs."
    )


@contextmanager
def exclusively(path: Path) -> Iterator[None]:
    """Hold a run's lock file; raises RunBusyError if another process does. The lock ends with the process."""
    with disk("open the run's lock"):
        file = path.open("a+")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunBusyError(
                f"Another ptb is working on the run in {path.parent}. Watch it with `ptb show {path.parent.name}`, "
                "or wait until it has ended."
            ) from None
        with suppress(OSError):  # A full disk; then only `ptb stop` cannot find us.
            file.truncate(0)
            file.write(process(os.getpid()))
            file.flush()
        yield
