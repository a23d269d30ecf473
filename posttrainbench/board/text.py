"""Foreign text made fit for a page: bounded, and free of what would move a cursor or turn a line around."""

import re
import unicodedata

from markupsafe import escape

MAX = 4000
ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours, cursor
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"  # titles, links, device strings
    r"|\x1b[ -/]*[0-~]?"
)
SPECIAL = re.compile("[&<>'\"]")
HARMLESS = frozenset("\n\t")


def clean(text: str, limit: int = MAX, *, end: bool = False) -> str:
    """Text without escape sequences; control, formatting and broken characters become U+FFFD. At most `limit`
    characters are kept, the first ones or, with `end`, the last."""
    if len(text) <= limit and text.isprintable():  # Nearly all texts, and this makes a site in half the time.
        return text
    cut = text[-limit:] if end else text[:limit]
    if len(text) <= limit and cut.replace("\n", "").replace("\t", "").isprintable():  # Of the rest, nearly all.
        return text
    if "\x1b" in cut:
        cut = ESCAPES.sub("", cut)
    lines = cut.split("\n")
    # What a carriage return overwrites, as progress bars do, was never meant to stay.
    kept = "\n".join(_visible(line.rstrip("\r").rsplit("\r", 1)[-1] if "\r" in line else line) for line in lines)
    if len(text) <= limit:
        return kept
    return f"… {kept}" if end else f"{kept} …"


def escaped(text: str, limit: int = MAX) -> str:
    """Clean text as HTML: markupsafe's `escape` without the value that it makes of each word."""
    shown = clean(text, limit)
    return str(escape(shown)) if SPECIAL.search(shown) else shown


def _visible(line: str) -> str:
    if line.isprintable():  # Nearly all lines are, and this says so without looking at each character here.
        return line
    return "".join(char if _is_visible(char) else "\ufffd" for char in line)


def _is_visible(char: str) -> bool:
    return char in HARMLESS or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp")


def shortened(name: str, most: int) -> str:
    """A name of at most so many characters: where it is longer its middle is left out, since the names of one family
    begin alike."""
    shown = clean(name, 500)
    end = most * 3 // 5
    return shown if len(shown) <= most else f"{shown[: most - end - 1]}…{shown[-end:]}"


def percent(share: float, *, sign: bool = False) -> str:
    """`30.0 %`."""
    return f"{100 * share:{'+' if sign else ''}.1f} %".replace("-", "−")


def duration(seconds: float) -> str:
    """`9 h 58 min`, `2 min 22 s`, `4.2 s`; a dash for what is no time."""
    if not 0 <= seconds < 1e9:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(number: float) -> str:
    """`271 MB`."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000 or unit == "GB":
            return f"{number:.3g} {unit}"
        number /= 1000
    raise AssertionError


def usd(amount: float | None) -> str:
    """`$12.30`, `$0.004`, or a dash where it is not known."""
    if amount is None:
        return "–"
    return f"${amount:.2f}" if amount >= 0.1 or amount == 0 else f"${amount:.2g}"
