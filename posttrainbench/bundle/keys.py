"""Looks for what must not be published: keys of known shapes, and secrets that are known.

A key is found as it stands, known secrets also as JSON and URLs write them. Not found: one that is encoded otherwise
(base64, hex), one that is split, and one of a provider whose keys have no shape of their own.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from posttrainbench.gateway import redaction

CHUNK = 4 * 2**20
OVERLAP = 8192
"""No shape is longer, so none hides on a border between two chunks."""
DISTINCT = 8
"""A key has at least so many different characters; `sk-xxxxxxxx…` in an example has not."""

_START = rb"(?<![A-Za-z0-9_-])"
SHAPES: tuple[tuple[str, bytes, re.Pattern[bytes]], ...] = (
    (
        "a key of a model provider (sk-…)",
        b"sk-",
        re.compile(_START + rb"sk-(?:[a-z0-9]{2,10}-){0,3}([A-Za-z0-9_]{20,200})"),
    ),
    ("a Google API key (AIza…)", b"AIza", re.compile(_START + rb"AIza([0-9A-Za-z_-]{35})")),
    ("a Google OAuth token (ya29.…)", b"ya29.", re.compile(_START + rb"ya29\.([0-9A-Za-z_-]{30,2000})")),
    ("a token of the Hugging Face hub (hf_…)", b"hf_", re.compile(_START + rb"hf_([A-Za-z0-9]{30,100})")),
    ("a GitHub token (gh…_…)", b"gh", re.compile(_START + rb"gh[opsur]_([A-Za-z0-9]{36,255})")),
    ("a GitHub token (github_pat_…)", b"github_pat_", re.compile(_START + rb"github_pat_([A-Za-z0-9_]{50,255})")),
    ("an npm token (npm_…)", b"npm_", re.compile(_START + rb"npm_([A-Za-z0-9]{36})")),
    ("a PyPI token (pypi-…)", b"pypi-AgE", re.compile(_START + rb"pypi-(AgE[A-Za-z0-9_-]{50,500})")),
    ("a Slack token (xox…)", b"xox", re.compile(_START + rb"xox[abeprs]-([A-Za-z0-9-]{20,250})")),
    ("an AWS key (AKIA…)", b"AKIA", re.compile(_START + rb"AKIA([0-9A-Z]{16})(?![0-9A-Za-z])")),
    ("a bearer token", b"earer", re.compile(rb"\b[Bb]earer\s{1,4}([A-Za-z0-9._~+/=-]{20,4000})")),
    ("a private key", b"PRIVATE KEY-----", re.compile(rb"-----BEGIN (?:[A-Z]{2,10} )?(PRIVATE KEY)-----")),
    ("a password in a URL", b"://", re.compile(rb"[a-z]{2,10}://[A-Za-z0-9._-]{1,64}:([A-Za-z0-9._~%-]{20,200})@")),
)
"""What it is, a string without which it is not there, and the shape, whose group is what must be various."""


class Leak(NamedTuple):
    """Where something lies that must not be published; what it says is not kept."""

    file: str
    line: int
    offset: int
    """In bytes, from 0."""
    what: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.line} (byte {self.offset}), holds what looks like {self.what}"


def scan(files: Mapping[str, Path], secrets: Iterable[str] = ()) -> Iterator[Leak]:
    """Every leak in the files, by their names."""
    known = [form for form in redaction.forms(secrets) if len(form) >= 8]
    for name, path in sorted(files.items()):
        yield from _scan(name, path, known)


def _scan(name: str, path: Path, known: list[bytes]) -> Iterator[Leak]:
    seen: set[tuple[int, str]] = set()
    lines, start, kept = 1, 0, b""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            content = kept + chunk
            for position, what in _found(content, known):
                if (start + position, what) not in seen:
                    seen.add((start + position, what))
                    yield Leak(name, lines + content.count(b"\n", 0, position), start + position, what)
            kept = content[-OVERLAP:]
            passed = len(content) - len(kept)
            lines, start = lines + content.count(b"\n", 0, passed), start + passed


def _found(content: bytes, known: list[bytes]) -> Iterator[tuple[int, str]]:
    for form in known:
        at = content.find(form)
        if at != -1:
            yield at, "a secret of this run or of this machine"
    for what, needed, shape in SHAPES:
        if needed in content:  # Searching for an expression takes a hundred times as long.
            for match in shape.finditer(content):
                if len(set(match.group(1))) >= DISTINCT and b"redacted" not in match.group(1):
                    yield match.start(), what
