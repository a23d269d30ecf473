"""A hub of models and datasets that speaks what huggingface_hub asks, with a CDN on another port."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from aiohttp import web
from serving import listening

TOKEN = "hf_host_token_of_the_test"


@dataclass
class Repo:
    """Files of one commit; the large ones lie on the CDN."""

    files: dict[str, bytes]
    kind: str = "models"
    large: tuple[str, ...] = ()
    gated: bool = False

    @property
    def commit(self) -> str:
        """Changes with the files."""
        content = b"".join(name.encode() + body for name, body in sorted(self.files.items()))
        return hashlib.sha1(content).hexdigest()

    def entry(self, name: str) -> dict[str, Any]:
        """As a tree lists it."""
        body = self.files[name]
        entry = {"type": "file", "path": name, "size": len(body), "oid": git_digest(body)}
        if name in self.large:
            digest = hashlib.sha256(body).hexdigest()
            entry |= {"lfs": {"oid": digest, "size": len(body), "pointerSize": 134}, "xetHash": "ab" * 32}
        return entry


def git_digest(body: bytes) -> str:
    """What git calls it."""
    return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()


@dataclass
class ScriptedHub:
    """What it holds, how it behaves, and what it was asked."""

    repos: dict[str, Repo]
    renamed: dict[str, str] = field(default_factory=dict)
    """Old name to new."""
    silent_names: dict[str, str] = field(default_factory=dict)
    """Other names that it answers without a redirect."""
    down: bool = False
    cut_after: int | None = None
    """The CDN's first answer ends after so many bytes."""
    pause: float = 0.0
    """Seconds before each chunk of the CDN."""
    chunk: int = 256 * 1024
    damaged: bool = False
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, path with query, and Authorization of each request to the hub itself."""
    fetched: list[tuple[str, str, str]] = field(default_factory=list)
    """Range, path and Authorization of each request to the CDN."""
    cdn: str = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """The hub's address."""
        cdn, hub = web.Application(), web.Application()
        cdn.router.add_get("/{digest}", self._content)
        hub.router.add_route("*", "/{tail:.*}", self._hub)
        async with listening(cdn) as self.cdn, listening(hub) as address:
            yield address

    async def _hub(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.method, request.path_qs, request.headers.get("Authorization", "")))
        if self.down:
            return web.Response(status=503)
        parts = [unquote(part) for part in request.raw_path.partition("?")[0].split("/")[1:]]
        if parts[:1] == ["api"]:
            return await self._interface(request, parts[1:])
        kind = parts.pop(0) if parts[0] in ("datasets", "spaces") else "models"
        name, rest = "/".join(parts[:2]), parts[2:]
        if name in self.renamed:
            folder = "" if kind == "models" else f"/{kind}"
            return web.Response(
                status=307,
                headers={"Location": f"{folder}/{self.renamed[name]}/{'/'.join(rest).replace('refs/', 'refs%2F')}"},
            )
        return await self._file(request, kind, name, rest[0], rest[1], "/".join(rest[2:]))

    async def _interface(self, request: web.Request, parts: list[str]) -> web.StreamResponse:
        if parts[0] == "resolve-cache":
            return await self._file(request, parts[1], "/".join(parts[2:4]), "cache", parts[4], "/".join(parts[5:]))
        if len(parts) == 1:
            names = [{"id": name} for name, repo in self.repos.items() if repo.kind == parts[0]]
            return web.json_response(names)
        kind, name, rest = parts[0], "/".join(parts[1:3]), parts[3:]
        if name in self.renamed:
            tail = "".join("/" + part.replace("/", "%2F") for part in rest)
            return web.Response(status=307, headers={"Location": f"/api/{kind}/{self.renamed[name]}{tail}"})
        name = self.silent_names.get(name, name)
        repo = self.repos.get(name)
        if repo is None or repo.kind != kind:
            return _missing()
        if not rest or rest[0] == "revision":
            siblings = [{"rfilename": file} for file in repo.files]
            return web.json_response(
                {"id": name, "sha": repo.commit, "siblings": siblings, "private": False, "tags": [], "downloads": 1}
            )
        if rest[0] == "tree":
            folder = "/".join(rest[2:])
            entries = [repo.entry(file) for file in repo.files if not folder or file.startswith(folder + "/")]
            first = request.query.get("cursor") is None
            page = entries[:1] if first else entries[1:]
            link = f'<{request.url.origin()}{request.path}?cursor=2&recursive=True>; rel="next"'
            return web.json_response(page, headers={"Link": link} if first and len(entries) > 1 else {})
        if rest[0] == "paths-info":
            wanted = (await request.post()).getall("paths", [])
            return web.json_response([repo.entry(file) for file in wanted if file in repo.files])
        return web.Response(status=404)

    async def _file(
        self, request: web.Request, kind: str, name: str, how: str, revision: str, file: str
    ) -> web.StreamResponse:
        repo = self.repos.get(self.silent_names.get(name, name))
        if repo is None or repo.kind != kind:
            return _missing()
        if repo.gated and request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.Response(status=401, headers={"X-Error-Code": "GatedRepo", "X-Error-Message": "It is gated."})
        commit = {"X-Repo-Commit": repo.commit}
        if file not in repo.files:
            return web.Response(status=404, headers={**commit, "X-Error-Code": "EntryNotFound"})
        body = repo.files[file]
        if file in repo.large:
            digest = hashlib.sha256(body).hexdigest()
            linked = {"X-Linked-ETag": f'"{digest}"', "X-Linked-Size": str(len(body)), "X-Xet-Hash": "ab" * 32}
            xet = {"Link": f'<{request.url.origin()}/api/xet>; rel="xet-auth"'}
            return web.Response(
                status=302, headers={**commit, **linked, **xet, "Location": f"{self.cdn}/{digest}?signature=x"}
            )
        if how != "cache":
            where = f"/api/resolve-cache/{kind}/{name}/{repo.commit}/{file}?etag=x"
            return web.Response(status=307, headers={**commit, "Location": where})
        return web.Response(body=body, headers={**commit, "ETag": f'"{git_digest(body)}"'})

    async def _content(self, request: web.Request) -> web.StreamResponse:
        self.fetched.append(
            (request.headers.get("Range", ""), request.path_qs, request.headers.get("Authorization", ""))
        )
        digest = request.match_info["digest"]
        bodies = [body for repo in self.repos.values() for body in repo.files.values()]
        body = next(body for body in bodies if hashlib.sha256(body).hexdigest() == digest)
        if self.damaged:
            body = body[:-5] + b"wrong"
        start = request.http_range.start or 0
        response = web.StreamResponse(status=206 if start else 200)
        if start:
            response.headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        response.content_length = len(body) - start
        await response.prepare(request)
        end, self.cut_after = (self.cut_after, None) if self.cut_after is not None else (len(body), None)
        for position in range(start, min(end, len(body)), self.chunk):
            await asyncio.sleep(self.pause)
            await response.write(body[position : min(position + self.chunk, end)])
        if end < len(body) and request.transport:
            await asyncio.sleep(0.1)
            request.transport.abort()
        return response


def _missing() -> web.Response:
    return web.Response(status=401, headers={"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})


MODEL = "acme/small-base"
BIG = random.Random(1).randbytes(20 * 1024**2)
FILES = {"config.json": b'{"model_type": "llama"}', "model.safetensors": BIG[: 9 * 1024**2], "sub/notes.txt": b"notes"}


def small_hub(**more: Any) -> ScriptedHub:
    rows = b'{"question": "1+1", "answer": "2"}\n{"question": "2+2", "answer": "4"}\n'
    return ScriptedHub(
        {
            MODEL: Repo(FILES, large=("model.safetensors",)),
            "acme/small-instruct": Repo({"config.json": b"{}"}),
            "acme/gated": Repo(
                {"secret.bin": b"gated content", "config.json": b"{}"}, large=("secret.bin",), gated=True
            ),
            "acme/sums": Repo({"train.jsonl": rows}, kind="datasets"),
            "acme/test-set": Repo({"test.jsonl": rows}, kind="datasets", large=("test.jsonl",)),
        },
        **more,
    )


REFUSED_REPOS = ["acme/test-set", "acme/*-instruct"]

SNAPSHOT = """
from pathlib import Path
folder = Path(snapshot_download("acme/small-base"))
import hashlib
import random
print(json.dumps({p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
                  for p in folder.rglob("*") if p.is_file()}))
"""
DIGESTS = {name: hashlib.sha256(body).hexdigest() for name, body in FILES.items()}
