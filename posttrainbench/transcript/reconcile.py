"""Totals by the program's own count beside those of the ledger.

Each program counts in a way of its own. Claude Code's `modelUsage` and Gemini's `stats` have every model in them, the
small ones that work in the background too; opencode leaves out the call that makes a title. Codex and Qwen count over a
whole session, so their last total stands for all turns. A turn that was ended from outside leaves no total: then
nothing can be compared, which is no disagreement.
"""

from collections.abc import Sequence
from typing import Literal

from posttrainbench.gateway.ledger import Tokens
from posttrainbench.strict import Value
from posttrainbench.transcript.compose import summed
from posttrainbench.transcript.exchanges import Exchange
from posttrainbench.transcript.steps import Gathered, Report

TOLERANCE = 0.02
COUNTS_BACKGROUND = {"claude", "gemini", "qwen"}
"""Formats whose totals have the models in them that work in the background."""


class Disagreement(Value, frozen=True, kw_only=True):
    """A total that differs by more than TOLERANCE."""

    what: Literal["input", "cached", "output", "cost_usd"]
    """`input` includes what was cached."""
    reported: float
    ledger: float


class Totals(Value, frozen=True, kw_only=True):
    """Totals by the program's own count."""

    tokens: Tokens
    cost_usd: float | None
    complete: bool
    """False where a turn ended without telling its totals."""


def reported(gathered: Gathered) -> Totals | None:
    """What the program says that all its turns took; None if it never says."""
    if not gathered.reports:
        return None
    latest: dict[str, Report] = {}
    parts: list[Report] = []
    for one in gathered.reports:
        if one.reported.cumulative:
            latest[one.session] = one
        else:
            parts.append(one)
    counted = [*parts, *latest.values()]
    costs = [one.reported.cost_usd for one in counted]
    told = {one.turn for one in gathered.reports}
    last = gathered.turns - 1
    return Totals(
        tokens=summed([one.reported.tokens for one in counted]),
        cost_usd=None if None in costs else sum(cost or 0.0 for cost in costs),
        complete=last in told if latest else told.issuperset(range(gathered.turns)),
    )


def disagreements(format_: str, totals: Totals | None, exchanges: Sequence[Exchange]) -> list[Disagreement]:
    """Where the program's totals and the ledger's differ."""
    if totals is None or not totals.complete:
        return []
    counted = [one for one in exchanges if format_ in COUNTS_BACKGROUND or not one.background]
    ledger = summed([one.facts.tokens for one in counted])
    costs = [one.facts.cost_usd for one in counted if one.facts.tokens.total]
    pairs: list[tuple[Literal["input", "cached", "output", "cost_usd"], float, float]] = [
        ("input", _prompt(totals.tokens), _prompt(ledger)),
        ("cached", totals.tokens.cached, ledger.cached),
        ("output", totals.tokens.output, ledger.output),
    ]
    if totals.cost_usd is not None and None not in costs:
        pairs.append(("cost_usd", totals.cost_usd, sum(cost or 0.0 for cost in costs)))
    return [
        Disagreement(what=what, reported=theirs, ledger=ours)
        for what, theirs, ours in pairs
        if abs(theirs - ours) > TOLERANCE * max(theirs, ours)
    ]


def _prompt(tokens: Tokens) -> int:
    return tokens.input + tokens.cached + tokens.cache_write
