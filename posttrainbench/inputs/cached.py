"""A folder that is made or fetched once and kept in the cache.

It is made beside its place, under a lock that other processes wait for, and renamed into its place when it is whole,
with the digest of each file in a record beside it. When it is used again, sizes and times of change are compared; only
where they differ is every byte read again, and only where a byte differs is it made again.
"""

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from posttrainbench.errors import DigestError
from posttrainbench.strict import Value, digest_file, disk, read_json, write_json

Say = Callable[[str], None]


class File(Value, frozen=True, kw_only=True):
    """A file of a cached folder."""

    digest: str
    size: int
    modified: int
    """Nanoseconds, as stat tells them."""


class Made(Value, frozen=True, kw_only=True):
    """What lies beside a cached folder."""

    files: dict[str, File]


def cached(folder: Path, make: Callable[[Path], None], progress: Say) -> Made:
    """The files of `folder`; `make` fills it (under another name) where it is absent or damaged."""
    record = folder.with_name(f"{folder.name}.json")
    with disk("make a place in the cache"):
        folder.parent.mkdir(parents=True, exist_ok=True)
    with _lock(folder.with_name(f"{folder.name}.lock"), progress):
        return _intact(folder, record, progress) or _make(folder, record, make)


def _make(folder: Path, record: Path, make: Callable[[Path], None]) -> Made:
    building = folder.with_name(f".{folder.name}.building")
    with disk(f"make {folder.name} in the cache"):
        for old in (building, folder):
            if old.exists():
                shutil.rmtree(old)
        record.unlink(missing_ok=True)
        building.mkdir()
        try:
            make(building)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise
        for path in building.rglob("*"):
            if not path.is_symlink():  # A sandbox may run as another user.
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        building.rename(folder)
        made = Made(files=_files(folder))
    write_json(record, made)
    return made


def _intact(folder: Path, record: Path, progress: Say) -> Made | None:
    """What was made, if it is still there byte for byte; None where it has to be made again."""
    if not (folder.is_dir() and record.is_file()):
        return None
    try:
        made = read_json(record, Made)
    except DigestError:
        return None
    if _seen(folder) == {name: (file.size, file.modified) for name, file in made.files.items()}:
        return made
    progress("a file of the cache was touched; reading all of it again")
    now = _files(folder)
    if {name: file.digest for name, file in now.items()} != {name: file.digest for name, file in made.files.items()}:
        progress("the cached copy is damaged; making it again")
        return None
    write_json(record, Made(files=now))
    return made


def _seen(folder: Path) -> dict[str, tuple[int, int]]:
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            stat = path.stat()
            found[path.relative_to(folder).as_posix()] = (stat.st_size, stat.st_mtime_ns)
    return found


def _files(folder: Path) -> dict[str, File]:
    return {
        name: File(digest=digest_file(folder / name), size=size, modified=modified)
        for name, (size, modified) in _seen(folder).items()
    }


@contextlib.contextmanager
def _lock(path: Path, progress: Say) -> Iterator[None]:
    """Held by one process at a time; the kernel frees it when that process is gone."""
    with disk("lock the cache"):
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                progress("another ptb is making the same thing; waiting for it")
                time.sleep(0.2)
        yield
    finally:
        os.close(handle)
