"""One run's report: a single HTML file without scripts, links or anything fetched.

What an agent wrote, named or printed is hostile. Every value that the template prints is cleaned (text.py) and escaped;
a content security policy forbids everything but the page's own style, by its digest.
"""

import base64
import hashlib
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from posttrainbench import catalog
from posttrainbench.agent.result import read_telemetry, tail
from posttrainbench.board import drawing, spending, text
from posttrainbench.checkpoint import Frozen
from posttrainbench.record import Record
from posttrainbench.scores import Scores

TAIL_BYTES = 20_000
MAX_SHOWN = TAIL_BYTES + 2
"""Characters of any value on a page."""
OUTCOMES = {
    "scored": "Scored",
    "no_checkpoint": "No checkpoint",
    "invalid_checkpoint": "Invalid checkpoint",
    "disqualified": "Disqualified",
    "infrastructure": "Broken by our side, to be run again",
}


def render(record: Record, folder: Path) -> str:
    """The report of a sealed record, whose run lies in `folder`."""
    style = (templates() / "report.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            record=record,
            style=Markup(style),  # noqa: S704 - our own file
            policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
            outcome=OUTCOMES[record.outcome],
            scores=scores_of(record.scores) if record.scores else None,
            format_note=format_note(record),
            settings=settings_of(record),
            digests=digests_of(record),
            session=session_of(record, folder),
            checkpoint=record.freeze if isinstance(record.freeze, Frozen) else None,
            output=text.clean(tail(folder / "session" / "output.log", TAIL_BYTES), TAIL_BYTES, end=True).strip(),
            stages=[(name, text.duration(seconds)) for name, seconds in record.times.stages.items()],
            size=text.size,
        )
        + "\n"
    )


def templates() -> Path:
    """Where the board's templates lie."""
    return catalog.bundled() / "leaderboard" / "templates"


def environment() -> jinja2.Environment:
    """Jinja, set so that no value reaches a page uncleaned or unescaped."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates()),
        autoescape=True,
        auto_reload=False,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _finalize(value: Any) -> Any:
    if isinstance(value, Markup):
        return value
    return "–" if value is None else text.clean(str(value), MAX_SHOWN)


def format_note(record: Record) -> str:
    """The sentence that belongs beside every gain; empty where nothing was scored."""
    scores = record.scores
    if scores is None:
        return ""
    if scores.few_shot is None:
        return (
            "Much of a gain over a base model is format. The base model was not measured with worked examples under "
            "this protocol, so how much is not known."
        )
    return (
        "Much of a gain over a base model is format: the untouched base model scores "
        f"{text.percent(scores.few_shot.value)} here when its prompt holds {record.plan.few_shot} worked "
        f"examples, and {text.percent(scores.base.value)} without them."
    )


def scores_of(scores: Scores) -> dict[str, Any]:
    """What the templates show of scores."""
    named = [
        ("Base model", scores.base),
        ("Base model, few-shot", scores.few_shot),
        ("Checkpoint", scores.final),
        ("Instruct model", scores.human),
    ]
    gains = [("Gain over base", scores.gain), ("Gain over few-shot base", scores.gain_over_few_shot)]
    levels = [(name, one) for name, one in named if one is not None]
    changes = [(name, one) for name, one in gains if one is not None]
    return {
        "levels": drawing.intervals(levels),
        "changes": drawing.intervals(changes, signed=True),
        "methods": ", ".join(sorted({one.method for _, one in [*levels, *changes]})),
        "n": scores.n,
        "metric": scores.metric,
        "gain": None if scores.gain is None else text.percent(scores.gain.value, sign=True),
        "certain": scores.gain is not None and not scores.gain.low <= 0 <= scores.gain.high,
        "uplift": None if scores.uplift is None else f"{scores.uplift:.2f}",
        "uplift_note": scores.uplift_note,
    }


def session_of(record: Record, folder: Path) -> dict[str, Any]:
    """What the templates show of a session."""
    result, samples = record.session, read_telemetry(folder / "session")
    times = [sample.t for sample in samples]
    loads = [
        ("CPU", [sample.cpu_percent for sample in samples], "% (100 is one core)"),
        ("Memory", [sample.memory_mb for sample in samples], "MB"),
        ("Processes", [float(sample.processes) for sample in samples], ""),
    ]
    if any(sample.gpus for sample in samples):
        used = [max((gpu.get("utilization.gpu", 0.0) for gpu in sample.gpus), default=0.0) for sample in samples]
        loads.append(("GPU", used, "%"))
    return {
        "ended": ended(record),
        "seconds": text.duration(result.seconds),
        "turns": drawing.turns([(turn.start, turn.end) for turn in result.turns], result.seconds),
        "turn_rows": [
            (text.duration(turn.start), text.duration(turn.end), turn.exit_code, turn.signal)
            for turn in result.turns[:50]
        ],
        "loads": [drawing.sparkline(name, times, values, unit) for name, values, unit in loads],
    }


def ended(record: Record) -> str:
    """How the session ended, without a full stop."""
    result = record.session
    how = {
        "exited": f"The agent ended by itself with exit code {result.exit_code}",
        "deadline": "The agent was ended at its deadline",
        "disk_limit": "The agent was ended since its folders took too much of the disk",
        "stopped": "The session was stopped by the person who ran it",
        "failed_to_start": "The agent's command could not be started",
        "lost": "The session was lost",
    }[result.reason]
    if result.reason == "exited" and result.signal is not None:
        how = f"The agent was ended by signal {result.signal}"
    return how + (f": {result.detail}" if result.detail else "")


def settings_of(record: Record) -> list[tuple[str, str]]:
    """What the plan decided, as names and values."""
    plan = record.plan
    questions = "all" if plan.limit is None else str(plan.limit)
    return [
        ("Agent", f"{plan.agent.label} {plan.agent.version}"),
        ("Command", text.clean(" ".join(plan.agent.command), 2000)),
        ("Task", f"{plan.task.name} version {plan.task.version}, {questions} test questions"),
        ("Model", f"{plan.model.name} {record.prepared.model_revision}".strip()),
        ("Protocol", f"{plan.protocol.name} version {plan.protocol.version}: {plan.protocol.title}"),
        ("Time", text.duration(plan.hours * 3600)),
        ("Network", plan.protocol.network),
        *([("Agent's model", plan.agent.api.model)] if plan.agent.api else []),
        *([("Model use", spending.sentence(record.usage))] if record.usage and plan.agent.api else []),
        ("GPUs", str(plan.cards)),
        ("Sandbox", plan.sandbox),
        ("Seed", str(plan.seed)),
        ("Engine", plan.backend),
        ("Packages", ", ".join(f"{name} {version}" for name, version in sorted(plan.packages.items()))),
        ("ptb", plan.ptb),
        ("Planned", record.times.created),
        ("Sealed", record.times.sealed),
    ]


def digests_of(record: Record) -> list[tuple[str, str]]:
    """Every digest of a record, by what it is of."""
    plan, prepared = record.plan, record.prepared
    found = [
        ("Record", record.digest),
        ("Base model", prepared.model_digest),
        ("Test questions", prepared.test_digest),
        ("Bench", prepared.bench_digest),
        ("Task", plan.task_digest),
        ("Agent", plan.agent.digest),
        ("Evaluator and supervisor", plan.code),
    ]
    if isinstance(record.freeze, Frozen):
        found.append(("Checkpoint", record.freeze.digest))
    return found + sorted(record.artefacts.items())
