"""What tokens cost, by the price list that the installed genai-prices brings. It is never updated over the network, so
the same version gives the same cost.

Not counted: what a provider asks for its own tools (web search by the thousand), and dearer service tiers.
"""

from genai_prices import Usage as Counted
from genai_prices import calc_price

from posttrainbench.catalog import Dialect
from posttrainbench.gateway.ledger import Tokens

PROVIDERS: dict[Dialect, str] = {"anthropic": "anthropic", "openai": "openai", "gemini": "google"}


def known(dialect: Dialect, model: str, upstream: str = "") -> bool:
    """Whether a price is known, so that a limit in USD can be held."""
    return cost(dialect, model, Tokens(input=1, output=1), upstream=upstream) is not None


def cost(dialect: Dialect, model: str, tokens: Tokens, *, long_write: int = 0, upstream: str = "") -> float | None:
    """USD for those tokens; `long_write` of `cache_write` are kept for an hour, which costs more. None: no price is
    known for the model, neither from the dialect's own provider nor from the one that `upstream` belongs to."""
    counted = Counted(
        input_tokens=tokens.input + tokens.cached + tokens.cache_write,
        cache_read_tokens=tokens.cached or None,
        cache_write_tokens=tokens.cache_write or None,
        cache_write_1h_tokens=min(long_write, tokens.cache_write) or None,
        output_tokens=tokens.output,
    )
    for place in ({"provider_id": PROVIDERS[dialect]}, {"provider_api_url": upstream}):
        try:
            return round(float(calc_price(counted, model, **place).total_price), 9)
        except (LookupError, ValueError):
            continue
    return None


def upper_bound(dialect: Dialect, model: str, tokens: Tokens, *, upstream: str = "") -> float | None:
    """What tokens may cost at most, where it is not known yet how many of the input go to a cache."""
    written = Tokens(cache_write=tokens.input, output=tokens.output)
    long_write = tokens.input if dialect == "anthropic" else 0
    dear = cost(dialect, model, written, long_write=long_write, upstream=upstream)
    plain = cost(dialect, model, tokens, upstream=upstream)
    return None if plain is None else max(plain, dear or 0.0)
