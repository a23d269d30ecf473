"""The story of one run, a stage a function:

    plan → prepare → session → freeze → audit → evaluate → seal

Each stage reads what earlier ones left in the run's folder and writes its own part atomically. The journal says before
a stage acts that it begins, and afterwards that it is done. So `resume` repeats only what was not done, and a run
survives the death of the program that started it. This module is the only one that knows all stages.
"""

import functools
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from posttrainbench import checkpoint, composing, integrity, record, transcript, watching
from posttrainbench.agent import access, prompt, session, workspace
from posttrainbench.agent.result import SessionResult, read_result, read_telemetry, tail
from posttrainbench.board import report
from posttrainbench.checkpoint import Frozen
from posttrainbench.errors import DigestError, MissingError, StorageError
from posttrainbench.evaluation import baseline, bench, measure
from posttrainbench.folder import RunFolder
from posttrainbench.gateway import ledger, process
from posttrainbench.inputs import clis, data, families, model
from posttrainbench.journal import exclusively
from posttrainbench.plan import Plan
from posttrainbench.record import Prepared, Record
from posttrainbench.reporter import following
from posttrainbench.run import Run as Run  # Commands take it from here.
from posttrainbench.run import handle_of
from posttrainbench.strict import (
    digest_folder,
    digest_value,
    disk,
    manifest,
    write_bytes,
    write_json,
)

PROGRESS = ("loading ", "scored ", "out of memory;")
"""How the evaluator's lines of progress begin; between them stand warnings of libraries."""


def create(plan: Plan, runs: Path) -> RunFolder:
    """Make the run's folder with its plan in it."""
    folder = RunFolder(runs / plan.run)
    with disk(f"create the run's folder {folder.path}"):
        folder.path.mkdir(parents=True)
    write_json(folder.plan, plan)
    return folder


def carry_out(run: Run, stages: "Sequence[Stage] | None" = None) -> Record:
    """Do every stage that is not done yet; returns the sealed record. `stages`: others than those of an agent's run."""
    with exclusively(run.folder.lock):
        for stage in stages or STAGES:
            if not run.journal.is_done(stage.name):
                with run.journal.stage(stage.name), run.reporter.stage(stage.name, stage.title(run)):
                    stage.act(run)
    return record.read(run.folder.record)


def prepare(run: Run) -> None:
    """Fetch model and data, lay out exactly the files that the agent may see, and remember their digests."""
    plan, folder = run.plan, run.folder
    check_room(plan, folder)
    base = model.obtain(plan.model, run.cache, run.reporter.status)
    run.reporter.status("reading the task's data")
    splits = read_splits(run)
    for path in (folder.bench, folder.workspace, folder.home, folder.tmp, folder.session):
        if path.exists():
            shutil.rmtree(path)
    lay_bench(run, splits, plan.protocol.visible_split, folder.bench, base.folder)
    protected = workspace.prepare(plan, folder, base.folder)
    installed, installed_digest = _install(run)
    prepared = Prepared(
        installed=installed,
        installed_digest=installed_digest,
        model_folder=str(base.folder),
        model_digest=base.digest,
        model_revision=base.revision,
        bench_digest=digest_folder(folder.bench),
        test_digest=digest_value(splits["test"]),
        protected=protected,
        isolation=run.sandbox.isolation(),
    )
    write_json(folder.prepared, prepared)


def hold_session(run: Run) -> None:
    """Start the agent in a detached sandbox, or find the one that was started, and watch it until it ends."""
    folder, journal, prepared = run.folder, run.journal, run.prepared()
    gateway = access.spec(run.plan, folder, run.cache, os.environ)
    program = Path(prepared.installed) if prepared.installed else None
    spec = session.spec(run.plan, folder, Path(prepared.model_folder), run.sandbox.python(), gateway, program)
    known = handle_of(folder, run.sandbox)
    if run.sandbox.state(spec, known) == "absent":
        known = watching.begin(run, spec, gateway)
    elif not folder.path.joinpath("session.json").exists():
        journal.note("session", adopted="yes")
        run.reporter.say("The session was already started; watching it again.")
    if "terminal" in run.plan.agent.needs:
        run.reporter.say(f"A person is waited for: `ptb attach {run.plan.run}` in another terminal opens the shell.")
    with following(run.reporter.status, lambda: watching.glimpse(run)):
        watching.watch(run, spec, known, gateway)
    if gateway and not process.over(folder.gateway) and not process.alive(folder.gateway):
        journal.note("gateway", ended="early")
    state = run.sandbox.state(spec, known)
    run.sandbox.close(spec, known)
    if gateway:
        process.stop(folder.gateway)
    if state == "ended":
        result = read_result(folder.session)
    else:
        seconds = max((sample.t for sample in read_telemetry(folder.session)), default=0.0)
        result = SessionResult(reason="lost", seconds=seconds, detail="the supervisor is gone and left no result")
    write_json(folder.transcript, _write_transcript(run, result, gateway is not None))
    if gateway:
        watching.cover(gateway.secret, [folder.session / "output.log", folder.trajectory])
    write_json(folder.path / "session.json", result)


def _write_transcript(run: Run, result: SessionResult, metered: bool) -> transcript.Summary:
    """What the agent did, from its own output, beside what the gateway counted."""
    plan, folder = run.plan, run.folder
    return transcript.write(
        folder,
        plan,
        model=plan.agent.api.model if plan.agent.api else "",
        patterns=plan.agent.errors,
        ledger=ledger.lines(folder.gateway / "ledger.jsonl") if metered else None,
        turns=[turn.start for turn in result.turns],
        samples=read_telemetry(folder.session),
        prompt=prompt.render(plan, folder.bench),
    )


def freeze(run: Run) -> None:
    """Copy what the agent left in final_model/ out of its reach: validated, hashed, free of code and links."""
    result = run.session()
    if result.reason in ("lost", "stopped"):
        return
    frozen = checkpoint.freeze(
        run.folder.workspace / "final_model",
        run.folder.checkpoint,
        Path(run.prepared().model_folder),
        max_bytes=int(run.plan.protocol.max_checkpoint_gb * 1e9),
    )
    write_json(run.folder.freeze, frozen)


def audit(run: Run) -> None:
    """Look for signs that the agent broke the rules; what cannot be checked yet is said to be unchecked."""
    roots = {"workspace": run.folder.workspace, "bench": run.folder.bench}
    write_json(run.folder.audit, integrity.audit(run.prepared().protected, roots))


def evaluate(run: Run) -> None:
    """Score base, few-shot base and checkpoint on the sealed test split, each in a fresh process of its own."""
    if isinstance(run.frozen(), Frozen) and run.audit().verdict != "disqualified":
        score_checkpoint(run, run.folder.evaluation)


def score_checkpoint(run: Run, out: Path) -> None:
    """Measure the base model (cached) and the frozen checkpoint on the test split; writes a folder for each below
    `out`. Raises DigestError where the checkpoint is not as it was frozen."""
    prepared, frozen = run.prepared(), run.frozen()
    if not isinstance(frozen, Frozen) or manifest(run.folder.checkpoint) != frozen.files:
        raise DigestError(
            f"{run.folder.checkpoint} is not what {run.folder.freeze.name} says was frozen. Somebody changed it, so it "
            "can no longer be scored; run it again."
        )
    base = Path(prepared.model_folder)
    lay_bench(run, read_splits(run), "test", run.folder.sealed, base)
    try:
        measure_base(run, out)
        baseline.lay_human(
            run.sandbox,
            run.plan.model.instruct,
            bench=run.folder.sealed,
            out=out / "human",
            cache=run.cache,
            few_shot=run.plan.shots,
            backend=run.plan.backend,
            gpus=run.plan.cards,
        )
        with following(run.reporter.status, lambda: last_line(out / "final", "checkpoint")):
            measure.measure(
                run.sandbox,
                bench=run.folder.sealed,
                model=run.folder.checkpoint,
                model_digest=digest_value(frozen.files),
                out=out / "final",
                few_shot=run.plan.shots,
                backend=run.plan.backend,
                gpus=run.plan.cards,
            )
    finally:
        # The test questions stay in the cache that no sandbox sees; a copy a run would only be one more place to leak.
        shutil.rmtree(run.folder.sealed, ignore_errors=True)


def measure_base(run: Run, out: Path) -> None:
    """Score the base model, and with worked examples in its prompt, on the bench that is laid out; a folder for each
    below `out`."""
    prepared, plan = run.prepared(), run.plan
    for name, number in (("base", plan.shots), ("few_shot", plan.few_shot)):
        if name == "few_shot" and not number:
            continue
        where = out / name
        with following(run.reporter.status, functools.partial(last_line, where, f"base, {number}-shot")):
            baseline.base_measurement(
                run.sandbox,
                bench=run.folder.sealed,
                model=Path(prepared.model_folder),
                model_digest=prepared.model_digest,
                out=where,
                cache=run.cache,
                few_shot=number,
                backend=plan.backend,
                gpus=plan.cards,
            )


def seal(run: Run) -> None:
    """Put everything that can change the score into one record with a digest, and draw the report from it."""
    folder = run.folder
    sealed = record.seal(composing.compose(run))
    write_bytes(folder.report, report.render(sealed, folder.path).encode())
    record.write(folder.record, sealed)


def _install(run: Run) -> tuple[str, str]:
    """Folder and digest of the agent's program, if it brings one: from the npm registry, or of ours."""
    plan = run.plan
    if plan.agent.install:
        found = clis.obtain(Path(plan.agent.folder), plan.agent.install, run.cache, run.reporter.status)
        return str(found.folder), found.digest
    if "sdks" in plan.agent.needs:
        workspace.lay_llm(run.folder.installed)
        return str(run.folder.installed), digest_folder(run.folder.installed)
    return "", ""


def check_room(plan: Plan, folder: RunFolder) -> None:
    free = shutil.disk_usage(folder.path).free / 1e9
    if free < plan.protocol.min_free_gb:
        raise StorageError(
            f"{folder.path} has {free:.2f} GB free; the protocol {plan.protocol.name} asks for "
            f"{plan.protocol.min_free_gb:g} GB. Free some space or choose another folder with --runs-dir."
        )


def read_splits(run: Run) -> dict[str, list[data.Row]]:
    plan = run.plan
    data_dir = Path(plan.data_dir) if plan.data_dir else None
    return data.fetch(plan.task, Path(plan.task_folder), data_dir, run.cache, run.reporter.status)


def lay_bench(
    run: Run, splits: dict[str, list[data.Row]], split: Literal["dev", "test"], folder: Path, base: Path
) -> None:
    plan = run.plan
    template = families.chat_template(base) if plan.protocol.chat_template == "family" else None
    if plan.protocol.chat_template == "family" and template is None:
        raise MissingError(
            f"No chat template is declared for the architecture of {plan.model.name}. Add one to models/families, or "
            'use a protocol with chat_template = "none".'
        )
    bench.lay(
        plan.task,
        Path(plan.task_folder),
        splits,
        folder,
        split=split,
        limit=plan.limit if split == "test" else plan.protocol.dev_limit,
        chat_template=template,
        library=data.library(plan.task, run.cache, run.reporter.status),
        with_train=folder == run.folder.bench,
        shots=plan.shots,
        decoding_from=plan.protocol.decoding,
    )


def last_line(out: Path, what: str) -> str:
    """The evaluator's last line of progress."""
    lines = [line for line in tail(measure.log(out), 4000).splitlines() if line.startswith(PROGRESS)]
    return f"{what}: {lines[-1]}" if lines else what


@dataclass(frozen=True)
class Stage:
    """A stage's name in the journal, its line for a reader, and what it does."""

    name: str
    act: Callable[[Run], None]
    title: Callable[[Run], str]


STAGES = (
    Stage("prepare", prepare, lambda run: f"{run.plan.model.name} and {run.plan.task.name}"),
    Stage("session", hold_session, lambda run: f"{run.plan.agent.label} for {run.plan.hours * 60:.1f} min at most"),
    Stage("freeze", freeze, lambda run: "what it left in final_model/"),
    Stage("audit", audit, lambda run: "did it keep the rules"),
    Stage("evaluate", evaluate, lambda run: "base, few-shot base and checkpoint on the sealed test split"),
    Stage("seal", seal, lambda run: "record and report"),
)
