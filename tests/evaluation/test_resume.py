"""`kill -9` in mid-evaluation: what goes on asks nothing twice and ends as if nobody had disturbed it."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from benching import lay, task
from driving import CELL, environment, folder, ptb, run

from posttrainbench.evaluation import cell, cell_engine
from posttrainbench.evaluation.cell_answers import Asked
from posttrainbench.inputs import build_model

pytest.importorskip("lm_eval")

OPTIONS = ("--batch-size", "7", "--limit", "8")
"""Eight questions with three sampled answers: four batches, of which one is smaller."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("model") / "random"
    build_model.random_model(made, 3)
    return made


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sampled, which is harder to repeat than greedy decoding."""
    decoding = msgspec.structs.replace(task("tiny").decoding, samples=3, temperature=1.0)
    sampled = msgspec.structs.replace(task("tiny"), decoding=decoding)
    return lay("tiny", tmp_path_factory.mktemp("bench") / "dev", task=sampled)


class Counting(cell_engine.Hf):
    """Notes what it answered, and ends after some batches as if somebody had pressed ^C."""

    answered: list[tuple[str, int]] = []
    life = 99

    def answer(self, asked: list[Asked], batch: int) -> cell_engine.Answers:
        for count, answers in enumerate(super().answer(asked, batch)):
            if count == self.life:
                raise KeyboardInterrupt
            self.answered.extend(one.key for one, _ in answers)
            yield answers


@pytest.fixture(autouse=True)
def counting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cell_engine.ENGINES, "hf", Counting)
    monkeypatch.setattr(Counting, "answered", [])
    for name in ("HF_HOME", "HF_DATASETS_CACHE", "HF_HUB_OFFLINE", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    monkeypatch.setattr(sys, "path", list(sys.path))


def words(bench: Path, model: Path, out: Path, *more: str) -> list[str]:
    return ["--bench", str(bench), "--model", str(model), "--out", str(out), *OPTIONS, *more]


@pytest.fixture(scope="module")
def undisturbed(bench: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """questions.jsonl of an evaluation that nobody disturbed."""
    out = tmp_path_factory.mktemp("undisturbed")
    assert cell.main(words(bench, model, out)) == 0
    return (out / "questions.jsonl").read_bytes()


def result(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "result.json").read_text())
    return found


@pytest.mark.parametrize("life", range(4))
def test_the_same_answers_and_none_twice(
    life: int, undisturbed: bytes, bench: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Counting, "answered", [])
    monkeypatch.setattr(Counting, "life", life)
    resume = words(bench, model, tmp_path, "--resume", "sha256:1")
    with pytest.raises(KeyboardInterrupt):
        cell.main(resume)
    assert not (tmp_path / "result.json").exists()
    monkeypatch.setattr(Counting, "life", 99)
    assert cell.main(resume) == 0
    assert (tmp_path / "questions.jsonl").read_bytes() == undisturbed
    assert max(Counter(Counting.answered).values()) == 1
    tries = [(one["outcome"], one["answered"]) for one in result(tmp_path)["tries"]]
    assert tries == [("interrupted", 7 * life), ("done", 24 - 7 * life)]


def test_with_every_answer_there_no_engine_is_loaded(
    undisturbed: bytes, bench: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resume = words(bench, model, tmp_path, "--resume", "sha256:1")
    assert cell.main(resume) == 0
    (tmp_path / "result.json").rename(tmp_path / "first.json")
    monkeypatch.delitem(cell_engine.ENGINES, "hf")
    monkeypatch.setitem(cell_engine.ENGINES, "hf", None)
    assert cell.main(resume) == 0
    first, again = json.loads((tmp_path / "first.json").read_text()), result(tmp_path)
    assert (tmp_path / "questions.jsonl").read_bytes() == undisturbed
    assert {**first, "seconds": 0} == {**again, "seconds": 0}


CHANGES: dict[str, tuple[str, ...]] = {
    "another model": ("--resume", "sha256:2"),
    "worked examples": ("--resume", "sha256:1", "--few-shot", "1"),
    "another limit": ("--resume", "sha256:1", "--limit", "7"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_answers_to_anything_else_are_not_taken(
    change: tuple[str, ...], bench: Path, model: Path, tmp_path: Path
) -> None:
    assert cell.main(words(bench, model, tmp_path, "--resume", "sha256:1")) == 0
    Counting.answered.clear()
    assert cell.main(words(bench, model, tmp_path, *change)) == 0
    assert len(Counting.answered) == 3 * result(tmp_path)["n"]


def test_answers_from_another_bench_are_not_taken(bench: Path, model: Path, tmp_path: Path) -> None:
    resume = words(bench, model, tmp_path / "out", "--resume", "sha256:1")
    assert cell.main(resume) == 0
    Counting.answered.clear()
    other = lay("tiny", tmp_path / "other", limit=8)
    assert cell.main(["--bench", str(other), *resume[2:]]) == 0
    assert len(Counting.answered) == 8


@pytest.mark.slow
def test_killed_again_and_again_at_several_moments(
    undisturbed: bytes, bench: Path, model: Path, tmp_path: Path
) -> None:
    dying = Path(__file__).with_name("dying_cell.py")
    asked = tmp_path / "asked"
    options = words(bench, model, tmp_path / "out", "--resume", "sha256:1")[2:]
    codes = []
    for moment, number in (("answered", 1), ("kept", 1), ("answered", 2), ("kept", 1), ("kept", 0)):
        command = [sys.executable, str(dying), str(bench), str(asked), moment, str(number), *options]
        codes.append(subprocess.run(command, capture_output=True, timeout=300).returncode)
    assert codes == [-signal.SIGKILL] * 4 + [0]
    assert (tmp_path / "out" / "questions.jsonl").read_bytes() == undisturbed
    assert set(Counter(asked.read_text().split("\n")[:-1]).values()) == {1}
    assert len(asked.read_text().splitlines()) == 24
    assert [one["answered"] for one in result(tmp_path / "out")["tries"]] == [0, 7, 7, 7, 3]


@pytest.mark.slow
def test_a_torn_line_is_asked_again_and_nothing_else(
    undisturbed: bytes, bench: Path, model: Path, tmp_path: Path
) -> None:
    dying = Path(__file__).with_name("dying_cell.py")
    asked = tmp_path / "asked"
    options = words(bench, model, tmp_path / "out", "--resume", "sha256:1")[2:]
    for moment, number in (("torn", 2), ("kept", 0)):
        command = [sys.executable, str(dying), str(bench), str(asked), moment, str(number), *options]
        subprocess.run(command, capture_output=True, timeout=300)
    assert (tmp_path / "out" / "questions.jsonl").read_bytes() == undisturbed
    assert len(asked.read_text().splitlines()) == 24 + 7


@pytest.mark.slow
def test_ptb_killed_while_it_scores_and_resumed(tmp_path: Path) -> None:
    script = "cp -r $PTB_MODEL final_model; echo done"
    options = ["--agent", "command", "--limit", "24", "--", "bash", "-c", script]
    (tmp_path / "undisturbed").mkdir()
    expected = run(*options, cwd=tmp_path / "undisturbed")
    dying = Path(__file__).parents[1] / "dying.py"
    command = [sys.executable, str(dying), "final", "answers", "run", *CELL, *options]
    died = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=300)
    assert died.returncode == -signal.SIGKILL, died.stderr
    (journal,) = tmp_path.glob("runs/*/evaluation/final/job/answers.jsonl")
    before = sum(len(json.loads(line).get("answers", [])) for line in journal.read_text().splitlines())
    assert 0 < before < 24
    answer = ptb("resume", "last", "--json", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    record = json.loads(answer.stdout)
    tries = [(one["outcome"], one["answered"]) for one in record["final"]["tries"]]
    assert tries == [("interrupted", before), ("done", 24 - before)]
    assert record["final"]["score"] == expected["final"]["score"]
    assert record["final"]["questions"] == expected["final"]["questions"]
    assert not (folder(record, tmp_path) / "evaluation" / "final" / "job").exists()
