"""A copy of the session files that an agent's program left in its HOME, for readers who want the original.

The folder is the agent's, so everything in it is hostile: only regular files are taken, no link is followed at any
level, and count, size, depth and the number of names looked at are bounded. What the files hold is not looked at here:
the agent may have changed them, so nothing that is counted rests on them.
"""

import errno
import fnmatch
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from posttrainbench.strict import Value, disk

PLACES: dict[str, tuple[tuple[str, str], ...]] = {
    "claude": ((".claude/projects", "*.jsonl"),),
    "codex": ((".codex/sessions", "*.jsonl"),),
    "gemini": ((".gemini/tmp", "session-*.json*"),),
    "opencode": ((".local/share/opencode", "opencode.db*"), (".local/share/opencode/storage", "*.json")),
    "qwen": ((".qwen/projects", "*.jsonl"),),
}
"""Folder below HOME and names of files in it, at any depth, by format."""

MAX_FILES = 500
MAX_FILE_BYTES = 64 * 2**20
MAX_BYTES = 256 * 2**20
MAX_DEPTH = 8
MAX_NAMES = 20_000
PIECE = 1 << 20
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
NAMES = (errno.ENAMETOOLONG, errno.EEXIST, errno.EISDIR, errno.ENOTDIR)
"""What the disk says to a name that is too long here, or that another one has become too."""
REGULAR = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Kept(Value, frozen=True, kw_only=True):
    """What was copied."""

    files: int = 0
    bytes: int = 0
    left_out: int = 0
    """Files that were too large or too many, could not be read, or had names that cannot stand here."""


def keep(home: Path, format_: str, target: Path) -> Kept:
    """Copy a format's session files into `target`, which is made if there are any."""
    files = size = left_out = 0
    for place, pattern in PLACES.get(format_, ()):
        for parts, descriptor in _found(home, place, pattern):
            room = min(MAX_FILE_BYTES, MAX_BYTES - size)
            if files >= MAX_FILES or os.fstat(descriptor).st_size > room:
                left_out += 1
                continue
            where = target.joinpath(*(_safe(part) for part in parts))
            try:
                size += _copy(descriptor, where, room)
                files += 1
            except OSError:
                left_out += 1
    return Kept(files=files, bytes=size, left_out=left_out)


def _safe(name: str) -> str:
    """A name that is a file's name here too, whatever bytes it had."""
    return os.fsencode(name).decode("utf-8", "replace").replace("\x00", "_")


def _copy(descriptor: int, where: Path, room: int) -> int:
    try:
        where.parent.mkdir(parents=True, exist_ok=True)
        out = where.open("wb")
    except OSError as error:
        if error.errno in NAMES:
            raise
        with disk(f"keep {where.name}"):
            raise
    done = 0
    with out:
        while done < room and (piece := os.read(descriptor, min(PIECE, room - done))):
            with disk(f"keep {where.name}"):
                out.write(piece)
            done += len(piece)
    return done


def _found(home: Path, place: str, pattern: str) -> Iterator[tuple[tuple[str, ...], int]]:
    """Regular files below `home/place` whose names fit, as path below HOME and open descriptor."""
    seen = 0
    with suppress(OSError), _opened(str(home), DIRECTORY, None) as top:
        todo = [tuple(place.split("/"))]
        while todo:
            parts = todo.pop()
            with suppress(OSError), _descend(top, parts) as here:
                for entry in sorted(os.listdir(here)):
                    seen += 1
                    if seen > MAX_NAMES:
                        return
                    mode = os.stat(entry, dir_fd=here, follow_symlinks=False).st_mode
                    if stat.S_ISDIR(mode) and len(parts) < MAX_DEPTH:
                        todo.append((*parts, entry))
                    elif stat.S_ISREG(mode) and fnmatch.fnmatchcase(entry, pattern):
                        with suppress(OSError), _opened(entry, REGULAR, here) as descriptor:
                            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                                yield (*parts, entry), descriptor


@contextmanager
def _opened(name: str, flags: int, folder: int | None) -> Iterator[int]:
    descriptor = os.open(name, flags, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _descend(top: int, parts: tuple[str, ...]) -> Iterator[int]:
    """The folder at the end of a path below `top`, opened one level at a time so that no link is followed."""
    descriptor = os.dup(top)
    try:
        for part in parts:
            below = os.open(part, DIRECTORY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)
