"""Verdicts on agents that are alike, where what questions and runs are like is no model of ours but what was measured.

outcomes.json has the outcome of each of 120 questions in 24 trainings of one small network, for a task that they half
learn and one that they hardly do; benchmarks/outcomes.py made it. Runs and questions are drawn from those, for both
sides from the same ones, so that any difference is chance.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from boarding import World

from posttrainbench import statistics
from posttrainbench.board.entry import Entry, Outcomes
from posttrainbench.compare import compare

POOLS: dict[str, list[str]] = msgspec.json.decode(Path(__file__).with_name("outcomes.json").read_bytes())
"""A row of 0 and 1 a run, a place a question, by task."""
TIMES = 300


class Drawn:
    """Sides of comparisons, drawn from measured outcomes."""

    def __init__(self, seed: int) -> None:
        self.generator = np.random.default_rng(seed)
        one = World().add("a", 0.5)
        self.values: dict[str, Any] = {name: getattr(one, name) for name in one.__struct_fields__}
        self.known: dict[str, Outcomes] = {}

    def verdict(self, runs: int, cells: int, *, paired: bool) -> str:
        """Of two sides that are one and the same agent."""
        sides: tuple[list[Entry], list[Entry]] = ([], [])
        for cell in range(cells):
            pool = np.array([list(row) for row in list(POOLS.values())[cell % len(POOLS)]], dtype=float)
            asked = self.generator.integers(0, pool.shape[1], pool.shape[1])
            for number, side in enumerate(sides):
                for seed in range(runs):
                    row = pool[self.generator.integers(0, len(pool)), asked]
                    side.append(self.entry(row, f"m{cell}", seed if paired else 100 * number + seed))
        return compare(*sides, lambda one: self.known[one.run]).verdict

    def entry(self, row: Any, model: str, seed: int) -> Entry:
        """A run with these outcomes."""
        name = f"run-{len(self.known)}"
        self.known[name] = Outcomes(base={}, final={f"{q:04}": float(one) for q, one in enumerate(row)})
        final = statistics.Estimate(value=float(row.mean()), low=0, high=1, method="")
        return Entry(**self.values | {"run": name, "final": final, "model": model, "seed": seed})


def test_the_outcomes_are_not_those_of_coins() -> None:
    """Runs that differ, and questions that are harder than others: else nothing would be shown below."""
    for rows in POOLS.values():
        pool = np.array([list(row) for row in rows], dtype=float)
        assert pool.shape == (24, 120)
        share = pool.mean()
        assert len(set(pool.mean(axis=1))) > 4
        # Were all questions equally hard, their shares of right answers would differ by chance alone.
        assert np.var(pool.mean(axis=0)) > 2 * share * (1 - share) / 24


@pytest.mark.slow
@pytest.mark.parametrize(("runs", "cells"), [(1, 1), (1, 5), (3, 1), (3, 5), (10, 1)])
def test_an_agent_is_rarely_told_apart_from_itself(runs: int, cells: int) -> None:
    drawn = Drawn(runs + 100 * cells)
    found = Counter(drawn.verdict(runs, cells, paired=bool(number % 2)) for number in range(TIMES))
    alarms = (found["better"] + found["worse"]) / TIMES
    # At most 5 %, plus two standard errors of so many simulations.
    assert alarms <= 0.05 + 2 * (0.05 * 0.95 / TIMES) ** 0.5, found
