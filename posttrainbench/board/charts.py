"""The figures of boards: scores with intervals, cost or time against score, dev scores over time, versions."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from posttrainbench.board import svg, text
from posttrainbench.statistics import Estimate

WIDTH = 760
LEFT = 204
RIGHT = 24
ROW = 26


@dataclass(frozen=True)
class Dot:
    """A row of an interval chart, or a point of a scatter."""

    name: str
    link: str
    estimate: Estimate
    x: float | None = None
    """Of a scatter."""
    note: str = ""
    dim: bool = False
    """Shown, but not ranked."""


Mark = tuple[str, float]
"""A vertical line's name and value."""


def span(dots: Sequence[Dot], marks: Sequence[Mark] = ()) -> tuple[float, float]:
    """From where to where a common scale runs: 0 is always on it."""
    values = [0.0, *(value for _, value in marks if math.isfinite(value))]
    for dot in dots:
        values += [one for one in (dot.estimate.value, dot.estimate.low, dot.estimate.high) if math.isfinite(one)]
    low, high = min(values), max(values)
    room = max(high - low, 0.05)
    return (low - 0.03 * room if low < 0 else 0.0), high + 0.03 * room


def minibar(one: Estimate, low: float, high: float, marks: Sequence[Mark]) -> Markup:
    """An interval without words, for a cell of a table; the numbers stand beside it."""

    def x(value: float) -> float:
        return round(2 + 116 * min(1.0, max(0.0, (value - low) / (high - low))), 1)

    parts = [svg.line(2, 9, 118, 9, "track")]
    parts += [svg.line(x(value), 2, x(value), 16, _mark_class(name)) for name, value in marks]
    parts.append(svg.line(x(one.low), 9, x(one.high), 9, "interval"))
    parts.append(svg.element("circle", cx=x(one.value), cy=9, r=3.5, class_="dot"))
    return svg.element("svg", svg.joined(parts), viewBox="0 0 120 18", class_="minibar", aria_hidden="true")


def intervals(heading: str, dots: Sequence[Dot], marks: Sequence[Mark] = (), *, shown: str = "percent") -> Markup:
    """A row for each, the value as a dot on its interval; lines for the base, few-shot and instruct models."""
    if not dots:
        return Markup("")
    low, high = span(dots, marks)
    height = 30 + len(dots) * ROW + 24

    def x(value: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (min(max(value, low), high) - low) / (high - low), 1)

    parts = _scale(low, high, 24, height - 20, x, shown)
    taken: dict[float, list[str]] = {}
    for name, value in sorted(marks, key=lambda mark: mark[1]):
        parts.append(svg.line(x(value), 22, x(value), height - 20, _mark_class(name)))
        near = next((at for at in taken if abs(at - x(value)) < 8), x(value))
        taken.setdefault(near, []).append(name)
    for number, (at, names) in enumerate(taken.items()):
        anchor = "start" if at < WIDTH - 160 else "end"
        words = ", ".join(names)
        parts.append(svg.label(at + (3 if anchor == "start" else -3), 9 + 10 * (number % 2), words, "tick", anchor))
    for number, dot in enumerate(dots):
        y, one = 30 + number * ROW + ROW / 2, dot.estimate
        told = f"{dot.name}: {range_words(one, shown)}"
        row = [
            svg.label(LEFT - 12, y + 4, text.shortened(dot.name, 25), "name", "end"),
            svg.line(x(one.low), y, x(one.high), y, "interval"),
            svg.element(
                "circle",
                svg.title(told + (f", {dot.note}" if dot.note else "")),
                cx=x(one.value),
                cy=y,
                r=5,
                class_="dot",
            ),
        ]
        parts.append(_linked(dot, row))
    return svg.figure(WIDTH, height, f"{heading}: " + _spoken(dots, shown), parts, "chart")


def scatter(heading: str, dots: Sequence[Dot], axis: str, unit: str, *, shown: str = "percent") -> Markup:
    """Something against the score, cheaper to the left, with the front of those that none beats in both."""
    known = [dot for dot in dots if dot.x is not None and math.isfinite(dot.x) and dot.x >= 0]
    if not known:
        return Markup("")
    low, high = span(known)
    most = max(dot.x or 0.0 for dot in known) * 1.08 or 1.0
    height = 360
    left, bottom = 62, height - 44

    def y(value: float) -> float:
        return round(bottom - (bottom - 14) * (min(max(value, low), high) - low) / (high - low), 1)

    def x(value: float) -> float:
        return round(left + (WIDTH - left - RIGHT) * value / most, 1)

    parts: list[Markup] = []
    for value in svg.ticks(low, high):
        parts.append(svg.line(left, y(value), WIDTH - RIGHT, y(value), "grid"))
        parts.append(svg.label(left - 8, y(value) + 4, value_words(value, shown, short=True), "tick", "end"))
    for value in svg.ticks(0, most):
        parts.append(svg.label(x(value), bottom + 18, f"{value:g}", "tick", "middle"))
    parts.append(svg.line(left, bottom, WIDTH - RIGHT, bottom, "track"))
    parts.append(svg.label(WIDTH - RIGHT, height - 8, f"{axis} ({unit})", "tick", "end"))
    front = _front(known)
    if len(front) > 1:
        steps = [(x(front[0].x or 0.0), y(front[0].estimate.value))]
        for dot in front[1:]:
            steps += [(x(dot.x or 0.0), steps[-1][1]), (x(dot.x or 0.0), y(dot.estimate.value))]
        parts.append(svg.polyline(steps, "front", "No agent is both better and cheaper than those on this line"))
    taken: list[tuple[float, float]] = []
    for dot in sorted(known, key=lambda dot: -dot.estimate.value):
        px, py = x(dot.x or 0.0), y(dot.estimate.value)
        told = f"{dot.name}: {value_words(dot.estimate.value, shown)}, {dot.x:.3g} {unit}"
        row = [
            svg.line(px, y(dot.estimate.low), px, y(dot.estimate.high), "thin"),
            svg.element("circle", svg.title(told), cx=px, cy=py, r=5, class_="dot on" if dot in front else "dot"),
        ]
        if all(abs(px - other) > 130 or abs(py - height_) > 14 for other, height_ in taken):
            anchor = "end" if px > WIDTH - 190 else "start"
            row.append(
                svg.label(px + (-9 if anchor == "end" else 9), py - 7, text.shortened(dot.name, 25), "name", anchor)
            )
            taken.append((px, py))
        parts.append(_linked(dot, row))
    return svg.figure(WIDTH, height, f"{heading}: " + _spoken(known, shown), parts, "chart")


def courses(heading: str, lines: Sequence[tuple[str, str, Sequence[tuple[float, float]]]]) -> Markup:
    """Dev scores over the share of a session's time, a line a run: (name, link, points from 0 to 1)."""
    known = [(name, link, points) for name, link, points in lines if points]
    if not known:
        return Markup("")
    height, left = 320, 62
    bottom = height - 40
    high = max(0.05, max(score for _, _, points in known for _, score in points)) * 1.05

    def place(t: float, score: float) -> tuple[float, float]:
        share = min(1.0, max(0.0, t))
        return round(left + (WIDTH - left - RIGHT) * share, 1), round(bottom - (bottom - 14) * score / high, 1)

    parts: list[Markup] = []
    for value in svg.ticks(0, high):
        parts.append(svg.line(left, place(0, value)[1], WIDTH - RIGHT, place(0, value)[1], "grid"))
        parts.append(svg.label(left - 8, place(0, value)[1] + 4, text.percent(value), "tick", "end"))
    for value in (0, 0.25, 0.5, 0.75, 1):
        parts.append(svg.label(place(value, 0)[0], bottom + 18, f"{value:.0%}", "tick", "middle"))
    parts.append(svg.label(WIDTH - RIGHT, height - 6, "share of the session's time", "tick", "end"))
    for name, link, points in known:
        told = f"{name}: best {text.percent(max(score for _, score in points))} on dev questions"
        at = [place(t, score) for t, score in points]
        row = [svg.polyline(at, "course", told)]
        row += [svg.element("circle", svg.title(told), cx=px, cy=py, r=3, class_="dot") for px, py in at[:50]]
        parts.append(svg.element("a", svg.joined(row), href=link, aria_label=told))
    return svg.figure(WIDTH, height, f"{heading}, {len(known)} runs", parts, "chart")


def value_words(value: float, shown: str, *, short: bool = False) -> str:
    """A value as its board tells it: a share in percent, a gain in percent with its sign, an uplift as it is."""
    if shown == "uplift":
        return f"{value:.2f}".replace("-", "−")
    if short:
        return f"{100 * value:{'+' if shown == 'gain' and value else ''}.3g} %".replace("-", "−")
    return text.percent(value, sign=shown == "gain")


def range_words(one: Estimate, shown: str) -> str:
    """`43.8 % [28.2, 60.7]`, in the board's own terms."""
    return f"{value_words(one.value, shown)} [{value_words(one.low, shown)}, {value_words(one.high, shown)}]"


def _mark_class(name: str) -> str:
    return f"mark-{name.split(' ')[0]}"


def _scale(low: float, high: float, top: float, bottom: float, x: Callable[[float], float], shown: str) -> list[Markup]:
    parts: list[Markup] = []
    for value in svg.ticks(low, high):
        parts.append(svg.line(x(value), top, x(value), bottom, "zero" if value == 0 and low < 0 else "grid"))
        parts.append(svg.label(x(value), bottom + 16, value_words(value, shown, short=True), "tick", "middle"))
    return parts


def _front(dots: Sequence[Dot]) -> list[Dot]:
    """Those that no other beats in both, from the cheapest on."""
    found: list[Dot] = []
    for dot in sorted(dots, key=lambda one: (one.x or 0.0, -one.estimate.value)):
        if not found or dot.estimate.value > found[-1].estimate.value:
            found.append(dot)
    return found


def _linked(dot: Dot, row: Sequence[Markup]) -> Markup:
    content = svg.joined(row)
    class_ = "unranked" if dot.dim else None
    if not dot.link:
        return svg.element("g", content, class_=class_)
    return svg.element("a", content, href=dot.link, class_=class_, aria_label=dot.name)


def _spoken(dots: Sequence[Dot], shown: str) -> str:
    words = "; ".join(f"{dot.name} {value_words(dot.estimate.value, shown)}" for dot in dots[:20])
    return words + ("; …" if len(dots) > 20 else "")
