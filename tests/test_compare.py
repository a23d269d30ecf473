"""A verdict on two agents is rarely wrong, and says when it cannot be had."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from boarding import World

from posttrainbench import statistics
from posttrainbench.board.entry import Entry, Outcomes
from posttrainbench.compare import compare
from posttrainbench.errors import UsageError

QUESTIONS = 120


def template() -> dict[str, Any]:
    one = World().add("a", 0.5)
    return {name: getattr(one, name) for name in one.__struct_fields__}


class Simulated:
    """Runs of agents of a known skill, whose luck differs from run to run."""

    def __init__(self, seed: int) -> None:
        self.generator = np.random.default_rng(seed)
        self.values = template()
        self.known: dict[str, Outcomes] = {}

    def runs(self, hard: Any, skill: float, runs: int, cell: int, first_seed: int, luck: float = 0.4) -> list[Entry]:
        made = []
        for number in range(runs):
            logits = skill + hard + luck * self.generator.normal()
            right = self.generator.random(len(hard)) < 1 / (1 + np.exp(-logits))
            name = f"run-{len(self.known)}"
            self.known[name] = Outcomes(base={}, final={f"{q:03}": float(one) for q, one in enumerate(right)})
            final = statistics.Estimate(value=float(right.mean()), low=0, high=1, method="")
            changes = {"run": name, "final": final, "model": f"m{cell}", "seed": first_seed + number}
            made.append(Entry(**self.values | changes))
        return made

    def verdict(self, difference: float, runs: int, cells: int, *, paired: bool, luck: float = 0.4) -> str:
        a: list[Entry] = []
        b: list[Entry] = []
        hard = self.generator.normal(size=QUESTIONS) * 1.8 - 0.5
        for cell in range(cells):
            a += self.runs(hard, 0.0, runs, cell, 0, luck)
            b += self.runs(hard, difference, runs, cell, 0 if paired else 100, luck)
        return compare(a, b, lambda one: self.known[one.run]).verdict


@pytest.mark.parametrize(
    ("runs", "cells"),
    [
        (3, 1),
        pytest.param(1, 1, marks=pytest.mark.slow),
        pytest.param(1, 5, marks=pytest.mark.slow),
        pytest.param(10, 1, marks=pytest.mark.slow),
    ],
)
def test_agents_of_equal_skill_are_rarely_told_apart(runs: int, cells: int) -> None:
    simulated = Simulated(runs)
    times = 300
    found = Counter(simulated.verdict(0.0, runs, cells, paired=bool(number % 2)) for number in range(times))
    # At most 5 %, plus two standard errors of so many simulations.
    assert (found["better"] + found["worse"]) / times <= 0.05 + 2 * (0.05 * 0.95 / times) ** 0.5


@pytest.mark.parametrize(("runs", "cells"), [(1, 5), (3, 1), (10, 1)])
def test_a_large_difference_is_seen(runs: int, cells: int) -> None:
    simulated = Simulated(runs)
    found = Counter(simulated.verdict(2.5, runs, cells, paired=False) for _ in range(40))
    assert found["better"] >= 30
    assert found["worse"] == 0


def sides(first: float | None, second: float | None, *, seeds: int = 3) -> tuple[World, list[Entry], list[Entry]]:
    world = World()
    a = [world.add("old", first, seed=seed) for seed in range(seeds)]
    b = [world.add("new", second, seed=seed) for seed in range(seeds)]
    return world, a, b


def test_equal_runs_are_equivalent_within_a_wide_enough_delta() -> None:
    world, a, b = sides(0.5, 0.5)
    assert compare(a, b, world.load, within=0.2).verdict == "equivalent"
    assert compare(a, b, world.load, within=0.001).verdict == "inconclusive"


def test_better_and_worse_are_each_other_s_mirror() -> None:
    world, a, b = sides(0.3, 0.6)
    there, back = compare(a, b, world.load), compare(b, a, world.load)
    assert (there.verdict, back.verdict) == ("better", "worse")
    assert there.effect.value == pytest.approx(0.3)
    assert (back.effect.low, back.effect.high) == pytest.approx((-there.effect.high, -there.effect.low), abs=0.01)
    assert 0 < there.smallest < 0.3
    assert there.cells[0].paired


def test_one_run_a_side_on_one_cell_tells_no_agents_apart() -> None:
    world, a, b = sides(0.2, 0.7, seeds=1)
    found = compare(a, b, world.load)
    assert found.verdict == "inconclusive"
    assert "two checkpoints apart, not two agents" in found.reason
    assert found.effect.low > 0.3


def test_failures_count_the_base_model_s_score_and_are_shown() -> None:
    world, a, b = sides(0.6, None)
    found = compare(a, b, world.load)
    assert found.verdict == "worse"
    assert found.b.outcomes == {"no_checkpoint": 3}
    assert found.cells[0].means == pytest.approx((0.6, 0.2))


def test_what_is_not_alike_is_left_out_and_said() -> None:
    world, a, b = sides(0.3, 0.6)
    b += [world.add("new", 0.9, outcome="infrastructure"), world.add("new", 0.9, hours_allowed=9.0)]
    b += [world.add("new", 0.9, task="words")]
    found = compare(a, b, world.load)
    assert found.b.runs == 3
    assert len(found.left_out) == 3


def test_nothing_in_common_is_a_sentence() -> None:
    world = World()
    a, b = [world.add("old", 0.5)], [world.add("new", 0.5, task="words")]
    with pytest.raises(UsageError, match="no cell in common"):
        compare(a, b, world.load)
    with pytest.raises(UsageError, match="no cell in common"):
        compare([], b, world.load)


def test_without_outcomes_there_is_no_pairing() -> None:
    _, a, b = sides(0.3, 0.6)
    with pytest.raises(UsageError, match="not at hand"):
        compare(a, b, lambda one: None)
