"""Rows of GSM8K. Its own test split is `test`; `dev`, `shots` and `train` are cut from its train split.

The same rows come from the hub's parquet files and from the jsonl files of the original repository: a row's id and
place follow from its text alone, so the order of the files does not matter.
"""

import hashlib
import json
import re
from pathlib import Path

DEV, SHOTS = 200, 8


def rows(sources: dict[str, Path]) -> dict[str, list[dict[str, str]]]:
    """The rows of each split; `sources` names the files of `train` and `test`."""
    test = _unique(_rows(sources["test"], "test"), set())
    rest = _unique(_rows(sources["train"], "train"), {normal(row["question"]) for row in test})
    return {
        "dev": rest[:DEV],
        "test": test,
        "shots": rest[DEV : DEV + SHOTS],
        "train": rest[DEV + SHOTS :],
    }


def normal(question: str) -> str:
    """The words of a question, for finding the same one twice."""
    return " ".join(re.findall(r"\w+", question.lower()))


def _unique(found: list[dict[str, str]], seen: set[str]) -> list[dict[str, str]]:
    """Rows whose question was not seen before."""
    kept = []
    for row in found:
        key = normal(row["question"])
        if key not in seen:
            seen.add(key)
            kept.append(row)
    return kept


def _rows(path: Path, name: str) -> list[dict[str, str]]:
    """A file's rows in the order of their hashes."""
    if path.suffix == ".parquet":
        import pyarrow.parquet

        read = pyarrow.parquet.read_table(path, columns=["question", "answer"]).to_pylist()
    else:
        read = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    made = []
    for row in read:
        question, answer = (row[key].replace("\r\n", "\n").strip() for key in ("question", "answer"))
        digest = hashlib.sha256(f"gsm8k:{question}".encode()).hexdigest()
        made.append({"id": f"{name}-{digest[:16]}", "question": question, "answer": answer})
    return sorted(made, key=lambda row: row["id"])
