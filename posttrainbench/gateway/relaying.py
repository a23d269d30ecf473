"""Relays the model interface: what an agent asks goes to the provider under the real key, the answer comes back as it
is, piece by piece.

The provider's key cannot come back: where an answer holds it, stars stand in its place (redaction.py says which forms
are found; in an answer that is compressed and no error it is not looked for).
"""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from posttrainbench.gateway import headers as passing
from posttrainbench.gateway import intake
from posttrainbench.gateway.accounts import Accounts, Exchange
from posttrainbench.gateway.bodies import Bodies, BodyFolder
from posttrainbench.gateway.dialects import Credential, Wire
from posttrainbench.gateway.intake import Ask, RefusedError
from posttrainbench.gateway.ledger import HUNG_UP
from posttrainbench.gateway.metering import CountDropped
from posttrainbench.gateway.provider import Answer, Provider, UnansweredError
from posttrainbench.gateway.redaction import Mask, cover, forms
from posttrainbench.gateway.spec import GatewaySpec

BODY_SECONDS = 120.0
RETRY_AFTER = "30"
LOG = logging.getLogger("posttrainbench.gateway")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Relay:
    """One run's model interface."""

    def __init__(
        self,
        spec: GatewaySpec,
        wire: Wire,
        credential: Credential | None,
        provider: Provider,
        accounts: Accounts,
        bodies: BodyFolder,
    ) -> None:
        self._spec, self._wire, self._credential = spec, wire, credential
        self._provider, self._accounts, self._bodies = provider, accounts, bodies
        self._secrets = [credential.value] if credential else []
        self._forms = forms(self._secrets)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request below the dialect's name."""
        if request.method == "HEAD":
            # CLIs look whether somebody is there; any answer will do.
            return web.Response(status=404)
        try:
            if "websocket" in request.headers.get("Upgrade", "").lower():
                # The CLI then speaks plain HTTP at once, where any other answer makes it try again first.
                return web.Response(status=426, headers={"Upgrade": "HTTP/1.1", "Connection": "close"})
            exchange, ask, path = await self._begin(request)
        except RefusedError as refusal:
            return self._refused(self._lasting(refusal))
        except OSError as error:
            LOG.error("The ledger could not be written: %s", error)
            return self._own(503, "The gateway of this run cannot write its ledger, so nothing is sent.")
        try:
            return await self._relay(request, exchange, ask, path)
        except asyncio.CancelledError:
            if not exchange.reading.finished:
                exchange.cause, exchange.detail = "connection", HUNG_UP
            exchange.status = exchange.status or 499
            raise
        finally:
            exchange.detail = self._covered(exchange.detail)
            try:
                self._accounts.close(exchange)
            except OSError as error:
                LOG.error("The ledger could not be written: %s", error)

    async def _begin(self, request: web.Request) -> tuple[Exchange, Ask, str]:
        wire, spec = self._wire, self._spec
        intake.admit(spec, wire, request.headers, request.query)
        raw, _, query = request.raw_path.partition("?")
        path = raw.removeprefix(f"/{request.match_info['dialect']}")
        route, url_model = intake.find_route(wire, request.method, path)
        content = await _content(request)
        encoding = request.headers.get("Content-Encoding", "").strip().lower()
        wanted = intake.ask(spec, wire, route, url_model, content, encoding)
        if self._credential is None:
            raise RefusedError(
                503,
                "The gateway of this run was started without the provider's key. Restart it with `ptb resume`.",
                "auth",
                route.name,
                wanted.model,
            )
        exchange, ask = self._accounts.open(wanted, request.headers)
        kept = "&".join(part for part in query.split("&") if part and part.partition("=")[0] != "key")
        return exchange, ask, path + (f"?{kept}" if kept else "")

    async def _relay(self, request: web.Request, exchange: Exchange, ask: Ask, path: str) -> web.StreamResponse:
        assert self._credential is not None
        sent = passing.to_provider(request.headers)
        if ask.encoding:
            sent["Content-Encoding"] = ask.encoding
        if ask.drops_count:
            sent["Accept-Encoding"] = "identity"
        self._wire.authorize(sent, self._credential)
        try:
            answer = await self._provider.ask(request.method, path, sent, ask.content, exchange.progress)
        except UnansweredError as lost:
            exchange.cause, exchange.detail = lost.failure.cause, lost.failure.detail
            exchange.status = 502
            return self._own(502, lost.failure.detail, {"Retry-After": RETRY_AFTER})
        exchange.first_byte = time.monotonic()
        exchange.status = answer.response.status
        exchange.reading = answer.meter.reading
        if answer.failure is not None:
            exchange.cause, exchange.detail = answer.failure.cause, answer.failure.detail
        try:
            if answer.error is not None:
                return self._error(exchange, answer)
            return await self._stream(request, exchange, ask, answer)
        finally:
            answer.response.close() if not answer.response.content.at_eof() else answer.response.release()
            exchange.body = self._keep(exchange, ask, request, answer)

    async def _stream(self, request: web.Request, exchange: Exchange, ask: Ask, answer: Answer) -> web.StreamResponse:
        """Pass an answer on as it comes."""
        upstream, meter = answer.response, answer.meter
        out = web.StreamResponse(status=upstream.status, reason=upstream.reason)
        out.headers.extend(self._headers(upstream))
        length = upstream.headers.get("Content-Length")
        if length is not None and not ask.drops_count:
            out.content_length = int(length)
        # In a compressed answer no secret can be seen, and nothing may be changed.
        mask = Mask([] if upstream.headers.get("Content-Encoding") else self._secrets)
        dropped = CountDropped() if ask.drops_count and meter.streams else None
        await out.prepare(request)
        piece = answer.first
        try:
            while piece:
                exchange.received += len(piece)
                if passed := mask.feed(dropped.feed(piece) if dropped else piece):
                    await out.write(passed)
                try:
                    piece = await upstream.content.readany()
                except (aiohttp.ClientError, TimeoutError) as error:
                    _cut(request, exchange, error)
                    return out
                meter.feed(piece)
            meter.close()
            self._judge(exchange, ask, meter.reading.finished or not meter.readable)
            if rest := mask.feed(dropped.rest() if dropped else b"") + mask.rest():
                await out.write(rest)
            await out.write_eof()
        except ConnectionError:
            if not meter.reading.finished:
                exchange.cause, exchange.detail = "connection", HUNG_UP
        finally:
            meter.close()
        return out

    def _judge(self, exchange: Exchange, ask: Ask, finished: bool) -> None:
        reading = exchange.reading
        if reading.cause is not None:
            exchange.cause, exchange.detail = reading.cause, reading.detail
        elif ask.route.metered and not finished and exchange.status < 300:
            exchange.cause, exchange.detail = "connection", "The answer ended before its last part."

    def _error(self, exchange: Exchange, answer: Answer) -> web.Response:
        """Pass an error on as the provider wrote it; a 429 says when to ask again, since one CLI dies at one that does
        not."""
        upstream = answer.response
        content = answer.error or b""
        out = self._headers(upstream)
        plain = bytes(answer.meter.kept)
        covered = cover(plain, self._forms)
        if covered != plain:
            content = covered
            out.popall("Content-Encoding", None)
        if upstream.status == 429 and exchange.cause == "rate_limit" and "Retry-After" not in out:
            out["Retry-After"] = RETRY_AFTER
        exchange.received = len(answer.error or b"")
        return web.Response(status=upstream.status, reason=upstream.reason, headers=out, body=content)

    def _headers(self, upstream: aiohttp.ClientResponse) -> CIMultiDict[str]:
        passed = passing.to_agent(upstream.headers)
        return CIMultiDict((name, self._covered(value)) for name, value in passed.items())

    def _covered(self, text: str) -> str:
        return cover(text.encode("utf-8", "replace"), self._forms).decode("utf-8", "replace")

    def _keep(self, exchange: Exchange, ask: Ask, request: web.Request, answer: Answer) -> str:
        return self._bodies.keep(
            exchange.n,
            Bodies(
                route=ask.route.name,
                request_headers=dict(request.headers),
                request=ask.content if not ask.encoding else json.dumps(ask.body).encode(),
                request_whole=True,
                status=answer.response.status,
                answer_headers=dict(answer.response.headers),
                answer=bytes(answer.meter.kept),
                answer_whole=answer.meter.kept_whole and answer.meter.readable,
            ),
        )

    def _refused(self, refusal: RefusedError) -> web.Response:
        try:
            self._accounts.refuse(refusal)
        except OSError as error:
            LOG.error("The ledger could not be written: %s", error)
        return self._own(refusal.status, refusal.message)

    def _lasting(self, refusal: RefusedError) -> RefusedError:
        """With the status at which a CLI gives up, if it is one that lasts."""
        if refusal.status == 403:
            refusal.status = self._wire.final(refusal.route)
        return refusal

    def _own(self, status: int, message: str, extra: dict[str, str] | None = None) -> web.Response:
        """An answer of the gateway's own, in the provider's form; SDKs heed the header and do not ask again."""
        lasting = {"x-should-retry": "false"} if status < 500 else {}
        return web.json_response(self._wire.error(status, message), status=status, headers=lasting | (extra or {}))


def _cut(request: web.Request, exchange: Exchange, error: Exception) -> None:
    """The provider stopped in the middle: end the agent's connection in the same way, so that its CLI asks again."""
    stalled = isinstance(error, TimeoutError)
    exchange.cause = "stall" if stalled else "connection"
    exchange.detail = f"The answer was cut off: {type(error).__name__}."
    if request.transport is not None:
        request.transport.close()


async def _content(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.read()
    except TimeoutError:
        raise RefusedError(408, f"The request's body did not come within {BODY_SECONDS:.0f} s.", "connection") from None
    except web.HTTPRequestEntityTooLarge:
        raise RefusedError(
            413, f"The request's body is over {intake.MAX_BODY_BYTES} bytes.", "invalid_request"
        ) from None
