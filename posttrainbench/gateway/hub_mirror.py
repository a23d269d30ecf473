"""The hub as a run may see it: HF_ENDPOINT of huggingface_hub, transformers and datasets inside the sandbox.

Read-only. Redirects are followed here, so the sandbox needs no other host; hints at the chunk store (xet) are left out,
so clients download plainly. What was fetched lies on the host for all runs, and is served when the hub is away. Some
repositories are refused: by the name that is asked for, and by each name that the hub gives it (renamed repositories).
A token of the host goes to the hub's own address alone.

What it does not protect against: a copy of a refused repository under another name, or inside another dataset: the log
names what was fetched, so that the audit can look. Once a gated file was fetched with one run's token, every run on
this host's cache can read it.
"""

import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from posttrainbench.gateway.blobs import Blob, Blobs, Source
from posttrainbench.gateway.file_answer import cut, send
from posttrainbench.gateway.hub_answers import Answer, Answers, bounded
from posttrainbench.gateway.hub_paths import FILES, WRITES, Call, parse
from posttrainbench.gateway.hub_upstream import Hub, Sessions, chunks
from posttrainbench.gateway.lines import Lines
from posttrainbench.gateway.refusal import AwayError, RefusedError
from posttrainbench.gateway.spec import GatewaySpec
from posttrainbench.gateway.traffic import HubFetch
from posttrainbench.journal import now

QUESTION = 1024**2
"""Most bytes of a question's body."""
NAMED_SECONDS = 600.0
"""For so long a repository is taken to have the name that the hub last gave it."""
PASSED = ("Content-Type", "Retry-After", "X-Error-Code", "X-Error-Message", "X-Repo-Commit")
LINK = re.compile(r"<([^<>]*)>(;[^,<>]*)")
TAG = re.compile(r'(?:W/)?"?([0-9a-f]{40}|[0-9a-f]{64})"?')


def routes(
    spec: GatewaySpec, folder: Path, sessions: Sessions, hub_token: str = "", prefix: str = "/hub"
) -> list[web.RouteDef]:
    """What the gateway serves below `prefix`; `folder` is the gateway's, for its log `hub.jsonl`."""
    mirror = Mirror(
        Hub(spec.hub, sessions, hub_token),
        Path(spec.cache),
        refused=[] if spec.network == "closed" else spec.refused_repos,
        prefix=prefix,
        log=Lines(folder / "hub.jsonl"),
        closed=spec.network == "closed",
    )
    return [web.route("*", prefix + "/{tail:.*}", mirror.handle)]


class Mirror:
    """Serves one hub from one cache."""

    def __init__(
        self, hub: Hub, cache: Path, *, refused: list[str], prefix: str, log: Lines | None, closed: bool = False
    ) -> None:
        self._hub = hub
        self._answers = Answers(hub, cache / "hub" / "answers")
        self._blobs = Blobs(cache / "blobs")
        self._refused = [pattern.lower().removeprefix("datasets/").removeprefix("models/") for pattern in refused]
        self._prefix = prefix
        self._log = log
        self._closed = closed
        self._names: dict[tuple[str | None, str], tuple[str, float]] = {}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request, and write it down."""
        call = Call(action="listing")
        try:
            if self._log:
                self._log.check()
            if self._closed:
                raise RefusedError(403, "This run's protocol closes the network: the hub is not served to it.")
            call = parse(request.raw_path.partition("?")[0].removeprefix(self._prefix))
            if request.method not in ("GET", "HEAD") and (request.method, call.action) != ("POST", "paths-info"):
                raise RefusedError(403, WRITES)
            self._check(call.repo)
            if call.repo and self._log:
                call = await self._named(call)
            return await (self._file(request, call) if call.action == "resolve" else self._question(request, call))
        except RefusedError as refusal:
            return self._error(call, refusal)
        except AwayError as away:
            return self._error(
                call,
                RefusedError(
                    504, f"The hub cannot be reached from this host ({away}), and what you ask for is not here yet."
                ),
            )

    def _check(self, repo: str) -> None:
        if any(fnmatchcase(repo.lower(), pattern) for pattern in self._refused):
            raise RefusedError(
                403,
                f"This run may not download {repo}: its protocol keeps it from agents, since it holds the benchmark's "
                "test set or is an instruct model of the base model. Use another model or dataset.",
                "GatedRepo",
            )

    async def _named(self, call: Call) -> Call:
        """The call by the repository's own name, which may be another than the one asked for."""
        name, until = self._names.get((call.kind, call.repo), ("", 0.0))
        if not name or until < time.monotonic():
            info = Call(action="info", kind=call.kind, repo=call.repo)
            answer, body, _ = await self._answers.ask("GET", info, self._check)
            name = _identity(body) if answer.status == 200 else ""
            if not name or parse(msgspec.structs.replace(info, repo=name).url).repo != name:
                return call
            if len(self._names) > 10_000:
                self._names.clear()
            self._names[call.kind, call.repo] = name, time.monotonic() + NAMED_SECONDS
        self._check(name)
        return msgspec.structs.replace(call, repo=name)

    async def _question(self, request: web.Request, call: Call) -> web.StreamResponse:
        """An answer of the hub's interface."""
        query = request.rel_url.raw_query_string
        if call.action in ("raw", "safetensors-metadata") or _is_export(call):
            return await self._passed(request, call)
        body = await bounded(request.content.iter_any(), QUESTION) if request.method == "POST" else None
        kind = request.headers.get("Content-Type", "")[:200] if body is not None else ""
        method = "GET" if request.method == "HEAD" else request.method
        answer, content, cached = await self._answers.ask(method, call, self._check, query, body, kind)
        own = f"{request.scheme}://{request.host}{self._prefix}"
        headers = {name: value for name, value in answer.headers.items() if name in PASSED}
        if answer.status == 200 and "json" in answer.headers.get("Content-Type", ""):
            content = self._rewritten(call, content, own)
        if link := _links(answer.headers.get("Link", ""), str(self._hub.base), own):
            headers["Link"] = link
        self._write(call, answer, len(content), answer.status, cached)
        return web.Response(status=answer.status, body=content, headers=headers)

    def _rewritten(self, call: Call, content: bytes, own: str) -> bytes:
        try:
            value = msgspec.json.decode(content)
        except msgspec.DecodeError:
            raise RefusedError(502, "The hub answered with broken JSON.") from None
        if call.repo:
            self._check(_identity(content) or call.repo)
        moved = (str(self._hub.base) + "/", own + "/") if call.action in ("parquet", "croissant") else ("", "")
        return msgspec.json.encode(_plain(value, *moved))

    async def _file(self, request: web.Request, call: Call) -> web.StreamResponse:
        """A file of a repository at a revision."""
        answer, _, cached = await self._answers.ask("HEAD", call, self._check)
        found = answer.headers
        if answer.status != 200:
            headers = {name: found[name] for name in PASSED if name in found and name != "Content-Type"}
            self._write(call, answer, 0, answer.status, cached)
            return web.json_response({"error": found.get("X-Error-Message", "")}, status=answer.status, headers=headers)
        commit = found.get("X-Repo-Commit", "")
        tag = TAG.fullmatch(found.get("X-Linked-ETag", "") or found.get("ETag", ""))
        if not tag or not Call(action="", revision=commit).pinned:
            raise RefusedError(502, f"The hub names no commit or no digest for {call.path} of {call.repo}.")
        length = found.get("X-Linked-Size") or found.get("Content-Length") or ""
        size = int(length) if re.fullmatch(r"[0-9]{1,18}", length) else None
        headers = {
            "X-Repo-Commit": commit,
            "X-Linked-ETag": f'"{tag[1]}"',
            "ETag": f'"{tag[1]}"',
            "Content-Type": "application/octet-stream",
            "Accept-Ranges": "bytes",
        }
        if size is not None:
            headers["X-Linked-Size"] = str(size)
        at = msgspec.structs.replace(call, revision=commit)
        digest = f"sha256:{tag[1]}" if len(tag[1]) == 64 else f"git:{tag[1]}"
        blob = Blob(key=digest.replace(":", "-"), size=size, digest=digest)
        return await send(
            request,
            self._blobs,
            blob,
            self._source(at),
            headers,
            lambda status, count, here: self._write(at, answer, count, status, here),
        )

    def _source(self, call: Call) -> Source:
        @asynccontextmanager
        async def opened(offset: int) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
            asked = {"Range": f"bytes={offset}-"} if offset else {}
            async with self._hub.open("GET", call, check=self._check, headers=asked) as reply:
                response = reply.response
                if response.status == 429:
                    raise AwayError("it asks for a pause (429)")
                if response.status not in (200, 206):
                    raise RefusedError(502, f"The hub answered {response.status} to the download of {call.path}.")
                if response.headers.get("Content-Encoding", "identity") != "identity":
                    raise RefusedError(502, "The hub sent the file with an encoding that was not asked for.")
                begin = re.match(r"bytes (\d{1,18})-", response.headers.get("Content-Range", ""))
                yield (int(begin[1]) if begin and response.status == 206 else 0), chunks(response)

        return opened

    async def _passed(self, request: web.Request, call: Call) -> web.StreamResponse:
        """Bytes of the hub that have no digest: handed on, and not kept."""
        asked = {"Range": request.headers["Range"]} if "Range" in request.headers else {}
        async with self._hub.open(request.method, call, check=self._check, headers=asked) as reply:
            found = reply.response
            response = web.StreamResponse(status=found.status)
            for name in (*PASSED, "Content-Length", "Content-Range"):
                if name in found.headers:
                    response.headers[name] = found.headers[name]
            answer = Answer(status=found.status, headers=dict(reply.headers), repos=reply.repos)
            count = 0
            try:
                await response.prepare(request)
                if request.method != "HEAD":
                    async for chunk in chunks(found):
                        await response.write(chunk)
                        count += len(chunk)
                await response.write_eof()
            except (AwayError, ConnectionError):
                cut(request)
            self._write(call, answer, count, found.status, cached=False)
        return response

    def _error(self, call: Call, refusal: RefusedError) -> web.Response:
        self._write(call, None, 0, refusal.status, cached=False, refused=refusal.sentence)
        headers = {"X-Error-Message": refusal.sentence.encode("ascii", "replace").decode()}
        # Of all codes, these make the client libraries show the sentence: transformers drops that of a missing entry,
        # datasets drops that of a gated repository.
        code = refusal.code
        if code == "GatedRepo" and call.kind == "dataset":
            code = "EntryNotFound" if call.action in FILES else ""
        if code:
            headers["X-Error-Code"] = code
        return web.json_response({"error": refusal.sentence}, status=refusal.status, headers=headers)

    def _write(
        self, call: Call, answer: Answer | None, count: int, status: int, cached: bool, refused: str = ""
    ) -> None:
        if self._log is None:
            return
        self._log.write(
            HubFetch(
                t=time.monotonic(),
                at=now(),
                kind=call.kind,
                repo=answer.repos[-1] if answer and answer.repos else call.repo,
                revision=(answer.headers.get("X-Repo-Commit") if answer else None) or call.revision,
                file=call.path if call.action in FILES or _is_export(call) else "",
                bytes=count,
                status=status,
                cached=cached,
                refused=refused,
            )
        )


def _is_export(call: Call) -> bool:
    """Whether it is a file that the hub made of a dataset."""
    return call.action == "parquet" and call.path.endswith(".parquet")


def _identity(body: bytes) -> str:
    """The name that the hub's own description of a repository gives it."""
    try:
        value = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return ""
    name = value.get("id") if isinstance(value, dict) else None
    return name if isinstance(name, str) else ""


def _plain(value: Any, old: str, new: str) -> Any:
    """JSON without hints at the chunk store, and with addresses of the hub replaced by the mirror's."""
    if isinstance(value, dict):
        return {name: _plain(item, old, new) for name, item in value.items() if name != "xetHash"}
    if isinstance(value, list):
        return [_plain(item, old, new) for item in value]
    if old and isinstance(value, str) and value.startswith(old):
        return new + value[len(old) :]
    return value


def _links(header: str, hub: str, own: str) -> str:
    """The header with addresses of the next page moved to the mirror; others are dropped."""
    return ", ".join(
        f"<{own}{url.removeprefix(hub)}>{rest}" for url, rest in LINK.findall(header) if url.startswith(hub + "/")
    )
