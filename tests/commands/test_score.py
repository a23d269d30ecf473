"""`ptb score` computes what was sealed, and finds what was not computed from the questions."""

import json
from pathlib import Path

import msgspec
import pytest
from boarding import seal

from posttrainbench import record
from posttrainbench.cli import main


def score(runs: Path, *words: str) -> int:
    return main(["score", *words, "--runs-dir", str(runs)])


def test_all_scores_follow_from_the_questions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seal(tmp_path, "a", 0.4)
    seal(tmp_path, "b", 0.6)
    assert score(tmp_path, "a", "b", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["differences"] for row in rows] == [[], []]
    assert [row["scores"]["final"]["value"] for row in rows] == pytest.approx([0.4, 0.6])


def test_a_sealed_number_that_does_not_follow_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sealed = seal(tmp_path, "a", 0.4)
    assert sealed.scores is not None
    assert sealed.scores.final is not None
    better = msgspec.structs.replace(sealed.scores.final, value=0.9)
    wrong = msgspec.structs.replace(sealed, scores=msgspec.structs.replace(sealed.scores, final=better))
    record.write(tmp_path / "a/record.json", record.seal(wrong))
    assert score(tmp_path, "a") == 7
    assert "scores.final.value: sealed 0.9, computed 0.4" in capsys.readouterr().out


def test_a_changed_file_does_not_hide_other_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seal(tmp_path, "a", 0.4)
    seal(tmp_path, "b", 0.6)
    path = tmp_path / "a/evaluation/final/questions.jsonl"
    path.write_bytes(path.read_bytes() + b" ")
    assert score(tmp_path, "a") == 7
    assert "Somebody changed it" in capsys.readouterr().err
    assert score(tmp_path, "a", "b") == 7
    assert "b: score 60.0 %" in capsys.readouterr().out


def test_missing_questions_are_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seal(tmp_path, "a", 0.4)
    (tmp_path / "a/evaluation/base/questions.jsonl").unlink()
    assert score(tmp_path, "a") == 2
    assert "lacks the questions' outcomes" in capsys.readouterr().err
