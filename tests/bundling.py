"""Sealed runs without a session, and bundles that an attacker who knows the format would make of them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import factory
import msgspec

from posttrainbench import catalog, pipeline, plan
from posttrainbench.agent.result import SessionResult, Turn
from posttrainbench.bundle import archive, sealing
from posttrainbench.catalog import Api
from posttrainbench.checkpoint import Frozen
from posttrainbench.evaluation import Measurement, Question, Try
from posttrainbench.folder import RunFolder
from posttrainbench.gateway.ledger import Attempt, Begin, End, Tokens
from posttrainbench.integrity import Audit, Finding
from posttrainbench.pipeline import Run
from posttrainbench.plan import Plan
from posttrainbench.record import Prepared
from posttrainbench.reporter import Silent
from posttrainbench.sandbox.local import Local
from posttrainbench.strict import (
    digest_bytes,
    digest_file,
    digest_value,
    manifest,
    write_bytes,
    write_json,
    write_lines,
)

KNOWN = catalog.open_catalog({})
PROTOCOL = KNOWN.protocols()["smoke"][0]
TASK = KNOWN.tasks()["tiny"]
TRAJECTORY = {
    "schema_version": "ATIF-v1.7",
    "agent": {"name": "quick", "version": "1"},
    "steps": [{"step_id": 1, "source": "user", "message": "Train it."}],
}
API = Api(dialect="anthropic", model="claude-x")


def drawn(folder: Path, **changes: Any) -> Plan:
    """A plan under the published smoke protocol."""
    values: dict[str, Any] = {
        "task": plan.bounded(TASK.value, PROTOCOL),
        "task_folder": str(TASK.path),
        "protocol": PROTOCOL,
        "hours": PROTOCOL.hours,
        "limit": PROTOCOL.limit,
    }
    return factory.plan(folder, **values | changes)


def sealed(where: Path, *, run: str = "made-run", right: int = 9, human: int = 0, **changes: Any) -> RunFolder:
    """A run that was scored, with so many of 32 answers right, sealed by the pipeline itself."""
    (where / "agent").mkdir(parents=True, exist_ok=True)
    made = drawn(where, run=run, **changes)
    folder = RunFolder(where / run)
    write_json(folder.plan, made)
    result = SessionResult(reason="exited", seconds=12.0, exit_code=0, turns=[Turn(start=0.1, end=11.9, exit_code=0)])
    for name in ("session.json", "session/result.json"):
        write_json(folder.path / name, result)
    write_bytes(folder.session / "output.log", b"I trained it.\n")
    write_bytes(folder.session / "telemetry.jsonl", b'{"t":1.0,"cpu_percent":90.0}\n')
    write_json(folder.trajectory, TRAJECTORY)
    write_bytes(folder.checkpoint / "config.json", b'{"model_type": "llama"}')
    write_bytes(folder.checkpoint / "model.safetensors", bytes(range(256)) * 40)
    write_json(folder.freeze, frozen(folder))
    write_json(folder.audit, Audit(findings=[Finding(check="tamper", status="pass", detail="Fine.")], verdict="clean"))
    write_json(
        folder.prepared,
        Prepared(
            model_folder="/model",
            model_digest="sha256:1",
            model_revision="",
            bench_digest="",
            test_digest="",
            protected={},
            isolation=[],
        ),
    )
    if made.agent.api:
        write_lines(folder.gateway / "ledger.jsonl", exchange(1, 0.25, 1000))
    measured = [("base", 2), ("few_shot", 5), ("final", right)] + ([("human", human)] if human else [])
    for name, number in measured:
        measurement(folder.evaluation / name, made, number, few_shot=2 if name == "few_shot" else 0)
    pipeline.seal(Run(made, folder, where / "cache", Local(), Silent()))
    return folder


def frozen(folder: RunFolder) -> Frozen:
    files = manifest(folder.checkpoint)
    return Frozen(
        files=files,
        bytes=1,
        config=files["config.json"],
        architecture="LlamaForCausalLM",
        digest=digest_value(files),
        dropped=[],
    )


def measurement(out: Path, made: Plan, right: int, *, few_shot: int) -> None:
    """32 answers, the first so many of them right."""
    scores = [1.0] * right + [0.0] * (32 - right)
    rows = [
        Question(id=f"test-{n:02}", score=one, samples=[one], responses=["x"], prompt_digest="sha256:0")
        for n, one in enumerate(scores)
    ]
    write_lines(out / "questions.jsonl", rows)
    write_json(
        out / "result.json",
        Measurement(
            task=made.task.name,
            version=made.task.version,
            split="test",
            metric=made.task.metric,
            few_shot=few_shot,
            n=32,
            score=sum(scores) / 32,
            questions=digest_file(out / "questions.jsonl"),
            bench="sha256:2",
            decoding=made.task.decoding,
            chat_template=False,
            backend=made.backend,
            device="cpu",
            dtype="float32",
            batch_size=32,
            tries=[Try(batch_size=32, outcome="done")],
            versions={},
            seconds=1.0,
        ),
    )


def exchange(n: int, usd: float, tokens: int) -> list[Begin | End]:
    """An exchange with a model, as the ledger has it."""
    return [
        Begin(
            n=n,
            t=1.0,
            at="2026-01-01T00:00:00Z",
            route="anthropic.messages",
            model="claude-x",
            background=False,
            reserved_usd=usd,
            reserved_tokens=tokens,
            digest="sha256:0",
        ),
        End(
            n=n,
            t=2.0,
            status=200,
            seconds=1.0,
            first_byte_seconds=0.5,
            attempts=[Attempt(status=200, seconds=1.0)],
            throttled_seconds=0.0,
            answered_model="claude-x",
            tokens=Tokens(input=tokens),
            cost_usd=usd,
            sent_bytes=1,
            received_bytes=1,
            cause=None,
        ),
    ]


Files = dict[str, bytes]


def held(bundle: Path, scratch: Path) -> Files:
    """What is in a bundle."""
    _, found = archive.unpack(bundle, scratch)
    return {name: (scratch / name).read_bytes() for name in found}


def packed(files: Files, scratch: Path, out: Path) -> Path:
    """A bundle of these files, whose archive is right."""
    places = {name: scratch / name for name in files}
    for name, path in places.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files[name])
    archive.pack(places, out)
    return out


def changed(files: Files, name: str, change: Callable[[Any], Any]) -> Files:
    """The files with one JSON file changed in place."""
    value = json.loads(files[name])
    change(value)
    return {**files, name: json.dumps(value).encode()}


def resealed(files: Files) -> Files:
    """The files with every digest made to fit again: artefacts, record, and the bundle's own list."""
    record = json.loads(files["record.json"])
    for name in record["artefacts"]:
        if name in files:
            record["artefacts"][name] = digest_bytes(files[name])
    record["digest"] = digest_value({**record, "digest": ""})
    files = {**files, "record.json": json.dumps(record).encode()}
    others = {name: digest_bytes(content) for name, content in files.items() if name != sealing.CONTENTS}
    told = {"run": record["run"], "record": record["digest"], "files": others}
    return {**files, sealing.CONTENTS: msgspec.json.encode({**json.loads(files[sealing.CONTENTS]), **told})}
