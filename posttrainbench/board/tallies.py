"""What an agent's runs on one cell come to: the only part of a board that is computed from questions, so it is computed
apart from all others, in any process, and can be kept."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from posttrainbench.board import counting
from posttrainbench.board.counting import Measure, Scale
from posttrainbench.board.entry import Entry, Load, Outcomes
from posttrainbench.board.standings import CellStanding
from posttrainbench.statistics import Estimate
from posttrainbench.statistics.crossed import Part, weighted
from posttrainbench.strict import Value


class Cell(Value, frozen=True, kw_only=True):
    """What is common to all runs of a cell; the newest measurement stands for it."""

    task: str
    model: str
    base: float | None
    few_shot: float | None
    human: float | None
    """The instruct model's score, where it is above the base model's."""
    source: Entry | None
    """The run that has the instruct model's outcomes."""


@dataclass(frozen=True)
class Work:
    """An agent's runs on a cell, the oldest first, and what they are to be counted in."""

    cell: Cell
    measure: Measure
    runs: Sequence[Entry]


class Tally(Value, frozen=True, kw_only=True):
    """What came of it."""

    standing: CellStanding
    counted: Part | None
    """What the cell gives to the agent's score; None where no run counts."""
    metric: Part | None
    """The mean of the metric, to compare agents by."""


Count = Callable[[Sequence[Work]], list[Tally]]
"""Gives each work's tally."""


def cell(task: str, model: str, runs: Sequence[Entry]) -> Cell:
    """Of all runs on it, the oldest first, baselines among them."""
    base = next((one.base for one in reversed(runs) if one.base), None)
    few_shot = next((one.few_shot for one in reversed(runs) if one.few_shot), None)
    human, source = _human(runs, base)
    return Cell(
        task=task,
        model=model,
        base=base.value if base else None,
        few_shot=few_shot.value if few_shot else None,
        human=human,
        source=source,
    )


def _human(runs: Sequence[Entry], base: Estimate | None) -> tuple[float | None, Entry | None]:
    """The instruct model's score: its own measurement's, or the newest run's that has one."""
    measured = [one for one in reversed(runs) if one.baseline == "instruct" and one.final]
    for one in measured or [one for one in reversed(runs) if one.human]:
        human = one.final if measured else one.human
        if human is None or base is None or human.value <= base.value:
            return None, None
        return human.value, one
    return None, None


def tally(work: Work, load: Load) -> Tally:
    """Count a cell's runs."""
    cell, runs, measure = work.cell, work.runs, work.measure
    scale = _scale(cell, load)
    known = {one.run: load(one) for one in runs}

    def part(measure: Measure, raw: bool = False) -> Part | None:
        return counting.part(runs, measure, scale, lambda one: known[one.run], raw=raw)

    def mean(measure: Measure, low: float, high: float, raw: bool) -> Estimate | None:
        if raw and len(scored) == 1:  # As the run's own page says it.
            return scored[0].final if measure == "metric" else scored[0].gain
        found = part(measure, raw)
        return weighted([found], low, high) if found else None

    scored = [one for one in runs if one.outcome == "scored"]
    whole = total([one.usd for one in runs])
    return Tally(
        counted=part(measure),
        metric=part("metric"),
        standing=CellStanding(
            task=cell.task,
            model=cell.model,
            runs=len(runs),
            outcomes=dict(sorted(Counter(one.outcome for one in runs).items())),
            score=mean("metric", 0.0, 1.0, raw=True),
            gain=mean("gain", -1.0, 1.0, raw=True),
            uplift=mean("uplift", 0.0, float("inf"), raw=False) if scale else None,
            base=cell.base,
            few_shot=cell.few_shot,
            human=cell.human,
            usd=None if whole is None else whole / len(runs),
            hours=sum(one.hours for one in runs) / len(runs),
            seeds=sorted({one.seed for one in runs}),
            names=[one.run for one in runs],
        ),
    )


def _scale(cell: Cell, load: Load) -> Scale | None:
    if cell.human is None or cell.source is None:
        return None
    loaded: Outcomes | None = load(cell.source)
    found = None if loaded is None else loaded.final if cell.source.baseline == "instruct" else loaded.human
    return Scale(human=cell.human, outcomes=found)


def total(numbers: Sequence[float | None]) -> float | None:
    """Their sum; None where one of them is not known."""
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None
