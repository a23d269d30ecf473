"""What nobody has read for long of what mirrors keep: they themselves never throw anything away."""

import fcntl
import time
from contextlib import suppress
from pathlib import Path

from posttrainbench.strict import Value, disk

DAY = 86400.0


class Unused(Value, frozen=True, kw_only=True):
    """A file of the cache, its size in bytes, and for how many days nobody has read it."""

    path: str
    size: int
    days: float


def unused(cache: Path, days: float) -> list[Unused]:
    """Contents of a mirror's cache that no mirror has sent, and downloads that none has continued, for so many days."""
    found, now = [], time.time()
    with disk("look through the cache"):
        for path in sorted((cache / "blobs").glob("*")):
            with suppress(FileNotFoundError):
                state = path.lstat()
                age = (now - state.st_mtime) / DAY
                if path.is_file() and not path.is_symlink() and age >= days:
                    found.append(Unused(path=str(path), size=state.st_size, days=round(age, 1)))
    return found


def evict(items: list[Unused]) -> list[Unused]:
    """Remove them; those that were removed. One that a gateway has begun to write stays. A reader that has a file open
    reads it to its end."""
    gone = []
    for item in items:
        with disk(f"remove {item.path}"), suppress(FileNotFoundError), Path(item.path).open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            Path(item.path).unlink()
            gone.append(item)
    return gone
