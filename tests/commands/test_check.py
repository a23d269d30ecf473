"""`ptb check --data`: what the splits of a task share."""

import argparse
import shutil
from pathlib import Path

import pytest
from benching import TASKS, cache, shared_data

from posttrainbench import settings
from posttrainbench.commands import check
from posttrainbench.errors import DigestError, UsageError


def run(*words: str, cwd: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.chdir(cwd)
    parser = argparse.ArgumentParser()
    check.arguments(parser)
    return check.main(parser.parse_args([*words, "--cache-dir", str(cache())]))


def test_it_counts_what_each_split_shares_with_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data", "--task", "aime2025", "--data-dir", str(shared_data())]
    assert run(*words, cwd=tmp_path, monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "aime2025: 5 of 30 in dev share 13 words in a row with 6 of 30 in test, at most 5 of its 53 runs (2025-28)",
        "aime2025: 1 of 4 in shots share 13 words in a row with 5 of 30 in test, at most 4 of its 45 runs (2025-22)",
    ]


def test_data_that_is_not_what_was_declared_fails_after_the_others_were_tried(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, seed in (("aa", 1), ("zz", 0)):
        shutil.copytree(TASKS / "tiny", tmp_path / "mine" / name)
        told = (TASKS / "tiny" / "task.toml").read_text()
        told = told.replace('name = "tiny"', f'name = "{name}"').replace("seed = 0", f"seed = {seed}")
        (tmp_path / "mine" / name / "task.toml").write_text(told)
    found = settings.load({"tasks_dir": ["mine"]}, tmp_path)
    with pytest.raises(DigestError, match="split of aa has"):
        check.compare([found.catalog.tasks()[name] for name in ("aa", "zz")], found)
    assert capsys.readouterr().out.splitlines()[:2] == [
        "aa: its data was not read",
        "zz: 0 of 24 in dev share 13 words in a row with 0 of 32 in test",
    ]


def test_a_task_without_data_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="add --data"):
        run("--task", "tiny", cwd=tmp_path, monkeypatch=monkeypatch)


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"id": "x", "question": "Q", "answer": "A"}, "Q"),
        ({"id": "x", "prompt": "P", "number": 3, "answer": "A"}, "P\nA"),
    ],
)
def test_a_question_is_its_column_or_all_text(row: dict[str, object], text: str) -> None:
    assert check.question(row) == text
