"""What tokens cost, by the price list that the installed genai-prices brings. It is never updated over the network, so
the same version gives the same cost.

Not counted: what a provider asks for its own tools (web search by the thousand), and dearer service tiers.
"""

import time
from dataclasses import dataclass
from functools import lru_cache

from genai_prices import Usage as Counted
from genai_prices import calc_price

from posttrainbench.catalog import Dialect
from posttrainbench.gateway.ledger import Tokens

PROVIDERS: dict[Dialect, str] = {"anthropic": "anthropic", "openai": "openai", "gemini": "google"}
FLAT_TOKENS = 100_000
"""Up to so much input each token costs the same; the tiers of long inputs begin later."""
MANY_TOKENS = 10**9
"""So many that the dearest tier makes up nearly all of their cost."""
SPARE = 1.001
"""For what the lower tiers take off the average of so many."""


@dataclass(frozen=True)
class Rates:
    """USD for one token."""

    input: float
    cached: float
    cache_write: float
    long_write: float
    output: float


def known(dialect: Dialect, model: str, upstream: str = "") -> bool:
    """Whether a price is known, so that a limit in USD can be held."""
    return _rates(dialect, model, upstream, FLAT_TOKENS, _hour()) is not None


def cost(dialect: Dialect, model: str, tokens: Tokens, *, long_write: int = 0, upstream: str = "") -> float | None:
    """USD for those tokens; `long_write` of `cache_write` are kept for an hour, which costs more. None: no price is
    known for the model, neither from the provider that `upstream` belongs to nor from the dialect's own."""
    long_write = min(long_write, tokens.cache_write)
    if tokens.input + tokens.cached + tokens.cache_write > FLAT_TOKENS:
        return _listed(dialect, model, upstream, tokens, long_write)
    # The list takes half a millisecond for one price, too long for each request.
    rates = _rates(dialect, model, upstream, FLAT_TOKENS, _hour())
    if rates is None:
        return None
    usd = rates.input * tokens.input + rates.cached * tokens.cached + rates.output * tokens.output
    return round(usd + rates.cache_write * (tokens.cache_write - long_write) + rates.long_write * long_write, 9)


def upper_bound(dialect: Dialect, model: str, tokens: Tokens, *, upstream: str = "") -> float | None:
    """What tokens may cost at most: at the dearest tier, and with all of the input written to a cache."""
    rates = _rates(dialect, model, upstream, MANY_TOKENS, _hour())
    if rates is None:
        return None
    written = rates.long_write if dialect == "anthropic" else rates.cache_write
    return SPARE * (max(rates.input, written) * tokens.input + rates.output * tokens.output)


@lru_cache(maxsize=1000)
def _rates(dialect: Dialect, model: str, upstream: str, size: int, hour: int) -> Rates | None:
    """What one of `size` tokens costs; `hour` is there because some prices change with the time of day."""
    plain = _listed(dialect, model, upstream, Tokens(input=size), 0)
    cached = _listed(dialect, model, upstream, Tokens(cached=size), 0)
    written = _listed(dialect, model, upstream, Tokens(cache_write=size), 0)
    long = _listed(dialect, model, upstream, Tokens(cache_write=size), size)
    both = _listed(dialect, model, upstream, Tokens(input=size, output=size), 0)
    if plain is None or cached is None or written is None or long is None or both is None:
        return None
    return Rates(plain / size, cached / size, written / size, long / size, (both - plain) / size)


def _listed(dialect: Dialect, model: str, upstream: str, tokens: Tokens, long_write: int) -> float | None:
    counted = Counted(
        input_tokens=tokens.input + tokens.cached + tokens.cache_write,
        cache_read_tokens=tokens.cached or None,
        cache_write_tokens=tokens.cache_write or None,
        cache_write_1h_tokens=long_write or None,
        output_tokens=tokens.output,
    )
    for place in ({"provider_api_url": upstream}, {"provider_id": PROVIDERS[dialect]}):
        try:
            return round(float(calc_price(counted, model, **place).total_price), 9)
        except (LookupError, ValueError):
            continue
    return None


def _hour() -> int:
    return int(time.time() // 3600)
