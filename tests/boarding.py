"""Entries and outcomes for tests of boards."""

import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import factory
import numpy as np

from posttrainbench import record, scores
from posttrainbench.agent.result import SessionResult
from posttrainbench.board.boards import boards as boards_of
from posttrainbench.board.entry import Entry, Load, Outcomes
from posttrainbench.board.standings import Board
from posttrainbench.board.tallies import tally
from posttrainbench.catalog import Decoding
from posttrainbench.evaluation import Measurement, Question
from posttrainbench.integrity import Audit
from posttrainbench.record import Prepared, Record, Times
from posttrainbench.strict import digest_file, manifest, write_json, write_lines

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


def boards(entries: Iterable[Entry], load: Load = lambda entry: None) -> list[Board]:
    """All boards of these runs."""
    return boards_of(entries, lambda works: [tally(one, load) for one in works])


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


def measurement(folder: Path, outcomes: Mapping[str, float], few_shot: int = 0) -> Measurement:
    """A measurement's files in `folder`."""
    rows = [
        Question(id=name, score=one, samples=[one], responses=["?"], prompt_digest="") for name, one in outcomes.items()
    ]
    write_lines(folder / "questions.jsonl", rows)
    made = Measurement(
        task="sums",
        version=1,
        split="test",
        metric="exact",
        few_shot=few_shot,
        n=len(rows),
        score=sum(outcomes.values()) / len(rows),
        questions=digest_file(folder / "questions.jsonl"),
        bench="sha256:bench",
        decoding=Decoding(max_tokens=8),
        chat_template=False,
        backend="hf",
        device="cpu",
        dtype="float32",
        batch_size=1,
        tries=[],
        versions={},
        seconds=1.0,
    )
    write_json(folder / "result.json", made)
    return made


def seal(
    runs: Path, name: str, final: float, *, base: float = 0.2, seed: int = 0, n: int = N, **changes: Any
) -> Record:
    """A sealed run in a folder below `runs`, as the pipeline would leave it; changes are of its plan."""
    folder = runs / name
    found = outcomes(base, final, seed=seed, n=n)
    found = Outcomes(base=outcomes(base, None, n=n).base, final=found.final)
    measured = {
        "base": measurement(folder / "evaluation/base", found.base),
        "final": measurement(folder / "evaluation/final", found.final),
    }
    plan = factory.plan(runs, run=name, seed=seed, **changes)
    write_json(folder / "plan.json", plan)
    sealed = record.seal(
        Record(
            run=name,
            plan=plan,
            prepared=Prepared(
                model_folder="/m",
                model_digest="sha256:m",
                model_revision="",
                bench_digest="",
                test_digest="sha256:rows",
                protected={},
                isolation=[],
            ),
            outcome="scored",
            reason="The checkpoint was scored on the sealed test split.",
            session=SessionResult(reason="exited", seconds=3.6),
            freeze=None,
            audit=Audit(findings=[], verdict="unchecked"),
            base=measured["base"],
            few_shot=None,
            final=measured["final"],
            scores=scores.score(metric="exact", base=found.base, final=found.final, seed=seed),
            incidents=[],
            artefacts={
                f"evaluation/{path}": digest for path, digest in sorted(manifest(folder / "evaluation").items())
            },
            times=Times(created=f"2026-01-01T00:00:{seed:02}Z", sealed="", stages={}),
        )
    )
    record.write(folder / "record.json", sealed)
    return sealed
