"""Contents on the host, shared by all runs: each is downloaded once, whoever asks, resumed after a kill, and verified.

`<cache>/blobs/<key>` is complete and verified; `<key>.partial` grows, and whoever holds its lock (flock) makes it grow.
Other processes that want the same content read along, and take over when the lock is free.

What it does not protect against: another program of this host that writes into the cache; and that a content which is
damaged in transfer reaches a reader up to its last byte, which is held back until the whole is verified.
"""

import asyncio
import fcntl
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from posttrainbench.gateway.refusal import AwayError, RefusedError
from posttrainbench.strict import Value

CHUNK = 1024**2
LARGEST = 512 * 1024**3
RESERVE = 5 * 1024**3
"""Bytes of the disk that are never filled."""
TRIES = 6
"""In a row without a byte."""
AT_ONCE = 8
LINGER_SECONDS = 20.0
"""A download goes on for so long after its last reader left: a client that lost its connection comes back."""

Source = Callable[[int], AbstractAsyncContextManager[tuple[int, AsyncIterator[bytes]]]]
"""Opens the content at an offset; gives the offset that it really starts at, and the bytes. Raises AwayError."""


class Blob(Value, frozen=True, kw_only=True):
    """A content by its name."""

    key: str
    """Safe as a file name; equal keys have equal contents."""
    size: int | None
    digest: str = ""
    """`sha256:…`, `git:…` (SHA-1 of a git blob), or empty if only the size can be checked."""


class Download:
    """One content on its way."""

    def __init__(self, folder: Path, blob: Blob, source: Source, slots: asyncio.Semaphore) -> None:
        self.blob = blob
        self.path = folder / blob.key
        self.partial = folder / f"{blob.key}.partial"
        self.readers = 0
        self._source = source
        self._slots = slots
        self._sum = hashlib.sha256()
        self.task = asyncio.create_task(self._run())

    async def wait(self, seconds: float | None = None) -> bool:
        """Whether it is complete, after at most `seconds`; raises what went wrong."""
        done, _ = await asyncio.wait({self.task}, timeout=seconds)
        if done:
            self.task.result()
        return bool(done)

    async def _run(self) -> None:
        try:
            await self._complete()
        except OSError as error:
            raise RefusedError(507, f"The host could not store the file: {error.strerror or error}.") from error

    async def _complete(self) -> None:
        while not self.path.exists():
            with self.partial.open("ab+") as file:
                if not _locked(file):
                    await asyncio.sleep(0.1)
                elif self.path.exists():
                    self.partial.unlink(missing_ok=True)
                elif _is_at(file, self.partial):
                    async with self._slots:
                        await self._fill(file)

    async def _fill(self, file: BinaryIO) -> None:
        size = self.blob.size
        have = file.seek(0, os.SEEK_END)
        await self._keep(file, 0 if size is None or have > size else have)
        if (size or 0) > LARGEST or not has_room(self.partial.parent, (size or 0) - have):
            raise RefusedError(507, f"The host has no room for this file of {size} bytes.")
        failures = 0
        while True:
            before = file.seek(0, os.SEEK_END)
            try:
                after = await self._append(file)
                if size is None or after == size:
                    break
                error = AwayError("it ends the file early")
            except AwayError as caught:
                error = caught
                after = file.seek(0, os.SEEK_END)
            failures = 0 if size is not None and after > before else failures + 1
            if failures >= TRIES:
                raise error
            if size is None:
                await self._keep(file, 0)
            await asyncio.sleep(min(8.0, 0.25 * 2**failures))
        await asyncio.to_thread(self._finish, file)

    async def _append(self, file: BinaryIO) -> int:
        """Take what the source gives; the file's size after it."""
        have = file.seek(0, os.SEEK_END)
        async with self._source(have) as (start, chunks):
            if start != have:
                await self._keep(file, start)
                have = start
            async for chunk in chunks:
                have += len(chunk)
                if have > (LARGEST if self.blob.size is None else self.blob.size):
                    await self._keep(file, 0)
                    raise RefusedError(502, "The file is longer than the other side said it is.")
                await asyncio.to_thread(self._take, file, chunk)
        return have

    async def _keep(self, file: BinaryIO, size: int) -> None:
        """Cut the file to `size` and begin the sum of its bytes anew."""
        file.truncate(size)
        self._sum = hashlib.sha256()
        file.seek(0)
        while chunk := await asyncio.to_thread(file.read, CHUNK):
            await asyncio.to_thread(self._sum.update, chunk)

    def _take(self, file: BinaryIO, chunk: bytes) -> None:
        file.write(chunk)
        file.flush()
        self._sum.update(chunk)

    def _finish(self, file: BinaryIO) -> None:
        kind = self.blob.digest.partition(":")[0]
        found = {"sha256": lambda: "sha256:" + self._sum.hexdigest(), "git": lambda: _git_digest(file)}.get(kind, str)()
        if found != self.blob.digest:
            self.partial.unlink()
            raise RefusedError(502, f"The file is damaged: it is {found}, and should be {self.blob.digest}. Try again.")
        os.fsync(file.fileno())
        os.chmod(self.partial, 0o444)
        os.rename(self.partial, self.path)


class Blobs:
    """A folder of contents."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._downloads: dict[str, Download] = {}
        self._slots: asyncio.Semaphore | None = None

    def path(self, blob: Blob) -> Path | None:
        """Where the content is, if it is complete."""
        path = self._folder / blob.key
        if not path.is_file():
            return None
        with suppress(OSError):
            os.utime(path)  # When it was last wanted: `ptb gc --unused` asks.
        return path

    def present(self, blob: Blob) -> int:
        """How many of its bytes are here."""
        for path in (self._folder / blob.key, self._folder / f"{blob.key}.partial"):
            with suppress(OSError):
                return path.stat().st_size
        return 0

    @asynccontextmanager
    async def download(self, blob: Blob, source: Source) -> AsyncIterator[Download]:
        """Join the download of a content, or begin it. It is given up some time after its last reader left."""
        self._slots = self._slots or asyncio.Semaphore(AT_ONCE)
        one = self._downloads.get(blob.key)
        if one is None or one.task.done():
            one = self._downloads[blob.key] = Download(self._folder, blob, source, self._slots)
        one.readers += 1
        try:
            yield one
        finally:
            one.readers -= 1
            if one.task.done():
                self._forget(one)
            elif not one.readers:
                asyncio.get_running_loop().call_later(LINGER_SECONDS, self._give_up, one)

    def _give_up(self, one: Download) -> None:
        if not one.readers:
            one.task.cancel()
            self._forget(one)

    def _forget(self, one: Download) -> None:
        if one.task.done() and not one.task.cancelled():
            one.task.exception()  # So that nobody's download that failed is not reported as an error of ours.
        if self._downloads.get(one.blob.key) is one:
            del self._downloads[one.blob.key]


def has_room(folder: Path, size: int) -> bool:
    """Whether so many bytes can be written there without filling the disk."""
    return shutil.disk_usage(folder).free >= size + RESERVE


def _locked(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Whether an open file is still the one at `path`: it may have been completed, or thrown away, before our lock."""
    with suppress(OSError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False


def _git_digest(file: BinaryIO) -> str:
    found = hashlib.sha1(b"blob %d\0" % os.fstat(file.fileno()).st_size, usedforsecurity=False)
    file.seek(0)
    while chunk := file.read(CHUNK):
        found.update(chunk)
    return "git:" + found.hexdigest()
