"""The pages of one run: what came out, its flight recorder, its trajectory, and everything that it rests on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from posttrainbench.board import activity, reading, recorder, report, shell, text, trajectory
from posttrainbench.board.entry import Entry
from posttrainbench.board.slug import slug
from posttrainbench.checkpoint import Frozen
from posttrainbench.record import Record

MAX_ROWS = 300
MAX_CHECKPOINT_FILES = 200


def board_name(entry: Entry) -> str:
    """The name of the board that a run is on: its protocol and the digest of all rules."""
    rules = entry.rules.removeprefix("sha256:")[:8]
    return f"{slug(entry.protocol.name)}-{entry.protocol.version}-{rules}"


def draw(record: Record, entry: Entry, folder: Path, name: str) -> tuple[dict[str, bytes], list[tuple[float, float]]]:
    """The pages by their paths in the site, and the dev scores that the agent saw (share of the time, score)."""
    traces = reading.read(record, folder)
    parts = trajectory.pages(traces.steps, traces.subagents)
    places = [part[0]["number"] for part in parts if part]
    links = [f"{name}.html", *(f"{name}.steps-{n}.html" for n in range(2, len(parts) + 1))]

    def step_link(number: int) -> str:
        at = max((n for n, first in enumerate(places) if first <= number + 1), default=0)
        return f"{links[at] if at else ''}#step-{number + 1}"

    turning = [
        {"first": part[0]["number"], "last": part[-1]["number"], "link": link + ("" if n else "#trajectory")}
        for n, (part, link) in enumerate(zip(parts, links, strict=True))
        if part
    ]
    made = {f"runs/{name}.html": _main(record, entry, traces, parts, turning, step_link, folder)}
    for n, part in enumerate(parts[1:], 1):
        made[f"runs/{links[n]}"] = shell.page(
            "steps.html.j2",
            "runs",
            "../",
            run=record.run,
            back=f"{name}.html",
            first=turning[n]["first"],
            last=turning[n]["last"],
            pages=[{**one, "current": k == n} for k, one in enumerate(turning)],
            part=part,
        )
    seconds = record.session.seconds
    dev = [(round(t / seconds, 4), score) for t, score in traces.dev_scores()] if seconds > 0 else []
    return made, dev


def _main(
    record: Record,
    entry: Entry,
    traces: reading.Traces,
    parts: list[list[trajectory.Shown]],
    turning: Sequence[dict[str, Any]],
    step_link: Any,
    folder: Path,
) -> bytes:
    plan, scores, seconds = record.plan, record.scores, record.session.seconds
    shown = sum(len(part) for part in parts)
    all_steps = len(traces.steps) + sum(len(one.steps) for one in traces.subagents)
    spans = activity.spans(traces, seconds)
    final = scores.final if scores else None
    return shell.page(
        "run.html.j2",
        "runs",
        "../",
        record=record,
        agent=entry.agent,
        links={
            "agent": f"../agents/{slug(entry.agent)}.html",
            "task": f"../tasks/{slug(entry.task)}.html",
            "model": f"../models/{slug(entry.model)}.html",
            "board": f"../boards/{board_name(entry)}.html",
            "record": f"{slug(record.run)}.json",
        },
        outcome=report.OUTCOMES[record.outcome],
        verdict=entry.verdict,
        scores=report.scores_of(scores) if scores else None,
        format_note=report.format_note(record),
        facts={
            "score": text.percent(final.value) if final else "–",
            "range": f"{text.percent(final.low)} to {text.percent(final.high)}" if final else "",
            "base": text.percent(scores.base.value) if scores else "–",
            "time": text.duration(seconds),
            "allowed": text.duration(plan.hours * 3600),
            "usd": text.usd(entry.usd) if plan.agent.api else "none",
            "llm": entry.llm or "no model in the loop",
            "steps": f"{record.transcript.agent_steps:,}" if record.transcript else "–",
            "calls": f"{record.transcript.tool_calls:,} tool calls" if record.transcript else "",
        },
        notes=traces.notes,
        recorder=recorder.draw(traces, spans, seconds, plan.hours * 3600, step_link),
        spent=[
            {
                "kind": kind,
                "name": activity.KINDS[kind],
                "time": text.duration(length),
                "share": text.percent(length / seconds),
            }
            for kind, length in activity.shares(spans)
        ],
        ended=report.ended(record),
        checkpoint=record.freeze if isinstance(record.freeze, Frozen) else None,
        checkpoint_files=sorted(record.freeze.files.items())[:MAX_CHECKPOINT_FILES]
        if isinstance(record.freeze, Frozen)
        else [],
        files=[
            {"name": path, "step": number, "link": step_link(number - 1)}
            for path, number in trajectory.files(traces.steps)
        ],
        fetched=_fetched(traces),
        settings=report.settings_of(record),
        stages=[(stage, text.duration(took)) for stage, took in record.times.stages.items()],
        digests=report.digests_of(record),
        part=parts[0],
        pages=[{**one, "current": not k} for k, one in enumerate(turning)],
        cut=f"Of {all_steps:,} steps the first {shown:,} are shown; trajectory.json holds all."
        if shown < all_steps
        else "",
    )


def _fetched(traces: reading.Traces) -> list[dict[str, Any]]:
    found: list[tuple[str, Sequence[str], list[tuple[object, ...]]]] = [
        (
            "From the model and dataset hub",
            ("When", "Repository", "File", "Size", "Answer"),
            [(one.at, one.repo, one.file, text.size(one.bytes), one.refused or one.status) for one in traces.hub],
        ),
        (
            "From package indexes",
            ("When", "Package", "File", "Size", "Answer"),
            [
                (one.at, f"{one.index}: {one.package}", one.file, text.size(one.bytes), one.refused or one.status)
                for one in traces.packages
            ],
        ),
        (
            "Other connections",
            ("When", "Host", "Up", "Down", "Answer"),
            [
                (one.at, f"{one.host}:{one.port}", text.size(one.up), text.size(one.down), one.reason or "open")
                for one in traces.connections
            ],
        ),
    ]
    return [
        {"title": title, "heads": heads, "rows": rows[:MAX_ROWS], "more": max(0, len(rows) - MAX_ROWS)}
        for title, heads, rows in found
        if rows
    ]
