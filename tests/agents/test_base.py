"""The agent `base` submits the base model as it is, through the command that its folder names."""

import os
import subprocess
import sys
from pathlib import Path

from posttrainbench.catalog import bundled, open_catalog
from posttrainbench.strict import manifest


def test_it_copies_the_base_model_even_from_a_read_only_folder(tmp_path: Path) -> None:
    model, workspace = tmp_path / "model", tmp_path / "workspace"
    model.mkdir()
    workspace.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"weights")
    for path in (*model.iterdir(), model):
        path.chmod(path.stat().st_mode & ~0o222)
    done = subprocess.run(
        [sys.executable, str(bundled() / "agents/base/main.py")],
        env={**os.environ, "PTB_MODEL": str(model), "PTB_WORKSPACE": str(workspace)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert manifest(workspace / "final_model") == manifest(model)
    assert os.access(workspace / "final_model" / "config.json", os.W_OK)


def test_the_bundled_agents_say_what_they_need() -> None:
    agents = open_catalog({}).agents()
    assert {name: agents[name].value.needs for name in ("base", "command", "sft")} == {
        "base": [],
        "command": ["command"],
        "sft": ["local"],
    }
    assert sorted(agents["sft"].value.variants) == ["fast", "full", "lora"]
    assert agents["command"].value.command == []
