"""`ptb retry`: what broke is repeated under the same plan, and a result never is."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import factory
import pytest
from driving import CELL, ptb, run, start

from posttrainbench import cli, plan
from posttrainbench.agent import access, session
from posttrainbench.catalog import Api
from posttrainbench.folder import RunFolder
from posttrainbench.gateway import process
from posttrainbench.sandbox import Handle, SessionSpec, kinds
from posttrainbench.sandbox.local import Local
from posttrainbench.strict import digest_folder, write_json

AGENT = ["--agent", "command", "--limit", "4"]


def stopped(cwd: Path, *words: str) -> dict[str, Any]:
    """A run whose session is stopped by its owner; its record."""
    with start("run", *CELL, *AGENT, "--json", "--", *words, cwd=cwd) as process:
        until = time.monotonic() + 120
        while not list(cwd.glob("runs/*/session/started.json")) and time.monotonic() < until:
            time.sleep(0.05)
        assert ptb("stop", "last", cwd=cwd).returncode == 0
        record: dict[str, Any] = json.loads(process.communicate(timeout=120)[0])
    assert record["outcome"] == "infrastructure"
    return record


def same(plan: dict[str, Any]) -> dict[str, Any]:
    """A plan without what a retry may change."""
    return {name: value for name, value in plan.items() if name not in ("run", "created", "retry_of")}


def test_a_run_that_broke_is_repeated_once_as_it_was_planned(tmp_path: Path) -> None:
    old = stopped(tmp_path, "sh", "-c", "cp -r $PTB_MODEL final_model; sleep 12")
    assert "ptb retry" in old["reason"]
    preview = json.loads(ptb("retry", "last", "--dry-run", "--json", cwd=tmp_path).stdout)
    assert (same(preview), preview["retry_of"]) == (same(old["plan"]), old["run"])
    assert preview["run"] != old["run"]
    assert len(list(tmp_path.glob("runs/*"))) == 1
    answer = ptb("retry", old["run"], "--json", cwd=tmp_path, timeout=200)
    assert answer.returncode == 0, answer.stderr
    new = json.loads(answer.stdout)
    assert (same(new["plan"]), new["plan"]["retry_of"]) == (same(old["plan"]), old["run"])
    assert f"A retry of {old['run']}" in ptb("show", new["run"], cwd=tmp_path).stdout.replace("\n", " ")
    refused = ptb("retry", old["run"], cwd=tmp_path)
    assert (refused.returncode, "was retried already" in refused.stderr) == (2, True)


def test_a_result_is_not_repeated(tmp_path: Path) -> None:
    record = run(*AGENT, "--", "true", cwd=tmp_path)
    answer = ptb("retry", "last", cwd=tmp_path)
    assert record["outcome"] == "no_checkpoint"
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "ended as `no_checkpoint`, which is a result" in answer.stderr
    assert len(list(tmp_path.glob("runs/*"))) == 1


def test_an_unfinished_run_is_resumed_and_only_a_lost_one_repeated(tmp_path: Path) -> None:
    words = ["run", *CELL, *AGENT, "--json", "--", "sh", "-c", "sleep 60"]
    with start(*words, cwd=tmp_path) as process:
        until = time.monotonic() + 120
        while not list(tmp_path.glob("runs/*/session/started.json")) and time.monotonic() < until:
            time.sleep(0.05)
        busy = ptb("retry", "last", cwd=tmp_path)
        process.kill()
    answer = ptb("retry", "last", cwd=tmp_path)
    (claim,) = tmp_path.glob("runs/*/session/claim")
    os.kill(int(claim.read_text()), signal.SIGKILL)
    time.sleep(0.5)
    lost = ptb("retry", "last", "--dry-run", cwd=tmp_path)
    assert (busy.returncode, answer.returncode, lost.returncode) == (8, 2, 0), (busy.stderr, answer.stderr, lost.stderr)
    assert "is not over: `ptb resume" in answer.stderr


def test_what_changed_since_is_no_longer_the_same_measurement(tmp_path: Path) -> None:
    record = stopped(tmp_path, "sh", "-c", "sleep 100")
    path = tmp_path / "runs" / record["run"] / "plan.json"
    path.write_text(json.dumps({**record["plan"], "code": "sha256:0"}))
    answer = ptb("retry", "last", cwd=tmp_path)
    assert answer.returncode == 3
    assert "the evaluator or the supervisor changed since" in answer.stderr


class Lost(Local):
    """A sandbox that has lost its sessions."""

    def state(self, spec: SessionSpec, handle: Handle | None) -> Any:
        """By its word alone."""
        return "lost"


def test_the_gateway_of_a_lost_session_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(tmp_path / "quick-run")
    agent = factory.agent(
        tmp_path / "agent", digest=digest_folder(tmp_path / "agent"), api=Api(dialect="anthropic", model="big-1")
    )
    protocol, task = factory.protocol(network="closed"), digest_folder(tmp_path / "task")
    old = factory.plan(tmp_path, agent=agent, protocol=protocol, task_digest=task, code=plan.code_digest())
    told = access.spec(old, folder, tmp_path / "cache", {})
    assert told
    write_json(folder.plan, old)
    write_json(folder.session / "spec.json", session.spec(old, folder, tmp_path / "model", "python", told))
    monkeypatch.setitem(kinds.KINDS, "local", lambda images: Lost())
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.delenv("CLAUDE_CODE_OAUTH_TOKEN", raising=False)
    process.start(folder.gateway, told, None)
    try:
        assert cli.main(["retry", str(folder.path), "--dry-run"]) == 0
        assert process.alive(folder.gateway)
        assert cli.main(["retry", str(folder.path)]) == 4  # There is no key, so it goes no further.
        assert not process.alive(folder.gateway)
    finally:
        process.stop(folder.gateway)
