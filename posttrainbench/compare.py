"""Is B better than A? Two sets of runs, paired by cell, seed and question.

Compared are scores as they are; a run that left nothing to score counts its base model's score, and how runs ended
stands beside. What broke on our side counts nothing. The verdict is about agents, so it needs to know how much runs of
one agent differ: from several runs a cell, else from how the difference varies over at least three cells. With fewer
than that it is `inconclusive`, whatever the two checkpoints are like.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from posttrainbench.board.entry import Entry, Load
from posttrainbench.errors import UsageError
from posttrainbench.statistics import LEVEL, Estimate, Floats, crossed
from posttrainbench.statistics.crossed import Part
from posttrainbench.strict import Value

Verdict = Literal["better", "worse", "equivalent", "inconclusive"]

POWER = 1.43
"""What an interval's half-width is multiplied by to give the difference that would have been seen in four of five
cases: (1.96 + 0.84) / 1.96."""
CELLS = "how the difference varies over cells"
FEWEST_CELLS = 3


class Side(Value, frozen=True, kw_only=True):
    """One of the two sets."""

    name: str
    runs: int
    agents: list[str]
    outcomes: dict[str, int]


class CellDifference(Value, frozen=True, kw_only=True):
    """What one cell says."""

    task: str
    model: str
    runs: tuple[int, int]
    means: tuple[float, float]
    difference: Estimate
    """B − A."""
    paired: bool
    """By seed too; by question in any case."""


class Comparison(Value, frozen=True, kw_only=True):
    """What two sets of runs say."""

    a: Side
    b: Side
    protocol: str
    weights: dict[str, float]
    cells: list[CellDifference]
    effect: Estimate
    """B − A, the weighted mean over cells."""
    smallest: float
    """The smallest true difference that this many runs would have shown in four of five cases."""
    within: float
    """Differences up to this one are taken for none."""
    verdict: Verdict
    reason: str
    left_out: list[str]
    """Runs that are not compared, and why."""


def compare(
    a: Sequence[Entry], b: Sequence[Entry], load: Load, *, within: float = 0.02, names: tuple[str, str] = ("A", "B")
) -> Comparison:
    """Compare two sets of runs; raises UsageError where they have nothing in common to compare."""
    kept, left = _comparable(a, b)
    cells = sorted({(one.task, one.model) for one in kept[0]} & {(one.task, one.model) for one in kept[1]})
    if not cells:
        raise UsageError(
            f"{names[0]} and {names[1]} have no cell in common under the same rules and questions. "
            + (f"For one: {left[0]}" if left else "Each of the two needs a run on the same base model and task.")
        )
    weights = _weights(kept[0][0].protocol.weights, cells)
    many = Counter(task for task, _ in cells)
    parts: list[Part] = []
    found = []
    for cell in cells:
        sides = [[one for one in side if (one.task, one.model) == cell] for side in kept]
        paired = _paired(sides[0], sides[1])
        weight = weights[cell[0]] / many[cell[0]]
        parts += _parts(sides[0], sides[1], load, weight, paired)
        means = [float(np.mean([_value(one) for one in side])) for side in sides]
        found.append(
            CellDifference(
                task=cell[0],
                model=cell[1],
                runs=(len(sides[0]), len(sides[1])),
                means=(means[0], means[1]),
                difference=crossed.weighted(_parts(sides[0], sides[1], load, 1.0, paired), -1.0, 1.0, careful=True),
                paired=paired,
            )
        )
    shares = [weights[task] / many[task] for task, _ in cells]
    effect, known = _effect(found, shares, crossed.weighted(parts, -1.0, 1.0, careful=True))
    verdict, reason = _judge(effect, known, within, names)
    return Comparison(
        a=_side(names[0], kept[0]),
        b=_side(names[1], kept[1]),
        protocol=kept[0][0].protocol.name,
        weights=weights,
        cells=found,
        effect=effect,
        smallest=POWER * (effect.high - effect.low) / 2,
        within=within,
        verdict=verdict,
        reason=reason,
        left_out=left,
    )


def _comparable(a: Sequence[Entry], b: Sequence[Entry]) -> tuple[tuple[list[Entry], list[Entry]], list[str]]:
    """The runs under the rules that most runs of both sides share, on the questions of the newest that both have."""
    left: list[str] = []
    sides = ([], []) if not a or not b else ([*a], [*b])
    shared = {one.rules for one in sides[0]} & {one.rules for one in sides[1]}
    rules = max(sorted(shared), key=lambda name: sum(one.rules == name for one in (*a, *b)), default="")
    kept: tuple[list[Entry], list[Entry]] = ([], [])
    for number, side in enumerate(sides):
        other = {(one.task, one.model, one.questions) for one in sides[1 - number] if one.rules == rules}
        for one in side:
            if one.outcome == "infrastructure" or one.baseline:
                left.append(f"{one.run}: {'a baseline' if one.baseline else 'broken by our side'}.")
            elif one.rules != rules:
                words = "; ".join([one.protocol.name, *one.changed])
                left.append(f"{one.run}: under other rules ({words}).")
            elif (one.task, one.model, one.questions) not in other:
                left.append(f"{one.run}: the other side has no run on {one.model} × {one.task} with its questions.")
            elif _value(one) is None:
                left.append(f"{one.run}: it has no measurement.")
            else:
                kept[number].append(one)
    return kept, left


def _value(one: Entry) -> float | None:
    measured = one.final if one.outcome == "scored" else one.base
    return measured.value if measured else None


def _paired(a: Sequence[Entry], b: Sequence[Entry]) -> bool:
    """Whether each seed has one run on each side."""
    seeds = [sorted(one.seed for one in side) for side in (a, b)]
    return seeds[0] == seeds[1] and len(set(seeds[0])) == len(seeds[0])


def _rows(runs: Sequence[Entry], load: Load) -> list[Floats]:
    """Each run's outcomes in the order of the questions; raises UsageError where they are not at hand."""
    rows = []
    for one in runs:
        outcomes = load(one)
        scores: Mapping[str, float] = {}
        if outcomes is not None:
            scores = outcomes.final if one.outcome == "scored" else outcomes.base
        if not scores:
            raise UsageError(
                f"The questions' outcomes of {one.run} are not at hand, and without them runs cannot be paired by "
                "question. They lie in evaluation/*/questions.jsonl of the run's folder."
            )
        rows.append(np.array([scores[name] for name in sorted(scores)]))
    return rows


def _parts(a: Sequence[Entry], b: Sequence[Entry], load: Load, weight: float, paired: bool) -> list[Part]:
    """B − A as parts of a weighted sum; questions meet in their block."""
    first = _rows(sorted(a, key=lambda one: one.seed), load)
    second = _rows(sorted(b, key=lambda one: one.seed), load)
    block = a[0].questions
    if paired:
        rows = [new - old for old, new in zip(first, second, strict=True)]
        return [crossed.part([float(row.mean()) for row in rows], rows, (-1.0, 1.0), weight=weight, block=block)]
    made = []
    for rows, sign, reach in ((second, 1.0, 1.0), (first, -1.0, 0.0)):
        values = [float(row.mean()) for row in rows]
        centre = float(np.mean(values))
        ends = (centre - reach, centre + reach)  # One question won and one lost, in thought, for the pair of them.
        made.append(crossed.part(values, list(rows), ends, weight=sign * weight, block=block))
    return made


def _effect(cells: Sequence[CellDifference], shares: Sequence[float], effect: Estimate) -> tuple[Estimate, bool]:
    """The effect's interval, and whether it speaks of agents: how much runs differ is known from several a cell or from
    several cells."""
    if all(min(cell.runs) > 1 for cell in cells):
        return effect, True
    if len(cells) < FEWEST_CELLS:
        return effect, False
    weights = np.array(shares)
    apart = np.array([cell.difference.value for cell in cells]) - effect.value
    variance = float(np.sum(weights**2 * apart**2)) * len(cells) / (len(cells) - 1)
    half = max(crossed.pooled([(variance, len(cells) - 1.0)]) ** 0.5, (effect.high - effect.low) / 2)
    return (
        Estimate(
            value=effect.value,
            low=max(-1.0, effect.value - half),
            high=min(1.0, effect.value + half),
            level=LEVEL,
            method=CELLS,
        ),
        True,
    )


def _judge(effect: Estimate, known: bool, within: float, names: tuple[str, str]) -> tuple[Verdict, str]:
    if not known:
        return "inconclusive", (
            f"One run of a side on {FEWEST_CELLS - 1} cells or fewer tells two checkpoints apart, not two agents: "
            "another run of the same agent may differ as much. Add runs with other seeds, or cells."
        )
    if effect.low > -within and effect.high < within:
        return "equivalent", f"The whole interval lies within ±{within:g}."
    if effect.low > 0:
        return "better", f"{names[1]} scores higher than {names[0]}: the whole interval lies above 0."
    if effect.high < 0:
        return "worse", f"{names[1]} scores lower than {names[0]}: the whole interval lies below 0."
    return "inconclusive", f"The interval holds 0 and reaches beyond ±{within:g}. More runs would narrow it."


def _weights(declared: Mapping[str, float], cells: Sequence[tuple[str, str]]) -> dict[str, float]:
    tasks = sorted({task for task, _ in cells})
    total = sum(declared.get(task, 0.0) for task in tasks)
    whole = all(task in declared for task in tasks)
    return {task: declared[task] / total if whole else 1 / len(tasks) for task in tasks}


def _side(name: str, runs: Sequence[Entry]) -> Side:
    return Side(
        name=name,
        runs=len(runs),
        agents=sorted({f"{one.agent} {one.version}" for one in runs}),
        outcomes=dict(sorted(Counter(one.outcome for one in runs).items())),
    )
