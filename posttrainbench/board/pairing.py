"""Two agents, cell by cell: the difference of their mean scores, paired by question where the outcomes are at hand."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from posttrainbench.board.standings import Board, CellStanding, Standing
from posttrainbench.statistics import Estimate
from posttrainbench.statistics.crossed import Part, weighted

MAX_AGENTS = 10
"""Of a board's first rows, each pair of which is compared."""
PADS = (1.0, -1.0)
"""One question won and one lost, added in thought (Bonett and Price, 2012): equal answers are no certainty."""


@dataclass(frozen=True)
class Cell:
    """What two agents have on one cell."""

    name: str
    left: float
    right: float
    difference: Estimate
    paired: bool


@dataclass(frozen=True)
class Pair:
    """Two agents."""

    left: Standing
    right: Standing
    cells: list[Cell]
    whole: Estimate | None
    """Over all cells that both have, each with the same weight."""


Metric = Callable[[CellStanding], Part | None]
"""Finds what the runs behind a cell of the board come to in the metric."""


Side = tuple[Standing, Mapping[tuple[str, str], Part]]
"""An agent, and what its runs on each task and model come to."""


def sides(board: Board, metric: Metric) -> list[Side]:
    """A board's first agents."""
    first = [one for one in board.standings if one.score][:MAX_AGENTS]
    return [(one, _parts(one, metric)) for one in first]


def pairs(first: Sequence[Side]) -> list[Pair]:
    """Every two of them that have a cell in common."""
    found = [_pair(*left, *right) for number, left in enumerate(first) for right in first[number + 1 :]]
    return [pair for pair in found if pair.cells]


def _parts(one: Standing, metric: Metric) -> dict[tuple[str, str], Part]:
    found = {(cell.task, cell.model): metric(cell) for cell in one.cells}
    return {place: part for place, part in found.items() if part is not None}


def _pair(
    left: Standing, mine: Mapping[tuple[str, str], Part], right: Standing, theirs: Mapping[tuple[str, str], Part]
) -> Pair:
    shared = [cell for cell in mine if cell in theirs and mine[cell].block == theirs[cell].block]
    cells = []
    every: list[Part] = []
    for task, model in shared:
        two = _against(mine[task, model], theirs[task, model], 1.0)
        cells.append(
            Cell(
                name=f"{model} × {task}",
                left=mine[task, model].mean,
                right=theirs[task, model].mean,
                difference=weighted(two, -1.0, 1.0),
                paired=len(two[0].moved) > 0,
            )
        )
        every += _against(mine[task, model], theirs[task, model], 1 / len(shared))
    return Pair(
        left, right, cells, weighted(every, -1.0, 1.0) if len(shared) > 1 else cells[0].difference if cells else None
    )


def _against(mine: Part, theirs: Part, weight: float) -> list[Part]:
    """One minus the other, as parts of one weighted sum: questions that both answered move both."""
    if len(mine.moved) and len(mine.moved) == len(theirs.moved):
        won, lost = np.concatenate([mine.moved, PADS]), np.concatenate([theirs.moved, (0.0, 0.0)])
        return [replace(mine, weight=weight, moved=won), replace(theirs, weight=-weight, moved=lost)]
    nothing = np.zeros(0)
    return [replace(mine, weight=weight, moved=nothing), replace(theirs, weight=-weight, moved=nothing)]
