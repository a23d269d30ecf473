"""Who answers from the reference solutions gets every question of each test split, and one wrong answer costs 1/n.

The model is a scripted one behind lm-eval's own interface; all else is real: cell.py, lm-eval, the published test
split, the scorer. GPQA's questions lie in memory only: the bench and what is written about it are on a tmpfs, and are
removed at the end.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from benching import in_memory, lay_sealed, sealed

from posttrainbench.evaluation import bench, cell
from posttrainbench.inputs import build_model, families

pytest.importorskip("lm_eval")
huggingface = pytest.importorskip("lm_eval.models.huggingface")

Row = dict[str, Any]

SOLUTIONS: dict[str, Callable[[Row], str]] = {
    "aime2025": lambda row: rf" So the answer is $\boxed{{{row['answer']}}}$.",
    "gpqa": lambda row: f" {row['explanation']}\nAnswer: {row['answer']}",
    "gsm8k": lambda row: f" {row['answer']}",
    "humaneval": lambda row: str(row["solution"]),
    "bfcl": lambda row: f" {row['calls']}",
}
WRONG: dict[str, Callable[[Row], str]] = {
    "aime2025": lambda row: rf" So the answer is $\boxed{{{(int(row['answer']) + 1) % 1000}}}$.",
    "gpqa": lambda row: f" {row['explanation']}\nAnswer: {'B' if row['answer'] == 'A' else 'A'}",
    "gsm8k": lambda row: f" {row['answer']}5",
    "humaneval": lambda row: "    pass\n",
    "bfcl": lambda row: " [f()]" if row["calls"] == "[]" else " []",
}
SIZES = {"aime2025": 30, "gpqa": 198, "gsm8k": 1319, "humaneval": 164, "bfcl": 753}


class Solver(huggingface.HFLM):  # type: ignore[misc, name-defined]
    """An lm-eval model that is loaded like any other and then says what `solve` says, as far as decoding lets it."""

    solve: Callable[[Row], str]

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> str:
        prompt, told = request.args
        assert request.doc["question"] in prompt
        tokens = self.tokenizer(type(self).solve(request.doc), add_special_tokens=False)["input_ids"]
        text: str = self.tokenizer.decode(tokens[: told["max_gen_toks"]])
        for end in told["until"]:
            text = text.split(end, 1)[0]
        return text


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model with room for the longest answers."""
    folder = tmp_path_factory.mktemp("model") / "random"
    build_model.random_model(folder, 3)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 40_000}))
    return folder


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory; what cell.py does to the process is taken back."""
    environment, path, bytecode = dict(os.environ), list(sys.path), sys.dont_write_bytecode
    with in_memory() as place:
        yield place
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:], sys.dont_write_bytecode = path, bytecode


def scored(name: str, place: Path, model: Path, chat: str | None, *options: str) -> dict[str, Any]:
    """What cell.py makes of the Solver's answers to the test split."""
    lay_sealed(name, place / "bench", place, chat_template=chat)
    words = ["--bench", place / "bench", "--model", model, "--out", place / "out", "--batch-size", "64"]
    assert cell.main([*map(str, words), *options]) == 0
    found: dict[str, Any] = json.loads((place / "out" / "result.json").read_text())
    return found


def answers(monkeypatch: pytest.MonkeyPatch, solve: Callable[[Row], str]) -> None:
    monkeypatch.setattr(huggingface, "HFLM", Solver)
    monkeypatch.setattr(Solver, "solve", staticmethod(solve), raising=False)


QUICK = ("aime2025", "gpqa")
NAMES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in SIZES]


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_solutions_get_every_question_of_the_test_split(
    name: str, model: Path, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(monkeypatch, SOLUTIONS[name])
    found = scored(name, memory, model, None)
    assert (found["score"], found["n"], found["split"]) == (1.0, SIZES[name], "test")


@pytest.mark.parametrize("name", NAMES)
def test_one_wrong_answer_costs_one_question(
    name: str, model: Path, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the chat template, on thirty questions."""
    planted = cell.choose(sealed(name, memory)["test"], 30, bench.SEED)[17]["id"]
    answers(monkeypatch, lambda row: (WRONG if row["id"] == planted else SOLUTIONS)[name](row))
    found = scored(name, memory, model, families.template("chatml"), "--limit", "30")
    assert (found["score"], found["n"]) == (29 / 30, 30)
    rows = [json.loads(line) for line in (memory / "out" / "questions.jsonl").open()]
    assert [row["id"] for row in rows if row["score"] < 1] == [planted]
