"""Tasks as Harbor's: the folder, who sees the test questions, and its verifier at work."""

import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import bundling
import driving
import msgspec
import pytest

from posttrainbench import bundle, harbor
from posttrainbench.catalog import HubModel, Model
from posttrainbench.cli import main
from posttrainbench.errors import UsageError
from posttrainbench.inputs import data, model
from posttrainbench.strict import digest_value, manifest


@pytest.fixture(scope="module")
def splits() -> dict[str, list[data.Row]]:
    return data.fetch(bundling.TASK.value, bundling.TASK.path, None, driving.CACHE)


def written(out: Path, splits: dict[str, list[data.Row]], **changes: Any) -> Path:
    (out / "model").mkdir(parents=True)
    (out / "model" / "config.json").write_text("{}")
    values: dict[str, Any] = {"model": out / "model", "variant": "cpu", "chat_template": None, "library": None}
    drawn = changes.pop("plan", bundling.drawn(out))
    harbor.write_task(drawn, out / "task", splits=splits, task_folder=bundling.TASK.path, **values | changes)
    return out / "task"


def test_the_task_says_what_was_planned(splits: dict[str, list[data.Row]], tmp_path: Path) -> None:
    folder = written(tmp_path, splits)
    told = tomllib.loads((folder / "task.toml").read_text())
    assert told["schema_version"] == "1.4"
    assert told["task"]["name"] == "posttrainbench/tiny-tiny"
    assert told["agent"]["timeout_sec"] == pytest.approx(bundling.PROTOCOL.hours * 3600)
    assert told["artifacts"] == ["/workspace/final_model"]
    assert told["verifier"]["environment_mode"] == "separate"
    assert told["verifier"]["environment"]["network_mode"] == told["environment"]["network_mode"] == "no-network"
    assert told["metadata"]["test_digest"] == digest_value(splits["test"])
    assert "final_model" in (folder / "instruction.md").read_text()
    for script in (folder / "tests" / "test.sh", folder / "solution" / "solve.sh"):
        assert script.stat().st_mode & 0o111
        assert subprocess.run(["bash", "-n", str(script)]).returncode == 0


def test_no_test_question_is_where_the_agent_is(splits: dict[str, list[data.Row]], tmp_path: Path) -> None:
    folder = written(tmp_path, splits)
    seen = [folder / "instruction.md", folder / "task.toml", *(folder / "environment").rglob("*")]
    text = b"".join(path.read_bytes() for path in seen if path.is_file())
    ids = [row["id"] for row in splits["test"]]
    assert len(ids) == 32
    assert [one for one in ids if one.encode() in text] == []
    held = (folder / "tests" / "bench" / "questions.jsonl").read_bytes()
    assert [one for one in ids if one.encode() not in held] == []


@pytest.mark.parametrize(
    ("network", "expected"),
    [("none", "no-network"), ("closed", "no-network"), ("curated", "public"), ("open", "public")],
)
def test_what_harbor_cannot_let_through_by_name_is_said_to_be_open(
    network: str, expected: str, splits: dict[str, list[data.Row]], tmp_path: Path
) -> None:
    protocol = msgspec.structs.replace(bundling.PROTOCOL, network=network, gpus=1)
    folder = written(tmp_path, splits, plan=bundling.drawn(tmp_path, protocol=protocol))
    told = tomllib.loads((folder / "task.toml").read_text())
    assert (told["environment"]["network_mode"], told["environment"]["gpus"]) == (expected, 1)
    assert ("the network is open" in (folder / "instruction.md").read_text()) == (expected == "public")


def test_a_hub_model_is_fetched_by_the_build_at_its_revision(splits: dict[str, list[data.Row]], tmp_path: Path) -> None:
    named = Model(name="m\"'$(x)", title="M", source=HubModel(repo="org/name", revision="abc"))
    folder = written(tmp_path, splits, plan=bundling.drawn(tmp_path, model=named), model=None)
    image = (folder / "environment" / "Dockerfile").read_text()
    assert 'snapshot_download("org/name", revision="abc"' in image
    assert not (folder / "environment" / "model").exists()
    assert tomllib.loads((folder / "task.toml").read_text())["metadata"]["model"] == named.name


def test_a_folder_that_is_there_is_not_overwritten(splits: dict[str, list[data.Row]], tmp_path: Path) -> None:
    (tmp_path / "task").mkdir(parents=True)
    with pytest.raises(UsageError, match="exists already"):
        written(tmp_path, splits)


def verifier(folder: Path, checkpoint: Path, logs: Path) -> "subprocess.CompletedProcess[str]":
    """What test.sh does, with this machine's Python."""
    words = [sys.executable, str(folder / "tests/verify.py"), str(checkpoint), str(folder / "tests/bench"), str(logs)]
    return subprocess.run(words, capture_output=True, text=True, env=driving.environment())


@pytest.mark.parametrize("case", ["missing", "empty", "link", "code", "no weights", "pickle"])
def test_what_is_no_checkpoint_is_rewarded_with_nothing(
    case: str, splits: dict[str, list[data.Row]], tmp_path: Path
) -> None:
    folder, place = written(tmp_path, splits), tmp_path / "final_model"
    if case not in ("missing", "link"):
        place.mkdir()
    if case == "link":
        place.symlink_to(folder / "environment" / "model", target_is_directory=True)
    if case in ("code", "no weights", "pickle"):
        (place / "config.json").write_text('{"auto_map": {}}' if case == "code" else "{}")
    if case == "code":
        (place / "model.safetensors").write_bytes(b"x")
    if case == "pickle":
        (place / "pytorch_model.bin").write_bytes(b"x")
    done = verifier(folder, place, tmp_path / "logs")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "logs" / "reward.json").read_text()) == {"reward": 0.0, "valid": 0}


def test_a_broken_evaluator_gives_no_reward(splits: dict[str, list[data.Row]], tmp_path: Path) -> None:
    folder, place = written(tmp_path, splits), tmp_path / "final_model"
    place.mkdir()
    (place / "config.json").write_text("{}")
    (place / "model.safetensors").write_bytes(b"x")
    (folder / "tests" / "bench" / "cell.py").write_text("raise SystemExit(3)")
    assert verifier(folder, place, tmp_path / "logs").returncode == 1
    assert not (tmp_path / "logs" / "reward.json").exists()


@pytest.mark.slow
def test_the_command_s_task_scores_a_real_model(tmp_path: Path) -> None:
    words = ["tiny", "--model", "tiny-random", "--protocol", "smoke", "--limit", "4", "--out", "task"]
    answer = driving.ptb("export", "harbor", *words, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "do not publish it" in answer.stderr
    base = model.obtain(bundling.KNOWN.models()["tiny-random"].value, driving.CACHE, print)
    assert manifest(tmp_path / "task" / "environment" / "model") == manifest(base.folder)
    shutil.copytree(base.folder, tmp_path / "final_model")
    done = verifier(tmp_path / "task", tmp_path / "final_model", tmp_path / "logs")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "logs" / "reward.json").read_text()) == {"reward": 0.0, "valid": 1}
    assert len((tmp_path / "logs" / "questions.jsonl").read_text().splitlines()) == 4


def test_a_trajectory_is_exported_as_it_was_sealed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run = bundling.sealed(tmp_path / "runs")
    bundle.seal(run, tmp_path / "b.ptb.tar.gz", environment={})
    assert main(["export", "atif", "made-run"]) == 0
    assert json.loads(capsys.readouterr().out) == bundling.TRAJECTORY
    assert main(["export", "atif", "b.ptb.tar.gz", "--out", "t.json"]) == 0
    assert (tmp_path / "t.json").read_bytes() == run.trajectory.read_bytes()
    run.trajectory.write_text("{}")
    assert main(["export", "atif", "made-run"]) == 7
    assert "changed after" in capsys.readouterr().err
    run.record.unlink()
    assert main(["export", "atif", "made-run"]) == 7
    assert "not ATIF" in capsys.readouterr().err
    run.trajectory.unlink()
    assert main(["export", "atif", "made-run"]) == 2
    assert main(["export", "harbor", "tiny"]) == 2
