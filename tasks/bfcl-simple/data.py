"""Rows of BFCL v4's `simple_python` questions: one function, one question, the calls that are right.

A question's place is decided by the hash of its id (after `bfcl:`, once this task's name). lm-eval reads rows through
Arrow, which wants the same types in every row, so the function and the right answers are kept as JSON text.
"""

import hashlib
import json
from pathlib import Path

QUESTIONS = "bfcl_eval/data/BFCL_v4_simple_python.json"
ANSWERS = "bfcl_eval/data/possible_answer/BFCL_v4_simple_python.json"
TEST, DEV = 300, 96


def rows(sources: dict[str, Path]) -> dict[str, list[dict[str, str]]]:
    """The rows of each split; `sources["wheel"]` is the folder of the wheel's members."""
    folder = sources["wheel"]
    answers = {row["id"]: row["ground_truth"] for row in _lines(folder / ANSWERS)}
    all_rows = [_row(question, answers[question["id"]]) for question in _lines(folder / QUESTIONS)]
    all_rows.sort(key=lambda row: hashlib.sha256(f"bfcl:{row['id']}".encode()).hexdigest())
    return {"test": all_rows[:TEST], "dev": all_rows[TEST : TEST + DEV], "shots": all_rows[TEST + DEV :]}


def _lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]


def _row(question: dict, truth: list[dict]) -> dict[str, str]:
    [[turn]], [function] = question["question"], question["function"]
    return {
        "id": question["id"],
        "question": turn["content"].strip(),
        "function": json.dumps(function, ensure_ascii=False),
        "answer": json.dumps(truth, ensure_ascii=False),
        "call": call(function, truth),
    }


def call(function: dict, truth: list[dict]) -> str:
    """A right call, for worked examples, with the first allowed value of each argument. An empty text among the allowed
    values means that the argument may be left out; it is, where that text stands first."""
    [[(name, arguments)]] = [list(entry.items()) for entry in truth]
    required = function["parameters"]["required"]
    given = []
    for key, allowed in arguments.items():
        if allowed[0] != "" or key in required:
            given.append(f"{key}={_value(next(one for one in allowed if one != ''))!r}")
    return f"{name}({', '.join(given)})"


def _value(allowed: object) -> object:
    """A value as it is written: each entry of a dict is again a list of allowed values."""
    if isinstance(allowed, dict):
        return {key: _value(values[0]) for key, values in allowed.items() if values[0] != ""}
    if isinstance(allowed, list):
        return [_value(one) for one in allowed]
    return allowed
