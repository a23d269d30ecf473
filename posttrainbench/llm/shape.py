"""JSON that someone else wrote, read without trust in its shape."""

import json
from typing import Any

LARGEST = 4_000_000
"""Characters of the longest turn that is taken; far more than any model's longest answer."""


def plain(value: Any) -> Any:
    """The value as JSON can hold it and any encoding can carry it: no lone surrogates, no NaN."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    if len(text) > LARGEST:
        raise ValueError(f"it has {len(text)} characters; at most {LARGEST} are taken")
    return json.loads(text.encode("utf-8", "replace"), parse_constant=lambda name: None)


def within(value: Any, *path: str) -> Any:
    """What lies at the path, or None."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def text(value: Any, *path: str) -> str:
    """The text at the path, or none."""
    found = within(value, *path)
    return found if isinstance(found, str) else ""


def items(value: Any, *path: str) -> list[dict[str, Any]]:
    """The objects of the list at the path."""
    found = within(value, *path)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def count(value: Any, *path: str) -> int:
    """The number at the path, or 0."""
    found = within(value, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) and 0 <= found < 10**12 else 0


def arguments(value: Any) -> dict[str, Any] | None:
    """A tool call's arguments, as an object or as the text of one."""
    if isinstance(value, str):
        try:
            value = json.loads(value, parse_constant=lambda name: None)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None
