"""Where a session's time went, from three sources: the gateway's ledger, the agent's steps, and telemetry.

The session is cut into equal slots. What a slot was spent on is the first of these that holds: the provider held the
agent back; the agent waited for its model's answer; it measured itself with evaluate.py; a processor or a GPU was busy;
nothing of that. It is a reading of what is known and not a measurement: work in the background of a waiting agent is
not seen, and an agent without a model in the loop only computes, measures or idles.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from posttrainbench.agent.result import Sample
from posttrainbench.board.reading import Step, Traces

Kind = Literal["throttled", "thinking", "evaluating", "computing", "idle"]
KINDS: dict[Kind, str] = {
    "thinking": "waiting for its model's answer",
    "throttled": "held back by the provider",
    "evaluating": "measuring itself (evaluate.py)",
    "computing": "computing: processor or GPU busy",
    "idle": "idle, or not known",
}
SLOTS = 600
BUSY_CPU = 20.0
"""Percent of one core."""
BUSY_GPU = 10.0
MAX_ARGUMENTS = 20_000
MAX_LENGTH = 1e7


@dataclass(frozen=True)
class Span:
    """A stretch of the session that was spent in one way. Seconds since its start."""

    kind: Kind
    begin: float
    end: float


def spans(traces: Traces, seconds: float) -> list[Span]:
    """The session as stretches, in order and without gaps; none where its length is unknown."""
    if not math.isfinite(seconds) or not 0 < seconds < MAX_LENGTH:
        return []
    width = seconds / SLOTS
    slots: list[Kind] = ["idle"] * SLOTS

    def mark(kind: Kind, begin: float, end: float) -> None:
        if math.isfinite(begin) and math.isfinite(end) and end > begin:
            at = round(begin / width)
            first = max(0, min(SLOTS, at))
            last = max(first, min(SLOTS, max(at + 1, round(end / width))))
            slots[first:last] = [kind] * (last - first)

    for begin, end in _busy(traces, seconds):
        mark("computing", begin, end)
    for begin, end in _evaluating(traces.steps, seconds):
        mark("evaluating", begin, end)
    for one in traces.exchanges:
        if not one.background:
            mark("thinking", one.begin, one.end)
    for one in traces.exchanges:
        if not one.background and one.facts.throttled_seconds > 0:
            mark("throttled", max(one.begin, one.end - one.facts.throttled_seconds), one.end)
    found: list[Span] = []
    first = 0
    for kind, many in groupby(slots):
        end = first + sum(1 for _ in many)
        found.append(Span(kind, first * width, end * width))
        first = end
    return found


def shares(found: Sequence[Span]) -> list[tuple[Kind, float]]:
    """Seconds of each kind, the longest first."""
    total: dict[Kind, float] = {}
    for span in found:
        total[span.kind] = total.get(span.kind, 0.0) + span.end - span.begin
    return sorted(total.items(), key=lambda item: (-item[1], item[0]))


def _busy(traces: Traces, seconds: float) -> list[tuple[float, float]]:
    before, most = 0.0, seconds + 60
    found = []
    for sample in traces.samples:
        t = sample.t
        if 0 <= before < t <= most and (sample.cpu_percent >= BUSY_CPU or _gpu(sample) >= BUSY_GPU):
            found.append((before, t))  # A sample tells of the time since the one before.
        before = t
    return found


def _gpu(sample: Sample) -> float:
    return max((one.get("utilization.gpu", 0.0) for one in sample.gpus), default=0.0)


def _evaluating(steps: Sequence[Step], seconds: float) -> list[tuple[float, float]]:
    """From a step that calls evaluate.py to the next step."""
    timed = [step for step in steps if step.t is not None]
    ends = [*(step.t or 0.0 for step in timed[1:]), seconds]
    return [
        (step.t or 0.0, end)
        for step, end in zip(timed, ends, strict=False)
        if any("evaluate.py" in one for one in _calls(step))
    ]


def _calls(step: Step) -> list[str]:
    found = []
    for call in step.tool_calls or []:
        try:
            found.append(json.dumps(call.arguments)[:MAX_ARGUMENTS])
        except (RecursionError, ValueError, TypeError):
            continue
    return found
