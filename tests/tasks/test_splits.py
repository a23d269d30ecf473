import re

import pytest
from benching import TASKS, splits, task

NAMES = sorted(path.parent.name for path in TASKS.glob("*/task.toml"))


@pytest.mark.parametrize("name", NAMES)
def test_no_question_stands_in_two_splits(name: str) -> None:
    seen = [one for split in splits(name).values() for one in {normal(row["question"]) for row in split}]
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize("name", NAMES)
def test_no_question_stands_twice_in_a_split(name: str) -> None:
    for rows in splits(name).values():
        # BFCL asks the same question with one function and with several; HumanEval has two that differ in signs alone.
        seen = [" ".join(row["question"].lower().split()) + row.get("functions", "") for row in rows]
        assert len(seen) == len(set(seen))


@pytest.mark.parametrize("name", NAMES)
def test_every_row_has_the_same_text_columns(name: str) -> None:
    rows = [row for split in splits(name).values() for row in split]
    assert {(tuple(row), *{type(value) for value in row.values()}) for row in rows} == {(tuple(rows[0]), str)}


@pytest.mark.parametrize("name", NAMES)
def test_there_are_enough_worked_examples(name: str) -> None:
    assert len(splits(name)["shots"]) >= task(name).few_shot


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_says_what_a_reader_must_know(name: str) -> None:
    text = (TASKS / name / "README.md").read_text()
    assert [word for word in ("Source", "Licence", "Prompt", "Decoding", "Metric") if f"**{word}**" not in text] == []


def normal(question: str) -> str:
    return " ".join(re.findall(r"\w+", question.lower()))
