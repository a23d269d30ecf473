"""Values that a sandboxed program wrote: read without trust, bounded in size and depth, fit for JSON.

Nothing here raises for what it is given. A value of a wrong type reads as an empty one.
"""

import datetime
import json
import math
from typing import Any

import msgspec

Record = dict[str, Any]

MAX_LINE_BYTES = 8 * 2**20
"""A longer line is not read as JSON: a few bytes of text can become a hundred of objects."""
MAX_DEPTH = 20
MAX_MEMBERS = 1000
MAX_NODES = 20_000
MAX_CHARS = 64_000
MAX_COUNT = 10**15
SANE_YEARS = range(2020, 2100)
LARGE_INTEGER = 2**63


def record(line: bytes) -> Record | None:
    """The JSON object on a line; None if there is none."""
    line = line.strip()
    if not line.startswith(b"{") or len(line) > MAX_LINE_BYTES:
        return None
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeError, ValueError, RecursionError):
        value = _lenient(line)
    return value if isinstance(value, dict) else None


def _lenient(line: bytes) -> Any:
    """JSON as JavaScript programs print it: halves of surrogate pairs, NaN, bytes that are no UTF-8."""
    try:
        value = json.loads(line.decode("utf-8", "replace"), parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return None
    return bounded(value, chars=2 * MAX_LINE_BYTES)


def whole(text: str) -> str:
    """The text without halves of surrogate pairs, which no UTF-8 can hold."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def clipped(text: str, limit: int = MAX_CHARS) -> str:
    """Beginning and end of a text that is longer than `limit`, and how much was left out between them."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n[{len(text) - 2 * half} characters were left out here]\n{text[-half:]}"


def bounded(value: Any, *, chars: int = MAX_CHARS) -> Any:
    """The value as JSON can hold it, with at most about `chars` characters, MAX_NODES parts and MAX_DEPTH levels."""
    return _Bounding(chars).take(value, 0)


class _Bounding:
    def __init__(self, chars: int) -> None:
        self.chars, self.nodes = chars, MAX_NODES

    def take(self, value: Any, level: int) -> Any:
        self.nodes -= 1
        if isinstance(value, str):
            kept = clipped(whole(value), max(self.chars, 100))
            self.chars -= len(kept)
            return kept
        if isinstance(value, dict | list):
            if level >= MAX_DEPTH or self.nodes <= 0:
                return "[left out: too much or too deep]"
            if isinstance(value, list):
                return [self.take(one, level + 1) for one in value[:MAX_MEMBERS] if self.nodes > 0]
            members = list(value.items())[:MAX_MEMBERS]
            return {clipped(whole(str(k)), 200): self.take(v, level + 1) for k, v in members if self.nodes > 0}
        if isinstance(value, bool) or value is None:
            return value
        if isinstance(value, int):
            return value if abs(value) < LARGE_INTEGER else None
        return value if isinstance(value, float) and math.isfinite(value) else None


def mapping(value: Any) -> Record:
    """An object, or an empty one."""
    return value if isinstance(value, dict) else {}


def sequence(value: Any) -> list[Any]:
    """A list, or an empty one."""
    return value if isinstance(value, list) else []


def word(value: Any) -> str:
    """A short string: a name or an id."""
    return clipped(value, 300) if isinstance(value, str) else ""


def text(value: Any) -> str:
    """A string; or the texts of a list of content parts, one below the other; or JSON of what is neither."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, list):
        return "\n".join(_part(one) for one in value[:MAX_MEMBERS])
    return msgspec.json.encode(bounded(value)).decode()


def _part(value: Any) -> str:
    part = mapping(value)
    if isinstance(part.get("text"), str):
        return str(part["text"])
    if "type" in part and ("source" in part or "data" in part):
        return f"[{word(part['type'])}]"  # An image is bytes that nobody reads here.
    return value if isinstance(value, str) else msgspec.json.encode(bounded(value)).decode()


def count(value: Any) -> int:
    """A number of tokens or the like; 0 for what cannot be one."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_COUNT:
        return 0
    return int(value)


def integer(value: Any) -> int | None:
    """An exit code or a status."""
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**31 else None


def number(value: Any) -> float | None:
    """A finite number that is not negative."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_COUNT:
        return None
    return float(value)


def moment(value: Any) -> datetime.datetime | None:
    """A time in ISO 8601, or in seconds or milliseconds since 1970; None if it is absurd."""
    try:
        if isinstance(value, str) and len(value) < 50:
            found = datetime.datetime.fromisoformat(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            seconds = value / 1000 if value > 10**11 else value
            found = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
        else:
            return None
        found = found if found.tzinfo else found.replace(tzinfo=datetime.UTC)
        found = found.astimezone(datetime.UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return found if found.year in SANE_YEARS else None
