"""Answers a request for a content: from the cache with sendfile, or while it is still being downloaded.

A small content is sent when it is complete and verified. A large one is sent as it grows, so that no client gives up
waiting; its last byte is held back until the whole is verified, and if it is not, the connection is cut.
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from posttrainbench.gateway.blobs import CHUNK, Blob, Blobs, Download, Source
from posttrainbench.gateway.refusal import AwayError, RefusedError

SMALL = 8 * 1024**2
AHEAD = 64 * 1024**2
"""A piece that begins further than this behind what is downloaded is fetched by itself instead of waited for."""

Sent = Callable[[int, int, bool], None]
"""Told at the end: status, bytes, whether it came from the cache."""


class CachedFile(web.FileResponse):
    """A file whose entity tag is the caller's, where aiohttp would make one of the file's time."""

    def __init__(self, path: Path, headers: Mapping[str, str], sent: Callable[[int, int], None]) -> None:
        super().__init__(path, chunk_size=CHUNK, headers=headers)
        self._tag = headers.get("ETag", "")
        self._sent = sent

    async def _prepare_headers(self) -> None:
        if self._tag:
            self.headers["ETag"] = self._tag
        await super()._prepare_headers()

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send headers and file."""
        try:
            return await super().prepare(request)
        finally:
            self._sent(self.status, self.content_length or 0)


async def send(
    request: web.Request, blobs: Blobs, blob: Blob, source: Source, headers: Mapping[str, str], sent: Sent
) -> web.StreamResponse:
    """Answer with a content, or the piece of it that the request's Range names. Raises AwayError or RefusedError, as
    long as nothing was sent."""
    if request.method == "HEAD":
        return await _head(request, headers, blob.size)
    if path := blobs.path(blob):
        return CachedFile(path, headers, lambda status, count: sent(status, count, True))
    start, end = _range(request, blob.size)
    if blob.size is not None and start > blobs.present(blob) + AHEAD:
        return await _piece(request, blob.size, start, end, source, headers, sent)
    async with blobs.download(blob, source) as download:
        if blob.size is None or blob.size <= SMALL:
            await download.wait()
            return CachedFile(download.path, headers, lambda status, count: sent(status, count, False))
        return await _grow(request, blob.size, start, end, download, headers, sent)


async def _head(request: web.Request, headers: Mapping[str, str], size: int | None) -> web.StreamResponse:
    response = web.StreamResponse(headers=headers)
    response.content_length = size
    await response.prepare(request)
    await response.write_eof()
    return response


async def _grow(
    request: web.Request, size: int, start: int, end: int, download: Download, headers: Mapping[str, str], sent: Sent
) -> web.StreamResponse:
    while not download.partial.exists() and not download.path.exists():
        await download.wait(0.02)
    path = download.path if download.path.exists() else download.partial
    file = path.open("rb")
    response = _response(size, start, end, headers)
    position = start
    with file:
        await response.prepare(request)
        try:
            while position < end:
                done = await download.wait(0)
                if done and not os.path.samestat(os.fstat(file.fileno()), download.path.stat()):
                    raise RefusedError(502, "Another content has taken the place of the one that was being sent.")
                limit = size if done else min(os.fstat(file.fileno()).st_size, size - 1)
                count = min(limit, end) - position
                if count > 0:
                    chunk = await asyncio.to_thread(os.pread, file.fileno(), min(count, CHUNK), position)
                    await response.write(chunk)
                    position += len(chunk)
                else:
                    await download.wait(0.05)
            await response.write_eof()
        except (AwayError, RefusedError, ConnectionError):
            cut(request)
        finally:
            sent(response.status, position - start, False)
    return response


async def _piece(
    request: web.Request, size: int, start: int, end: int, source: Source, headers: Mapping[str, str], sent: Sent
) -> web.StreamResponse:
    position = start
    async with source(start) as (begins, chunks):
        if begins != start:
            raise RefusedError(502, "The other side does not give pieces of files.")
        response = _response(size, start, end, headers)
        await response.prepare(request)
        try:
            async for chunk in chunks:
                piece = chunk[: end - position]
                await response.write(piece)
                position += len(piece)
                if position >= end:
                    break
            await response.write_eof()
        except (AwayError, ConnectionError):
            cut(request)
        finally:
            sent(response.status, position - start, False)
    return response


def _range(request: web.Request, size: int | None) -> tuple[int, int]:
    """First byte and the one behind the last that the request wants."""
    if size is None:
        return 0, 0
    try:
        asked = request.http_range
    except ValueError:
        raise RefusedError(416, f"The Range is none of a file of {size} bytes.") from None
    start, end, _ = asked.indices(size)
    if start >= end and size:
        raise RefusedError(416, f"The Range is none of a file of {size} bytes.")
    return start, end


def _response(size: int, start: int, end: int, headers: Mapping[str, str]) -> web.StreamResponse:
    part = (start, end) != (0, size)
    response = web.StreamResponse(status=206 if part else 200, headers={**headers, "Accept-Ranges": "bytes"})
    response.content_length = end - start
    if part:
        response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return response


def cut(request: web.Request) -> None:
    """End an answer that has begun and cannot be finished, so that the client sees that it is not whole."""
    if request.transport is not None:
        request.transport.abort()
