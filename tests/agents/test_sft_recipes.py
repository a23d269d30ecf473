"""What the agent `sft` learns from: made-up function calls, and the task's own training split."""

import importlib
import itertools
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from benching import splits

from posttrainbench.catalog import bundled

MODULES = ("bench", "calls", "clock", "recipes", "topics")


@pytest.fixture
def sft() -> Iterator[SimpleNamespace]:
    """The agent's own modules, which import each other by bare names as they do in a session."""
    folder = str(bundled() / "agents" / "sft")
    sys.path.insert(0, folder)
    yield SimpleNamespace(**{name: importlib.import_module(name) for name in MODULES})
    sys.path.remove(folder)
    for name in MODULES:
        del sys.modules[name]


def make_bench(folder: Path, task: str, rows: list[dict[str, Any]], **files: list[dict[str, Any]]) -> Path:
    folder.mkdir()
    (folder / "bench.json").write_text(json.dumps({"task": task, "chat_template": False}))
    (folder / "scorer.py").write_text('def ask(row):\n    return f\'{row["question"]} Use {row["function"]}.\'\n')
    (folder / "lm_eval.yaml").write_text("doc_to_text: !function scorer.ask\ndoc_to_target: '{{answer}}'\n")
    for name, content in {"questions": rows, **files}.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content))
    return folder


def test_the_same_seed_makes_the_same_requests(sft: SimpleNamespace) -> None:
    first, again, other = (list(itertools.islice(sft.calls.requests(seed), 50)) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_a_request_says_all_that_its_call_holds(sft: SimpleNamespace) -> None:
    for request in itertools.islice(sft.calls.requests(0), 500):
        properties = request.function["parameters"]["properties"]
        assert set(request.function["parameters"]["required"]) <= set(request.arguments) <= set(properties)
        for name, value in request.arguments.items():
            kind = {"integer": int, "float": float, "string": str, "boolean": bool, "array": list}
            assert type(value) is kind[properties[name]["type"]]
            if isinstance(value, str) and "enum" in properties[name]:
                assert value in properties[name]["enum"]
            if isinstance(value, str | float):
                assert str(value) in request.question
        assert "{" not in request.question


@pytest.mark.parametrize(("task", "column", "number"), [("bfcl-simple", "function", 400), ("bfcl", "functions", 1240)])
def test_no_question_of_bfcl_is_made_up(sft: SimpleNamespace, task: str, column: str, number: int) -> None:
    rows = [row for split in splits(task).values() for row in split]
    assert len(rows) == number

    def plain(text: str) -> str:
        return re.sub(r"[^a-z0-9]+", " ", text.lower()).strip()

    text = plain("\n".join(f"{row['question']}\n{row[column]}" for row in rows))
    functions = {name for topic in sft.topics.TOPICS for name in topic.names}
    assert [name for name in sorted(functions) if f" name {plain(name)} description" in f" {text} "] == []
    for request in itertools.islice(sft.calls.requests(0), 2000):
        assert plain(request.question) not in text


@pytest.mark.parametrize("as_text", [True, False])
def test_a_row_keeps_the_task_s_own_form(sft: SimpleNamespace, tmp_path: Path, as_text: bool) -> None:
    function: Any = [{"name": "known"}]
    row = {"id": "a", "question": "Q?", "function": json.dumps(function) if as_text else function, "answer": "x"}
    bench = sft.bench.Bench(make_bench(tmp_path / "bench", "bfcl", [row]))
    request = next(sft.calls.requests(0))
    laid = sft.recipes.laid_out(row, request)
    assert laid["question"] == request.question
    assert laid["function"] == (json.dumps([request.function]) if as_text else [request.function])
    prompt, target = next(iter(sft.recipes.function_calls(bench, 0)))
    assert prompt == f"{request.question} Use {laid['function']}."
    assert target == sft.recipes.written(request)


def test_a_question_with_a_line_separator_is_one_row(sft: SimpleNamespace, tmp_path: Path) -> None:
    row = {"id": "a", "question": "One\u2028two\x85three?", "function": "f", "answer": "x"}
    folder = make_bench(tmp_path / "bench", "other", [])
    (folder / "train.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    assert sft.bench.Bench(folder).rows("train") == [row]


def test_a_task_with_a_training_split_is_learnt_from_it(sft: SimpleNamespace, tmp_path: Path) -> None:
    row = {"id": "a", "question": "Q?", "function": "f", "answer": "x"}
    bench = sft.bench.Bench(make_bench(tmp_path / "bench", "other", [], train=[row]))
    assert sft.recipes.examples(bench, None, 0) == [{"prompt": "Q? Use f.", "completion": " x"}]


def test_a_task_without_one_has_no_recipe(sft: SimpleNamespace, tmp_path: Path) -> None:
    bench = sft.bench.Bench(make_bench(tmp_path / "bench", "other", []))
    with pytest.raises(sft.recipes.NoRecipeError, match=r"offers no train\.jsonl"):
        sft.recipes.examples(bench, None, 0)
