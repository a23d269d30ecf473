"""Which call to the hub a request path is; every other path is refused.

A path is taken apart into kind, repository, action, revision and file, and what goes to the hub is built from these
parts anew. So what was checked is what is asked for: an encoded slash, `..`, an empty segment, a lookalike letter or a
double encoding either is refused here or means to the hub what it meant to us.
"""

import re
from urllib.parse import quote, unquote_to_bytes

from posttrainbench.gateway.refusal import RefusedError
from posttrainbench.gateway.traffic import RepoKind
from posttrainbench.strict import Value

KINDS: dict[str, RepoKind] = {"models": "model", "datasets": "dataset", "spaces": "space", "kernels": "kernel"}
LISTINGS = {*KINDS, "models-tags-by-type", "datasets-tags-by-type"}
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,95}")
COMMIT = re.compile(r"[0-9a-f]{40}")
FILES = ("resolve", "raw")
REVISIONED = ("revision", "tree", "paths-info", "commits", "treesize", *FILES)
"""Actions whose next segment is a revision."""
PLAIN = ("refs", "parquet", "croissant", "safetensors-metadata")
ACTIONS = (*REVISIONED, *PLAIN)
WRITES = "This run may read from the hub, not write to it, and has no account there."


class Call(Value, frozen=True, kw_only=True):
    """One thing to ask of the hub."""

    action: str
    """`listing`, `info`, or one of ACTIONS."""
    kind: RepoKind | None = None
    repo: str = ""
    revision: str = ""
    path: str = ""
    """File or folder in the repository; for a listing its name."""

    @property
    def pinned(self) -> bool:
        """Whether the answer can never change."""
        return bool(COMMIT.fullmatch(self.revision))

    @property
    def url(self) -> str:
        """The hub's path for it, percent-encoded."""
        if self.action == "listing":
            return f"/api/{self.path}"
        tail = "".join("/" + quote(part, safe="") for part in self.path.split("/") if part)
        if self.action in FILES:
            folder = "" if self.kind == "model" else f"{self.kind}s/"
            return f"/{folder}{self.repo}/{self.action}/{quote(self.revision, safe='')}{tail}"
        action = "" if self.action == "info" else f"/{self.action}"
        revision = f"/{quote(self.revision, safe='')}" if self.revision else ""
        return f"/api/{self.kind}s/{self.repo}{action}{revision}{tail}"


def parse(raw: str) -> Call:
    """The call that a raw (still encoded) path without its query means; raises RefusedError for anything else."""
    if not raw.startswith("/"):
        raise RefusedError(400, f"{raw[:200]!r} is no path of the hub.")
    segments = [_decoded(segment) for segment in raw[1:].split("/")]
    if segments[0] == "api":
        return _interface(segments[1:])
    kind = KINDS.get(segments[0]) if segments[0] != "models" else None
    return _of_repository(kind or "model", segments[1:] if kind else segments, api=False)


def _interface(segments: list[str]) -> Call:
    if len(segments) == 1 and segments[0] in LISTINGS:
        return Call(action="listing", path=segments[0])
    if segments[:1] == ["resolve-cache"] and len(segments) > 1 and segments[1] in KINDS:
        names = segments[2:]
        width = 1 if len(names) > 1 and COMMIT.fullmatch(names[1]) else 2
        return _of_repository(KINDS[segments[1]], [*names[:width], "resolve", *names[width:]], api=True)
    if segments and segments[0] in KINDS:
        return _of_repository(KINDS[segments[0]], segments[1:], api=True)
    if segments and segments[0] in ("whoami-v2", "repos", "settings", "validate-yaml"):
        raise RefusedError(403, WRITES)
    raise RefusedError(403, f"/api/{'/'.join(segments)[:200]} of the hub is not served to this run.")


def _of_repository(kind: RepoKind, segments: list[str], *, api: bool) -> Call:
    known = ACTIONS if api else FILES
    if not segments:
        raise RefusedError(400, "The path names no repository.")
    width = 1 if len(segments) == 1 or segments[1] in known else 2
    names, tail = segments[:width], segments[width:]
    for name in names:
        if not NAME.fullmatch(name) or ".." in name:
            raise RefusedError(
                400, f"{name[:100]!r} is no name of a repository: letters, digits, '.', '_' and '-' only."
            )
    repo = "/".join(names)
    if not tail:
        if api:
            return Call(action="info", kind=kind, repo=repo)
        raise RefusedError(403, f"The page of {repo} is not served to this run; its files and the hub's /api are.")
    action, rest = tail[0], tail[1:]
    if action not in known:
        raise RefusedError(403, f"{action[:50]!r} of {repo} is not served to this run. " + WRITES)
    revision = ""
    if action in REVISIONED:
        if not rest or not rest[0] or rest[0] in FILES:
            raise RefusedError(400, f"{action} of {repo} needs a revision.")
        revision, rest = rest[0], rest[1:]
    path = "/".join(rest)
    if action in FILES and not path:
        raise RefusedError(400, f"{action} of {repo} needs a file.")
    for part in [*(revision.split("/") if revision else []), *(path.split("/") if path else [])]:
        if part in ("", ".", ".."):
            raise RefusedError(400, f"{part!r} stands in a path of {repo}; write it plainly.")
    return Call(action=action, kind=kind, repo=repo, revision=revision, path=path)


def _decoded(segment: str) -> str:
    try:
        text = unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        raise RefusedError(400, "A path of the hub is written in UTF-8.") from None
    if len(text) > 1024 or any(ord(letter) < 32 or ord(letter) == 127 or letter == "\\" for letter in text):
        raise RefusedError(
            400, "A part of the path is longer than 1024 letters, or holds a control character or backslash."
        )
    return text
