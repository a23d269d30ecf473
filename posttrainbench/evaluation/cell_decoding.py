"""What a checkpoint's own generation_config.json makes of the decoding, where the protocol lets it (`decoding =
"checkpoint"`). A part of cell.py; ptb asks it too, and so knows what the evaluator must have done.

The file is a stranger's: of it only the keys of RANGES and `eos_token_id` are taken, and only where a value is a number
of the right kind within its range. What is not taken is named and stands as if it were not there; no value can make an
answer longer than the task allows. As with vLLM, whose defaults the original benchmark had, `do_sample` is not looked
at: answers are drawn at temperature 1 where the file names none, a temperature of 0 takes the likeliest token, and one
so near to 0 that a division by it could overflow is taken for COLDEST.
"""

import json
import math
import os
import stat
from pathlib import Path
from typing import Any

FILE = "generation_config.json"
MAX_BYTES = 2**20
MOST_ENDS = 64
MAX_TOKEN = 2**31 - 1
RANGES: dict[str, tuple[type, float, float]] = {
    "temperature": (float, 0.0, 2.0),
    "top_p": (float, 0.001, 1.0),
    "top_k": (int, 0, 1_000_000),
    "min_p": (float, 0.0, 1.0),
    "repetition_penalty": (float, 0.1, 10.0),
    "max_new_tokens": (int, 1, 2**31 - 1),
}
"""What is taken: whole numbers or any, and the least and the most that a value may be."""
COLDEST = 0.01
ABSENT = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}


def generation(model: Path, max_tokens: int) -> dict[str, Any]:
    """How the answers of the checkpoint in `model` are generated, with at most `max_tokens` new tokens: a value for
    each of ABSENT, `max_tokens`, `ends` (tokens that end an answer besides those that end it anyway), and `refused`,
    the keys that were not taken; of a file that is no JSON object, its name. Never fails."""
    found, refused = _read(model / FILE)
    kept: dict[str, Any] = {}
    for key, (kind, least, most) in RANGES.items():
        value = found.get(key)
        if key == "top_k" and value == -1:  # vLLM's word for no limit, as 0 is transformers'.
            value = 0
        if value is None:
            continue
        if _is_number(value, kind) and least <= value <= most:
            kept[key] = kind(value)
        else:
            refused.append(key)
    if 0.0 < kept.get("temperature", 0.0) < COLDEST:
        kept["temperature"] = COLDEST
    ends = found.get("eos_token_id")
    ends = [] if ends is None else ends if isinstance(ends, list) else [ends]
    if len(ends) > MOST_ENDS or not all(_is_number(one, int) and 0 <= one <= MAX_TOKEN for one in ends):
        ends = []
        refused.append("eos_token_id")
    most_tokens = min(max_tokens, kept.pop("max_new_tokens", max_tokens))
    return {**ABSENT, **kept, "max_tokens": most_tokens, "ends": sorted(set(ends)), "refused": sorted(refused)}


def _read(path: Path) -> tuple[dict[str, Any], list[str]]:
    """The object in the file, and its name where there is a file that holds none."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # Opening a pipe would wait.
        try:
            size = os.fstat(handle).st_size if stat.S_ISREG(os.fstat(handle).st_mode) else 0
            found = json.loads(os.read(handle, MAX_BYTES).decode()) if 0 < size <= MAX_BYTES else None
        finally:
            os.close(handle)
    except FileNotFoundError:
        return {}, []
    except (OSError, ValueError, RecursionError):
        found = None
    return (found, []) if isinstance(found, dict) else ({}, [FILE])


def _is_number(value: Any, kind: type) -> bool:
    """Whether it is a finite number, and a whole one where that is wanted. True and False are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if isinstance(value, int):
        return abs(value) <= MAX_TOKEN
    return kind is float and math.isfinite(value)
