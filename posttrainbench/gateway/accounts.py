"""The books of one run: ledger, budget, prices, and which request is a retry of which.

What counts: each exchange counts what the provider's own answer to it says. An identical request that is sent while
the first is under way, or after it failed, is marked with the first one's number (`repeats`); the provider bills both,
so both count, each with its own answer's tokens. Of an answer that ended before its count came, input is reckoned as a
quarter of the request's bytes (where the provider has not said it yet) and output as a quarter of the text's bytes.
"""

import datetime
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from posttrainbench.catalog import Dialect
from posttrainbench.gateway import budget, prices
from posttrainbench.gateway.budget import NOTHING, Budget, Reservation
from posttrainbench.gateway.dialects import Reading, Wire
from posttrainbench.gateway.intake import NAME_LETTERS, Ask, RefusedError
from posttrainbench.gateway.ledger import Begin, Cause, End, Ledger, Tokens, exchanges
from posttrainbench.gateway.provider import Progress
from posttrainbench.gateway.spec import GatewaySpec

MAX_REMEMBERED = 1000
MAX_REFUSALS = 5000
"""Lines about refused requests; an agent that asks on in a loop fills no disk."""
BYTES_A_TOKEN = 4


@dataclass
class Exchange:
    """One that has begun."""

    n: int
    ask: Ask
    begin: float
    repeats: int | None
    progress: Progress = field(default_factory=Progress)
    reading: Reading = field(default_factory=Reading)
    status: int = 0
    first_byte: float | None = None
    received: int = 0
    cause: Cause | None = None
    detail: str = ""
    body: str = ""


class Accounts:
    """Opens and closes exchanges. A restart reads everything from the ledger."""

    def __init__(self, spec: GatewaySpec, path: Path, wire: Wire | None, dialect: Dialect | None) -> None:
        begun, ended = exchanges(path)
        self.budget = Budget(spec.max_usd, spec.max_tokens)
        self.budget.restore(begun, ended)
        self._ledger = Ledger(path)
        self._wire, self._dialect, self._upstream = wire, dialect, spec.upstream
        self._next = max(begun, default=0) + 1
        self._refusals = sum(not end.attempts for end in ended.values())
        self._failed: OrderedDict[str, tuple[int, bool]] = OrderedDict()
        for n, begin in begun.items():
            end = ended.get(n)
            self._remember(begin.digest, n, end is None or end.cause is not None)

    def open(self, ask: Ask, headers: Mapping[str, str]) -> tuple[Exchange, Ask]:
        """Begin an exchange, with what it may use at most reserved: it, and the request as it may be sent. Raises
        RefusedError when that is more than is left."""
        n = self._next
        ask, wanted = self._reservation(ask)
        if not self.budget.reserve(n, wanted):
            raise RefusedError(403, self._exhausted(wanted), "budget", ask.route.name, ask.model)
        self._next += 1
        exchange = Exchange(n, ask, time.monotonic(), self._repeats(ask.digest, headers))
        try:
            self._begin(exchange, wanted)
        except OSError:
            self.budget.settle(n, 0.0, 0)
            raise
        self._remember(ask.digest, n, True)
        return exchange, ask

    def close(self, exchange: Exchange) -> None:
        """End an exchange: count what it used, and write it down."""
        tokens, estimated = self._used(exchange)
        cost = self._cost(exchange.ask.model, tokens, exchange.reading.long_write)
        self.budget.settle(exchange.n, cost or 0.0, tokens.total)
        self._remember(exchange.ask.digest, exchange.n, exchange.cause is not None)
        first = exchange.first_byte
        end = End(
            n=exchange.n,
            t=time.monotonic(),
            status=exchange.status,
            seconds=round(time.monotonic() - exchange.begin, 6),
            first_byte_seconds=None if first is None else round(first - exchange.begin, 6),
            attempts=exchange.progress.attempts,
            throttled_seconds=exchange.progress.throttled,
            answered_model=clean(exchange.reading.model),
            tokens=tokens,
            cost_usd=cost,
            sent_bytes=len(exchange.ask.content),
            received_bytes=exchange.received,
            cause=exchange.cause,
            detail=clean(exchange.detail, 500),
            repeats=exchange.repeats,
            estimated=estimated,
            body=exchange.body,
        )
        self._ledger.write(end)

    def refuse(self, refusal: RefusedError, digest: str = "") -> None:
        """Write down a request that the gateway itself answered, up to a number of them."""
        if self._refusals >= MAX_REFUSALS:
            return
        self._refusals += 1
        n, self._next = self._next, self._next + 1
        now = time.monotonic()
        self._ledger.write(_begin(n, now, refusal.route or "unknown", refusal.model, False, NOTHING, digest))
        self._ledger.write(
            End(
                n=n,
                t=now,
                status=refusal.status,
                seconds=0.0,
                first_byte_seconds=None,
                attempts=[],
                throttled_seconds=0.0,
                answered_model="",
                tokens=Tokens(),
                cost_usd=None,
                sent_bytes=0,
                received_bytes=0,
                cause=refusal.cause,
                detail=clean(refusal.message, 500),
            )
        )

    def end(self) -> None:
        """Close the file."""
        self._ledger.close()

    def _begin(self, exchange: Exchange, wanted: Reservation) -> None:
        ask = exchange.ask
        self._ledger.write(
            _begin(exchange.n, exchange.begin, ask.route.name, ask.model, ask.background, wanted, ask.digest)
        )

    def _reservation(self, ask: Ask) -> tuple[Ask, Reservation]:
        """What a request may use at most. One that states no limit of its own gets what is left as its limit, when a
        limit that it would reach otherwise is nearer than the largest answer."""
        if not ask.route.metered or self._wire is None:
            return ask, NOTHING
        entered = len(ask.content) // budget.BYTES_A_TOKEN + 1
        if self._wire.refers(ask.body):
            entered += budget.CONTEXT_TOKENS
        stated = self._wire.output_limit(ask.body)
        copies = self._wire.copies(ask.body)
        wanted = self._bound(ask.model, entered, (stated or budget.OUTPUT_TOKENS) * copies)
        if stated is not None or self._fits(wanted):
            return ask, wanted
        limit = budget.OUTPUT_TOKENS // 2
        while limit >= budget.LEAST_OUTPUT_TOKENS:
            less = self._bound(ask.model, entered, limit * copies)
            limited = self._wire.with_output_limit(ask.route, ask.body, limit)
            if self._fits(less) and self._wire.output_limit(limited) == limit:
                return ask.with_body(limited), less
            limit //= 2
        return ask, wanted

    def _fits(self, wanted: Reservation) -> bool:
        usd, tokens = self.budget.left()
        return wanted.usd <= usd and wanted.tokens <= tokens

    def _bound(self, model: str, entered: int, answered: int) -> Reservation:
        """Infinite dollars where a limit in USD cannot be held, since no price is known."""
        tokens = Tokens(input=entered, output=answered)
        usd = None
        if self._dialect is not None:
            usd = prices.upper_bound(self._dialect, model, tokens, upstream=self._upstream)
        if usd is None:
            usd = 0.0 if self.budget.max_usd is None else float("inf")
        return Reservation(usd, tokens.total)

    def _cost(self, model: str, tokens: Tokens, long_write: int) -> float | None:
        if self._dialect is None or not tokens.total:
            return 0.0
        return prices.cost(self._dialect, model, tokens, long_write=long_write, upstream=self._upstream)

    def _exhausted(self, wanted: Reservation) -> str:
        usd, tokens = self.budget.left()
        if wanted.usd == float("inf"):
            return "No price is known for this model, so this run's limit in USD cannot be held and nothing is sent."
        parts = []
        if wanted.usd > usd:
            held = f"${max(0.0, usd):.4f} of ${self.budget.max_usd} are left"
            parts.append(f"{held}, this request may cost ${wanted.usd:.4f}")
        if wanted.tokens > tokens:
            held = f"{max(0, int(tokens))} of {self.budget.max_tokens} tokens are left"
            parts.append(f"{held}, this request may use {wanted.tokens}")
        return f"The budget of this run is used up: {'; '.join(parts)}. Nothing more is sent; end the work here."

    def _used(self, exchange: Exchange) -> tuple[Tokens, bool]:
        """Tokens that count, and whether they had to be reckoned."""
        reading, found = exchange.reading, exchange.reading.tokens
        if reading.counted or not exchange.ask.route.metered:
            return found if exchange.ask.route.metered else Tokens(), False
        if not exchange.progress.sent:
            return found, False
        entered = found.input or 0
        if not entered + found.cached + found.cache_write:
            entered = len(exchange.ask.content) // BYTES_A_TOKEN
        return (
            Tokens(
                input=entered,
                cached=found.cached,
                cache_write=found.cache_write,
                output=max(found.output, reading.text_bytes // BYTES_A_TOKEN),
                reasoning=found.reasoning,
            ),
            True,
        )

    def _repeats(self, digest: str, headers: Mapping[str, str]) -> int | None:
        earlier = self._failed.get(digest)
        if earlier is None:
            return None
        n, failed = earlier
        again = headers.get("x-stainless-retry-count", "0").strip() not in ("", "0")
        return n if failed or again else None

    def _remember(self, digest: str, n: int, failed: bool) -> None:
        """The newest exchange with that body; one that is under way counts as failed until it has ended well."""
        if digest:
            known = self._failed.get(digest)
            if known is None or known[0] <= n:
                self._failed[digest] = (n, failed)
                self._failed.move_to_end(digest)
        while len(self._failed) > MAX_REMEMBERED:
            self._failed.popitem(last=False)


def clean(name: str, limit: int = NAME_LETTERS) -> str:
    """A string out of a request or an answer, fit for a line of the ledger."""
    return name[:limit].encode("utf-8", "replace").decode()


def _begin(n: int, t: float, route: str, model: str, background: bool, wanted: Reservation, digest: str) -> Begin:
    at = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Begin(
        n=n,
        t=t,
        at=at,
        route=route,
        model=clean(model),
        background=background,
        reserved_usd=wanted.usd,
        reserved_tokens=wanted.tokens,
        digest=digest,
    )
