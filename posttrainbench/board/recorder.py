"""The flight recorder: one drawing of all that was going on in a session, over its time."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from markupsafe import Markup

from posttrainbench.agent.result import Sample
from posttrainbench.board import activity, svg, text
from posttrainbench.board.reading import Traces

WIDTH = 1000
LEFT = 118
RIGHT = 78
LANE = 54
MAX_MARKS = 1500


@dataclass
class _Sheet:
    """What is drawn, lane under lane."""

    seconds: float
    parts: list[Markup]
    y: float = 8.0

    def x(self, t: float) -> float:
        """Where a time lies; outside of the session it lies at its ends."""
        share = min(1.0, max(0.0, t / self.seconds)) if math.isfinite(t) else 0.0
        return round(LEFT + (WIDTH - LEFT - RIGHT) * share, 1)

    def lane(self, name: str, note: str = "", height: float = LANE) -> tuple[float, float]:
        """A new lane; gives its top and its bottom."""
        top, bottom = self.y + 6, self.y + height - 6
        self.parts.append(svg.label(0, self.y + height / 2 + 4, name, "lane"))
        self.parts.append(svg.line(LEFT, bottom, WIDTH - RIGHT, bottom, "track"))
        if note:
            self.parts.append(svg.label(WIDTH - RIGHT + 8, self.y + height / 2 + 4, note, "tick"))
        self.y += height
        return top, bottom

    def curve(
        self, name: str, points: Sequence[tuple[float, float]], unit: Callable[[float], str], top_value: float = 0
    ) -> None:
        """Values over time, from 0 to the highest."""
        finite = math.isfinite
        known = [(t, v) for t, v in points if finite(t) and finite(v) and t >= 0]
        if len(known) < 2:
            return
        highest = max([v for _, v in known])
        most = max(top_value, highest, 1e-9)
        top, bottom = self.lane(name, f"≤ {unit(highest)}")
        wide, high, end = (WIDTH - LEFT - RIGHT) / self.seconds, (bottom - top) / most, float(WIDTH - RIGHT)
        line = [
            (x if (x := LEFT + wide * t) < end else end, bottom - high * v if v > 0 else bottom)
            for t, v in svg.thinned(known)
        ]
        drawn, feet = svg.places(line), svg.places([(line[-1][0], bottom), (line[0][0], bottom)])
        self.parts.append(svg.element("polygon", points=drawn + " " + feet, class_="area"))
        self.parts.append(svg.element("polyline", points=drawn, class_="spark"))


def draw(
    traces: Traces, found: Sequence[activity.Span], seconds: float, allowed: float, page: Callable[[int], str]
) -> Markup:
    """The recorder of a session of so many seconds, of `allowed` ones; spent as `found` says; `page`: link to a step,
    by its number from 0. Empty where nothing is known."""
    if not found:
        return Markup("")
    sheet = _Sheet(seconds, [])
    top, bottom = sheet.lane("Spent on", height=40)
    for span in found:
        told = f"{activity.KINDS[span.kind]}: {text.duration(span.begin)} to {text.duration(span.end)}"
        x = sheet.x(span.begin)
        sheet.parts.append(svg.bar(x, top, sheet.x(span.end) - x, bottom - top, f"k-{span.kind}", told))
    _steps(sheet, traces, page)
    _exchanges(sheet, traces)
    _scores(sheet, traces)
    _telemetry(sheet, traces.samples)
    _axis(sheet, allowed)
    return svg.figure(WIDTH, sheet.y, "What went on in the session, over its time", sheet.parts, "recorder")


def _steps(sheet: _Sheet, traces: Traces, page: Callable[[int], str]) -> None:
    timed = [
        (number, step) for number, step in enumerate(traces.steps) if step.t is not None and step.source == "agent"
    ]
    if not timed:
        return
    calls = sum(len(step.tool_calls or ()) for _, step in timed)
    top, bottom = sheet.lane("Steps, calls", f"{len(timed)}, {calls}", height=36)
    jump = max(1, math.ceil(len(timed) / MAX_MARKS))
    for number, step in timed[::jump]:
        x = sheet.x(step.t or 0.0)
        names = ", ".join(call.function_name for call in (step.tool_calls or [])[:5])
        told = f"Step {number + 1} at {text.duration(max(0.0, step.t or 0.0))}" + (f": {names}" if names else "")
        mark = svg.element(
            "path",
            svg.title(told),
            d=f"M{x} {top if names else (top + bottom) / 2}V{bottom}",
            class_="call" if names else "step",
        )
        sheet.parts.append(svg.element("a", mark, href=page(number), aria_label=told, tabindex="-1"))


def _exchanges(sheet: _Sheet, traces: Traces) -> None:
    known = [one for one in traces.exchanges if math.isfinite(one.begin) and math.isfinite(one.end)]
    if not known:
        return
    slowest = max(max(one.end - one.begin, 0.001) for one in known)
    top, bottom = sheet.lane("API latency", f"≤ {text.duration(slowest)}")
    for one in known[:: max(1, math.ceil(len(known) / MAX_MARKS))]:
        x, height = sheet.x(one.begin), (bottom - top) * (one.end - one.begin) / slowest
        bad = "late" if one.facts.throttled_seconds > 0 else "failed" if not one.answered else "answer"
        told = f"{text.duration(one.end - one.begin)}, status {one.facts.status}"
        if one.facts.throttled_seconds > 0:
            told += f", {text.duration(one.facts.throttled_seconds)} throttled"
        sheet.parts.append(svg.bar(x, bottom - height, max(1.5, sheet.x(one.end) - x), height, bad, told))
    costs = [(one.end, one.facts.cost_usd or 0.0) for one in sorted(known, key=lambda one: one.end)]
    spent = list(zip([t for t, _ in costs], accumulate(cost for _, cost in costs), strict=True))
    if spent and spent[-1][1] > 0:
        sheet.curve("Dollars spent", [(0.0, 0.0), *spent, (sheet.seconds, spent[-1][1])], text.usd)


def _scores(sheet: _Sheet, traces: Traces) -> None:
    scores = traces.dev_scores()
    if not scores:
        return
    best = max(score for _, score in scores)
    top, bottom = sheet.lane("Dev scores", f"≤ {text.percent(best)}")
    for t, score in scores:
        told = f"{text.percent(score)} on dev questions at {text.duration(max(0.0, t))}"
        y = bottom - (bottom - top) * score / max(best, 1e-9)
        sheet.parts.append(svg.element("circle", svg.title(told), cx=sheet.x(t), cy=y, r=4, class_="dot"))


def _telemetry(sheet: _Sheet, samples: Sequence[Sample]) -> None:
    for number in range(max((len(sample.gpus) for sample in samples), default=0)):
        used = [(s.t, s.gpus[number].get("utilization.gpu", 0.0)) for s in samples if number < len(s.gpus)]
        sheet.curve(f"GPU {number}", used, lambda value: f"{value:.0f} %", 100)
        held = [(s.t, s.gpus[number].get("memory.used", 0.0)) for s in samples if number < len(s.gpus)]
        sheet.curve(f"GPU {number} memory", held, lambda value: text.size(value * 1e6))
    sheet.curve("CPU", [(s.t, s.cpu_percent) for s in samples], lambda value: f"{value / 100:.1f} cores", 100)
    sheet.curve("Memory", [(s.t, s.memory_mb) for s in samples], lambda value: text.size(value * 1e6))
    sheet.curve("Disk", [(s.t, s.disk_used_mb) for s in samples], lambda value: text.size(value * 1e6), 1)


def _axis(sheet: _Sheet, allowed: float) -> None:
    unit, name = (3600.0, "h") if sheet.seconds >= 2 * 3600 else (60.0, "min") if sheet.seconds >= 120 else (1.0, "s")
    bottom = sheet.y
    for value in svg.ticks(0, sheet.seconds / unit, 8):
        x = sheet.x(value * unit)
        sheet.parts.insert(0, svg.line(x, 8, x, bottom, "grid"))
        sheet.parts.append(svg.label(x, bottom + 16, f"{value:g} {name}", "tick", "middle"))
    sheet.y = bottom + 24
    if math.isfinite(allowed) and allowed > 0:
        words = f"{text.duration(sheet.seconds)} of {text.duration(allowed)} allowed"
        sheet.parts.append(svg.label(WIDTH - RIGHT, sheet.y + 12, words, "tick", "end"))
        sheet.y += 20
