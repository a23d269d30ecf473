"""What agents are compared with, measured on a cell like any checkpoint and sealed like any run: the base model, with
and without worked examples, and the model maker's own instruct model, which stands for the human baseline.

    plan → prepare → evaluate → seal

All measurements are kept in the cache by digest, so later runs on this machine take them from there, and a baseline
that was interrupted asks nothing twice.
"""

import functools
import shutil
from pathlib import Path

import msgspec

from posttrainbench import pipeline
from posttrainbench.agent.result import SessionResult
from posttrainbench.catalog import Model
from posttrainbench.errors import DigestError
from posttrainbench.evaluation import baseline
from posttrainbench.folder import RunFolder
from posttrainbench.inputs import model
from posttrainbench.integrity import Audit
from posttrainbench.journal import is_held
from posttrainbench.pipeline import Run, Stage
from posttrainbench.plan import AgentPlan, Plan
from posttrainbench.record import Prepared
from posttrainbench.reporter import following
from posttrainbench.strict import digest_value, read_json, write_json


def stand_in(name: str, version: str) -> AgentPlan:
    """The agent of a baseline's plan: there is none."""
    return AgentPlan(
        name=name,
        variant="",
        version=version,
        folder="",
        digest="",
        command=[],
        resume_command=[],
        env={},
        needs=[],
        transcript="none",
    )


def begun(drawn: Plan, runs: Path) -> RunFolder | None:
    """The folder of an equal plan that is not sealed and on which no ptb works, if there is one."""
    for path in sorted(runs.glob("*/plan.json")):
        folder = RunFolder(path.parent)
        try:
            known = read_json(path, Plan)
        except DigestError:
            continue
        same = msgspec.structs.replace(known, run=drawn.run, created=drawn.created) == drawn
        if same and not folder.record.exists() and not is_held(folder.lock):
            return folder
    return None


def prepare(run: Run) -> None:
    """Fetch the base model and the data, and remember their digests."""
    plan, folder = run.plan, run.folder
    pipeline.check_room(plan, folder)
    base = model.obtain(plan.model, run.cache, run.reporter.status)
    run.reporter.status("reading the task's data")
    splits = pipeline.read_splits(run)
    prepared = Prepared(
        model_folder=str(base.folder),
        model_digest=base.digest,
        model_revision=base.revision,
        bench_digest="",
        test_digest=digest_value(splits["test"]),
        protected={},
        isolation=run.sandbox.isolation(),
    )
    write_json(folder.prepared, prepared)
    write_json(folder.path / "session.json", SessionResult(reason="exited", seconds=0.0, detail="no session"))
    write_json(folder.audit, Audit(findings=[], verdict="unchecked"))


def evaluate(run: Run) -> None:
    """Score the base model and, where it has one, its instruct sibling."""
    plan, out, prepared = run.plan, run.folder.evaluation, run.prepared()
    weights, digest, what = Path(prepared.model_folder), prepared.model_digest, "base"
    if plan.baseline == "instruct" and plan.model.instruct:
        sibling = Model(name=f"{plan.model.name}-instruct", title="", source=plan.model.instruct)
        found = model.obtain(sibling, run.cache, run.reporter.status)
        weights, digest, what = found.folder, found.digest, "instruct"
    bench = run.folder.sealed
    pipeline.lay_bench(run, pipeline.read_splits(run), "test", bench, Path(prepared.model_folder))
    try:
        pipeline.measure_base(run, out)
        for name in ("final", "human") if what == "instruct" else ("final",):
            with following(run.reporter.status, functools.partial(pipeline.last_line, out / name, what)):
                baseline.base_measurement(
                    run.sandbox,
                    bench=bench,
                    model=weights,
                    model_digest=digest,
                    out=out / name,
                    cache=run.cache,
                    few_shot=plan.shots,
                    backend=plan.backend,
                    gpus=plan.cards,
                )
    finally:
        shutil.rmtree(bench, ignore_errors=True)
    if what == "instruct" and plan.model.instruct:
        baseline.remember_human(plan.model.instruct, digest, run.cache)


STAGES = (
    Stage("prepare", prepare, lambda run: f"{run.plan.model.name} and {run.plan.task.name}"),
    Stage("evaluate", evaluate, lambda run: "base, few-shot base and instruct model on the sealed test split"),
    Stage("seal", pipeline.seal, lambda run: "record and report"),
)
