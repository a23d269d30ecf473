"""What lies in a run's folder beside its record, read for pages: each file bounded, and checked against the record.

A file that is missing, too large, not as sealed or not readable is left out, and `notes` says so: a page of a damaged
run is a page with less on it, never a failure of the site.
"""

import datetime
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from posttrainbench.agent.result import MAX_TELEMETRY_BYTES, Sample, parse_telemetry
from posttrainbench.board import outcomes
from posttrainbench.gateway import ledger, traffic
from posttrainbench.record import Record
from posttrainbench.strict import digest_bytes, read_regular
from posttrainbench.transcript import read_clock
from posttrainbench.transcript.exchanges import Exchange, exchanges

MAX_BYTES = 96 * 2**20
"""Of a file that is read for a page."""
SIGNED = (
    "record.json",
    "trajectory.json",
    "session/telemetry.jsonl",
    "session/started.json",
    "gateway/ledger.jsonl",
    "gateway/hub.jsonl",
    "gateway/packages.jsonl",
    "gateway/egress.jsonl",
    *(f"evaluation/{name}/questions.jsonl" for name in ("base", "final", "few_shot", "human")),
)
MAX_SCORES = 200
MAX_SCANNED = 100_000
"""Characters at a text's end in which scores are looked for."""
DEV_SCORE = re.compile(r"\bscore (?P<score>[01]\.\d{1,6}) \(\S{1,40} [\w.-]{1,40}, dev questions\)")
"""How evaluate.py tells the agent its score; an agent may print the same words."""

T = TypeVar("T")


class Call(msgspec.Struct):
    """A tool call, read leniently: a submitted trajectory may be another program's."""

    tool_call_id: str = ""
    function_name: str = ""
    arguments: Any = None


class Result(msgspec.Struct):
    """What came of a call."""

    content: Any = None
    source_call_id: str | None = None
    extra: Any = None


class Observation(msgspec.Struct):
    """Results of a step."""

    results: list[Result] = []


class Metrics(msgspec.Struct):
    """What a step took."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    cost_usd: float | None = None


class Step(msgspec.Struct):
    """A step of a trajectory."""

    source: str = ""
    message: Any = ""
    timestamp: str | None = None
    model_name: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[Call] | None = None
    observation: Observation | None = None
    metrics: Metrics | None = None
    t: float | None = None
    """Seconds since the session's start; set here, not read."""


class Subagent(msgspec.Struct):
    """A trajectory inside another."""

    trajectory_id: str = ""
    steps: list[Step] = []


class Trajectory(msgspec.Struct):
    """The document."""

    steps: list[Step] = []
    subagent_trajectories: list[Subagent] | None = None


@dataclass
class Traces:
    """All that a run left of what happened in it."""

    steps: list[Step] = field(default_factory=list)
    subagents: list[Subagent] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)
    hub: list[traffic.HubFetch] = field(default_factory=list)
    packages: list[traffic.PackageFetch] = field(default_factory=list)
    connections: list[traffic.Connection] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What could not be shown, in sentences."""

    def dev_scores(self) -> list[tuple[float, float]]:
        """Seconds since the session's start, and the score that evaluate.py printed then on the dev questions."""
        found = []
        for step in self.steps:
            if step.t is not None and step.source == "agent":
                shown = [content(step.message), *(content(one.content) for one in results(step))]
                ends = [text[-MAX_SCANNED:] for text in shown if "dev questions" in text]
                found += [(step.t, float(match["score"])) for text in ends for match in DEV_SCORE.finditer(text)]
        return [(t, score) for t, score in found if score <= 1.0][:MAX_SCORES]


def read(record: Record, folder: Path) -> Traces:
    """Everything that is there."""
    found = Traces()
    # On no list of artefacts: it moves times, and changes no number.
    clock = read_clock(folder / "session" / "started.json")
    start = datetime.datetime.fromisoformat(clock.utc) if clock else None

    def part(name: str, load: Callable[[Path, bytes], T]) -> T | None:
        if name not in record.artefacts:
            return None
        path = folder / name
        try:
            try:
                there = path.lstat()
            except (FileNotFoundError, NotADirectoryError):
                return None
            if not stat.S_ISREG(there.st_mode):
                return None
            if there.st_size > MAX_BYTES:
                found.notes.append(f"{name} is larger than {MAX_BYTES >> 20} MiB and is not shown.")
                return None
            content = read_regular(path, MAX_BYTES)
            if digest_bytes(content) != record.artefacts[name]:
                found.notes.append(f"{name} is not the file that was sealed, so it is not shown.")
                return None
            return load(path, content)
        except (OSError, ValueError, RecursionError, msgspec.DecodeError):
            found.notes.append(f"{name} could not be read.")
            return None

    document = part("trajectory.json", lambda _, content: msgspec.json.decode(content, type=Trajectory))
    if document:
        found.steps, found.subagents = document.steps, document.subagent_trajectories or []
        for step in found.steps:
            step.t = _since(start, step.timestamp)
    found.samples = (
        part("session/telemetry.jsonl", lambda _, content: parse_telemetry(content[:MAX_TELEMETRY_BYTES])) or []
    )
    if clock:
        at = clock.monotonic
        found.exchanges = part("gateway/ledger.jsonl", lambda path, _: exchanges(ledger.lines(path), at)) or []
    found.hub = part("gateway/hub.jsonl", lambda path, _: traffic.hub_fetches(path)) or []
    found.packages = part("gateway/packages.jsonl", lambda path, _: traffic.package_fetches(path)) or []
    found.connections = part("gateway/egress.jsonl", lambda path, _: traffic.connections(path)) or []
    return found


def marks(folder: str, names: Iterable[str] = SIGNED) -> dict[str, str]:
    """What changes whenever one of these files does; by times and sizes alone, since it is asked for every run at every
    build."""
    words = {}
    for name in names:
        try:
            found = os.stat(f"{folder}/{name}")
            words[name] = f"{found.st_size}:{found.st_mtime_ns}"
        except OSError:
            words[name] = "-"
    return words


def signature(words: Mapping[str, str]) -> str:
    """Of marks."""
    return hashlib.sha256(" ".join(words.values()).encode()).hexdigest()[:16]


def used(record: Record) -> list[str]:
    """What a run's pages and its numbers are made from. Other files cannot change them, unless the record does."""
    named = {f"evaluation/{name}/questions.jsonl" for name in outcomes.named(record)}
    always = ("record.json", "session/started.json")
    return [name for name in SIGNED if name in always or name in named or name in record.artefacts]


def content(value: Any) -> str:
    """A message's or a result's text; parts of other kinds are named."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        return ""
    parts = [one for one in value if isinstance(one, dict)]
    return "\n".join(
        one["text"] if isinstance(one.get("text"), str) else f"[{str(one.get('type'))[:40]}]" for one in parts
    )


def results(step: Step) -> Sequence[Result]:
    """Results of a step."""
    return step.observation.results if step.observation else ()


def _since(start: datetime.datetime | None, timestamp: str | None) -> float | None:
    if start is None or timestamp is None:
        return None
    try:
        moment = datetime.datetime.fromisoformat(timestamp)
    except ValueError:
        return None
    return (moment - start).total_seconds() if moment.tzinfo else None
