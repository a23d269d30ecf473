"""The agent `sft` in a session: it learns the tiny task, measures itself, and leaves a model in the base's form."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.numpy import load_file

import posttrainbench
from posttrainbench.catalog import bundled
from posttrainbench.inputs import build_model

pytest.importorskip("trl", reason="the `local` extra is not installed")
FOLDER = bundled() / "agents" / "sft"
WORDS = ("apple", "stone", "river", "green", "seven", "bread", "cloud", "horse", "light")


def lay(folder: Path, train: bool = True) -> dict[str, str]:
    """A session's folders and environment, with a task of copying a word. Its cell.py tells `sft` a score."""
    bench, workspace, model = (folder / name for name in ("bench", "workspace", "model"))
    for place in (bench, workspace):
        place.mkdir()
    build_model.random_model(model, 0)
    (bench / "bench.json").write_text(json.dumps({"task": "copy", "chat_template": False}))
    (bench / "lm_eval.yaml").write_text(
        'doc_to_text: "Question: {{question}}\\nAnswer:"\ndoc_to_target: "{{answer}}"\n'
    )
    if train:
        rows = [{"id": str(i), "question": f"copy {word}", "answer": word} for i, word in enumerate(WORDS * 30)]
        (bench / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    shutil.copy(Path(__file__).with_name("copying_cell.py"), bench / "cell.py")
    shutil.copy(Path(posttrainbench.__file__).parent / "agent/files/evaluate.py", workspace / "evaluate.py")
    return {
        **os.environ,
        "PTB_BENCH": str(bench),
        "PTB_MODEL": str(model),
        "PTB_WORKSPACE": str(workspace),
        "PTB_SEED": "0",
        "PTB_DEADLINE": str(time.monotonic() + 300),
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
    }


def session(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FOLDER / "main.py"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=environment["PTB_WORKSPACE"])


def dev_score(environment: dict[str, str], model: Path) -> float:
    command = [sys.executable, "evaluate.py", "--json", "--model-path", str(model)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, cwd=environment["PTB_WORKSPACE"], check=True
    )
    return float(json.loads(done.stdout)["score"])


@pytest.mark.slow
def test_it_learns_and_leaves_a_model_in_the_base_s_form(tmp_path: Path) -> None:
    environment = lay(tmp_path)
    base, final = tmp_path / "model", tmp_path / "workspace" / "final_model"
    done = session(environment, "--method", "full", "--steps", "60")
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(path.name for path in final.iterdir()) == sorted(path.name for path in base.iterdir())
    assert (final / "config.json").read_bytes() == (base / "config.json").read_bytes()
    assert dev_score(environment, base) == 0
    assert dev_score(environment, final) > 0.5, done.stdout
    assert "development questions" in done.stdout
    left = {path.name for path in (tmp_path / "workspace").iterdir()}
    assert left == {"evaluate.py", "final_model"}


@pytest.mark.slow
def test_a_short_session_is_all_training(tmp_path: Path) -> None:
    environment = lay(tmp_path) | {"PTB_DEADLINE": str(time.monotonic() + 150)}
    done = session(environment, "--method", "full", "--steps", "3")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all of it goes into the training" in done.stdout and "development questions" not in done.stdout
    final = load_file(tmp_path / "workspace" / "final_model" / "model.safetensors")
    assert any((final[name] != value).any() for name, value in load_file(tmp_path / "model/model.safetensors").items())


@pytest.mark.slow
def test_adapters_are_merged_into_the_base_s_own_weights(tmp_path: Path) -> None:
    environment = lay(tmp_path)
    base, final = tmp_path / "model", tmp_path / "workspace" / "final_model"
    done = session(environment, "--method", "lora", "--steps", "4", "--no-measuring")
    assert done.returncode == 0, done.stdout + done.stderr
    before, after = (load_file(folder / "model.safetensors") for folder in (base, final))
    assert {name: tensor.shape for name, tensor in after.items()} == {name: t.shape for name, t in before.items()}
    changed = {name for name, tensor in after.items() if (tensor != before[name]).any()}
    assert changed == {name for name in before if name.endswith("_proj.weight")}


def test_without_anything_to_learn_from_it_says_so_and_submits_the_base_model(tmp_path: Path) -> None:
    done = session(lay(tmp_path, train=False))
    assert done.returncode == 1
    assert "offers no train.jsonl" in done.stderr
    assert (tmp_path / "workspace" / "final_model" / "model.safetensors").exists()
