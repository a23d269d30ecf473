"""What a board is: standings of agents under one protocol, and their order.

Only agents with runs on every cell of the board are ranked against each other; the others stand apart, with what is
missing. A rank is a band: the best and the worst place that the intervals allow.
"""

from collections.abc import Sequence

import msgspec

from posttrainbench.board.counting import Measure
from posttrainbench.statistics import Estimate
from posttrainbench.strict import Value


class CellStanding(Value, frozen=True, kw_only=True):
    """An agent on one cell."""

    task: str
    model: str
    runs: int
    outcomes: dict[str, int]
    """How many runs ended in which way; those of ours (`infrastructure`) count nothing."""
    score: Estimate | None = None
    """Mean of the metric over the runs that were scored."""
    gain: Estimate | None = None
    """Mean of score − base over those, also where it is below 0."""
    uplift: Estimate | None = None
    """As it counts: 0 for a run without a score, 0 for one below base."""
    base: float | None = None
    few_shot: float | None = None
    human: float | None = None
    usd: float | None = None
    """Mean a run; None where a price is unknown."""
    hours: float | None = None
    """Mean session's time."""
    seeds: list[int] = []
    names: list[str] = []
    """The runs."""


class Standing(Value, frozen=True, kw_only=True):
    """One row of a board: an agent in one version."""

    agent: str
    version: str
    command: str = ""
    llm: str = ""
    cells: list[CellStanding]
    score: Estimate | None
    """Weighted mean of the board's measure, as it counts; of the cells that the agent has."""
    band: tuple[int, int] | None
    """Best and worst place among the ranked that the intervals allow; None: not ranked."""
    note: str = ""
    """Why it is not ranked."""
    runs: int
    outcomes: dict[str, int]
    verdicts: dict[str, int]
    incidents: dict[str, int] = {}
    usd: float | None = None
    """What one run on each of its cells costs, on average."""
    hours: float | None = None
    """Mean session's time a run."""
    tokens: int = 0
    complete: bool = True
    """It has runs on every cell of the board."""
    sandboxed: bool = True
    """No run was held in a sandbox that does not isolate (`local`)."""
    first: str = ""
    last: str = ""
    """When its runs were planned; UTC, ISO 8601."""


class LeftOut(Value, frozen=True, kw_only=True):
    """A run that is on no row, and why."""

    run: str
    agent: str
    reason: str


class Board(Value, frozen=True, kw_only=True):
    """What was done under the same rules."""

    id: str
    """Fit for a file's name."""
    protocol: str
    version: int
    title: str
    scored: bool
    """Official; else for trying things out."""
    published: bool = False
    note: str = ""
    measure: Measure
    weights: dict[str, float]
    """By task, in all 1."""
    models: list[str]
    tasks: list[str]
    standings: list[Standing]
    base_score: float | None = None
    few_shot_score: float | None = None
    human_score: float | None = None
    """What these models have on the scale of the board's scores."""
    left_out: list[LeftOut] = []


def ranked(rows: Sequence[Standing]) -> list[Standing]:
    """In a board's order, each band in its right width: the ranked first, then by score; of equal scores the one with
    more scored runs."""
    others = [row.score for row in rows if row.band and row.score]
    made = []
    for row in rows:
        if row.band and row.score:
            best = 1 + sum(other.low > row.score.high for other in others)
            worst = len(others) - sum(other.high < row.score.low for other in others)
            made.append(_replace(row, (best, worst)))
        else:
            made.append(row)
    return sorted(made, key=_order)


def _order(row: Standing) -> tuple[bool, float, float, str, str]:
    scored = row.outcomes.get("scored", 0) / row.runs
    return row.band is None, -(row.score.value if row.score else -1.0), -scored, row.agent, row.version


def _replace(row: Standing, band: tuple[int, int]) -> Standing:
    return msgspec.structs.replace(row, band=band)
