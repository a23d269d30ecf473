"""The few SVG elements that our figures need, written so that no foreign word gets in unescaped.

Why not Altair: Vega draws in the reader's browser, from megabytes of JavaScript that evaluate expressions, which our
content security policy forbids, and shows nothing without them; drawn beforehand (vl-convert) it brings a browser
engine of 40 MB to each build, bakes light or dark colours in, and its bytes differ between versions. These figures are
text in the page: they follow its colours, are read out by screen readers, link to pages, and are the same everywhere.
"""

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from operator import itemgetter

from markupsafe import Markup

from posttrainbench.board.text import escaped

MAX_POINTS = 400


def element(name: str, content: Markup | str = "", **attributes: object) -> Markup:
    """An element. A trailing underscore of an attribute's name is left out, others become dashes; None: left out."""
    words = "".join([f' {_key(key)}="{_word(value)}"' for key, value in attributes.items() if value is not None])
    inner = content if isinstance(content, Markup) else escaped(content)
    return Markup(f"<{name}{words}>{inner}</{name}>")  # noqa: S704 - names are ours, and all else was escaped


def figure(width: float, height: float, label: str, parts: Iterable[Markup], class_: str = "") -> Markup:
    """A whole drawing, which screen readers tell by its label, and go into if there are links in it."""
    content = joined(parts)
    return element(
        "svg",
        content,
        viewBox=f"0 0 {width:g} {height:g}",
        role="group" if "<a " in content else "img",
        aria_label=label,
        class_=class_ or None,
    )


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    places = f'x1="{_word(x1)}" y1="{_word(y1)}" x2="{_word(x2)}" y2="{_word(y2)}"'
    return Markup(f'<line {places} class="{_word(class_)}"></line>')  # noqa: S704 - as in `element`


def label(x: float, y: float, words: str, class_: str = "", anchor: str = "start") -> Markup:
    """A line of text."""
    kind = f' class="{_word(class_)}"' if class_ else ""
    hung = f' text-anchor="{_word(anchor)}"' if anchor != "start" else ""
    inner = escaped(words)
    return Markup(f'<text x="{_word(x)}" y="{_word(y)}"{kind}{hung}>{inner}</text>')  # noqa: S704 - as in `element`


def title(words: str) -> Markup:
    """What a pointer that rests on an element shows."""
    return element("title", words)


def bar(x: float, y: float, width: float, height: float, class_: str, told: str = "") -> Markup:
    """A rectangle."""
    content = title(told) if told else ""
    return element("rect", content, x=x, y=y, width=max(0.0, width), height=max(0.0, height), class_=class_)


def polyline(points: Sequence[tuple[float, float]], class_: str, told: str = "") -> Markup:
    """A broken line."""
    content = title(told) if told else ""
    return element("polyline", content, points=places(points), class_=class_)


def places(points: Iterable[tuple[float, float]]) -> Markup:
    """Points as an attribute's value."""
    return Markup(" ".join(["%.1f,%.1f" % point for point in points]))  # noqa: S704, UP031 - numbers alone, and faster


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers between two ends."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return []
    raw = (high - low) / about
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def thinned(points: Sequence[tuple[float, float]], most: int = MAX_POINTS) -> list[tuple[float, float]]:
    """At most so many points: the highest of each stretch."""
    step = max(1, math.ceil(len(points) / most))
    if step == 1:
        return list(points)
    return [max(points[n : n + step], key=itemgetter(1)) for n in range(0, len(points), step)]


def joined(parts: Iterable[Markup]) -> Markup:
    """Elements one after another."""
    return Markup("".join(parts))  # noqa: S704 - each of them is Markup


def _word(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.1f}".removesuffix(".0")
    return str(value) if isinstance(value, int | Markup) else escaped(str(value))


@lru_cache(maxsize=256)
def _key(name: str) -> str:
    return name.rstrip("_").replace("_", "-")
