"""The run's limit in USD and tokens: reserved before a request is sent, settled after it.

A request is let through only if what was spent, what all requests under way have reserved, and its own reservation fit
into the limit together. So many calls at once cannot overshoot it, as long as no request uses more than was reserved:
input is bounded from the body's bytes, output by the request's own limit. Text whose tokens are shorter than
`BYTES_A_TOKEN` bytes on average can overshoot by the difference, for each request that is under way.
"""

from dataclasses import dataclass, field

from posttrainbench.gateway.ledger import Begin, End

BYTES_A_TOKEN = 2
"""Lower than any ordinary text has; English and code have about four."""
CONTEXT_TOKENS = 400_000
"""Reserved as input where a request refers to text that the provider keeps, so that its bytes say nothing."""
OUTPUT_TOKENS = 128_000
"""Reserved as output where a request states no limit."""
LEAST_OUTPUT_TOKENS = 2_048
"""A request without a limit of its own is given what is left of the budget as one, but not less than this."""


@dataclass(frozen=True)
class Reservation:
    """Of one exchange, before it is sent."""

    usd: float
    tokens: int


NOTHING = Reservation(0.0, 0)


@dataclass
class Budget:
    """What is left of the limits; not safe for threads."""

    max_usd: float | None
    max_tokens: int | None
    spent_usd: float = 0.0
    spent_tokens: int = 0
    _open: dict[int, Reservation] = field(default_factory=dict)

    def left(self) -> tuple[float, float]:
        """USD and tokens that nobody has spent or reserved; infinite without a limit."""
        usd = sum(one.usd for one in self._open.values()) + self.spent_usd
        tokens = sum(one.tokens for one in self._open.values()) + self.spent_tokens
        return (
            float("inf") if self.max_usd is None else self.max_usd - usd,
            float("inf") if self.max_tokens is None else self.max_tokens - tokens,
        )

    def reserve(self, n: int, wanted: Reservation) -> bool:
        """Reserve for exchange `n`; False if it does not fit."""
        usd, tokens = self.left()
        if wanted.usd > usd or wanted.tokens > tokens:
            return False
        self._open[n] = wanted
        return True

    def settle(self, n: int, usd: float, tokens: int) -> None:
        """Replace the reservation by what was used."""
        self._open.pop(n, None)
        self.spent_usd += usd
        self.spent_tokens += tokens

    def restore(self, begun: dict[int, Begin], ended: dict[int, End]) -> None:
        """Count what a ledger says was spent; what never ended with its reservation."""
        for n, begin in begun.items():
            end = ended.get(n)
            if end is None:
                self.settle(n, begin.reserved_usd, begin.reserved_tokens)
            else:
                self.settle(n, end.cost_usd or 0.0, end.tokens.total)
