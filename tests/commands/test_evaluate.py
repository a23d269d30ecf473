"""Score a stored run again, and any folder."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from driving import folder, ptb, run

from posttrainbench import catalog


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


def test_pass_at_k_is_computed_from_several_answers_a_question(
    scored: tuple[dict[str, Any], Path], tmp_path: Path
) -> None:
    record, cwd = scored
    weights = str(folder(record, cwd) / "checkpoint")
    shutil.copytree(catalog.bundled() / "tasks" / "tiny", tmp_path / "mine" / "often")
    told = (tmp_path / "mine" / "often" / "task.toml").read_text().replace('name = "tiny"', 'name = "often"')
    told += "\n[sampled]\nmax_tokens = 4\ntemperature = 1.0\nsamples = 3\nstop = ['\\n']\n"
    (tmp_path / "mine" / "often" / "task.toml").write_text(told)
    words = ["evaluate", weights, "--task", "often", "--tasks-dir", str(tmp_path / "mine"), "--protocol", "smoke"]
    answer = ptb(*words, "--limit", "4", "--pass-at", "2", "--json", cwd=cwd)
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert (found["pass_at"]["k"], found["decoding"]["samples"], found["metric"]) == (2, 3, "exact")
    assert found["score"] <= found["pass_at"]["value"] <= found["pass_at"]["high"]
    answer = ptb(*words, "--pass-at", "4", cwd=cwd)
    assert (answer.returncode, "at most 3 answers a question" in answer.stderr) == (2, True)


def test_a_run_has_pass_at_k_for_as_many_answers_as_it_was_scored_with(scored: tuple[dict[str, Any], Path]) -> None:
    _, cwd = scored
    answer = ptb("evaluate", "last", "--pass-at", "2", cwd=cwd)
    assert answer.returncode == 2
    assert "scored with 1 answers a question, so --pass-at can be 1 to 1" in answer.stderr
    assert ptb("evaluate", "last", "--pass-at", "1", cwd=cwd).stdout.splitlines()[-1].startswith("pass@1: ")


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
