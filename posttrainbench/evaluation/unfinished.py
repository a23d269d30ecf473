"""What killed measurements left in the cache, so that the next one for the very same goes on from their answers.

    <cache>/unfinished/<key>/       a measurement's folder, until it has ended
    <cache>/unfinished/<key>.lock   held by the process that works on it

A key names all that an answer may depend on; cell_answers.py looks at that once more before it takes one.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from posttrainbench.errors import RunBusyError
from posttrainbench.strict import Value, disk

DAY = 86400.0


class Leftover(Value, frozen=True, kw_only=True):
    """A folder that nobody works on, its size in bytes, and for how many days nothing was written there."""

    path: str
    size: int
    days: float


@contextmanager
def held(cache: Path, key: str, *, wait: bool) -> Iterator[Path]:
    """The folder of that key, which may not exist yet, for this process alone. One that another process holds is waited
    for, or RunBusyError is raised. The kernel frees it when its holder is gone."""
    place = cache / "unfinished" / key
    lock = place.with_name(f"{key}.lock")
    with disk("make a place in the cache"):
        place.parent.mkdir(parents=True, exist_ok=True)
        handle = _locked(lock, wait)
    try:
        yield place
    finally:
        if not place.exists():
            lock.unlink(missing_ok=True)
        os.close(handle)


def leftovers(cache: Path, days: float) -> list[Leftover]:
    """Folders in which nothing was written for so many days and on which nobody works."""
    found, now = [], time.time()
    with disk("look through the cache"):
        for lock in sorted((cache / "unfinished").glob("*.lock")):
            with suppress(RunBusyError, FileNotFoundError), held(cache, lock.stem, wait=False) as place:
                states = [path.lstat() for path in [place, *place.rglob("*")]]
                age = (now - max(state.st_mtime for state in states)) / DAY
                if age >= days:
                    size = sum(state.st_size for state in states)
                    found.append(Leftover(path=str(place), size=size, days=round(age, 1)))
    return found


def remove(items: list[Leftover]) -> list[Leftover]:
    """Remove them; those that were removed. One that somebody has taken up meanwhile stays."""
    gone = []
    for item in items:
        place = Path(item.path)
        with suppress(RunBusyError), held(place.parents[1], place.name, wait=False), disk(f"remove {place}"):
            shutil.rmtree(place)
            gone.append(item)
    return gone


def _locked(path: Path, wait: bool) -> int:
    """A descriptor that holds the file's lock. Whoever held it before may have removed the file."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle), path.stat()):
                    return handle
        except BlockingIOError:
            os.close(handle)
            raise RunBusyError(
                "Another ptb measures the very same. Wait until it has ended, then give the command again."
            ) from None
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
