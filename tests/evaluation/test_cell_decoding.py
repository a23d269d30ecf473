"""The checkpoint's own generation_config.json, where a protocol lets it say how answers are generated."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from benching import lay, pretend, task
from hostile import GENERATION

from posttrainbench.catalog import open_catalog
from posttrainbench.errors import InfrastructureError
from posttrainbench.evaluation import Measurement, cell, measure
from posttrainbench.evaluation.cell_decoding import FILE, generation
from posttrainbench.evaluation.cell_engine import Wanted
from posttrainbench.inputs import build_model
from posttrainbench.sandbox.local import Local

pytest.importorskip("lm_eval")

NOTHING = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}
PLAIN = {**NOTHING, "max_tokens": 4, "ends": [], "refused": []}


def read(folder: Path, content: bytes | dict[str, Any]) -> dict[str, Any]:
    (folder / FILE).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return generation(folder, 4)


def test_without_a_file_answers_are_drawn_at_temperature_one(tmp_path: Path) -> None:
    assert generation(tmp_path, 4) == PLAIN
    assert generation(tmp_path / "none", 4) == PLAIN


TAKEN: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"temperature": 0.6, "top_p": 0.95, "top_k": 20}, {"temperature": 0.6, "top_p": 0.95, "top_k": 20}),
    ({"temperature": 0}, {"temperature": 0.0}),
    ({"temperature": 1e-30}, {"temperature": 0.01}),
    ({"temperature": 2, "do_sample": False}, {"temperature": 2.0}),
    ({"top_k": -1}, {}),
    ({"min_p": 0.1, "repetition_penalty": 1.1}, {"min_p": 0.1, "repetition_penalty": 1.1}),
    ({"max_new_tokens": 2}, {"max_tokens": 2}),
    ({"max_new_tokens": 2**31 - 1}, {}),
    ({"eos_token_id": 7}, {"ends": [7]}),
    ({"eos_token_id": [9, 7, 9]}, {"ends": [7, 9]}),
    ({"temperature": None, "eos_token_id": None}, {}),
    ({"num_beams": 3, "suppress_tokens": [1], "stop_strings": [":"], "min_length": 9, "x": [[]]}, {}),
    (
        GENERATION,
        {"top_k": 1000, "max_tokens": 1, "repetition_penalty": 9.0, "ends": [900], "refused": ["temperature"]},
    ),
]


@pytest.mark.parametrize(("told", "changes"), TAKEN, ids=range(len(TAKEN)))
def test_what_is_within_its_range_is_taken_and_other_keys_are_not_looked_at(
    told: dict[str, Any], changes: dict[str, Any], tmp_path: Path
) -> None:
    assert read(tmp_path, told) == PLAIN | changes


ODD: dict[str, list[Any]] = {
    "temperature": [-0.1, 2.1, 1e400, float("nan"), float("-inf"), "1", True, [], {}, 10**400, -(10**400)],
    "top_p": [0, -1, 1.01, float("nan"), "x", False],
    "top_k": [-2, 1.5, 2.0, 10**7, 10**30, "5", True, [5]],
    "min_p": [-0.1, 1.1, float("nan"), "0"],
    "repetition_penalty": [0, -1, 10.1, float("inf"), float("nan"), "1.1"],
    "max_new_tokens": [0, -5, 2**31, 10**100, 1.5, True, "9", float("nan")],
    "eos_token_id": [-1, 2**31, 1.0, "7", True, [7, -1], [7, None], [[7]], {"7": 7}, list(range(65))],
}


@pytest.mark.parametrize(("key", "value"), [(key, one) for key, values in ODD.items() for one in values])
def test_any_other_value_is_named_and_not_taken(key: str, value: Any, tmp_path: Path) -> None:
    assert read(tmp_path, {key: value, "top_p" if key != "top_p" else "min_p": 0.5}) == PLAIN | {
        "top_p" if key != "top_p" else "min_p": 0.5,
        "refused": [key],
    }


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[]", b"7", b"null", b'"x"', b"\xff\xfe", b"\0" * 100, b'{"temperature": 0.5', b"[" * 100_000),
        *(b'{"a":' * 100_000, b'{"temperature": ' + b"9" * 5000 + b"}", b'{"x": "' + b"x" * 2**20 + b'"}'),
    ],
    ids=range(13),
)
def test_a_file_that_holds_no_object_is_named_and_not_taken(content: bytes, tmp_path: Path) -> None:
    assert read(tmp_path, content) == PLAIN | {"refused": [FILE]}


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / FILE)
    assert generation(tmp_path, 4) == PLAIN | {"refused": [FILE]}
    (tmp_path / "folder" / FILE).mkdir(parents=True)
    assert generation(tmp_path / "folder", 4) == PLAIN | {"refused": [FILE]}
    (tmp_path / "loop").mkdir()
    (tmp_path / "loop" / FILE).symlink_to(FILE)
    assert generation(tmp_path / "loop", 4) == PLAIN | {"refused": [FILE]}


def wanted(**decoding: Any) -> Wanted:
    told = {"max_tokens": 4, "temperature": 0.0, "top_p": 1.0, "samples": 1, "stop": [], **decoding}
    return Wanted(model=Path(), tokenizer=None, config=None, ends=[], decoding=told, stop=[], seed=0)


def test_engines_are_told_what_was_taken_and_of_a_task_s_decoding_nothing_more_than_before() -> None:
    assert wanted().sampling == {}
    assert wanted(temperature=0.5, top_p=0.9).sampling == {"temperature": 0.5, "top_p": 0.9, "top_k": 0}
    assert wanted(**PLAIN).sampling == {"temperature": 1.0, "top_p": 1.0, "top_k": 0}
    more = {"top_k": 3, "min_p": 0.2, "repetition_penalty": 1.5}
    assert wanted(**PLAIN | more).sampling == {"temperature": 1.0, "top_p": 1.0, **more}
    assert wanted(**PLAIN | more | {"temperature": 0.0}).sampling == {"repetition_penalty": 1.5}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "random"
    build_model.random_model(folder, 3)
    return folder


@pytest.fixture(scope="module")
def benches(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A bench that lets the checkpoint say, and one that does not."""
    place = tmp_path_factory.mktemp("benches")
    return {
        "checkpoint": lay("tiny", place / "checkpoint", limit=8, decoding_from="checkpoint"),
        "task": lay("tiny", place / "task", limit=8),
    }


def answers(bench: Path, model: Path, out: Path, told: dict[str, Any] | None) -> tuple[dict[str, Any], list[str]]:
    """result.json, and the answers, of a model with these settings."""
    (model / FILE).unlink(missing_ok=True)
    if told is not None:
        (model / FILE).write_text(json.dumps(told))
    assert cell.main(["--bench", str(bench), "--model", str(model), "--out", str(out)]) == 0
    rows = [json.loads(line) for line in (out / "questions.jsonl").open()]
    return json.loads((out / "result.json").read_text()), [row["responses"][0] for row in rows]


def test_the_settings_hold_where_they_are_asked_and_the_result_names_them(
    benches: dict[str, Path], model: Path, tmp_path: Path
) -> None:
    where = iter(tmp_path / str(number) for number in range(9))
    asked, (fixed, greedy) = benches["checkpoint"], answers(benches["task"], model, next(where), None)
    cold, likeliest = answers(asked, model, next(where), {"temperature": 0})
    drawn, at_one = answers(asked, model, next(where), None)
    hostile, short = answers(asked, model, next(where), GENERATION)
    _, lone = answers(asked, model, next(where), {"top_k": 1})
    _, ended = answers(asked, model, next(where), {"temperature": 0, "eos_token_id": list(range(64))})
    assert likeliest == lone == greedy != at_one
    assert ended != greedy
    assert short not in (greedy, at_one)
    generations = [one["generation"] for one in (fixed, cold, drawn, hostile)]
    assert generations == [None, PLAIN | {"temperature": 0.0}, PLAIN, PLAIN | TAKEN[-1][1]]
    assert {json.dumps(one["decoding"]) for one in (fixed, cold, drawn, hostile)} == {json.dumps(fixed["decoding"])}


@pytest.mark.slow
def test_ptb_measures_so_and_keeps_it(benches: dict[str, Path], model: Path, tmp_path: Path) -> None:
    (model / FILE).write_text(json.dumps({"temperature": 0.5, "top_k": "all"}))
    found = measure.measure(Local(), bench=benches["checkpoint"], model=model, out=tmp_path / "out")
    assert isinstance(found, Measurement)
    assert found.generation is not None
    assert (found.generation.temperature, found.generation.refused) == (0.5, ["top_k"])
    assert found.decoding == task("tiny").decoding
    assert measure.read(tmp_path / "out") == found


@pytest.mark.parametrize("other", [None, PLAIN | {"temperature": 0.0}])
def test_an_evaluator_that_tells_of_other_settings_is_not_believed(
    other: dict[str, Any] | None, model: Path, tmp_path: Path
) -> None:
    bench = lay("tiny", tmp_path / "bench", decoding_from="checkpoint")
    (model / FILE).unlink(missing_ok=True)
    pretend(bench, f"result['generation'] = {PLAIN!r}\nwrite()")
    assert isinstance(measure.measure(Local(), bench=bench, model=model, out=tmp_path / "honest"), Measurement)
    pretend(bench, f"result['generation'] = {other!r}\nwrite()")
    with pytest.raises(InfrastructureError, match="cannot be trusted"):
        measure.measure(Local(), bench=bench, model=model, out=tmp_path / "other")


def test_only_ptb_v1_lets_a_checkpoint_say() -> None:
    found = {name: protocol.decoding for name, (protocol, _) in open_catalog({}).protocols().items()}
    assert found == {"ptb-v1": "checkpoint", "sealed-v1": "task", "smoke": "task"}
