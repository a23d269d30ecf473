"""How sure a mean over runs × questions is, also one that is weighted over cells.

Runs of a cell answer the same questions, so the two are crossed: a question that is hard is hard for every run. An
estimate moves with the chance in which runs there were (luck of the agent) and in which questions were asked:

    Var = S²_runs / R + S²_questions / n − S²_rest / (R n)

S²_runs is the variance of the runs' means, S²_questions that of the questions' means, and S²_rest that of what neither
explains, which stands in both (Searle, Casella and McCulloch, "Variance Components", 1992, chapter 4). Each part of the
variance is widened by Student's quantile for its own degrees of freedom before they are added (Graybill and Wang,
"Confidence Intervals on Nonnegative Linear Combinations of Variances", JASA 75, 1980); those of several cells' runs are
pooled after Satterthwaite (1946). A bootstrap of runs, then of questions (a hierarchical one) draws from R runs as if
they were all runs and is far too narrow for few: docs/scores.md has what was measured.

With one run nothing can be known of other runs, and the interval is that of the questions alone: `method` says so.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from posttrainbench.statistics import LEVEL, Estimate, Floats, Z

QUESTIONS = "questions of one run"
CROSSED = "runs and questions"
MIXED = "runs and questions; of cells with one run, questions alone"


@dataclass(frozen=True)
class Part:
    """What one cell's runs give to a weighted mean, as sums over the runs: small enough to be kept.

    Each run has a value, and for each question of the block how much it moved that value: n deviations with mean 0 (or
    not quite: then the interval's middle is moved by their mean). Where the questions' outcomes are not at hand, a run
    has the variance that they give its value instead."""

    weight: float
    block: str
    """Names the questions, in their order; cells with the same block move together."""
    runs: int
    mean: float
    """Of the runs' values."""
    spread: float
    """Variance of the runs' values; 0 for one run."""
    moved: Floats
    """What each question moved the mean; shape (n,), or (0,) where the outcomes are not at hand."""
    rest: float
    """Sum of squares of what neither runs nor questions explain."""
    own: float
    """Variance that the questions give one run's value, on average over the runs."""


def part(
    values: Sequence[float],
    rows: Sequence[Floats | None],
    ends: tuple[float, float],
    *,
    weight: float = 1.0,
    block: str = "",
) -> Part:
    """A part from what each question adds to each run's value (None: nothing can move this run's). Two questions are
    added in thought, one at each of `ends`, so that 0 right of 60 does not claim certainty (Agresti and Coull, 1998;
    Bonett and Price, 2012); half way to the ends where several runs or samples make a question's score less coarse."""
    known = [row for row in rows if row is not None]
    if not known:
        return loose(values, [0.0] * len(values), weight=weight, block=block)
    coarse = len(values) == 1 and len(np.unique(known[0])) <= 3
    pads = (np.array(ends) - float(np.mean(values))) * (1.0 if coarse else 0.5)
    nothing = np.zeros(len(known[0]) + len(pads))
    moves = np.array([nothing if row is None else np.concatenate([row - row.mean(), pads]) for row in rows])
    moved = moves.mean(axis=0)
    return Part(
        weight=weight,
        block=block,
        runs=len(values),
        mean=float(np.mean(values)),
        spread=_spread(values),
        moved=moved,
        rest=float(np.sum((moves - moved) ** 2)),
        own=float(np.mean(np.var(moves, axis=1))) / moves.shape[1],
    )


def loose(values: Sequence[float], variances: Sequence[float], *, weight: float = 1.0, block: str = "") -> Part:
    """A part without its questions: from the variance that they give each run's value."""
    return Part(
        weight=weight,
        block=block,
        runs=len(values),
        mean=float(np.mean(values)),
        spread=_spread(values),
        moved=np.zeros(0),
        rest=0.0,
        own=float(np.mean(variances)),
    )


def weighted(
    parts: Sequence[Part], low: float = -math.inf, high: float = math.inf, *, careful: bool = False
) -> Estimate:
    """Σ weight × mean over the runs of a part, with its interval, which is cut off at `low` and `high`. `careful`: what
    the runs' variance and the questions' both hold counts twice, for claims that must not be wrong more often than one
    in twenty whatever the runs are like."""
    value = sum(part.weight * part.mean for part in parts)
    blocks = [[part for part in parts if part.block == block and len(part.moved)] for block in _blocks(parts)]
    middle = value + sum(float(_moved(block).mean()) for block in blocks)
    asked = pooled([_of_questions(block) for block in blocks])
    # Where nothing is known of how alike the runs are on a question, they are taken as wholly alike.
    asked += sum(Z**2 * part.weight**2 * part.own for part in parts if not len(part.moved))
    ran = pooled(
        [_of_runs(part) for part in parts if part.runs > 1],
        0.0 if careful else sum(_rest(part) for part in parts),
    )
    half = math.sqrt(asked + ran)
    several = [part.runs > 1 for part in parts]
    method = CROSSED if all(several) else MIXED if any(several) else QUESTIONS
    return Estimate(
        value=value,
        low=min(value, max(low, middle - half)),
        high=max(value, min(high, middle + half)),
        method=method,
    )


@lru_cache(maxsize=65536)
def student(freedom: float) -> float:
    """Student's quantile of (1 + LEVEL) / 2."""
    from scipy.special import stdtrit  # Takes half a second, and few commands need it.

    return float(stdtrit(freedom, (1 + LEVEL) / 2))


def pooled(terms: Sequence[tuple[float, float]], less: float = 0.0) -> float:
    """Squared half-width that a sum of variances gives, each with its degrees of freedom; `less` is taken off the sum.
    Satterthwaite's degrees of freedom for the sum."""
    total = sum(variance for variance, _ in terms)
    below = sum(variance**2 / freedom for variance, freedom in terms)
    freedom = total**2 / below if below else math.inf
    return student(freedom) ** 2 * max(0.0, total - less)


def _blocks(parts: Sequence[Part]) -> list[str]:
    return sorted({part.block for part in parts if len(part.moved)})


def _spread(values: Sequence[float]) -> float:
    return float(np.var(values, ddof=1)) if len(values) > 1 else 0.0


def _of_runs(part: Part) -> tuple[float, float]:
    return part.weight**2 * part.spread / part.runs, part.runs - 1.0


def _of_questions(parts: Sequence[Part]) -> tuple[float, float]:
    """Of cells that share their questions."""
    moved = _moved(parts)
    n = len(moved)
    return (float(np.var(moved, ddof=1)) / n, n - 1.0) if n > 1 else (0.0, math.inf)


def _moved(parts: Sequence[Part]) -> Floats:
    return np.asarray(sum(part.weight * part.moved for part in parts))


def _rest(part: Part) -> float:
    """What the runs' variance and the questions' both hold."""
    runs, n = part.runs, len(part.moved)
    return part.weight**2 * part.rest / ((runs - 1) * (n - 1)) / (runs * n) if runs > 1 and n > 1 else 0.0
