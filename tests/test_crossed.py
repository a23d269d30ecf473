"""Intervals over runs and questions hold the truth as often as they say."""

import math

import numpy as np
import numpy.typing as npt
import pytest

from posttrainbench.statistics import crossed
from posttrainbench.statistics.crossed import Part

SIMULATIONS = 2000
HARD, LUCK = 1.5, 0.4
"""Standard deviations, in logits, of how hard questions are and of how skilled an agent's runs are."""
Floats = npt.NDArray[np.float64]


def chance(logits: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-logits)))


def held(runs: int, questions: int, samples: int, skill: float, cells: int = 1) -> float:
    """How often the interval holds the skill of the agent (of its one run, where there is only one). Its cells share
    their questions in pairs, as two base models of one task do."""
    generator = np.random.default_rng([runs, questions, samples, cells])
    spread = generator.normal(size=100_000)
    weights = np.arange(1, cells + 1) / sum(range(1, cells + 1))
    truth = float(chance(skill + math.hypot(HARD, LUCK) * spread).mean())
    hits = 0
    for _ in range(SIMULATIONS):
        luck = generator.normal(size=(cells, runs, 1)) * LUCK
        hard = generator.normal(size=((cells + 1) // 2, 1, questions)).repeat(2, axis=0)[:cells] * HARD
        scores = generator.binomial(samples, chance(skill + luck + hard)) / samples
        parts = [
            crossed.part(list(cell.mean(axis=1)), list(cell), (0.0, 1.0), weight=weight, block=str(number // 2))
            for number, (cell, weight) in enumerate(zip(scores, weights, strict=True))
        ]
        found = crossed.weighted(parts, 0.0, 1.0)
        if runs == 1:
            truth = float(weights @ chance(skill + luck[:, 0] + HARD * spread[:4000]).mean(axis=1))
        hits += found.low <= truth <= found.high
    return hits / SIMULATIONS


@pytest.mark.parametrize("runs", [1, 3, 10])
@pytest.mark.parametrize(("questions", "samples"), [(100, 1), (30, 16)])
def test_one_cell(questions: int, samples: int, runs: int) -> None:
    assert 0.93 <= held(runs, questions, samples, -0.5) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("runs", [1, 3, 10])
def test_cells_of_a_board(runs: int) -> None:
    assert 0.93 <= held(runs, 100, 1, -1.0, cells=5) <= 0.97


def part(scores: Floats, **changes: object) -> Part:
    return crossed.part(list(scores.mean(axis=1)), list(scores), (0.0, 1.0), **changes)  # type: ignore[arg-type]


def test_a_bootstrap_of_runs_then_questions_would_be_too_narrow_for_three() -> None:
    """Why the design's hierarchical bootstrap is not what is used."""
    generator = np.random.default_rng(4)
    truth = float(chance(generator.normal(size=100_000) * math.hypot(HARD, 1.0)).mean())
    hits = {"bootstrap": 0, "crossed": 0}
    for _ in range(300):
        luck, hard = generator.normal(size=(3, 1)), generator.normal(size=(1, 200)) * HARD
        scores = generator.binomial(1, chance(luck + hard)).astype(float)
        drawn = scores[generator.integers(0, 3, (300, 3))].mean(axis=1)
        means = np.take_along_axis(drawn, generator.integers(0, 200, (300, 200)), axis=1).mean(axis=1)
        low, high = np.quantile(means, [0.025, 0.975])
        hits["bootstrap"] += low <= truth <= high
        found = crossed.weighted([part(scores)], 0.0, 1.0)
        hits["crossed"] += found.low <= truth <= found.high
    assert hits["bootstrap"] / 300 < 0.85
    assert hits["crossed"] / 300 > 0.9


def test_no_right_answer_is_no_certainty() -> None:
    for runs in (1, 3):
        found = crossed.weighted([part(np.zeros((runs, 60)))], 0.0, 1.0)
        assert (found.value, found.low) == (0.0, 0.0)
        assert 0.02 < found.high < 0.12


def test_shared_questions_do_not_count_twice() -> None:
    """Two cells with the same answers to the same questions know no more than one; with other questions they do."""
    scores = np.random.default_rng(5).integers(0, 2, (1, 100)).astype(float)
    alone = crossed.weighted([part(scores)])
    shared = crossed.weighted([part(scores, weight=0.5, block="a"), part(scores, weight=0.5, block="a")])
    apart = crossed.weighted([part(scores, weight=0.5, block="a"), part(scores, weight=0.5, block="b")])
    assert shared.high - shared.low == pytest.approx(alone.high - alone.low)
    assert (apart.high - apart.low) / (alone.high - alone.low) == pytest.approx(1 / math.sqrt(2), rel=0.02)


def test_what_an_interval_speaks_of_is_said() -> None:
    scores = np.random.default_rng(5).integers(0, 2, (3, 100)).astype(float)
    one, three = part(scores[:1], weight=0.5), part(scores, weight=0.5)
    assert crossed.weighted([one, one]).method == crossed.QUESTIONS
    assert crossed.weighted([three, three]).method == crossed.CROSSED
    assert crossed.weighted([one, three]).method == crossed.MIXED


def test_a_run_that_nothing_can_move_has_no_interval() -> None:
    found = crossed.weighted([crossed.part([0.0], [None], (-1.0, 1.0))])
    assert (found.low, found.high) == (0.0, 0.0)
