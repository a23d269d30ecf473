"""Asks the provider, and asks again where it refuses for a while: 429, 5xx, no connection, no answer.

One CLI dies at the first 429 and another waits for ever, so neither sees one before `patience` is used up. Nothing is
asked again once a byte of an answer has gone to the agent.

A request that got no answer is sent again although the provider may have worked on it; what it billed then is not
known.
"""

import asyncio
import random
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from posttrainbench.gateway.dialects import Failure, Wire
from posttrainbench.gateway.ledger import Attempt, Cause
from posttrainbench.gateway.metering import Meter, parsed

MAX_ERROR_BYTES = 2**20
TRANSIENT = frozenset([429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529])
LASTING: tuple[Cause, ...] = ("usage_limit", "auth", "context_exceeded", "refused")
"""What asking again does not help, whatever the status."""
PASSING: tuple[Cause, ...] = ("overloaded", "rate_limit")
"""What asking again helps, if a stream begins with it."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for the provider, in seconds."""

    total: float = 900.0
    """From the first failure on; then the agent gets the last answer."""
    first_delay: float = 1.0
    longest_delay: float = 60.0
    connect: float = 30.0
    silence: float = 600.0
    """Without a byte: before an answer as in the middle of one."""


@dataclass
class Progress:
    """What has happened to one exchange; filled while it goes on, so that it is there when the agent hangs up."""

    attempts: list[Attempt] = field(default_factory=list)
    sent: bool = False
    """Whether a request is or was under way that the provider may bill."""
    throttled: float = 0.0


@dataclass
class Answer:
    """The provider's answer: its first piece has come. `error` holds the whole of an error answer."""

    response: aiohttp.ClientResponse
    first: bytes
    meter: Meter
    error: bytes | None = None
    failure: Failure | None = None


class UnansweredError(Exception):
    """The provider did not answer within the patience."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.detail)
        self.failure = failure


class Provider:
    """The connection to one provider."""

    def __init__(self, upstream: str, wire: Wire, session: aiohttp.ClientSession, patience: Patience) -> None:
        self._upstream = upstream.rstrip("/")
        self._wire, self._session, self._patience = wire, session, patience

    async def ask(
        self, method: str, path: str, headers: CIMultiDict[str], content: bytes, progress: Progress
    ) -> Answer:
        """The provider's answer to a request, whatever it is in the end; raises UnansweredError if none came."""
        url = URL(self._upstream + path, encoded=True)
        until: float | None = None
        first_failed = 0.0
        while True:
            begin = time.monotonic()
            progress.sent = True
            answer, failure = await self._once(method, url, headers, content)
            status = answer.response.status if answer else None
            seconds = round(time.monotonic() - begin, 6)
            if failure is None and answer is not None:
                progress.attempts.append(Attempt(status=status, seconds=seconds))
                return answer
            assert failure is not None
            if until is None:
                until, first_failed = begin + self._patience.total, begin
            wait = self._wait(answer, failure, len(progress.attempts), until)
            progress.attempts.append(
                Attempt(status=status, seconds=seconds, waited=round(wait or 0.0, 3), cause=failure.cause)
            )
            # An error's answer is not billed. Where none came, nobody knows.
            progress.sent = answer is None
            if wait is None:
                if answer is None:
                    raise UnansweredError(failure)
                return answer
            if answer is not None:
                answer.response.close()
            await asyncio.sleep(wait)
            progress.throttled = round(time.monotonic() - first_failed, 3)

    async def _once(
        self, method: str, url: URL, headers: CIMultiDict[str], content: bytes
    ) -> tuple[Answer | None, Failure | None]:
        """One try: an answer, or what went wrong, or both."""
        response = None
        try:
            response = await self._session.request(
                method, url, headers=headers, data=content if method == "POST" else None, allow_redirects=False
            )
            if response.status >= 400:
                return await self._error(response)
            meter = meter_of(self._wire, response.headers)
            first = await response.content.readany()
            meter.feed(first)
            answer = Answer(response, first, meter)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if response is not None:
                response.close()
            return None, _lost(error)
        except BaseException:
            if response is not None:
                response.close()
            raise
        reading = meter.reading
        if reading.cause in PASSING and not reading.text_bytes:
            # Some providers say that they are overloaded with a 200 and a stream that is nothing but an error.
            answer.failure = Failure(reading.cause, reading.detail)
            return answer, answer.failure
        return answer, None

    async def _error(self, response: aiohttp.ClientResponse) -> tuple[Answer, Failure]:
        pieces, size = [], 0
        with suppress(aiohttp.ClientError, TimeoutError):
            async for piece in response.content.iter_any():
                pieces.append(piece)
                size += len(piece)
                if size > MAX_ERROR_BYTES:
                    break
        content = b"".join(pieces)[:MAX_ERROR_BYTES]
        meter = meter_of(self._wire, response.headers)
        meter.feed(content)
        body = parsed(bytes(meter.kept))
        failure = self._wire.failure(response.status, body[0] if body else {})
        return Answer(response, b"", meter, content, failure), failure

    def _wait(self, answer: Answer | None, failure: Failure, tries: int, until: float) -> float | None:
        """Seconds before the next try; None if there is none."""
        delay = min(self._patience.longest_delay, self._patience.first_delay * 2.0 ** min(tries, 30))
        wait: float = delay * random.uniform(0.5, 1.0)
        if answer is not None:
            headers = answer.response.headers
            status = answer.response.status
            passing = status in TRANSIENT or (status < 400 and failure.cause in PASSING)
            if not passing or failure.cause in LASTING or headers.get("x-should-retry") == "false":
                return None
            asked = retry_after(headers)
            asked = failure.retry_after if asked is None else asked
            wait = max(wait, asked) if asked is not None else wait
        elif failure.cause == "other":
            return None
        return None if time.monotonic() + wait > until else wait


def meter_of(wire: Wire, headers: CIMultiDictProxy[str]) -> Meter:
    """The meter for an answer with those headers."""
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return Meter(wire, kind, headers.get("Content-Encoding", "").strip().lower())


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the headers ask to wait; a date is not read."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            asked = float(headers.get(name, "")) * unit
        except ValueError:
            continue
        if 0 <= asked < 10**7:
            return asked
    return None


def _lost(error: Exception) -> Failure:
    if isinstance(error, aiohttp.ServerTimeoutError) and not isinstance(error, aiohttp.ConnectionTimeoutError):
        return Failure("stall", "The provider sent nothing for too long.")
    if isinstance(error, (aiohttp.ClientSSLError, aiohttp.InvalidURL)):
        # Its certificate or address will be as wrong the next time.
        return Failure("other", f"The provider cannot be reached safely: {type(error).__name__}.")
    return Failure("connection", f"The connection to the provider failed: {type(error).__name__}.")
