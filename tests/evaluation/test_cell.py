import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from benching import lay, splits, task
from hostile import GENERATION, TEMPLATE

from posttrainbench.evaluation import cell, cell_engine, measure
from posttrainbench.evaluation.cell_answers import Asked
from posttrainbench.inputs import build_model, families
from posttrainbench.strict import digest_file

pytest.importorskip("lm_eval")


@pytest.fixture(autouse=True)
def unchanged_process() -> Iterator[None]:
    """cell.py is made to run as a program; here its marks on the process are taken back."""
    environment, path, bytecode = dict(os.environ), list(sys.path), sys.dont_write_bytecode
    yield
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:], sys.dont_write_bytecode = path, bytecode


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "random"
    build_model.random_model(folder, 3)
    return folder


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lay("tiny", tmp_path_factory.mktemp("bench") / "dev")


def score(bench: Path, model: Path, out: Path, *options: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """result.json and the lines of questions.jsonl."""
    assert cell.main(["--bench", str(bench), "--model", str(model), "--out", str(out), *options]) == 0
    rows = [json.loads(line) for line in (out / "questions.jsonl").open()]
    return json.loads((out / "result.json").read_text()), rows


def reason(bench: Path, model: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Why a checkpoint is unusable."""
    assert cell.main(["--bench", str(bench), "--model", str(model), "--out", str(out)]) == 65
    assert not (out / "result.json").exists()
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("checkpoint: ")
    return last


def copy(model: Path, target: Path) -> Path:
    shutil.copytree(model, target)
    return target


def test_every_question_is_scored_and_the_result_sums_them_up(bench: Path, model: Path, tmp_path: Path) -> None:
    result, rows = score(bench, model, tmp_path)
    assert [row["id"] for row in rows] == measure.subset([row["id"] for row in splits("tiny")["dev"]], None, 0)
    assert (result["n"], result["score"]) == (24, sum(row["score"] for row in rows) / 24)
    assert (result["split"], result["few_shot"], result["device"], result["dtype"]) == ("dev", 0, "cpu", "float32")
    assert result["questions_digest"] == digest_file(tmp_path / "questions.jsonl")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["questions.jsonl", "result.json"]


def test_the_same_again_gives_the_same_answers(bench: Path, model: Path, tmp_path: Path) -> None:
    assert score(bench, model, tmp_path / "a")[1] == score(bench, model, tmp_path / "b")[1]


def test_a_limit_takes_the_same_subset_everywhere(bench: Path, model: Path, tmp_path: Path) -> None:
    _, rows = score(bench, model, tmp_path, "--limit", "5")
    assert [row["id"] for row in rows] == measure.subset([row["id"] for row in splits("tiny")["dev"]], 5, 0)


def test_the_benchs_own_limit_holds_unless_another_is_given(model: Path, tmp_path: Path) -> None:
    bench = lay("tiny", tmp_path / "bench", limit=3)
    assert score(bench, model, tmp_path / "a")[0]["n"] == 3
    assert score(bench, model, tmp_path / "b", "--limit", "7")[0]["n"] == 7


def test_worked_examples_stand_in_the_prompt(bench: Path, model: Path, tmp_path: Path) -> None:
    (_, plain), (result, shown) = (
        score(bench, model, tmp_path / "a"),
        score(bench, model, tmp_path / "b", "--few-shot", "2"),
    )
    assert result["few_shot"] == 2
    assert not {row["prompt_digest"] for row in plain} & {row["prompt_digest"] for row in shown}


def test_the_benchs_own_worked_examples_hold_unless_another_number_is_given(model: Path, tmp_path: Path) -> None:
    bench, plain = lay("tiny", tmp_path / "bench", shots=3, limit=2), lay("tiny", tmp_path / "plain", limit=2)
    result, rows = score(bench, model, tmp_path / "a")
    asked, same = score(bench, model, tmp_path / "b", "--few-shot", "3")
    none, bare = score(bench, model, tmp_path / "c", "--few-shot", "0")
    assert [one["few_shot"] for one in (result, asked, none)] == [3, 3, 0]
    assert (rows, bare) == (same, score(plain, model, tmp_path / "d")[1])
    assert rows != bare


def test_more_worked_examples_than_there_are_is_refused(bench: Path, model: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="3 worked examples were asked for; the bench has 2"):
        score(bench, model, tmp_path, "--few-shot", "3")


@pytest.mark.parametrize("content", [json.dumps(GENERATION), "{", "[]", '{"temperature": "hot"}', '{"num_beams": -1}'])
def test_the_checkpoints_own_generation_settings_change_nothing(
    bench: Path, model: Path, tmp_path: Path, content: str
) -> None:
    other = copy(model, tmp_path / "model")
    (other / "generation_config.json").write_text(content)
    assert score(bench, other, tmp_path / "a")[1] == score(bench, model, tmp_path / "b")[1]


def test_generation_settings_in_config_json_change_nothing(bench: Path, model: Path, tmp_path: Path) -> None:
    other = copy(model, tmp_path / "model")
    config = json.loads((other / "config.json").read_text())
    hostile = {name: value for name, value in GENERATION.items() if name != "eos_token_id"}
    (other / "config.json").write_text(json.dumps(config | hostile))
    assert score(bench, other, tmp_path / "a")[1] == score(bench, model, tmp_path / "b")[1]


def templated(model: Path, target: Path) -> Path:
    """A copy with a chat template of its own in every place where transformers looks for one."""
    other = copy(model, target)
    (other / "chat_template.jinja").write_text(TEMPLATE)
    (other / "additional_chat_templates").mkdir()
    for name in ("default", "tool_use"):
        (other / "additional_chat_templates" / f"{name}.jinja").write_text(TEMPLATE)
    (other / "chat_template.json").write_text(json.dumps({"chat_template": TEMPLATE}))
    settings = json.loads((other / "tokenizer_config.json").read_text())
    (other / "tokenizer_config.json").write_text(json.dumps(settings | {"chat_template": TEMPLATE}))
    return other


def test_the_checkpoints_own_chat_template_changes_nothing(bench: Path, model: Path, tmp_path: Path) -> None:
    other = templated(model, tmp_path / "model")
    assert score(bench, other, tmp_path / "a")[1] == score(bench, model, tmp_path / "b")[1]


def test_the_checkpoints_own_settings_change_nothing_where_answers_are_sampled(model: Path, tmp_path: Path) -> None:
    decoding = msgspec.structs.replace(task("tiny").decoding, temperature=1.0, top_p=0.95)
    bench = lay("tiny", tmp_path / "bench", task=msgspec.structs.replace(task("tiny"), decoding=decoding), limit=8)
    other = copy(model, tmp_path / "model")
    (other / "generation_config.json").write_text(json.dumps(GENERATION))
    assert score(bench, other, tmp_path / "a")[1] == score(bench, model, tmp_path / "b")[1]


def test_the_benchs_chat_template_is_used(bench: Path, model: Path, tmp_path: Path) -> None:
    chatting = lay("tiny", tmp_path / "bench", chat_template=families.template("chatml"))
    other = templated(model, tmp_path / "model")
    (result, rows), (_, plain) = score(chatting, other, tmp_path / "a"), score(bench, model, tmp_path / "b")
    assert result["chat_template"] is True
    assert not {row["prompt_digest"] for row in rows} & {row["prompt_digest"] for row in plain}
    assert rows == score(chatting, model, tmp_path / "c")[1]


def test_an_answer_ends_where_the_template_ends_a_turn(model: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    ends = cell_engine.end_of_turn(tokenizer, families.template("chatml"))
    assert ends == (["<|im_end|>"], [tokenizer.convert_tokens_to_ids("<|im_end|>")])


def test_several_samples_a_question_are_kept_and_averaged(model: Path, tmp_path: Path) -> None:
    decoding = msgspec.structs.replace(task("tiny").decoding, samples=3, temperature=1.0)
    bench = lay("tiny", tmp_path / "bench", task=msgspec.structs.replace(task("tiny"), decoding=decoding))
    _, rows = score(bench, model, tmp_path / "out", "--limit", "4")
    assert [(len(row["samples"]), len(row["responses"])) for row in rows] == [(3, 3)] * 4
    assert any(len(set(row["responses"])) > 1 for row in rows)


class Cramped(cell_engine.Hf):
    """Has memory for three questions at a time, and counts what it is asked."""

    counted: list[tuple[str, int]] = []

    def answer(self, asked: list[Asked], batch: int) -> cell_engine.Answers:
        for answered in super().answer(asked, batch):
            if len(answered) > 3 and len(self.counted) >= 12:
                raise MemoryError
            self.counted.extend(one.key for one, _ in answered)
            yield answered


def test_when_memory_is_used_up_the_batch_is_halved_and_said_and_no_answer_lost(
    bench: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, expected = score(bench, model, tmp_path / "undisturbed", "--batch-size", "6")
    monkeypatch.setitem(cell_engine.ENGINES, "hf", Cramped)
    monkeypatch.setattr(Cramped, "counted", [])
    result, rows = score(bench, model, tmp_path / "out", "--batch-size", "6")
    assert result["batch_size"] == 3
    assert [(one["batch_size"], one["outcome"], one["answered"]) for one in result["tries"]] == [
        (6, "out of memory", 12),
        (3, "done", 12),
    ]
    assert len(set(Cramped.counted)) == len(Cramped.counted) == 24
    assert [row["score"] for row in rows] == [row["score"] for row in expected]


def test_an_engine_that_fails_is_the_hosts_fault(
    bench: Path,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def crash(*_: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setitem(cell_engine.ENGINES, "hf", crash)
    assert cell.main(["--bench", str(bench), "--model", str(model), "--out", str(tmp_path)]) == 75
    assert capsys.readouterr().err.splitlines()[-1].startswith("host: the engine failed: RuntimeError")


def test_weights_that_are_cut_off_are_the_checkpoints_fault(
    bench: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = copy(model, tmp_path / "model")
    content = (other / "model.safetensors").read_bytes()
    (other / "model.safetensors").write_bytes(content[: len(content) // 2])
    assert "weights cannot be loaded" in reason(bench, other, tmp_path / "out", capsys)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_missing_file_is_the_checkpoints_fault(
    bench: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    other = copy(model, tmp_path / "model")
    (other / name).unlink()
    assert "cannot be loaded" in reason(bench, other, tmp_path / "out", capsys)


@pytest.mark.parametrize(
    ("change", "words"), [("drop", "missing keys"), ("shrink", "cannot be loaded|mismatched"), ("nan", "not finite")]
)
def test_wrong_tensors_are_the_checkpoints_fault(
    bench: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str, words: str
) -> None:
    from safetensors.torch import load_file, save_file

    other = copy(model, tmp_path / "model")
    tensors = load_file(other / "model.safetensors")
    name = next(name for name in tensors if name.endswith("mlp.up_proj.weight"))
    if change == "drop":
        del tensors[name]
    elif change == "shrink":
        tensors[name] = tensors[name][:-1].clone()
    else:
        tensors[name] = tensors[name] * float("nan")
    save_file(tensors, other / "model.safetensors", metadata={"format": "pt"})
    assert re.search(words, reason(bench, other, tmp_path / "out", capsys))


def test_code_in_the_checkpoint_is_not_run(
    bench: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = copy(model, tmp_path / "model")
    (other / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    config = json.loads((other / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.C", "AutoModelForCausalLM": "own.M"}}
    (other / "config.json").write_text(json.dumps(config))
    reason(bench, other, tmp_path / "out", capsys)
    assert not (tmp_path / "ran").exists()


def test_one_that_is_killed_leaves_no_result(bench: Path, model: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(bench / "cell.py"), "--bench", str(bench), "--model", str(model), "--out"]
    child = subprocess.Popen([*command, str(tmp_path)], stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    with child.stderr:
        assert any("loading the model" in line for line in child.stderr)
        child.send_signal(signal.SIGKILL)
    child.wait()
    assert not (tmp_path / "result.json").exists()


@pytest.mark.parametrize(
    ("flags", "quick"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_bf16 clflush", True),
        ("Features\t: fp asimd bf16 i8mm", True),
        ("flags\t\t: fpu avx2 avx512f", False),
        ("", False),
    ],
)
def test_a_processor_says_whether_it_computes_in_bfloat16(flags: str, quick: bool, tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(flags)
    assert cell_engine.computes_in_bfloat16(tmp_path / "cpuinfo") is quick
    assert cell_engine.computes_in_bfloat16(tmp_path / "none") is False
