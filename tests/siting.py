"""Folders of runs for tests of boards and of the site: sealed records with everything beside them, made in no time."""

import json
from pathlib import Path
from typing import Any

import factory

from posttrainbench import record as records
from posttrainbench import scores
from posttrainbench.agent.result import SessionResult, Turn
from posttrainbench.catalog import Model, RandomModel
from posttrainbench.checkpoint import Frozen
from posttrainbench.evaluation import Measurement, Try
from posttrainbench.integrity import Audit, Finding
from posttrainbench.record import Prepared, Record, Times, seal
from posttrainbench.strict import digest_bytes, digest_file

QUESTIONS = 40
START = "2026-01-01T00:00:00+00:00"
SECONDS = 3600.0


def outcomes(right: int) -> dict[str, float]:
    """Scores of all questions, of which the first so many are right."""
    return {f"q{number:02}": float(number < right) for number in range(QUESTIONS)}


def measurement(rows: dict[str, float], folder: Path, **changes: Any) -> Measurement:
    """A measurement with its questions on the disk."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps({"id": name, "score": score}) + "\n" for name, score in rows.items()).encode()
    (folder / "questions.jsonl").write_bytes(lines)
    values: dict[str, Any] = {
        "task": "sums",
        "version": 1,
        "split": "test",
        "metric": "exact",
        "decoding": factory.task().decoding,
        "chat_template": False,
        "few_shot": 0,
        "n": len(rows),
        "score": sum(rows.values()) / len(rows),
        "backend": "hf",
        "device": "cpu",
        "dtype": "float32",
        "batch_size": 8,
        "tries": [Try(batch_size=8, outcome="done")],
        "versions": {},
        "seconds": 1.0,
        "bench": "sha256:bench",
        "questions": digest_bytes(lines),
    }
    return Measurement(**values | changes)


def step(number: int, message: str, **more: Any) -> dict[str, Any]:
    """A step of a trajectory, a minute after the one before."""
    at = f"2026-01-01T00:{number % 60:02}:00.000Z"
    return {"step_id": number, "source": "agent", "message": message, "timestamp": at, **more}


def called(number: int, name: str, arguments: dict[str, Any], result: str) -> dict[str, Any]:
    """A step with one tool call and what came of it."""
    return step(
        number,
        "",
        tool_calls=[{"tool_call_id": "c", "function_name": name, "arguments": arguments}],
        observation={"results": [{"source_call_id": "c", "content": result}]},
    )


STEPS = [
    step(1, "Improve the base model.", source="user"),
    step(2, "I will look around.", reasoning_content="What is there?"),
    called(3, "bash", {"command": "python evaluate.py"}, "score 0.2500 (10/40 exact, dev questions)"),
    called(4, "write_file", {"file_path": "train.py", "content": "print('hello')"}, "written"),
    called(5, "bash", {"command": "python train.py"}, "long\n" * 900),
    called(6, "bash", {"command": "python evaluate.py"}, "score 0.5000 (20/40 exact, dev questions)"),
]


def sealed(
    runs: Path,
    name: str,
    *,
    agent: str = "quick",
    version: str = "1",
    model: str = "tiny",
    task: str = "sums",
    right: int | None = 20,
    human: int | None = 36,
    seed: int = 0,
    steps: list[dict[str, Any]] | None = None,
    files: dict[str, bytes] | None = None,
    **changes: Any,
) -> Path:
    """A run's folder. `right`: right answers of its checkpoint of 40 (the base model has 4); None: no score."""
    folder = runs / name.replace("/", "_")
    session = folder / "session"
    session.mkdir(parents=True)
    samples = [{"t": 30.0 * n, "cpu_percent": 90.0, "memory_mb": 500.0 + n, "processes": 3} for n in range(120)]
    (session / "telemetry.jsonl").write_text("".join(json.dumps(one) + "\n" for one in samples))
    (session / "started.json").write_text(json.dumps({"monotonic": 100.0, "utc": START}))
    document = {"schema_version": "ATIF-v1.7", "agent": {"name": agent, "version": version}, "steps": steps or STEPS}
    (folder / "trajectory.json").write_text(json.dumps(document))
    for path, content in (files or {}).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    base, final = outcomes(4), None if right is None else outcomes(right)
    plan = factory.plan(
        folder,
        run=name,
        agent=factory.agent(folder, name=agent, version=version),
        model=Model(name=model, title=model, source=RandomModel()),
        task=factory.task(name=task),
        seed=seed,
        hours=1.0,
        protocol=factory.protocol(hours=1.0, scored=False),
    )
    values: dict[str, Any] = {
        "run": name,
        "plan": plan,
        "prepared": Prepared(
            model_folder="/models/tiny",
            model_digest="sha256:model",
            model_revision="r1",
            bench_digest="sha256:bench",
            test_digest=f"sha256:{task}",
            protected={},
            isolation=["The network is shared with the host."],
        ),
        "outcome": "no_checkpoint" if right is None else "scored",
        "reason": "There is none." if right is None else "The checkpoint was scored on the sealed test split.",
        "session": SessionResult(reason="exited", seconds=SECONDS, exit_code=0, turns=[Turn(start=0, end=SECONDS)]),
        "freeze": None
        if right is None
        else Frozen(files={"config.json": "sha256:c"}, bytes=9, config="c", architecture="A", digest="d", dropped=[]),
        "audit": Audit(findings=[Finding(check="tamper", status="pass", detail="As laid out.")], verdict="clean"),
        "base": measurement(base, folder / "evaluation" / "base"),
        "few_shot": None,
        "final": None if final is None else measurement(final, folder / "evaluation" / "final"),
        "scores": scores.score(
            metric="exact", base=base, final=final, human=None if human is None else outcomes(human)
        ),
        "incidents": [],
        "artefacts": {
            path.relative_to(folder).as_posix(): digest_file(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name != "started.json"
        },
        "times": Times(created="2026-01-01T00:00:00Z", sealed="2026-01-01T02:00:00Z", stages={"session": SECONDS}),
    }
    record: Record = seal(Record(**values | changes))
    records.write(folder / "record.json", record)
    return folder


def some(runs: Path) -> None:
    """Three agents on two cells, one of them in two runs, one that once left nothing."""
    for seed in (0, 1):
        for model in ("tiny", "small"):
            sealed(runs, f"good-{model}-{seed}", agent="good", model=model, right=24 + 2 * seed, seed=seed)
            sealed(runs, f"poor-{model}-{seed}", agent="poor", model=model, right=None if seed else 6, seed=seed)
    for model in ("tiny", "small"):
        sealed(runs, f"fair-{model}", agent="fair", model=model, right=14)
