"""Asks the hub, following its redirects: those within the hub are checked again, and to a CDN goes no token.

What it does not protect against: the hub is trusted to redirect to CDNs that are really its own.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from posttrainbench.gateway.hub_paths import Call, parse
from posttrainbench.gateway.refusal import AwayError, RefusedError

HOPS = 8
CHUNK = 1024**2
UNAVAILABLE = (500, 502, 503, 504)
CONNECT_SECONDS = 5
DOWN_SECONDS = 15.0
"""For so long after the hub could not be reached, what is kept is served without asking it."""
SILENT_SECONDS = 30
"""How long the other side may send nothing."""

Sessions = Callable[[], aiohttp.ClientSession]
"""Gives the session that the whole gateway shares; called inside its event loop."""


@dataclass(frozen=True)
class Reply:
    """The last answer of a chain of redirects."""

    response: aiohttp.ClientResponse
    headers: CIMultiDict[str]
    """Of all hops that the hub itself answered, later ones first."""
    repos: list[str]
    """Names that the hub gave the repository on the way."""
    redirected: bool
    """The hub pointed to another host, which was not asked."""


async def started(request: Awaitable[aiohttp.ClientResponse]) -> aiohttp.ClientResponse:
    """Send a request and wait for the answer's head; raises AwayError."""
    try:
        return await request
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise AwayError(f"{type(error).__name__}: {error}".rstrip(": ")) from error


async def chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """An answer's body as it comes; raises AwayError where it breaks off."""
    try:
        async for chunk in response.content.iter_chunked(CHUNK):
            yield chunk
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise AwayError(f"{type(error).__name__}: {error}".rstrip(": ")) from error


class Hub:
    """The hub at one address."""

    def __init__(self, address: str, sessions: Sessions, token: str = "") -> None:
        self.base = URL(address.rstrip("/"), encoded=True)
        self._sessions = sessions
        self._token = token
        self._down = -DOWN_SECONDS

    @property
    def down(self) -> bool:
        """Whether it could not be reached a moment ago."""
        return time.monotonic() - self._down < DOWN_SECONDS

    def is_own(self, url: URL) -> bool:
        """Whether that is this hub: same scheme, host and port."""
        return url.origin() == self.base.origin()

    def call_of(self, url: URL) -> Call:
        """What a URL of the hub's own asks for; raises RefusedError for what is not served."""
        prefix = self.base.raw_path.rstrip("/")
        if not url.raw_path.startswith(prefix + "/"):
            raise RefusedError(502, f"The hub redirects out of its own folder, to {url.raw_path[:200]!r}.")
        return parse(url.raw_path[len(prefix) :])

    @asynccontextmanager
    async def open(
        self,
        method: str,
        call: Call,
        *,
        check: Callable[[str], None],
        query: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        follow: bool = True,
    ) -> AsyncIterator[Reply]:
        """Ask and follow. `check` is given each name that the hub redirects to, and raises. With `follow` false, a
        redirect to another host is the answer. Raises AwayError if nothing sensible came."""
        url = URL(str(self.base) + call.url + (f"?{query}" if query else ""), encoded=True)
        seen: CIMultiDict[str] = CIMultiDict()
        repos: list[str] = []
        for _ in range(HOPS):
            async with self._ask(method, url, dict(headers or {}), body) as response:
                own = self.is_own(url)
                if own:
                    seen.update(response.headers)
                location = response.headers.get("Location", "") if response.status in (301, 302, 303, 307, 308) else ""
                if not location or not (own or follow):
                    yield Reply(response, seen, repos, redirected=False)
                    return
                target = self._target(url, location)
                if self.is_own(target):
                    repos.append(self.call_of(target).repo)
                    check(repos[-1])
                elif not follow:
                    yield Reply(response, seen, repos, redirected=True)
                    return
                url = target
        raise RefusedError(502, f"The hub redirected more than {HOPS} times for {call.url[:300]}.")

    @asynccontextmanager
    async def _ask(
        self, method: str, url: URL, headers: dict[str, str], body: bytes | None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        headers["Accept-Encoding"] = "identity"
        if self._token and self.is_own(url):
            headers["Authorization"] = f"Bearer {self._token}"
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENT_SECONDS)
        try:
            begun = await started(
                self._sessions().request(method, url, headers=headers, data=body, allow_redirects=False, timeout=limits)
            )
        except AwayError:
            if self.is_own(url):
                self._down = time.monotonic()
            raise
        async with begun as response:
            if response.status in UNAVAILABLE:
                raise AwayError(f"it answered {response.status}")
            yield response

    def _target(self, url: URL, location: str) -> URL:
        try:
            target = url.join(URL(location, encoded=True))
        except ValueError:
            raise RefusedError(502, "The hub redirects to something that is no URL.") from None
        if target.scheme not in ("http", "https") or (self.base.scheme == "https" and target.scheme != "https"):
            raise RefusedError(502, f"The hub redirects to a {target.scheme} URL.")
        return target
