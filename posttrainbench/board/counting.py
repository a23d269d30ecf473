"""What a cell's runs count in a board's mean, and how much each question moved that.

Measures: `uplift`, the share of the way from base to instruct model; `gain`, score − base, where there is no instruct
model to give a scale; `metric`, the score as it is. A run without a checkpoint that may be scored counts no uplift and
no gain, and one below base counts 0; in `metric` a run without such a checkpoint counts the base model's score.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from posttrainbench.board.entry import Entry, Load, Outcomes
from posttrainbench.statistics import Estimate, Floats, Z, crossed
from posttrainbench.statistics.crossed import Part

Measure = Literal["uplift", "gain", "metric"]


@dataclass(frozen=True)
class Scale:
    """The instruct model's score on a cell."""

    human: float
    outcomes: Mapping[str, float] | None = None


def counts(entry: Entry) -> bool:
    """Whether a run counts at all: what broke on our side is run again and never a score."""
    return entry.outcome != "infrastructure"


def value(entry: Entry, measure: Measure, scale: Scale | None, *, raw: bool = False) -> float | None:
    """What a run counts; None where it cannot be told. `raw`: a regression below base as it is, and a run that was not
    scored not at all."""
    base = entry.base.value if entry.base else None
    if entry.outcome != "scored" or entry.final is None or base is None:
        return None if raw else base if measure == "metric" else 0.0
    final = entry.final.value
    if measure == "metric":
        return final
    found = final - base
    if measure == "uplift":
        if scale is None or scale.human <= base:
            return None
        found /= scale.human - base
    return found if raw else max(0.0, found)


def part(
    runs: Sequence[Entry], measure: Measure, scale: Scale | None, load: Load, *, weight: float = 1.0, raw: bool = False
) -> Part | None:
    """A cell's runs, as statistics takes them; None where no run counts."""
    pairs = [(one, value(one, measure, scale, raw=raw)) for one in runs if counts(one)]
    valued = [(one, number) for one, number in pairs if number is not None]
    if not valued:
        return None
    values = [number for _, number in valued]
    block = valued[0][0].questions
    rows = _rows([one for one, _ in valued], measure, scale, load)
    if rows is not None:
        length = scale.human - float(np.mean([one.base.value for one, _ in valued if one.base])) if scale else 1.0
        ends = {"metric": (0.0, 1.0), "gain": (-1.0, 1.0), "uplift": (-1.0 / length, 1.0 / length)}[measure]
        return crossed.part(values, rows, ends, weight=weight, block=block)
    variances = [_variance(one, measure, scale) for one, _ in valued]
    return crossed.loose(values, variances, weight=weight, block=block)


def _rows(runs: Sequence[Entry], measure: Measure, scale: Scale | None, load: Load) -> list[Floats | None] | None:
    """What each question adds to each run's value; None unless the outcomes of all are at hand, on the same questions
    (and, for uplift, the instruct model's)."""
    loaded = [load(one) for one in runs]
    known = [one for one in loaded if one is not None]
    if len(known) < len(runs) or (measure == "uplift" and (scale is None or scale.outcomes is None)):
        return None
    first = known[0].base
    human = scale.outcomes if scale and scale.outcomes else first
    order = list(first)
    if not order or any(names.keys() != first.keys() for one in known for names in (one.base, one.final or one.base)):
        return None
    if human.keys() != first.keys():
        return None
    order.sort()
    return [
        _row(one, outcomes, order, measure, human) if one.outcome == "scored" or measure == "metric" else None
        for one, outcomes in zip(runs, known, strict=True)
    ]


def _row(
    entry: Entry, outcomes: Outcomes, order: Sequence[str], measure: Measure, human: Mapping[str, float]
) -> Floats:
    """By the delta method: what one question adds to the value, up to a constant."""
    base = np.array([outcomes.base[name] for name in order])
    final = np.array([outcomes.final[name] for name in order]) if entry.outcome == "scored" else base
    if measure == "metric":
        return final
    if measure == "gain":
        return np.asarray(final - base)
    top = np.array([human[name] for name in order])
    length = float(top.mean() - base.mean())
    return np.asarray((final - base - (final - base).mean() / length * (top - base)) / length)


def _variance(entry: Entry, measure: Measure, scale: Scale | None) -> float:
    """Variance that the questions give a run's value, from the interval on its record."""
    if entry.outcome != "scored":
        return _of(entry.base) if measure == "metric" else 0.0
    if measure == "metric":
        return _of(entry.final)
    length = scale.human - entry.base.value if measure == "uplift" and scale and entry.base else 1.0
    return _of(entry.gain) / length**2


def _of(estimate: Estimate | None) -> float:
    return ((estimate.high - estimate.low) / 2 / Z) ** 2 if estimate else 0.0
