import csv
import io
import itertools
import time
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from benching import TASKS, module, splits, task

from posttrainbench.errors import DigestError
from posttrainbench.inputs import data

scorer = module(TASKS / "gpqa" / "bench" / "scorer.py", "gpqa_scorer")

# The right answer is C. Each form holds {} where a letter stands; what it says is right for C alone.
FORMS = [
    "Answer: {}",
    "Answer: {}.",
    "Answer: ({})",
    "Answer: [{}]",
    "Answer: {}) 5.1 eV",
    "**Answer:** {}",
    "**Answer: {}**",
    "### Answer: {}\n",
    "ANSWER: {}",
    "Answer:\n{}",
    "Answer = {}",
    "The answer is {}",
    "The answer is ({}).",
    "The answer is **({})**",
    "the correct answer is: {}, since the others are wrong",
    "The final answer is '{}'",
    "The answer is `{}`",
    r"The answer is $\mathbf{{{}}}$",
    r"The answer is \({}\)",
    r"\boxed{{{}}}",
    r"So it is $\boxed{{\text{{{}}}}}$.",
    r"\boxed{{({})}}",
    r"\boxed{{ {} }}",
    r"The final answer is $\boxed{{{}}}$. I hope it is correct.",
    "{}",
    "({})",
    "**{}**",
    "Long reasoning about A, B and D.\n\n{}.",
    "A is too small, B too large.\nAnswer: {}",
    "The answer is A or B. Wait.\nAnswer: {}",
    r"\boxed{{A}} was hasty. \boxed{{{}}}",
    "Answer: D\n\nNo: I made a mistake.\n\nAnswer: {}",
    "<think>Answer: A</think>\nAnswer: {}",
    "Answer: {} and not the others",
    "Answer: {}\nThe other ones fail.",
]
LETTERS = "ABCD"
RIGHT = [form.format("C") for form in FORMS]
RIGHT += [
    "Answer: (c)",
    r"\boxed{c}",
    "(c)",
    "[C]",
    "x" * 200_000 + "\nAnswer: C",
    "Answer: A\n" * 20_000 + "Answer: C",
]
RIGHT += ["<think>Answer: C"]
WRONG = [form.format(letter) for form, letter in itertools.product(FORMS, "ABD")]
WRONG += [
    form.format(other) for form, other in itertools.product(FORMS[:8], ["E", "CC", "C2", "3", "Ｃ", "С", "ⓒ", "", "?"])
]
WRONG += [
    "",
    " \n",
    "c",
    "C is right",
    "I choose C",
    "C) 5.1 eV",
    "Answer: c",
    "The answer is a",
    "The answer is a compound of carbon",
    "The answer is clear",
    "Answer: C or D",
    "Answer: D or C",
    "Answer: C, D",
    "Answer: C and D",
    "Answer: C / D",
    "Answer: C/D",
    "Answer: C & D",
    "Answer: (C) or (D)",
    "Answer: **C** or **D**",
    "Answer: C, or D",
    "Answer: C or option D",
    "Answer: either C or D",
    "Answer: C or \\boxed{D}",
    r"\boxed{C} or \boxed{D}",
    r"\boxed{D} or \boxed{C}",
    r"\boxed{D}, \boxed{C}",
    r"$\boxed{D}$ and $\boxed{C}$",
    r"\boxed{C, D}",
    r"\boxed{CD}",
    r"\boxed{}",
    "Answer: not C",
    "The answer is not C",
    "Answer: C-14 dating",
    "Answer: C^2",
    "Answer: C+D",
    "Answer: C's",
    "Answer: C\nAnswer: D",
    "Answers: C",
    "C\nD",
    "CD",
    "A B C D",
    "A, B, C, D",
    "<think>\\boxed{C}</think>",
    "Answer: C</think>",
    "Answer: A" + " or C" * 20_000,
    "\x00",
    "\ud800",
    "answer" + " " * 100_000,
    r"\boxed{" * 20_000,
    "Answer: " * 20_000,
    r"answer is " + r"\text " * 20_000,
    r"\boxed{C" + " " * 99_000,
]


@pytest.mark.parametrize("response", RIGHT, ids=range(len(RIGHT)))
def test_a_right_answer_scores_one(response: str) -> None:
    assert scorer.process_results({"answer": "C"}, [response]) == {"exact_letter": 1.0}


@pytest.mark.parametrize("response", WRONG, ids=range(len(WRONG)))
def test_any_other_answer_scores_zero(response: str) -> None:
    begun = time.process_time()
    assert scorer.score("C", response) == 0.0
    assert time.process_time() - begun < 2


COLUMNS = ["Question", "Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3"]


def items(names: list[str]) -> list[dict[str, str]]:
    """Made-up questions in the form of the published file; a line break and a quotation mark stand in a cell."""
    return [
        {
            "Extra": "x",
            **{column: f'{column} of "{name}"\n ' for column in COLUMNS},
            "Explanation": f"Because of {name}.\r\nReally.",
            "Record ID": name,
        }
        for name in names
    ]


def written(rows: list[dict[str, str]]) -> bytes:
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, list(rows[0]))
    table.writeheader()
    table.writerows(rows)
    return text.getvalue().encode()


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Path]:
    names = [f"rec{number:03}" for number in range(40)]
    for name, chosen in (("main", names), ("diamond", names[::2])):
        (tmp_path / f"gpqa_{name}.csv").write_bytes(written(items(chosen)))
    return {name: tmp_path / f"gpqa_{name}.csv" for name in ("main", "diamond")}


def read(sources: dict[str, Path]) -> dict[str, list[dict[str, Any]]]:
    return data.read(task("gpqa"), TASKS / "gpqa", sources)


def test_dev_and_shots_are_main_without_diamond(sources: dict[str, Path]) -> None:
    rows = read(sources)
    assert {name: len(split) for name, split in rows.items()} == {"dev": 16, "test": 20, "shots": 4}
    assert {int(row["id"][3:]) % 2 for row in rows["test"]} == {0}
    assert {int(row["id"][3:]) % 2 for row in rows["dev"] + rows["shots"]} == {1}


def test_the_letter_is_the_right_choice_s(sources: dict[str, Path]) -> None:
    rows = [row for split in read(sources).values() for row in split]
    assert {row[row["answer"].lower()] for row in rows} == {f'Correct Answer of "{row["id"]}"' for row in rows}
    assert all(sorted(row[letter] for letter in "abcd") == sorted(row[letter] for letter in "dcba") for row in rows)


def test_choices_are_shuffled_by_what_the_row_says(sources: dict[str, Path]) -> None:
    rows = [row for split in read(sources).values() for row in split]
    assert {row["shuffle"] for row in rows} == {f"gpqa-1:{row['id']}" for row in rows}
    assert set(Counter(row["answer"] for row in rows)) == set(LETTERS)


def test_a_zip_with_the_authors_password_is_read_in_memory(sources: dict[str, Path], tmp_path: Path) -> None:
    place = tmp_path / "gpqa.zip"
    with zipfile.ZipFile(place, "w") as archive:
        for path in sources.values():
            archive.write(path, f"dataset/{path.name}")
    assert read(dict.fromkeys(sources, place)) == read(sources)


def test_other_items_are_a_digest_error(sources: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "gpqa").mkdir()
    with zipfile.ZipFile(tmp_path / "gpqa" / "gpqa.zip", "w") as archive:
        for path in sources.values():
            archive.write(path, path.name)
    with pytest.raises(DigestError, match="split of gpqa has"):
        data.fetch(task("gpqa"), TASKS / "gpqa", tmp_path, tmp_path)


def test_every_published_question_is_right_for_its_own_letter_alone() -> None:
    rows = [row for split in splits("gpqa").values() for row in split]
    found = Counter(
        (letter == row["answer"], scorer.score(row["answer"], f"{row['explanation']}\nAnswer: {letter}"))
        for row in rows
        for letter in LETTERS
    )
    assert found == {(True, 1.0): 448, (False, 0.0): 3 * 448}


def test_published_answers_are_spread_over_the_letters() -> None:
    counts = Counter(row["answer"] for row in splits("gpqa")["test"])
    assert set(counts) == set(LETTERS)
    assert min(counts.values()) > 198 / 4 / 1.5
