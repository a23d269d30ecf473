"""Package indexes as a run may see them: PIP_INDEX_URL, UV_INDEX_URL and npm_config_registry inside the sandbox.

Pages are those of the host's own indexes, with links that lead through the gateway. Files whose digest the index gives
are kept on the host for all runs. Hashes stay in the pages, so clients check what they get.

Python packages that hold the test set are refused, with a sentence that the agent reads.

What it does not protect against: what a package does when it is installed; data that is packed as a package that nobody
has named (a copy of the test set, weights in a wheel): the log names what was fetched, so that the audit can look.
"""

import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

import aiohttp
from aiohttp import web
from yarl import URL

from posttrainbench.gateway.blobs import Blob, Blobs, Source
from posttrainbench.gateway.file_answer import cut, send
from posttrainbench.gateway.hub_answers import bounded
from posttrainbench.gateway.hub_upstream import Sessions, chunks, started
from posttrainbench.gateway.lines import Lines
from posttrainbench.gateway.package_links import Links, Named, npm_json, python_html, python_json
from posttrainbench.gateway.refusal import AwayError, RefusedError
from posttrainbench.gateway.registries import npm_registry, python_index
from posttrainbench.gateway.spec import GatewaySpec
from posttrainbench.gateway.traffic import PackageFetch
from posttrainbench.journal import now

PROJECT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")
NPM = re.compile(
    r"((?:@[a-z0-9~_-][a-z0-9._~-]{0,100}/)?[A-Za-z0-9~_-][A-Za-z0-9._~-]{0,213})(/[^/]{1,100}|/-/[^/]{1,300})?"
)
LIMITS = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)
PASSED = ("Content-Type", "Content-Length", "Content-Range", "Accept-Ranges", "Last-Modified")

Address = Callable[[], Awaitable[str]]
Answering = Callable[[], Awaitable[web.StreamResponse]]
Index = Literal["pypi", "npm"]


def routes(
    spec: GatewaySpec, folder: Path, sessions: Sessions, python: Address = python_index, npm: Address = npm_registry
) -> list[web.RouteDef]:
    """What the gateway serves below /pypi and /npm; `folder` is the gateway's, for its log `packages.jsonl`."""
    indexes = Indexes(spec, folder, sessions, python, npm)
    return [web.route("*", "/pypi/{tail:.*}", indexes.pypi), web.route("*", "/npm/{tail:.*}", indexes.npm)]


class Indexes:
    """Serves both."""

    def __init__(self, spec: GatewaySpec, folder: Path, sessions: Sessions, python: Address, npm: Address) -> None:
        self._closed = spec.network == "closed"
        self._refused = {normal(name) for name in spec.refused_packages}
        self._links = Links.of(folder)
        self._blobs = Blobs(Path(spec.cache) / "blobs")
        self._log = Lines(folder / "packages.jsonl")
        self._sessions = sessions
        self._addresses: dict[Index, Address] = {"pypi": python, "npm": npm}

    async def pypi(self, request: web.Request) -> web.StreamResponse:
        """`/pypi/simple/PROJECT/` and `/pypi/files/TOKEN/NAME`."""
        words = request.raw_path.partition("?")[0].split("/")[2:]
        match words:
            case ["simple", project, *end] if end in ([], [""]) and PROJECT.fullmatch(project):
                return await self._answered(request, "pypi", project, "", lambda: self._project(request, project))
            case ["files", token, name]:
                return await self._answered(
                    request, "pypi", "", unquote(name), lambda: self._named(request, "pypi", token, name)
                )
            case _:
                return await self._answered(request, "pypi", "", "", lambda: _nothing("/pypi/simple/PROJECT/"))

    async def npm(self, request: web.Request) -> web.StreamResponse:
        """`/npm/PACKAGE`, `/npm/PACKAGE/VERSION`, `/npm/PACKAGE/-/FILE`, and signed links."""
        path = request.raw_path.partition("?")[0].removeprefix("/npm/")
        if path.startswith("-/named/") and path.count("/") == 3:
            token, name = path.split("/")[2:]
            return await self._answered(
                request, "npm", "", unquote(name), lambda: self._named(request, "npm", token, name)
            )
        found = NPM.fullmatch(unquote(path))
        if not found or ".." in path or "\\" in unquote(path):
            return await self._answered(request, "npm", "", "", lambda: _nothing("/npm/PACKAGE"))
        package, rest = found[1], found[2] or ""
        if rest.startswith("/-/"):
            return await self._answered(
                request, "npm", package, rest[3:], lambda: self._tarball(request, package, rest)
            )
        return await self._answered(request, "npm", package, "", lambda: self._document(request, package, rest))

    async def _answered(
        self, request: web.Request, index: Index, package: str, file: str, answer: Answering
    ) -> web.StreamResponse:
        """The answer, or a sentence instead; written down unless the answer itself does."""
        try:
            self._log.check()
            if self._closed:
                raise RefusedError(403, "This run's protocol closes the network: package indexes are not served to it.")
            if request.method not in ("GET", "HEAD"):
                raise RefusedError(405, "Package indexes can be read here, not written to.")
            if index == "pypi" and normal(package or _package(file)) in self._refused:
                raise RefusedError(403, f"This run may not fetch {package or file}: it holds the benchmark's test set.")
            return await answer()
        except RefusedError as error:
            refusal = error
        except AwayError as away:
            refusal = RefusedError(504, f"The package index cannot be reached from this host ({away}).")
        self._write(index, package, file, 0, refusal.status, cached=False, refused=refusal.sentence)
        return web.json_response({"error": refusal.sentence}, status=refusal.status)

    async def _project(self, request: web.Request, project: str) -> web.StreamResponse:
        index = URL(await self._addresses["pypi"]())
        asked = {"Accept": request.headers.get("Accept", "text/html")[:500]}
        async with self._open(index, URL(f"{index}/{project}/"), asked) as found:
            content = await bounded(chunks(found))
            kind = found.headers.get("Content-Type", "").partition(";")[0]
            page = str(found.url)
            status = found.status
        if status == 200:
            if kind.endswith("json"):
                content = python_json(content, page, self._links)
            elif kind.endswith("html"):
                content = python_html(content, page, self._links)
            else:
                raise RefusedError(
                    502, f"The package index answered with {kind[:100]!r}, which is no page of an index."
                )
        self._write("pypi", project, "", len(content), status, cached=False)
        return web.Response(status=status, body=content, headers={"Content-Type": kind})

    async def _document(self, request: web.Request, package: str, rest: str) -> web.StreamResponse:
        registry = URL(await self._addresses["npm"]())
        asked = {"Accept": request.headers.get("Accept", "application/json")[:500]}
        path = package.replace("/", "%2f") + rest
        async with self._open(registry, URL(f"{registry}/{path}", encoded=True), asked) as found:
            content = await bounded(chunks(found))
            kind = found.headers.get("Content-Type", "")
            page = str(found.url)
            status = found.status
        if status == 200:
            content = npm_json(content, page, f"{request.scheme}://{request.host}", self._links)
        self._write("npm", package, "", len(content), status, cached=False)
        return web.Response(status=status, body=content, headers={"Content-Type": kind})

    async def _tarball(self, request: web.Request, package: str, rest: str) -> web.StreamResponse:
        registry = await self._addresses["npm"]()
        return await self._passed(request, "npm", package, str(URL(registry)) + f"/{package}{rest}")

    async def _named(self, request: web.Request, index: Index, token: str, name: str) -> web.StreamResponse:
        named = self._links.read(token)
        package = _package(named.file)
        if name == named.file + ".metadata" and index == "pypi":  # PEP 658: the index names it by naming the file.
            return await self._passed(request, index, package, named.url + ".metadata")
        if name != named.file:
            raise RefusedError(403, f"The link is that of {named.file}.")
        if not named.sha256 or named.size is None:
            return await self._passed(request, index, package, named.url)
        digest = f"sha256:{named.sha256}"
        blob = Blob(key=digest.replace(":", "-"), size=named.size, digest=digest)
        kind = {"Content-Type": "application/octet-stream", "ETag": f'"{named.sha256}"', "Accept-Ranges": "bytes"}

        def sent(status: int, count: int, here: bool) -> None:
            self._write(index, package, unquote(name), count, status, here)

        return await send(request, self._blobs, blob, self._source(index, named), kind, sent)

    def _source(self, index: Index, named: Named) -> Source:
        @asynccontextmanager
        async def opened(offset: int) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
            base = URL(await self._addresses[index]())
            asked = {"Range": f"bytes={offset}-"} if offset else {}
            async with self._open(base, URL(named.url, encoded=True), asked) as found:
                if found.status not in (200, 206):
                    raise RefusedError(502, f"The package index answered {found.status} to {named.file}.")
                begin = re.match(r"bytes (\d{1,18})-", found.headers.get("Content-Range", ""))
                yield (int(begin[1]) if begin and found.status == 206 else 0), chunks(found)

        return opened

    async def _passed(self, request: web.Request, index: Index, package: str, url: str) -> web.StreamResponse:
        """A file that is handed on as it comes, and not kept."""
        base = URL(await self._addresses[index]())
        asked = {"Range": request.headers["Range"]} if "Range" in request.headers else {}
        file = unquote(url.rpartition("/")[2])
        async with self._open(base, URL(url, encoded=True), asked, request.method) as found:
            passed = {name: found.headers[name] for name in PASSED if name in found.headers}
            response = web.StreamResponse(status=found.status, headers=passed)
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
            self._write(index, package, file, count, found.status, cached=False)
        return response

    @asynccontextmanager
    async def _open(
        self, base: URL, url: URL, asked: dict[str, str], method: str = "GET"
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask; credentials in the index's address go to its own host alone."""
        headers = {**asked, "Accept-Encoding": "identity"}
        if base.user is not None and url.origin() == base.origin():
            headers["Authorization"] = aiohttp.encode_basic_auth(base.user, base.password or "")
        url = url.with_user(None) if url.raw_user is not None else url
        request = self._sessions().request(method, url, headers=headers, timeout=LIMITS, max_redirects=5)
        async with await started(request) as response:
            if response.status >= 500:
                raise AwayError(f"it answered {response.status}")
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise RefusedError(502, "The package index used an encoding that was not asked for.")
            yield response

    def _write(
        self, index: Index, package: str, file: str, count: int, status: int, cached: bool, refused: str = ""
    ) -> None:
        self._log.write(
            PackageFetch(
                t=time.monotonic(),
                at=now(),
                index=index,
                package=package[:300],
                file=file[:300],
                bytes=count,
                status=status,
                cached=cached,
                refused=refused,
            )
        )


async def _nothing(example: str) -> web.StreamResponse:
    raise RefusedError(404, f"This part of the index is not served; {example} is.")


def normal(project: str) -> str:
    """A Python project's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", project).lower()


def _package(file: str) -> str:
    """The project that a distribution's file name names."""
    name = unquote(file)
    return name.partition("-")[0] if name.endswith(".whl") else name.rpartition("-")[0]
