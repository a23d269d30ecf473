import re

import pytest
from benching import TASKS, splits, task

from posttrainbench import catalog
from posttrainbench.catalog import Generated, Hub, Wheel
from posttrainbench.integrity import ngrams

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


HEADINGS = (
    *("Version", "Source", "Licence", "Revision", "Splits", "Overlap", "Prompt", "Shots", "Decoding", "Metric"),
)


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_says_what_a_reader_must_know(name: str) -> None:
    text = (TASKS / name / "README.md").read_text()
    assert [word for word in HEADINGS if f"**{word}**".lower() not in text.lower()] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_agrees_with_task_toml(name: str) -> None:
    text, told = (TASKS / name / "README.md").read_text(), task(name)
    facts = [f"**Version** {told.version}.", f"**Metric** `{told.metric}`", f"at most {told.decoding.max_tokens:,} new"]
    facts += [f"{split} {declared.size}" for split, declared in told.splits.items()]
    facts += ["greedy" if told.decoding.temperature == 0 else f"temperature {told.decoding.temperature:g}"]
    facts += [f"{told.decoding.samples} samples"] if told.decoding.samples > 1 else []
    for source in told.data.values():
        match source:
            case Hub():
                facts += [f"`{source.repo}`", f"`{source.revision[:12]}`"]
            case Wheel():
                facts += [f"`{source.package}` {source.version}", f"`{source.sha256[:12]}`"]
            case Generated():
                facts += [f"seed {source.seed}"]
    assert [fact for fact in facts if fact not in text] == []


def normal(question: str) -> str:
    return " ".join(re.findall(r"\w+", question.lower()))


# Of each split that the agent may see: rows that share thirteen words in a row with a test question, such test
# questions, and the most complete match. The tasks' READMEs say what they are; docs/adding-a-task.md has these figures.
SHARED = {
    ("aime2025", "dev"): (5, 6, "5 of 53"),
    ("aime2025", "shots"): (1, 5, "4 of 45"),
    ("gpqa", "dev"): (7, 8, "27 of 52"),
    ("gsm8k", "train"): (4, 3, "7 of 13"),
    ("bfcl", "dev"): (2, 2, "3 of 38"),
}


@pytest.mark.parametrize("name", NAMES)
def test_no_question_that_the_agent_may_see_is_a_test_question_but_for_its_boilerplate(name: str) -> None:
    rows = splits(name)
    index = ngrams.Index({row["id"]: row["question"] for row in rows["test"]})
    found = {}
    for split in set(rows) - {"test"}:
        shared = ngrams.overlap(index, (row["question"] for row in rows[split]))
        if shared.most:
            found[name, split] = (shared.texts, shared.protected, f"{shared.most.shared} of {shared.most.of}")
    assert found == {key: figures for key, figures in SHARED.items() if key[0] == name}


def test_the_docs_have_these_figures() -> None:
    text = (catalog.bundled() / "docs" / "adding-a-task.md").read_text()
    for (name, split), (texts, protected, most) in SHARED.items():
        line = rf"\| {name} \| {split} \d+ \| {texts} \| {protected} of {task(name).splits['test'].size} \| {most} \|"
        assert re.search(line, text), line
