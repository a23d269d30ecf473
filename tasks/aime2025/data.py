"""Rows of AIME: the problems of 2025 are `test`, those of 2024 `dev`. The worked examples are made up here.

The hub's parquet files and jsonl files (`id`, `problem`, `answer`) give the same rows: white space in a problem is made
single, and a row's number follows from the problem's place in its file.
"""

import json
from pathlib import Path

SHOTS = (
    (
        "Find the number of integers $n$ with $1 \\le n \\le 500$ that are divisible by $6$ but not by $9$.",
        "There are $\\lfloor 500/6 \\rfloor = 83$ multiples of $6$. Those divisible by $9$ too are the multiples "
        "of $18$, of which there are $\\lfloor 500/18 \\rfloor = 27$. So the number is $83 - 27 = 56$.",
        "56",
    ),
    (
        "A right triangle has legs of length $20$ and $21$. Let $r$ be the radius of its inscribed circle and $R$ the "
        "radius of its circumscribed circle. Find $2R + 10r$.",
        "The hypotenuse is $\\sqrt{20^2 + 21^2} = 29$, and it is a diameter of the circumscribed circle, so $2R = 29$. "
        "The inscribed circle has $r = \\frac{20 + 21 - 29}{2} = 6$. So $2R + 10r = 29 + 60 = 89$.",
        "89",
    ),
    (
        "A fair coin is tossed $8$ times. The probability that no two tosses in a row are heads is $\\frac{m}{n}$, "
        "where $m$ and $n$ are relatively prime positive integers. Find $m + n$.",
        "Let $a_k$ be the number of sequences of length $k$ without two heads in a row. Then $a_1 = 2$, $a_2 = 3$ and "
        "$a_k = a_{k-1} + a_{k-2}$, which gives $5, 8, 13, 21, 34, 55$, so $a_8 = 55$. The probability is "
        "$\\frac{55}{256}$, in lowest terms. So $m + n = 55 + 256 = 311$.",
        "311",
    ),
    (
        "Find the remainder when $3^{100}$ is divided by $1000$.",
        "Write $3^{100} = 9^{50} = (10 - 1)^{50}$. Modulo $1000$ only three terms of the expansion remain: "
        "$1 - 50 \\cdot 10 + \\binom{50}{2} \\cdot 100 = 1 - 500 + 122500 = 122001$. So the remainder is $1$.",
        "1",
    ),
)

Row = dict[str, str]


def rows(sources: dict[str, Path]) -> dict[str, list[Row]]:
    """The rows of each split; `sources` names the files of `test` and `dev`."""
    shots = [_row(f"made-up-{number}", *shot) for number, shot in enumerate(SHOTS, 1)]
    return {"dev": _rows(sources["dev"], "2024"), "test": _rows(sources["test"], "2025"), "shots": shots}


def _rows(path: Path, year: str) -> list[Row]:
    if path.suffix == ".parquet":
        import pyarrow.parquet

        read = pyarrow.parquet.read_table(path).to_pylist()
        read.sort(key=lambda row: int(row["problem_idx"] if "problem_idx" in row else row["id"]))
    else:
        read = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    return [_row(f"{year}-{number:02}", row["problem"], "", row["answer"]) for number, row in enumerate(read, 1)]


def _row(name: str, question: str, solution: str, answer: str | int) -> Row:
    return {"id": name, "question": " ".join(question.split()), "solution": solution, "answer": str(int(answer))}
