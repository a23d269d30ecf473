"""Which exchange with the model interface a step came of, where that can be told honestly.

Two ways, and no guess: an exchange whose tokens are those that the program itself tells for the step; or, in one turn,
as many exchanges as steps, each step's time lying between the begin of its exchange and the begin of the next. A step
without an exchange gets no numbers.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from posttrainbench.gateway.ledger import Begin, End, Tokens
from posttrainbench.transcript.drafts import Draft

CLOCK_SECONDS = 3.0
"""How far the time of a step, known to a second and of buffered output, may lie outside of its exchange's."""


@dataclass(frozen=True)
class Exchange:
    """An exchange with the model interface that has ended. Seconds since the session's start."""

    begin: float
    end: float
    facts: End
    model: str
    background: bool

    @property
    def answered(self) -> bool:
        """Whether the agent got an answer of the model."""
        return 200 <= self.facts.status < 300 and self.facts.cause is None and self.facts.tokens.total > 0


def exchanges(ledger: Iterable[Begin | End], start: float) -> list[Exchange]:
    """Exchanges of model routes, by their begin. `start`: the session's start by the host's monotonic clock."""
    begun: dict[int, Begin] = {}
    found = []
    for line in ledger:
        if isinstance(line, Begin):
            begun[line.n] = line
        elif line.n in begun:
            first = begun[line.n]
            if first.model:
                found.append(Exchange(first.t - start, line.t - start, line, first.model, first.background))
    return sorted(found, key=lambda one: one.begin)


def match(drafts: Sequence[Draft], known: Sequence[Exchange], turns: Sequence[float]) -> Mapping[int, Exchange]:
    """The exchange of each of the agent's steps, by the step's place in `drafts`."""
    found: dict[int, Exchange] = {}
    answered = [one for one in known if one.answered and not one.background]
    bounds = [*(turns or [0.0]), float("inf")]
    for turn in range(len(bounds) - 1):
        begin = bounds[turn] if turn else float("-inf")
        here = [one for one in answered if begin <= one.begin < bounds[turn + 1]]
        places = [n for n, one in enumerate(drafts) if one.source == "agent" and not one.kind and one.turn == turn]
        by_tokens = all(drafts[n].used for n in places)
        found |= _by_tokens(drafts, places, here) if by_tokens else _by_count(drafts, places, here)
    return found


def _by_tokens(drafts: Sequence[Draft], places: Sequence[int], here: Sequence[Exchange]) -> dict[int, Exchange]:
    found: dict[int, Exchange] = {}
    position = 0
    for n in places:
        for later in range(position, len(here)):
            if _same(drafts[n], here[later].facts.tokens):
                found[n] = here[later]
                position = later + 1
                break
    return found


def _same(draft: Draft, tokens: Tokens) -> bool:
    used = draft.used
    if used is None or _prompt(used) != _prompt(tokens) or used.cached != tokens.cached:
        return False
    return not draft.output_known or used.output == tokens.output


def _prompt(tokens: Tokens) -> int:
    return tokens.input + tokens.cached + tokens.cache_write


def _by_count(drafts: Sequence[Draft], places: Sequence[int], here: Sequence[Exchange]) -> dict[int, Exchange]:
    if len(places) != len(here):
        return {}
    nexts = [*(one.begin for one in here[1:]), float("inf")]
    for n, one, following in zip(places, here, nexts, strict=True):
        t = drafts[n].t
        if t is None or not one.begin - CLOCK_SECONDS <= t <= following + CLOCK_SECONDS:
            return {}
    return dict(zip(places, here, strict=True))
