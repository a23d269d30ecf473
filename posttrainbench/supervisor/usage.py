"""What folders take on their disk."""

import contextlib
import os
import time
from collections.abc import Iterator

from .processes import TICK_SECONDS

SAMPLE_SECONDS = 5.0
WALK_SECONDS = 0.01
WALK_LINKS = 1_000_000
PATH_PIECE = 2048
INODE_BYTES = 16384
"""A file system has one inode for so many bytes, usually, so a share of its bytes is a share of its inodes. Empty files
take none of the bytes, but without an inode nobody else can make a file."""


class Usage:
    """What folders take on their disk, measured over and over by a walk that gets a slice of each tick, so that no tree
    is big enough to hold up the clock. Links are not followed, and other file systems are left out. `limit`: bytes, and
    by INODE_BYTES files and folders; 0 for none."""

    def __init__(self, folders: list[str], limit: int) -> None:
        self.folders, self.limit = [os.fsencode(folder) for folder in folders], limit
        self.whole = self.partial = self.over = 0
        self.whole_files = self.files = 0
        self.walk: Iterator[None] | None = None
        self.due = self.begun = time.monotonic()

    @property
    def used(self) -> int:
        """Bytes: of the last walk, or of the present one if it has met more already."""
        return max(self.whole, self.partial)

    @property
    def exceeded(self) -> bool:
        """Whether two walks in a row met more than the limit; one may count twice what is moved about meanwhile."""
        return self.over > 1

    def told(self) -> str:
        """How the limit was exceeded, in a sentence."""
        if self.used > self.limit:
            return f"Its folders took {self.used / 1e9:.2f} GB on the disk, of {self.limit / 1e9:.2f} GB at most."
        files = max(self.whole_files, self.files)
        return f"Its folders held {files:,} files, of {self.limit // INODE_BYTES:,} at most."

    def tick(self) -> None:
        """Walk on for a moment. Between two walks is a pause that grows with them."""
        now = time.monotonic()
        if now < self.due or not self.folders:
            return
        if self.walk is None:
            self.walk, self.partial, self.files, self.begun = self._steps(), 0, 0, now
        self.due = now + TICK_SECONDS
        while time.monotonic() < now + WALK_SECONDS:
            ended = next(self.walk, self) is self
            over = 0 < self.limit < max(self.partial, self.files * INODE_BYTES)
            if ended or over:
                self.whole, self.whole_files, self.partial, self.walk = self.partial, self.files, 0, None
                self.over = self.over + 1 if over else 0
                self.due = now if over else now + max(SAMPLE_SECONDS, now - self.begun)
                return

    def _steps(self) -> Iterator[None]:
        links: set[tuple[int, int]] = set()
        for folder in self.folders:
            waiting, device = [folder], -1
            while waiting:
                path = waiting.pop()
                yield
                try:
                    descriptor = open_folder(path)
                except OSError:  # Gone meanwhile, or not ours to read.
                    continue
                try:
                    own = os.fstat(descriptor)
                    device = own.st_dev if device < 0 else device
                    if own.st_dev != device:
                        continue
                    self.partial += own.st_blocks * 512
                    # The scan works on a copy of the descriptor.
                    with contextlib.suppress(OSError), os.scandir(descriptor) as entries:
                        for number, entry in enumerate(entries):
                            if number % 16 == 0:
                                yield
                            self._count(entry, os.path.join(path, os.fsencode(entry.name)), waiting, links)
                finally:
                    os.close(descriptor)

    def _count(self, entry: "os.DirEntry[str]", path: bytes, waiting: list[bytes], links: set[tuple[int, int]]) -> None:
        with contextlib.suppress(OSError):
            self.files += 1
            if entry.is_dir(follow_symlinks=False):
                waiting.append(path)
                return
            found = entry.stat(follow_symlinks=False)
            if found.st_nlink > 1:
                key = (found.st_dev, found.st_ino)
                if key in links:
                    self.files -= 1
                    return
                if len(links) < WALK_LINKS:  # Beyond that, each further name counts again.
                    links.add(key)
            self.partial += found.st_blocks * 512


def open_folder(path: bytes) -> int:
    """A descriptor of a folder whose path may be longer than the kernel takes at once."""
    descriptor = os.open(b"/", os.O_RDONLY)
    while path:
        piece = path[: path.rindex(b"/", 0, PATH_PIECE)] if len(path) > PATH_PIECE else path
        path = path[len(piece) :].lstrip(b"/")
        try:
            inner = os.open(piece, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = inner
    return descriptor
