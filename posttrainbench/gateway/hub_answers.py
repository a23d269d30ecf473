"""Answers of the hub's interface, kept on the host for all runs: what is pinned to a commit for ever, the rest in case
the hub is away.

`<cache>/hub/answers/<2 hex>/<digest>`: a line of JSON about the answer, then its body.
"""

import hashlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from posttrainbench.errors import StorageError
from posttrainbench.gateway.blobs import has_room
from posttrainbench.gateway.hub_paths import Call
from posttrainbench.gateway.hub_upstream import Hub, chunks
from posttrainbench.gateway.refusal import AwayError, RefusedError
from posttrainbench.strict import Value, write_bytes

LARGEST = 64 * 1024**2
KEPT = (
    "Content-Type",
    "Link",
    "Retry-After",
    "X-Error-Code",
    "X-Error-Message",
    "X-Linked-ETag",
    "X-Linked-Size",
    "X-Repo-Commit",
    "ETag",
    "Content-Length",
)
FRESH_SECONDS = 10.0
"""For so long an answer that may change is not asked for again: a client asks HEAD, then GET."""


class Answer(Value, frozen=True, kw_only=True):
    """What the hub answered; the body lies behind it."""

    status: int
    headers: dict[str, str]
    repos: list[str]
    """Names that the hub gave the repository while it redirected."""


async def bounded(stream: AsyncIterator[bytes], most: int = LARGEST) -> bytes:
    """All of a stream; raises RefusedError if it is longer than `most`."""
    content = bytearray()
    async for chunk in stream:
        content += chunk
        if len(content) > most:
            raise RefusedError(502, f"An answer is larger than {most // 1024**2} MiB.")
    return bytes(content)


class Answers:
    """Asks the hub, or remembers."""

    def __init__(self, hub: Hub, folder: Path) -> None:
        self._hub = hub
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._asked: dict[str, float] = {}

    async def ask(
        self,
        method: str,
        call: Call,
        check: Callable[[str], None],
        query: str = "",
        body: bytes | None = None,
        kind: str = "",
    ) -> tuple[Answer, bytes, bool]:
        """The answer, its body, and whether it was here already. `kind` is the content type of `body`. Raises
        AwayError if the hub is away and nothing was kept."""
        digest = hashlib.sha256(body).hexdigest() if body is not None else ""
        words = msgspec.json.encode([str(self._hub.base), method, call.url, query, digest])
        key = hashlib.sha256(words).hexdigest()
        kept = self._load(key)
        fresh = time.monotonic() - self._asked.get(key, -FRESH_SECONDS) < FRESH_SECONDS
        if kept and (call.pinned or fresh or self._hub.down):
            return *self._checked(kept, check), True
        try:
            answer, content = await self._fetch(method, call, check, query, body, kind)
        except AwayError:
            if kept:
                return *self._checked(kept, check), True
            raise
        if answer.status == 200 or answer.headers.get("X-Error-Code") == "EntryNotFound":
            self._keep(key, msgspec.json.encode(answer) + b"\n" + content)
        return answer, content, False

    async def _fetch(
        self, method: str, call: Call, check: Callable[[str], None], query: str, body: bytes | None, kind: str
    ) -> tuple[Answer, bytes]:
        asked = {"Content-Type": kind} if kind else {}
        async with self._hub.open(
            method, call, check=check, query=query, headers=asked, body=body, follow=method != "HEAD"
        ) as reply:
            found = reply.response
            status = 200 if reply.redirected else found.status
            headers = {name: reply.headers[name] for name in KEPT if name in reply.headers}
            if reply.redirected:
                headers.pop("Content-Length", None)
            if method != "HEAD" and found.headers.get("Content-Encoding", "identity") != "identity":
                raise RefusedError(502, "The hub answered with an encoding that was not asked for.")
            content = b"" if method == "HEAD" else await bounded(chunks(found))
            return Answer(status=status, headers=headers, repos=reply.repos), content

    def _checked(self, kept: tuple[Answer, bytes], check: Callable[[str], None]) -> tuple[Answer, bytes]:
        for repo in kept[0].repos:
            check(repo)
        return kept

    def _keep(self, key: str, content: bytes) -> None:
        if len(self._asked) > 10_000:
            self._asked.clear()
        self._asked[key] = time.monotonic()
        with suppress(StorageError):  # Not to remember is no failure.
            if has_room(self._folder, len(content)):
                write_bytes(self._folder / key[:2] / key, content)

    def _load(self, key: str) -> tuple[Answer, bytes] | None:
        try:
            head, _, body = (self._folder / key[:2] / key).read_bytes().partition(b"\n")
            return msgspec.json.decode(head, type=Answer), body
        except (OSError, msgspec.DecodeError):
            return None
