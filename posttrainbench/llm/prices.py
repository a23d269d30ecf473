"""What tokens cost."""

from .values import Model, Usage

PROVIDERS = {"anthropic": "anthropic", "openai": "openai", "gemini": "google"}


def cost(model: Model, usage: Usage) -> float | None:
    """Dollars, by the list prices of today; None where genai-prices is not installed or does not know the model."""
    try:
        import genai_prices
    except ImportError:
        return None
    tokens = genai_prices.Usage(
        input_tokens=usage.input + usage.cached + usage.cache_write,
        cache_read_tokens=usage.cached,
        cache_write_tokens=usage.cache_write,
        output_tokens=usage.output,
    )
    try:
        found = genai_prices.calc_price(tokens, model.name, provider_id=PROVIDERS[model.dialect])
    except LookupError:
        return None
    return float(found.total_price)
