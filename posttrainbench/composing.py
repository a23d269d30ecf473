"""The record of a run, put together from what its stages left."""

from posttrainbench import ending, scores, transcript
from posttrainbench.agent import access, session
from posttrainbench.evaluation import CheckpointUnusable, Measurement, measure
from posttrainbench.folder import RunFolder
from posttrainbench.gateway import process
from posttrainbench.journal import now
from posttrainbench.record import Record, Times
from posttrainbench.run import Run, handle_of
from posttrainbench.sandbox import preflight
from posttrainbench.strict import digest_file, manifest, read_json


def compose(run: Run) -> Record:
    """The record, not sealed yet; raises DigestError where something that ptb wrote is not there any more."""
    folder, result = run.folder, run.session()
    frozen = run.frozen()
    verdict = run.audit()
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
    told = run.sandbox.incidents(spec, handle_of(folder, run.sandbox)) if spec else []
    outcome, reason = ending.judge(result, frozen, verdict, final, usage if run.plan.agent.api else None, gone)
    events = run.journal.events()
    return Record(
        run=run.plan.run,
        plan=run.plan,
        prepared=run.prepared(),
        preflight=run.preflight(),
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
