"""JSON from a hostile folder: bounded in size and depth, no key twice, UTF-8."""

import json
from pathlib import Path
from typing import Any

from posttrainbench.checkpoint.objection import Objection, shown

MAX_BYTES = 16 * 2**20
MAX_DEPTH = 64


def load(path: Path, *, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """The object in a file; raises Objection."""
    size = path.stat().st_size
    if size > max_bytes:
        raise Objection(
            f"{shown(path.name)} has {size} bytes; at most {max_bytes} were expected. Save it again with "
            "`save_pretrained`."
        )
    return parse(path.read_bytes(), shown(path.name))


def parse(text: bytes, what: str, *, max_depth: int = MAX_DEPTH) -> dict[str, Any]:
    """The object in `text`; raises Objection, and nothing else, whatever the bytes are."""
    try:
        # NaN and Infinity are let through: configurations of real models hold them, and transformers reads them.
        value = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
    except RecursionError:
        raise _objection(what, "it is nested too deeply") from None
    except UnicodeDecodeError:
        raise _objection(what, "it is not UTF-8") from None
    except ValueError as error:
        raise _objection(what, str(error)[:200].encode("ascii", "replace").decode()) from None
    if not isinstance(value, dict):
        raise _objection(what, "it is not a JSON object")
    if depth(value) > max_depth:
        raise _objection(what, f"it is nested more than {max_depth} deep")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Two readers may take different ones of two values, so a key that stands twice is refused."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands in it twice")
    return found


def depth(value: Any) -> int:
    """How deep objects and lists lie in each other."""
    deepest, todo = 0, [(value, 1)]
    while todo:
        one, level = todo.pop()
        deepest = max(deepest, level)
        if isinstance(one, dict):
            todo += [(inner, level + 1) for inner in one.values()]
        elif isinstance(one, list):
            todo += [(inner, level + 1) for inner in one]
    return deepest


def find(value: Any, names: frozenset[str]) -> list[tuple[str, Any]]:
    """Every key of `names`, at any depth, with its value."""
    found: list[tuple[str, Any]] = []
    todo = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, dict):
            found += [(key, inner) for key, inner in one.items() if key in names]
            todo += one.values()
        elif isinstance(one, list):
            todo += one
    return found


def _objection(what: str, why: str) -> Objection:
    return Objection(f"{what} is not well-formed JSON: {why}. Save it again with `save_pretrained`.")
