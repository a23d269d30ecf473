"""Measurements that are killed go on in the cache: whoever asks for the very same, by whatever command."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from driving import CELL, environment, ptb

from posttrainbench import cli
from posttrainbench.errors import RunBusyError
from posttrainbench.evaluation import unfinished

DYING = Path(__file__).parents[1] / "dying.py"
QUESTIONS = 24


def killed(measurement: str, *words: str, cwd: Path) -> None:
    """Run ptb, which is killed when that measurement has some answers more."""
    command = [sys.executable, str(DYING), measurement, "answers", *words]
    env = environment(PTB_CACHE=str(cwd / "cache"))
    died = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=300)
    assert died.returncode == -signal.SIGKILL, died.stderr


def said(*words: str, cwd: Path) -> dict[str, Any]:
    answer = ptb(*words, "--json", cwd=cwd, PTB_CACHE=str(cwd / "cache"))
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def tries(measurement: dict[str, Any]) -> list[str]:
    """How the tries ended; together they gave each answer once."""
    assert sum(one["answered"] for one in measurement["tries"]) == measurement["n"]
    return [one["outcome"] for one in measurement["tries"]]


def left(cwd: Path) -> list[str]:
    return [path.name for path in (cwd / "cache" / "unfinished").glob("*")]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An instruct sibling for the baseline, and a checkpoint folder."""
    from posttrainbench.inputs import build_model

    folder = tmp_path_factory.mktemp("model") / "random"
    build_model.random_model(folder, 5)
    return folder


@pytest.mark.slow
def test_a_baseline_killed_in_each_measurement_and_given_again(model: Path, tmp_path: Path) -> None:
    words = ["baseline", *CELL, "--limit", str(QUESTIONS), "--instruct", str(model)]
    (tmp_path / "undisturbed").mkdir()
    (tmp_path / "killed").mkdir()
    expected = said(*words, cwd=tmp_path / "undisturbed")
    for measurement in ("base", "base", "few_shot", "final"):
        killed(measurement, *words, cwd=tmp_path / "killed")
    record = said(*words, cwd=tmp_path / "killed")
    names = ("base", "few_shot", "final", "human")
    assert [record[name]["questions"] for name in names] == [expected[name]["questions"] for name in names]
    assert record["scores"] == expected["scores"]
    interrupted, done = ["interrupted"], ["done"]
    assert [tries(record[name]) for name in names] == [
        [*interrupted * 2, *done],
        *[[*interrupted, *done]] * 3,
    ]
    (sealed,) = (tmp_path / "killed" / "runs").glob("*/record.json")
    assert json.loads(sealed.read_text()) == record
    assert len(list((tmp_path / "killed" / "runs").iterdir())) == 1
    assert left(tmp_path / "killed") == []


@pytest.mark.slow
def test_another_run_goes_on_with_a_base_measurement_that_was_killed(tmp_path: Path) -> None:
    words = ["run", *CELL, "--agent", "base", "--limit", str(QUESTIONS)]
    killed("base", *words, cwd=tmp_path)
    record = said(*words, "--seed", "7", cwd=tmp_path)
    assert tries(record["base"]) == ["interrupted", "done"]
    assert left(tmp_path) == []


@pytest.mark.slow
def test_a_folder_s_evaluation_that_was_killed_goes_on_and_leaves_nothing(model: Path, tmp_path: Path) -> None:
    words = ["evaluate", str(model), "--task", "tiny", "--protocol", "smoke", "--limit", str(QUESTIONS)]
    (tmp_path / "undisturbed").mkdir()
    expected = said(*words, cwd=tmp_path / "undisturbed")
    killed("final", *words, cwd=tmp_path)
    assert len(left(tmp_path)) == 2  # The folder and its lock.
    # Anything else that is asked of it has answers of its own.
    assert tries(said(*words[:-1], "23", cwd=tmp_path)) == ["done"]
    assert tries(said(*words, "--few-shot", "1", cwd=tmp_path)) == ["done"]
    found = said(*words, cwd=tmp_path)
    assert tries(found) == ["interrupted", "done"]
    assert (found["questions"], found["score"]) == (expected["questions"], expected["score"])
    assert left(tmp_path) == []
    assert tries(said(*words, cwd=tmp_path)) == ["done"]


def test_two_at_once_do_not_share_a_folder(tmp_path: Path) -> None:
    order: list[str] = []

    def later() -> None:
        with unfinished.held(tmp_path, "a", wait=True):
            order.append("second")

    with unfinished.held(tmp_path, "a", wait=False) as place:
        place.mkdir()
        with pytest.raises(RunBusyError, match="very same"), unfinished.held(tmp_path, "a", wait=False):
            pass
        with unfinished.held(tmp_path, "b", wait=False):
            order.append("other")
        waiting = threading.Thread(target=later)
        waiting.start()
        time.sleep(0.2)
        order.append("first")
        place.rmdir()
    waiting.join()
    assert order == ["other", "first", "second"]
    assert list((tmp_path / "unfinished").iterdir()) == []


def test_what_nobody_went_on_with_is_cleared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def put(key: str, days: float) -> Path:
        with unfinished.held(tmp_path, key, wait=False) as place:
            place.mkdir()
            (place / "answers.jsonl").write_text("x" * 100)
            for path in (place / "answers.jsonl", place):
                os.utime(path, (time.time() - days * 86400,) * 2)
        return place

    old, fresh, busy = put("old", 40), put("fresh", 2), put("busy", 40)
    words = ["gc", "--unused", "30", "--json", "--cache-dir", str(tmp_path)]
    with unfinished.held(tmp_path, "busy", wait=False):
        assert cli.main([*words, "--dry-run"]) == 0
        assert [one["path"] for one in json.loads(capsys.readouterr().out)] == [str(old)]
        assert old.exists()
        assert cli.main(words) == 0
    assert (old.exists(), fresh.exists(), busy.exists()) == (False, True, True)
    kept = sorted(path.name for path in (tmp_path / "unfinished").iterdir())
    assert kept == ["busy", "busy.lock", "fresh", "fresh.lock"]
