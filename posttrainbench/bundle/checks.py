"""What is checked of an unpacked bundle: each check yields a sentence for each thing that is wrong.

The folder holds plain files with harmless names and nothing else (archive.py sees to that); what is in them may be
anything.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from posttrainbench import ending, integrity, plan, record, scores
from posttrainbench.agent import access
from posttrainbench.agent.result import SessionResult, read_telemetry
from posttrainbench.bundle import keys
from posttrainbench.bundle.sealing import CONTENTS, RECORD, WEIGHTS, Contents
from posttrainbench.catalog import Catalog, FolderModel
from posttrainbench.checkpoint import Frozen, Refused
from posttrainbench.errors import PtbError
from posttrainbench.evaluation import Measurement, measure
from posttrainbench.gateway import ledger
from posttrainbench.integrity import Audit
from posttrainbench.plan import Plan
from posttrainbench.record import Prepared, Record
from posttrainbench.strict import Value, read_json
from posttrainbench.transcript import atif

OVERSHOOT = 1.05
"""A budget is kept by estimates of what a request will use, which a real answer may miss by a little."""
SLACK_SECONDS = 60.0
"""Between the last SIGKILL and the session's result, on a slow machine."""
CLOSE = 1e-9
"""Equal, but for the last digit of another machine's floating-point numbers."""
MAX_JSON_BYTES = 256 * 2**20
SHOWN = 5


class Failure(Value, frozen=True, kw_only=True):
    """One thing that is wrong with a bundle."""

    check: str
    reason: str


@dataclass(frozen=True)
class Unpacked:
    """A bundle's files in a folder."""

    folder: Path
    files: Mapping[str, str]
    """Digest of each, as it was read."""
    catalog: Catalog
    record: Record

    @property
    def plan(self) -> Plan:
        return self.record.plan


def contents(folder: Path, files: Mapping[str, str]) -> Iterator[str]:
    """Are the files those that bundle.json names, with those digests?"""
    told = read_json(bounded(folder / CONTENTS), Contents)
    others = {name: digest for name, digest in files.items() if name != CONTENTS}
    yield from _differences("bundle.json", told.files, others)
    sealed = read_json(bounded(folder / RECORD), dict[str, Any])
    if (told.run, told.record) != (sealed.get("run"), sealed.get("digest")):
        yield (
            f"The record is not the one that was bundled: bundle.json names run {_show(told.run)}, record "
            f"{_show(told.record)}; record.json is of run {_show(sealed.get('run'))}, {_show(sealed.get('digest'))}."
        )


def read_record(folder: Path) -> Record:
    """The record, strictly by its schema, its own digest checked; raises DigestError."""
    return record.read(bounded(folder / RECORD))


def artefacts(bundle: Unpacked) -> Iterator[str]:
    """Is every file that backs the record there and as it was sealed, and nothing else?"""
    weights = {name for name in bundle.files if name.startswith(WEIGHTS)}
    others = {name: digest for name, digest in bundle.files.items() if name not in {CONTENTS, RECORD, *weights}}
    yield from _differences("the record", bundle.record.artefacts, others)
    frozen = bundle.record.freeze
    told = frozen.files if isinstance(frozen, Frozen) else {}
    if weights:
        held = {name.removeprefix(WEIGHTS): bundle.files[name] for name in weights}
        yield from _differences("the record's manifest of the weights", told, held)


def copies(bundle: Unpacked) -> Iterator[str]:
    """What the record repeats of other files must be what they say."""
    told = bundle.record
    parts: list[tuple[str, Any, Any]] = [
        ("plan.json", Plan, told.plan),
        ("prepared.json", Prepared, told.prepared),
        ("session.json", SessionResult, told.session),
        ("freeze.json", Frozen | Refused, told.freeze),
        ("audit.json", Audit, told.audit),
    ]
    for name, kind, value in parts:
        if name not in bundle.files:
            if value is not None:
                yield f"{name} is missing, though the record repeats what it says."
        elif read_json(bounded(bundle.folder / name), kind) != value:
            yield f"{name} and the record say different things; they were written from one value."
    if told.run != told.plan.run:
        yield f"The record is of run {_show(told.run)}, its plan of run {_show(told.plan.run)}."


def protocol(bundle: Unpacked) -> Iterator[str]:
    """Was the run done by the published rules, on the published task, all of it?"""
    told, known = bundle.plan.protocol, bundle.catalog.protocols().get(bundle.plan.protocol.name)
    if known is None or known[0].version != told.version:
        version = "none" if known is None else f"version {known[0].version}"
        yield (
            f"The protocol is {_show(told.name)} version {told.version}; this ptb has {version} of that name, so it "
            "cannot be compared."
        )
    elif changed := _changed(known[0], told):
        yield f"The protocol {told.name} version {told.version} is not the published one: {changed}."
    if bundle.plan.deviations:
        yield f"The run departs from the protocol {_show(told.name)}: {'; '.join(bundle.plan.deviations)}."
    task = bundle.catalog.tasks().get(bundle.plan.task.name)
    if task is None:
        yield f"The task {_show(bundle.plan.task.name)} is none that this ptb has, so its scores cannot be compared."
    elif changed := _changed(plan.bounded(task.value, told), bundle.plan.task):
        yield f"The task {bundle.plan.task.name} is not the published one: {changed}."
    model = bundle.catalog.models().get(bundle.plan.model.name)
    # A folder's path differs by machine.
    fixed = model is not None and not isinstance(model.value.source, FolderModel)
    if model is not None and fixed and (changed := _changed(model.value, bundle.plan.model)):
        yield f"The model {bundle.plan.model.name} is not the published one: {changed}."


def budgets(bundle: Unpacked) -> Iterator[str]:
    """Did the run stay within its time and its money, by the gateway's own ledger?"""
    told, drawn = bundle.record, bundle.plan
    rules = drawn.protocol
    most = drawn.hours * 3600 + rules.overtime_seconds + rules.grace_seconds + SLACK_SECONDS
    spans = {"session": told.session.seconds, "last turn": max((turn.end for turn in told.session.turns), default=0.0)}
    spans["telemetry"] = max((sample.t for sample in read_telemetry(bundle.folder / "session")), default=0.0)
    for what, seconds in spans.items():
        if not 0 <= seconds <= most:
            yield (
                f"The {what} goes to {seconds:.0f} s. The plan gives {drawn.hours * 3600:.0f} s; with all grace it is "
                f"over after {most:.0f} s."
            )
    wanted = ledger.summary(bundle.folder / "gateway" / "ledger.jsonl") if access.needed(drawn) else None
    if not _close(wanted, told.usage):
        yield "The record's usage is not what the gateway's ledger comes to; it is taken from there."
    if told.usage is None:
        return
    tokens = sum(one.tokens.total for one in told.usage.models)
    if drawn.max_tokens is not None and tokens > drawn.max_tokens * OVERSHOOT:
        yield f"The agent used {tokens} tokens of its model; its budget was {drawn.max_tokens}."
    if drawn.max_usd is not None and told.usage.cost_usd is None:
        yield f"What the agent's model cost is not known, though the plan has a budget of {drawn.max_usd:g} USD."
    elif drawn.max_usd is not None and (told.usage.cost_usd or 0.0) > drawn.max_usd * OVERSHOOT:
        yield f"The agent's model cost {told.usage.cost_usd:.4f} USD; its budget was {drawn.max_usd:g} USD."


MEASURED = ("base", "few_shot", "human", "final")
"""Folders below evaluation/, and fields of the record."""


def measurements(bundle: Unpacked) -> Iterator[str]:
    """Does each measurement follow from its questions, and is it of what the plan says?"""
    drawn = bundle.plan
    size = drawn.task.splits["test"].size if "test" in drawn.task.splits else 0
    wanted = min(drawn.limit or size, size)
    for name in MEASURED:
        told, place = getattr(bundle.record, name), bundle.folder / "evaluation" / name
        path = place / "result.json"
        found = read_json(bounded(path), measure.Measured) if path.exists() else None
        if found != told:
            yield f"evaluation/{name}/result.json and the record say different things about the {name} measurement."
        if not isinstance(told, Measurement):
            continue
        values = list(measure.outcomes(place).values())
        if not told.n == len(values) == wanted:
            yield (
                f"The {name} measurement tells of {told.n} questions, its file has {len(values)}, and {wanted} were "
                "planned."
            )
        if not values or abs(sum(values) / len(values) - told.score) > CLOSE:
            yield f"The {name} measurement says {told.score}, which is not the mean over its questions."
        few_shot = drawn.few_shot if name == "few_shot" else drawn.shots
        decoding_from = "task" if told.generation is None else "checkpoint"
        for what, one, other in (
            ("task", told.task, drawn.task.name),
            ("version", told.version, drawn.task.version),
            ("split", told.split, "test"),
            ("metric", told.metric, drawn.task.metric),
            ("worked examples", told.few_shot, few_shot),
            ("decoding", told.decoding, drawn.task.decoding),
            ("origin of the decoding", decoding_from, drawn.protocol.decoding),
            ("backend", told.backend, drawn.backend),
            ("chat template", told.chat_template, drawn.protocol.chat_template == "family"),
        ):
            if one != other:
                yield f"The {name} measurement has another {what} than the plan: {_show(one)}, not {_show(other)}."
    benches = {told.bench for name in MEASURED if isinstance(told := getattr(bundle.record, name), Measurement)}
    if len(benches) > 1:
        yield "The measurements were taken on different benches (questions, scorer, evaluator): they do not compare."


def recomputed(bundle: Unpacked) -> Iterator[str]:
    """Are the scores those that follow from the questions?"""
    told, place = bundle.record, bundle.folder / "evaluation"
    wanted = None
    if isinstance(told.final, Measurement) and told.base is not None:
        wanted = scores.score(
            metric=told.plan.task.metric,
            base=measure.outcomes(place / "base"),
            few_shot=measure.outcomes(place / "few_shot") if told.few_shot else None,
            final=measure.outcomes(place / "final"),
            human=measure.outcomes(place / "human") if told.human else None,
            seed=told.plan.seed,
        )
    if changed := _changed(wanted, told.scores):
        yield f"The scores are not those that follow from the questions: {changed}."


def outcome(bundle: Unpacked) -> Iterator[str]:
    """Do outcome and verdict follow from what the stages found?"""
    told = bundle.record
    audit = told.audit or Audit(findings=[], verdict="unchecked")
    verdict = integrity.judge(audit.findings)
    if verdict != audit.verdict:
        yield f"The verdict is {audit.verdict}; from its findings follows {verdict}."
    lost = any(one.kind == "gateway_lost" for one in told.incidents)
    usage = told.usage if told.plan.agent.api else None
    wanted, _ = ending.judge(told.session, told.freeze, audit, told.final, usage, lost)
    if wanted != told.outcome:
        yield f"The outcome is {told.outcome}; from what the stages found follows {wanted}."
    if (told.scores is not None) != (told.outcome == "scored"):
        yield f"The outcome is {told.outcome}, but there are {'no ' if told.scores is None else ''}scores."


def trajectory(bundle: Unpacked) -> Iterator[str]:
    """Is the trajectory a document of its format?"""
    if "trajectory.json" in bundle.files:
        wrong = atif.validate(read_json(bounded(bundle.folder / "trajectory.json"), dict[str, Any]))
        if wrong:
            yield f"trajectory.json is not ATIF: {_show(wrong[0])}" + (
                f" and {len(wrong) - 1} more." if wrong[1:] else "."
            )


def redaction(folder: Path, files: Mapping[str, str]) -> Iterator[str]:
    """Is there a key in any file?"""
    texts = {name: folder / name for name in files if not name.endswith(".safetensors")}
    for number, leak in enumerate(keys.scan(texts)):
        if number == SHOWN:
            yield "There are more keys."
            return
        yield f"{leak}. It must not be published: revoke it."


CHECKS: dict[str, Callable[[Unpacked], Iterator[str]]] = {
    "artefacts": artefacts,
    "copies": copies,
    "protocol": protocol,
    "budgets": budgets,
    "measurements": measurements,
    "scores": recomputed,
    "outcome": outcome,
    "trajectory": trajectory,
}
"""Checks that need the record, by the name that a failure bears."""


def guarded(name: str, check: Callable[..., Iterable[str]], *given: Any) -> Iterator[Failure]:
    """What a check finds; that it could not be done, whatever the file made it meet, is a failure too."""
    try:
        for reason in check(*given):
            yield Failure(check=name, reason=reason)
    except PtbError as error:
        yield Failure(check=name, reason=str(error))
    except (ValueError, TypeError, KeyError, ArithmeticError, OSError, RecursionError, MemoryError) as error:
        yield Failure(check=name, reason=f"It could not be checked: {type(error).__name__}: {ascii(str(error))[:300]}.")


def bounded(path: Path) -> Path:
    """The path of a file that is small enough to be parsed."""
    if path.is_file() and path.stat().st_size > MAX_JSON_BYTES:
        raise ValueError(f"{path.name} is larger than {MAX_JSON_BYTES} bytes, so it is not read")
    return path


def _differences(what: str, told: Mapping[str, str], found: Mapping[str, str]) -> Iterator[str]:
    wrong = {
        "is missing, though {what} names it": sorted(set(told) - set(found)),
        "is not named by {what}": sorted(set(found) - set(told)),
        "is not the file that {what} names; its digest differs": sorted(
            name for name in set(told) & set(found) if told[name] != found[name]
        ),
    }
    for why, names in wrong.items():
        for name in names[:SHOWN]:
            yield f"{_show(name)} {why.format(what=what)}."
        if len(names) > SHOWN:
            yield f"{len(names) - SHOWN} more files like {_show(names[0])}."


def _changed(wanted: Any, found: Any) -> str:
    """The first place where two values differ, in words; empty if they are the same."""
    place = _where(msgspec.to_builtins(wanted), msgspec.to_builtins(found), "")
    return "" if place is None else f"{place[0] or 'it'} is {_show(place[2])} instead of {_show(place[1])}"


def _where(wanted: Any, found: Any, place: str) -> tuple[str, Any, Any] | None:
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key in sorted({*wanted, *found}):
            deeper = _where(wanted.get(key), found.get(key), f"{place}.{key}".lstrip("."))
            if deeper:
                return deeper
        return None
    numbers = isinstance(wanted, int | float) and isinstance(found, int | float)
    same = abs(wanted - found) <= CLOSE if numbers else wanted == found
    return None if same else (place, wanted, found)


def _close(wanted: Any, found: Any) -> bool:
    return not _changed(wanted, found)


def _show(value: Any) -> str:
    """A value from a stranger's file in a sentence of ours."""
    return ascii(value)[:120]
