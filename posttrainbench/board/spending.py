"""What an agent used of its model, in a sentence."""

from posttrainbench.gateway.ledger import Usage, added


def sentence(usage: Usage) -> str:
    """`12 requests, 34,567 tokens (30,000 in, 20,000 of them cached; 4,567 out), $0.53; 12 s throttled`."""
    tokens = added(one.tokens for one in usage.models)
    read = tokens.input + tokens.cached + tokens.cache_write
    cost = "cost unknown" if usage.cost_usd is None else f"${usage.cost_usd:.2f}"
    words = f"{usage.answered} of {usage.exchanges} requests answered, {tokens.total:,} tokens ({read:,} in, "
    words += f"{tokens.cached:,} of them cached; {tokens.output:,} out), {cost}"
    if usage.throttled_seconds >= 1:
        words += f"; {usage.throttled_seconds:.0f} s throttled"
    if usage.causes:
        words += "; " + ", ".join(f"{count} × {cause}" for cause, count in sorted(usage.causes.items()))
    return words
