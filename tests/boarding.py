"""Entries and outcomes for tests of boards."""

import zlib
from collections.abc import Mapping
from typing import Any

import factory
import numpy as np

from posttrainbench import scores
from posttrainbench.board.entry import Entry, Outcomes

N = 200


def outcomes(base: float, final: float | None, human: float | None = None, *, seed: int = 0, n: int = N) -> Outcomes:
    """Right and wrong answers at these rates; question by question they hang together."""
    hard = np.random.default_rng(99).random(n)

    def draw(rate: float, stream: int) -> dict[str, float]:
        noise = np.random.default_rng([seed, stream]).random(n)
        order = np.argsort(0.7 * hard + 0.3 * noise)
        right = set(order[: round(rate * n)])
        return {f"q{number}": float(number in right) for number in range(n)}

    return Outcomes(
        base=draw(base, 0),
        final={} if final is None else draw(final, 1 + seed),
        human=None if human is None else draw(human, 2),
    )


class World:
    """Runs with their outcomes."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.known: dict[str, Outcomes] = {}

    def add(
        self,
        agent: str,
        final: float | None,
        *,
        base: float = 0.2,
        human: float | None = 0.7,
        seed: int = 0,
        task: str = "sums",
        model: str = "tiny",
        protocol: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> Entry:
        """One more run; `final` None: no checkpoint."""
        cell = zlib.crc32(f"{task}{model}".encode()) % 1000
        found = outcomes(base, final, human, seed=1000 * cell + seed if final else cell)
        found = Outcomes(base=outcomes(base, None, seed=cell).base, final=found.final, human=found.human)
        rules = factory.protocol(**(protocol or {}))
        computed = scores.score(
            metric="exact", base=found.base, final=found.final or None, human=found.human if human else None
        )
        name = f"run-{len(self.entries):03}"
        values: dict[str, Any] = {
            "run": name,
            "agent": agent,
            "version": "1",
            "task": task,
            "task_version": 1,
            "model": model,
            "protocol": rules,
            "hours_allowed": rules.hours,
            "limit": rules.limit,
            "questions": f"sha256:{task}",
            "seed": seed,
            "sandbox": "docker",
            "outcome": "scored" if final is not None else "no_checkpoint",
            "reason": "",
            "verdict": "clean",
            "final": computed.final,
            "base": computed.base,
            "human": computed.human,
            "gain": computed.gain,
            "hours": 0.001,
            "usd": 1.0,
            "created": f"2026-01-01T00:00:{len(self.entries):02}Z",
        }
        made = Entry(**values | changes)
        self.entries.append(made)
        self.known[name] = found
        return made

    def load(self, one: Entry) -> Outcomes | None:
        return self.known.get(one.run)
