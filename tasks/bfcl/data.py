"""Rows of BFCL v4's five categories for Python: functions, a question, the calls that are right.

The hash of a question's words decides its split, so that a question that stands in two categories (half of `multiple`
are `simple_python`'s questions with more functions) stands in one split. lm-eval reads rows through Arrow, which wants
the same types in every row, so the functions and the right answers are kept as JSON text.
"""

import hashlib
import json
import re
from pathlib import Path

CATEGORIES = ("simple_python", "multiple", "parallel", "parallel_multiple", "irrelevance")
TEST_SIXTEENTHS = 10
SHOTS = 2
"""Worked examples of each category."""

Row = dict[str, str]


def rows(sources: dict[str, Path]) -> dict[str, list[Row]]:
    """The rows of each split; `sources["wheel"]` is the folder of the wheel's members."""
    found = [row for category in CATEGORIES for row in _category(sources["wheel"], category)]
    found.sort(key=lambda row: (_place(row), row["id"]))
    test = [row for row in found if int(_place(row)[0], 16) < TEST_SIXTEENTHS]
    rest = [row for row in found if int(_place(row)[0], 16) >= TEST_SIXTEENTHS]
    shots = _shots(rest)
    return {"dev": [row for row in rest if row not in shots], "test": test, "shots": shots}


def normal(question: str) -> str:
    """The words of a question, for finding the same one twice."""
    return " ".join(re.findall(r"\w+", question.lower()))


def _place(row: Row) -> str:
    return hashlib.sha256(f"bfcl:{normal(row['question'])}".encode()).hexdigest()


def _shots(found: list[Row]) -> list[Row]:
    """The last rows of each category whose question no other row has, a row of each category in turn."""
    questions = [normal(row["question"]) for row in found]
    alone = [row for row, key in zip(found, questions, strict=True) if questions.count(key) == 1]
    chosen = [[row for row in alone if row["category"] == category][-SHOTS:] for category in CATEGORIES]
    return [row for turn in zip(*chosen, strict=True) for row in turn]


def _category(folder: Path, category: str) -> list[Row]:
    answers = {}
    # To an irrelevant function no call is right, so that category has no file of answers.
    if category != "irrelevance":
        path = folder / f"bfcl_eval/data/possible_answer/BFCL_v4_{category}.json"
        answers = {row["id"]: row["ground_truth"] for row in _lines(path)}
    questions = _lines(folder / f"bfcl_eval/data/BFCL_v4_{category}.json")
    return [_row(category, question, answers.get(question["id"], [])) for question in questions]


def _lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]


def _row(category: str, question: dict, truth: list[dict]) -> Row:
    [[turn]] = question["question"]
    return {
        "id": question["id"],
        "category": category,
        "question": turn["content"].strip(),
        "functions": json.dumps(question["function"], ensure_ascii=False),
        "answer": json.dumps(truth, ensure_ascii=False),
        "calls": calls(question["function"], truth),
    }


def calls(functions: list[dict], truth: list[dict]) -> str:
    """A right answer, for worked examples: each call with the first allowed value of each argument. An empty text among
    the allowed values means that the argument may be left out; it is, where that text stands first."""
    parameters = {one["name"]: one["parameters"] for one in functions}
    return f"[{', '.join(_call(name, given, parameters[name]) for one in truth for name, given in one.items())}]"


def _call(name: str, arguments: dict[str, list], parameters: dict) -> str:
    given = []
    for key, allowed in arguments.items():
        # One ground truth (parallel_multiple_26) allows an argument that its function does not have.
        if key in parameters["properties"] and (allowed[0] != "" or key in parameters["required"]):
            given.append(f"{key}={_value(next(one for one in allowed if one != ''))!r}")
    return f"{name}({', '.join(given)})"


def _value(allowed: object) -> object:
    """A value as it is written: each entry of a dict is again a list of allowed values."""
    if isinstance(allowed, dict):
        return {key: _value(values[0]) for key, values in allowed.items() if values[0] != ""}
    if isinstance(allowed, list):
        return [_value(one) for one in allowed]
    return allowed
