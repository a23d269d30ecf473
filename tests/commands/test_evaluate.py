"""Score a stored run again, and any folder."""

import json
from pathlib import Path
from typing import Any

import pytest
from driving import folder, ptb, run


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """A scored run and the folder that it was started in."""
    cwd = tmp_path_factory.mktemp("evaluate")
    return run("--agent", "base", "--limit", "8", cwd=cwd), cwd


def test_a_run_is_scored_again_and_its_record_stays(scored: tuple[dict[str, Any], Path]) -> None:
    record, cwd = scored
    before = (folder(record, cwd) / "record.json").read_bytes()
    answer = ptb("evaluate", "last", "--json", cwd=cwd)
    assert answer.returncode == 0, answer.stderr
    again = json.loads(answer.stdout)
    assert (again["n"], again["score"]) == (8, record["final"]["score"])
    assert (folder(record, cwd) / "record.json").read_bytes() == before
    assert not list(folder(record, cwd).glob("again-*"))
    assert ptb("verify", "last", cwd=cwd).returncode == 0


def test_any_folder_is_scored_on_the_test_split(scored: tuple[dict[str, Any], Path]) -> None:
    record, cwd = scored
    weights = str(folder(record, cwd) / "checkpoint")
    words = ["evaluate", weights, "--task", "tiny", "--protocol", "smoke", "--limit", "4"]
    answer = ptb(*words, cwd=cwd)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("tiny test, 0-shot: ")
    assert answer.stdout.rstrip().endswith("of 4 questions")


def test_a_folder_without_a_task_is_a_sentence(scored: tuple[dict[str, Any], Path]) -> None:
    record, cwd = scored
    answer = ptb("evaluate", str(folder(record, cwd) / "checkpoint"), cwd=cwd)
    assert answer.returncode == 2
    assert "--task" in answer.stderr


def test_a_folder_that_cannot_be_loaded_is_said_to_be_unusable(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text('{"model_type": "qwen3"}')
    answer = ptb("evaluate", "broken", "--task", "tiny", "--protocol", "smoke", "--limit", "4", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("unusable: ")


def test_a_complete_run_that_is_resumed_shows_its_record(scored: tuple[dict[str, Any], Path]) -> None:
    record, cwd = scored
    answer = ptb("resume", str(record["run"]), "--json", cwd=cwd)
    assert json.loads(answer.stdout) == record


def test_runs_are_listed_and_shown_unfinished_and_damaged(scored: tuple[dict[str, Any], Path], tmp_path: Path) -> None:
    record, cwd = scored
    (row,) = json.loads(ptb("list", "runs", "--json", cwd=cwd).stdout)
    assert (row["run"], row["state"]) == (record["run"], "scored")
    damaged = tmp_path / "runs" / "damaged"
    damaged.mkdir(parents=True)
    (damaged / "plan.json").write_text("{")
    (row,) = json.loads(ptb("list", "runs", "--json", cwd=tmp_path).stdout)
    assert row["state"].startswith("unreadable: ")
    unfinished = tmp_path / "runs" / "unfinished"
    unfinished.mkdir()
    (unfinished / "plan.json").write_bytes((folder(record, cwd) / "plan.json").read_bytes())
    shown = ptb("show", "unfinished", cwd=tmp_path)
    assert "unfinished" in shown.stdout
    assert "ptb resume" in shown.stdout


def test_a_checkpoint_that_was_changed_after_it_was_frozen_is_not_scored(tmp_path: Path) -> None:
    record = run("--agent", "base", "--limit", "4", cwd=tmp_path)
    weights = folder(record, tmp_path) / "checkpoint" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    answer = ptb("evaluate", "last", cwd=tmp_path)
    assert answer.returncode == 7
    assert "frozen" in answer.stderr
    assert "Traceback" not in answer.stderr
