"""What a site remembers between builds, so that only what changed is made again. Lies beside the site, not in it.

A file that is cut off, changed, of another program or of nonsense is as good as none, and a build without it gives the
same bytes. It does not protect against whoever may write files beside the site: they may write the site itself.
"""

import gc
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from posttrainbench.board.entry import Entry
from posttrainbench.board.tallies import Tally
from posttrainbench.strict import Value, disk, write_bytes

FORMAT = 3
DIGEST_BYTES = 32


class Kept(Value, frozen=True, kw_only=True):
    """A run whose pages are made."""

    signature: str
    signed: list[str]
    """Files that it is of."""
    name: str
    """Of its pages."""
    digest: str
    """Of its record."""
    entry: Entry | None
    """None: the record could not be used."""
    problem: str = ""
    board: str = ""
    """The board that its rules belong to."""
    dev: list[tuple[float, float]] = []
    """Share of the session's time, and the score on the dev questions that the agent was told then."""
    files: list[str] = []
    questions: dict[str, str] = {}
    """Digest of the questions' file of each measurement that its record names."""


class Manifest(Value, frozen=True, kw_only=True):
    """All of it."""

    format: int = FORMAT
    code: str = ""
    """Digest of what the pages were made by."""
    runs: dict[str, Kept] = {}
    """By the run's folder."""
    pages: dict[str, str] = {}
    """Digest of what each page that is not a run's was made from, by its path."""
    tallies: dict[str, Tally] = {}
    """By the digest of what each was made from."""

    @property
    def files(self) -> set[str]:
        """Paths of all files in the site."""
        return {*self.pages, *(name for one in self.runs.values() for name in one.files)}


def place(out: Path) -> Path:
    """Where it says that a site is ours, and which files are."""
    return out.parent / f".{out.name}.ptb-site"


def cache(out: Path) -> Path:
    """Where a site's manifest lies. It may be removed at any time."""
    return out.parent / f".{out.name}.ptb-cache"


def read(out: Path, code: str) -> Manifest:
    """What is known; nothing where another program made the site, or none did."""
    nothing = Manifest(code=code)
    try:
        content = cache(out).read_bytes()
        if hashlib.sha256(content[DIGEST_BYTES:]).digest() != content[:DIGEST_BYTES]:
            return nothing
        with uncollected():
            known = msgspec.msgpack.decode(memoryview(content)[DIGEST_BYTES:], type=Manifest, dec_hook=_array)
    except (OSError, ValueError, RecursionError):
        return nothing
    return known if known.code == code and known.format == FORMAT else nothing


@contextmanager
def uncollected() -> Iterator[None]:
    """Without a look for garbage at every few hundred new values, none of which is any: with ten thousand runs in
    memory each look takes long."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def files(out: Path) -> set[str]:
    """Paths in the site that a build made, whichever program it was."""
    return listed(place(out))


def listed(path: Path) -> set[str]:
    """The paths that a list names, one a line, and none that leads out; nothing where it is no file of ours."""
    try:
        names = [] if path.is_symlink() else path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return set()
    return {name for name in names if name and not name.startswith("/") and ".." not in name.split("/")}


def write(out: Path, manifest: Manifest) -> None:
    """Remember it."""
    write_bytes(place(out), "".join(f"{name}\n" for name in sorted(manifest.files)).encode())
    content = msgspec.msgpack.encode(manifest, enc_hook=np.ndarray.tobytes)
    write_bytes(cache(out), hashlib.sha256(content).digest() + content)


def put(out: Path, path: str, content: bytes) -> None:
    """Write one file of the site."""
    target = out / path
    with disk(f"write {path}"):
        try:
            _write(target, content)
        except FileNotFoundError:  # Once a folder, not once a file: most of a large site's time is the disk's.
            target.parent.mkdir(parents=True, exist_ok=True)
            _write(target, content)


def _write(target: Path, content: bytes) -> None:
    with open(target, "wb", buffering=2**13) as file:
        file.write(content)


def _array(kind: type, content: Any) -> Any:
    """Of float64, the only kind that is kept."""
    return np.frombuffer(content, dtype=np.float64)


def digest(*values: object) -> str:
    """Of what a page is made from."""
    return hashlib.sha256(msgspec.msgpack.encode(values, enc_hook=np.ndarray.tobytes)).hexdigest()[:32]
