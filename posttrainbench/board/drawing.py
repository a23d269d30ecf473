"""Small drawings as inline SVG. Their colours come from the page's style, so they follow light and dark."""

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

from posttrainbench.board.text import clean, percent
from posttrainbench.scores import Estimate

WIDTH = 420
"""Of every drawing's own units: narrow enough that text stays legible on a phone."""
ROW = 44
MAX_POINTS = 200

Row = tuple[str, Estimate]


def intervals(rows: Sequence[Row], *, signed: bool = False) -> Markup:
    """Each row's value as a dot on its interval. The scale runs from 0 to 1, or, `signed`, around 0."""
    if not rows:
        return Markup("")
    reach = 1.0
    if signed:
        widest = max(max(abs(one.low), abs(one.high)) for _, one in rows)
        reach = min(1.0, max(0.1, math.ceil(widest * 10) / 10))
    first = -reach if signed else 0.0

    def place(value: float) -> float:
        return round(8 + (WIDTH - 16) * (value - first) / (reach - first), 1)

    parts = []
    for number, (name, one) in enumerate(rows):
        top = number * ROW
        shown = f"{percent(one.value, sign=signed)} [{percent(one.low, sign=signed)}, {percent(one.high, sign=signed)}]"
        parts.append(
            f'<text x="8" y="{top + 16}">{escape(clean(name))}</text>'
            f'<text x="{WIDTH - 8}" y="{top + 16}" text-anchor="end" class="number">{shown}</text>'
            f'<line x1="8" x2="{WIDTH - 8}" y1="{top + 30}" y2="{top + 30}" class="track"/>'
            f'<line x1="{place(one.low)}" x2="{place(one.high)}" y1="{top + 30}" y2="{top + 30}" class="interval"/>'
            f'<circle cx="{place(one.value)}" cy="{top + 30}" r="5" class="dot"/>'
        )
    height = len(rows) * ROW + 18
    ticks = [first, (first + reach) / 2, reach]
    for value, anchor in zip(ticks, ("start", "middle", "end"), strict=True):
        parts.append(
            f'<text x="{place(value)}" y="{height - 4}" text-anchor="{anchor}" class="tick">'
            f"{percent(value, sign=signed and value != 0)}</text>"
        )
    if signed:
        parts.append(f'<line x1="{place(0)}" x2="{place(0)}" y1="20" y2="{height - 18}" class="zero"/>')
    title = "; ".join(f"{name} {percent(one.value, sign=signed)}" for name, one in rows)
    return _svg(height, title, "".join(parts))


def sparkline(title: str, times: Sequence[float], values: Sequence[float], unit: str) -> Markup:
    """Values over time, the highest one of each stretch; empty without at least two."""
    points = [(t, v) for t, v in zip(times, values, strict=True) if math.isfinite(t) and math.isfinite(v)]
    if len(points) < 2 or points[-1][0] <= points[0][0]:
        return Markup("")
    points = _thinned(points)
    start, stretch = points[0][0], points[-1][0] - points[0][0]
    top = max(max(value for _, value in points), 1e-9)
    line = " ".join(
        f"{8 + (WIDTH - 16) * (t - start) / stretch:.1f},{64 - 40 * max(0.0, v) / top:.1f}" for t, v in points
    )
    label = f"{title}: up to {top:.0f} {unit}"
    return _svg(
        72,
        label,
        f'<text x="8" y="14">{escape(label)}</text><polyline points="{line}" class="spark"/>'
        f'<line x1="8" x2="{WIDTH - 8}" y1="64" y2="64" class="track"/>',
    )


def turns(spans: Sequence[tuple[float, float]], seconds: float) -> Markup:
    """When the agent's command ran, as bars over the session."""
    whole = max([seconds, *(end for _, end in spans)], default=0.0)
    if not spans or not math.isfinite(whole) or whole <= 0:
        return Markup("")
    parts = [f'<line x1="8" x2="{WIDTH - 8}" y1="14" y2="14" class="track"/>']
    for start, end in spans[:MAX_POINTS]:
        left = 8 + (WIDTH - 16) * max(0.0, start) / whole
        width = max(1.0, (WIDTH - 16) * (end - start) / whole)
        parts.append(f'<rect x="{left:.1f}" y="6" width="{width:.1f}" height="16" rx="3" class="turn"/>')
    return _svg(28, f"{len(spans)} turns over the session", "".join(parts))


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    step = math.ceil(len(points) / MAX_POINTS)
    stretches = [points[number : number + step] for number in range(0, len(points), step)]
    return [(stretch[0][0], max(value for _, value in stretch)) for stretch in stretches]


def _svg(height: int, title: str, content: str) -> Markup:
    return Markup('<svg viewBox="0 0 {0} {1}" role="img" aria-label="{2}">{3}</svg>').format(
        WIDTH,
        height,
        clean(title),
        Markup(content),  # noqa: S704 - numbers, and texts that were escaped above
    )
