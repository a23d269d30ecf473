"""The story of one run, a stage a function:

    plan → prepare → session → freeze → audit → evaluate → seal

Each stage reads what earlier ones left in the run's folder and writes its own part atomically. The journal says before
a stage acts that it begins, and afterwards that it is done. So `resume` repeats only what was not done, and a run
survives the death of the program that started it. This module is the only one that knows all stages.
"""

import contextlib
import functools
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from posttrainbench import checkpoint, ending, integrity, record, scores, transcript
from posttrainbench.agent import access, prompt, session, workspace
from posttrainbench.agent.result import SessionResult, read_result, read_telemetry, tail
from posttrainbench.board import report
from posttrainbench.checkpoint import Frozen, Refused
from posttrainbench.errors import DigestError, MissingError, StorageError
from posttrainbench.evaluation import CheckpointUnusable, Measurement, baseline, bench, measure
from posttrainbench.folder import RunFolder
from posttrainbench.gateway import GatewaySpec, ledger, process, redaction
from posttrainbench.inputs import clis, data, families, model
from posttrainbench.integrity import Audit
from posttrainbench.journal import Journal, exclusively, now
from posttrainbench.plan import Plan
from posttrainbench.record import Prepared, Record, Times
from posttrainbench.reporter import Reporter, following
from posttrainbench.sandbox import Handle, Sandbox, SessionSpec, preflight
from posttrainbench.sandbox.preflight import Preflight
from posttrainbench.strict import (
    digest_file,
    digest_folder,
    digest_value,
    disk,
    manifest,
    read_json,
    write_bytes,
    write_json,
)
from posttrainbench.transcript import live

GATEWAY_SECONDS = 2.0
"""How often it is looked whether a run's gateway answers."""
PROGRESS = ("loading ", "scored ", "out of memory;")
"""How the evaluator's lines of progress begin; between them stand warnings of libraries."""


@dataclass(frozen=True)
class Run:
    """One run and what its stages need."""

    plan: Plan
    folder: RunFolder
    cache: Path
    sandbox: Sandbox
    reporter: Reporter

    @property
    def journal(self) -> Journal:
        return Journal(self.folder.journal)


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
    folder, journal, prepared = run.folder, run.journal, read_prepared(run)
    gateway = access.spec(run.plan, folder, run.cache, os.environ)
    program = Path(prepared.installed) if prepared.installed else None
    spec = session.spec(run.plan, folder, Path(prepared.model_folder), run.sandbox.python(), gateway, program)
    known = handle(folder, run.sandbox)
    if run.sandbox.state(spec, known) == "absent":
        known = _begin(run, spec, gateway)
    elif not folder.path.joinpath("session.json").exists():
        journal.note("session", adopted="yes")
        run.reporter.say("The session was already started; watching it again.")
    if "terminal" in run.plan.agent.needs:
        run.reporter.say(f"A person is waited for: `ptb attach {run.plan.run}` in another terminal opens the shell.")
    with following(run.reporter.status, lambda: _glimpse(run)):
        _watch(run, spec, known, gateway)
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
        _cover(gateway.secret, [folder.session / "output.log", folder.trajectory])
    write_json(folder.path / "session.json", result)


def _cover(secret: str, files: list[Path]) -> None:
    """Cover the run's own secret, which an agent that prints its environment writes down, in what others will read. It
    is worth nothing any more, but it looks like a key."""
    for path in files:
        content = path.read_bytes() if path.is_file() else b""
        covered = redaction.cover(content, redaction.forms([secret]))
        if covered != content:
            write_bytes(path, covered)


def _begin(run: Run, spec: SessionSpec, gateway: GatewaySpec | None) -> Handle:
    """Start the gateway, then the session; where there is no session, no gateway is left."""
    _keep_gateway(run, gateway)
    run.journal.note("session", starting="yes")
    try:
        known = run.sandbox.start(spec)
    except BaseException:
        if gateway and run.sandbox.state(spec, None) == "absent":
            process.stop(run.folder.gateway)
        raise
    if gateway:
        process.prolong(run.folder.gateway)  # The session may have waited for a GPU for days.
    run.journal.note("session", **known.data)
    return known


def _watch(run: Run, spec: SessionSpec, handle: Handle | None, gateway: GatewaySpec | None) -> None:
    """Wait for the session's end, and see to it that its gateway lives. The supervisor keeps the deadline; if it fails
    to, ptb ends the session itself."""
    look = time.monotonic()
    last = look + spec.seconds + spec.overtime_seconds + 4 * spec.grace_seconds + 60
    while run.sandbox.state(spec, handle) == "running":
        if time.monotonic() > last:
            run.sandbox.stop(spec, handle, "the supervisor did not end the session at its deadline")
        if time.monotonic() > look:
            _keep_gateway(run, gateway)
            look = time.monotonic() + GATEWAY_SECONDS
        time.sleep(0.2)


def _keep_gateway(run: Run, told: GatewaySpec | None) -> None:
    """Start the run's gateway if it has one that does not answer: the first time, or because something ended it. As
    long as there is a session to serve, it serves, even if an earlier ptb gave it up."""
    if told is None or process.alive(run.folder.gateway):
        return
    key = access.credential(run.plan, os.environ)
    if not (run.folder.gateway / "gateway.json").exists() or process.over(run.folder.gateway):
        process.stop(run.folder.gateway)  # It may be ending still.
        process.start(run.folder.gateway, told, key)
    elif process.ensure(run.folder.gateway, key):
        run.journal.note("gateway", started="again")


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
    result = _session(run)
    if result.reason in ("lost", "stopped"):
        return
    frozen = checkpoint.freeze(
        run.folder.workspace / "final_model",
        run.folder.checkpoint,
        Path(read_prepared(run).model_folder),
        max_bytes=int(run.plan.protocol.max_checkpoint_gb * 1e9),
    )
    write_json(run.folder.freeze, frozen)


def audit(run: Run) -> None:
    """Look for signs that the agent broke the rules; what cannot be checked yet is said to be unchecked."""
    roots = {"workspace": run.folder.workspace, "bench": run.folder.bench}
    write_json(run.folder.audit, integrity.audit(read_prepared(run).protected, roots))


def evaluate(run: Run) -> None:
    """Score base, few-shot base and checkpoint on the sealed test split, each in a fresh process of its own."""
    if isinstance(_frozen(run), Frozen) and _audit(run).verdict != "disqualified":
        score_checkpoint(run, run.folder.evaluation)


def score_checkpoint(run: Run, out: Path) -> None:
    """Measure the base model (cached) and the frozen checkpoint on the test split; writes a folder for each below
    `out`. Raises DigestError where the checkpoint is not as it was frozen."""
    prepared, frozen = read_prepared(run), _frozen(run)
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
    prepared, plan = read_prepared(run), run.plan
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
    sealed = record.seal(_compose(run))
    write_bytes(folder.report, report.render(sealed, folder.path).encode())
    record.write(folder.record, sealed)


def _compose(run: Run) -> Record:
    folder, result = run.folder, _session(run)
    frozen = _frozen(run)
    verdict = _audit(run)
    final: Measurement | CheckpointUnusable | None = None
    base = few_shot = human = computed = None
    if (folder.evaluation / "final" / "result.json").exists():
        final = read_json(folder.evaluation / "final" / "result.json", measure.Measured)
        base = measure.read(folder.evaluation / "base")
        if (folder.evaluation / "few_shot").is_dir():
            few_shot = measure.read(folder.evaluation / "few_shot")
        if (folder.evaluation / "human").is_dir():
            human = measure.read(folder.evaluation / "human")
    if isinstance(final, Measurement):
        computed = scores.score(
            metric=run.plan.task.metric,
            base=measure.outcomes(folder.evaluation / "base"),
            few_shot=measure.outcomes(folder.evaluation / "few_shot") if few_shot else None,
            final=measure.outcomes(folder.evaluation / "final"),
            human=measure.outcomes(folder.evaluation / "human") if human else None,
            seed=run.plan.seed,
        )
    # A ptb from before transcripts may have held the session.
    summary = read_json(folder.transcript, transcript.Summary) if folder.transcript.exists() else None
    usage = process.usage(folder.gateway) if access.needed(run.plan) else None
    gone = any(note.get("ended") == "early" for note in run.journal.notes("gateway"))
    spec = session.stored(folder)
    told = run.sandbox.incidents(spec, handle(folder, run.sandbox)) if spec else []
    outcome, reason = ending.judge(result, frozen, verdict, final, usage if run.plan.agent.api else None, gone)
    events = run.journal.events()
    return Record(
        run=run.plan.run,
        plan=run.plan,
        prepared=read_prepared(run),
        preflight=_preflight(run),
        outcome=outcome,
        reason=reason,
        session=result,
        freeze=frozen,
        audit=verdict,
        base=base,
        few_shot=few_shot,
        final=final,
        human=human,
        scores=computed,
        usage=usage,
        transcript=summary,
        incidents=ending.incidents(run.plan, folder, told, result, usage, summary),
        artefacts=_artefacts(folder),
        times=Times(
            created=run.plan.created,
            sealed=now(),
            stages={event.stage: event.seconds for event in events if event.seconds is not None},
        ),
    )


def _artefacts(folder: RunFolder) -> dict[str, str]:
    """Files that back the record; the weights are named by their own manifest in `freeze`."""
    names = ["plan.json", "prepared.json", "session.json", "freeze.json", "audit.json", "trajectory.json"]
    names += [f"gateway/{name}.jsonl" for name in ("ledger", "hub", "packages", "egress")]
    names += [
        f"session/{name}" for name in ("output.log", "output.index", "telemetry.jsonl", "result.json", preflight.FILE)
    ]
    found = {name: digest_file(folder.path / name) for name in names if (folder.path / name).is_file()}
    if folder.evaluation.is_dir():
        found |= {f"evaluation/{name}": value for name, value in manifest(folder.evaluation).items()}
    return found


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


def read_prepared(run: Run) -> Prepared:
    return read_json(run.folder.prepared, Prepared)


def _preflight(run: Run) -> Preflight | None:
    path = run.folder.session / preflight.FILE
    return read_json(path, Preflight) if path.exists() else None


def _session(run: Run) -> SessionResult:
    return read_json(run.folder.path / "session.json", SessionResult)


def _frozen(run: Run) -> Frozen | Refused | None:
    return read_json(run.folder.freeze, Frozen | Refused) if run.folder.freeze.exists() else None


def _audit(run: Run) -> Audit:
    return read_json(run.folder.audit, Audit)


def handle(folder: RunFolder, sandbox: Sandbox) -> Handle | None:
    """The session's handle as the last start left it."""
    for note in reversed(Journal(folder.journal).notes("session")):
        if "starting" not in note and "adopted" not in note:
            return Handle(kind=sandbox.name, data=note)
    return None


def _glimpse(run: Run) -> str:
    """One line about the session: time used, load, the agent's last words."""
    samples = read_telemetry(run.folder.session)
    load = f"cpu {samples[-1].cpu_percent:.0f} %, {samples[-1].memory_mb:.0f} MB" if samples else "starting"
    words = live.last(run.plan.agent.transcript, tail(run.folder.session / "output.log"), 1)
    seconds = run.plan.hours * 3600
    used = samples[-1].t if samples else 0.0
    with contextlib.suppress(OSError, msgspec.DecodeError, KeyError):
        started = msgspec.json.decode((run.folder.session / "started.json").read_bytes())
        used = time.monotonic() - float(started["monotonic"])
    return f"{used:.0f} of {seconds:.0f} s, {load}" + (f": {words[-1]}" if words else "")


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
