"""What a site remembers between builds, so that only what changed is made again. Lies beside the site, not in it."""

import hashlib
from pathlib import Path

import msgspec

from posttrainbench.board.entry import Entry
from posttrainbench.strict import Value, disk, write_bytes

FORMAT = 1


class Kept(Value, frozen=True, kw_only=True):
    """A run whose pages are made."""

    signature: str
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


class Manifest(Value, frozen=True, kw_only=True):
    """All of it."""

    format: int = FORMAT
    code: str = ""
    """Digest of what the pages were made by."""
    runs: dict[str, Kept] = {}
    """By the run's folder."""
    pages: dict[str, str] = {}
    """Digest of what each page that is not a run's was made from, by its path."""


def place(out: Path) -> Path:
    """Where a site's manifest lies."""
    return out.parent / f".{out.name}.ptb-site"


def read(out: Path, code: str) -> Manifest:
    """What is known; nothing where another program made the site, or none did."""
    try:
        known = msgspec.msgpack.decode(place(out).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError):
        return Manifest(code=code)
    return known if known.code == code and known.format == FORMAT else Manifest(code=code, pages=known.pages)


def write(out: Path, manifest: Manifest) -> None:
    """Remember it."""
    write_bytes(place(out), msgspec.msgpack.encode(manifest))


def put(out: Path, path: str, content: bytes) -> None:
    """Write one file of the site."""
    target = out / path
    with disk(f"write {path}"):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def digest(*values: object) -> str:
    """Of what a page is made from."""
    return hashlib.sha256(msgspec.msgpack.encode(values)).hexdigest()[:20]
