"""Harbor's job folders: what Harbor 0.26 writes is read as foreign results, and a hostile folder does no harm."""

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from posttrainbench import harbor
from posttrainbench.cli import main
from posttrainbench.errors import UsageError
from posttrainbench.record import Record
from posttrainbench.strict import to_json

TRAJECTORY = {
    "schema_version": "ATIF-v1.7",
    "agent": {"name": "claude-code", "version": "2.0"},
    "steps": [{"step_id": 1, "source": "user", "message": "Train it."}],
}


def trial(job: Path, name: str, **changes: Any) -> Path:
    """A trial's folder, with the members that Harbor 0.26 writes."""
    values: dict[str, Any] = {
        "schema_version": 1,
        "id": "1bdb146d-323d-4dda-b96b-503b78cfab02",
        "task_name": "posttrainbench/tiny-x",
        "trial_name": name,
        "trial_uri": f"file:///jobs/j/{name}",
        "task_id": {"path": "/tasks/tiny"},
        "source": None,
        "task_checksum": "ab",
        "config": {"task": {"path": "/tasks/tiny"}, "agent": {"name": "claude-code"}},
        "agent_info": {
            "name": "claude-code",
            "version": "2.0",
            "model_info": {"name": "claude-x", "provider": "anthropic"},
        },
        "agent_result": {"n_input_tokens": 10, "n_cache_tokens": None, "n_output_tokens": 2, "cost_usd": 0.5},
        "verifier_result": {"rewards": {"reward": 0.25, "valid": 1}},
        "verifier_environment_mode": "separate",
        "exception_info": None,
        "started_at": "2026-01-01T00:00:00Z",
        "finished_at": "2026-01-01T00:01:30Z",
        "environment_setup": None,
        "step_results": None,
        "reward_valid": True,
    }
    folder = job / name
    (folder / "agent").mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(values | changes))
    return folder


def raised(kind: str) -> dict[str, Any]:
    return {
        "exception_type": kind,
        "exception_message": "m",
        "exception_traceback": "t",
        "occurred_at": "2026-01-01T00:00:00Z",
    }


def test_a_job_is_read_trial_by_trial(tmp_path: Path) -> None:
    job = tmp_path / "job"
    first = trial(job, "a")
    (first / "agent" / "trajectory.json").write_text(json.dumps(TRAJECTORY))
    trial(job, "b", exception_info=raised("AgentTimeoutError"))
    trial(job, "c", exception_info=raised("RuntimeError"), verifier_result=None, reward_valid=False, agent_result=None)
    trial(job, "d", verifier_result=None, reward_valid=False, agent_info={"name": "oracle", "version": "1"})
    (job / "result.json").write_text("{}")
    found = harbor.read_job(job)
    assert (found.job, found.measured, found.unreadable) == ("job", False, [])
    a, b, c, d = found.trials
    assert (a.outcome, a.reward, a.seconds, a.cost_usd, a.verifier) == ("rewarded", 0.25, 90.0, 0.5, "separate")
    assert (a.trajectory, a.trajectory_objections) == ("a/agent/trajectory.json", 0)
    assert (b.outcome, b.reward, b.failure) == ("rewarded", 0.25, "AgentTimeoutError")
    assert (c.outcome, c.reward, c.failure, c.cost_usd) == ("failed", None, "RuntimeError", None)
    assert (d.outcome, d.agent, d.model) == ("unrewarded", "oracle", "")


@pytest.mark.parametrize(
    ("changes", "outcome", "reward"),
    [
        ({"verifier_result": {"rewards": {"accuracy": 0.75}}}, "rewarded", 0.75),
        ({"verifier_result": {"rewards": {"x": 0.1, "y": 0.2}}}, "rewarded", None),
        ({"verifier_result": {"rewards": {"reward": 0.5}}, "exception_info": raised("X")}, "failed", None),
        ({"step_results": [{"step_name": "s", "exception_info": raised("X")}]}, "failed", None),
    ],
)
def test_only_a_reward_that_counts_and_is_one_number_is_the_reward(
    changes: dict[str, Any], outcome: str, reward: float | None, tmp_path: Path
) -> None:
    folder = trial(tmp_path, "a", **changes)
    older = json.loads((folder / "result.json").read_text())
    del older["reward_valid"]
    (folder / "result.json").write_text(json.dumps(older))
    (one,) = harbor.read_job(tmp_path).trials
    assert (one.outcome, one.reward) == (outcome, reward)


def test_a_foreign_result_is_no_record(tmp_path: Path) -> None:
    trial(tmp_path, "a")
    for value in (harbor.read_job(tmp_path), harbor.read_job(tmp_path).trials[0]):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(to_json(value), type=Record)


def test_a_hostile_folder_does_no_harm(tmp_path: Path) -> None:
    job = tmp_path / "job"
    for name, content in {
        "deep": b"[" * 1_000_000,
        "empty": b"",
        "list": b"[]",
        "not-utf8": b"\xff\xfe",
        "nan": b'{"task_name": NaN}',
    }.items():
        (job / name).mkdir(parents=True)
        (job / name / "result.json").write_bytes(content)
    outside = trial(tmp_path, "another", trial_name="secret")
    (outside / "result.json").rename(tmp_path / "secret")
    (tmp_path / "document").write_text(json.dumps(TRAJECTORY))
    for name in ("link", "pipe", "folder"):
        (job / name).mkdir()
    (job / "link" / "result.json").symlink_to(tmp_path / "secret")
    os.mkfifo(job / "pipe" / "result.json")
    (job / "folder" / "result.json").mkdir()
    (job / "outside").symlink_to(tmp_path, target_is_directory=True)
    evil = trial(job, "evil", task_name="\x1b[2J\u202eevil" + "x" * 10_000, agent_info={"name": "<script>\n\r"})
    (evil / "agent" / "trajectory.json").symlink_to(tmp_path / "document")
    (trial(job, "broken") / "agent" / "trajectory.json").write_bytes(b"[" * 1_000_000)
    found = harbor.read_job(job)
    assert [one.trial for one in found.trials] == ["broken", "evil"]
    assert len(found.unreadable) == 8
    assert all(one.trajectory_objections for one in found.trials)
    assert len(found.trials[1].task) < 400
    text = to_json(found).decode()
    assert "secret" not in text
    assert all(char.isprintable() or char == "\n" for char in text)


@pytest.mark.parametrize("name", ["absent", "empty", "file"])
def test_what_is_no_job_is_a_sentence(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError):
        harbor.read_job(tmp_path / name)


def test_the_command_prints_and_writes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trial(tmp_path / "job", "a")
    assert main(["import", "harbor", str(tmp_path / "job"), "--out", str(tmp_path / "out.json")]) == 0
    assert "not measured by ptb" in capsys.readouterr().out
    assert json.loads((tmp_path / "out.json").read_text())["measured"] is False
    assert main(["import", "harbor", str(tmp_path / "job"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "out.json").read_text())
    assert main(["import", "harbor", str(tmp_path / "none")]) == 2
