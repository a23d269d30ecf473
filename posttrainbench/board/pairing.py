"""Two agents, cell by cell: the difference of their mean scores, paired by question where the outcomes are at hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from posttrainbench.board import counting
from posttrainbench.board.entry import Entry, Load
from posttrainbench.board.standings import Board, Standing
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


Runs = Mapping[tuple[str, str, str, str, str], Sequence[Entry]]
"""Runs of an agent, version and command on a task and model."""


def pairs(board: Board, runs: Runs, load: Load) -> list[Pair]:
    """Every two of a board's first agents that have a cell in common."""
    first = [one for one in board.standings if one.score][:MAX_AGENTS]
    parts = {id(one): _parts(one, runs, load) for one in first}
    found = []
    for number, left in enumerate(first):
        for right in first[number + 1 :]:
            pair = _pair(left, right, parts[id(left)], parts[id(right)])
            if pair.cells:
                found.append(pair)
    return found


def _parts(one: Standing, runs: Runs, load: Load) -> dict[tuple[str, str], Part]:
    found = {}
    for cell in one.cells:
        many = runs.get((one.agent, one.version, one.command, cell.task, cell.model), ())
        part = counting.part(many, "metric", None, load)
        if part is not None:
            found[cell.task, cell.model] = part
    return found


def _pair(
    left: Standing, right: Standing, mine: Mapping[tuple[str, str], Part], theirs: Mapping[tuple[str, str], Part]
) -> Pair:
    shared = [cell for cell in mine if cell in theirs and mine[cell].block == theirs[cell].block]
    cells = []
    every: list[Part] = []
    for task, model in shared:
        two = _against(mine[task, model], theirs[task, model], 1.0)
        cells.append(
            Cell(
                name=f"{model} × {task}",
                left=float(np.mean(mine[task, model].values)),
                right=float(np.mean(theirs[task, model].values)),
                difference=weighted(two, -1.0, 1.0),
                paired=bool(len(two[0].moves) and len(two[1].moves)),
            )
        )
        every += _against(mine[task, model], theirs[task, model], 1 / len(shared))
    return Pair(
        left, right, cells, weighted(every, -1.0, 1.0) if len(shared) > 1 else cells[0].difference if cells else None
    )


def _against(mine: Part, theirs: Part, weight: float) -> list[Part]:
    """One minus the other, as parts of one weighted sum: questions that both answered move both."""
    if len(mine.moves) and len(theirs.moves) and len(mine.moves[0]) == len(theirs.moves[0]):
        won = [np.concatenate([row, PADS]) for row in mine.moves]
        lost = [np.concatenate([row, (0.0, 0.0)]) for row in theirs.moves]
        return [Part(weight, mine.block, mine.values, won), Part(-weight, theirs.block, theirs.values, lost)]
    return [_loose(mine, weight), _loose(theirs, -weight)]


def _loose(part: Part, weight: float) -> Part:
    """A part without its questions: what they are worth as a variance."""
    variances = part.variances or [float(np.var(row)) / len(row) for row in part.moves]
    return Part(weight, part.block, part.values, [], variances)
