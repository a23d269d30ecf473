"""What befalls a run of a real agent from outside: its gateway is killed, its provider goes away, ptb dies."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import driving
import pytest
from docking import until
from driving_agents import TRAIN, Provider, Step, environment, of, run, script, words

from posttrainbench.folder import RunFolder
from posttrainbench.sandbox import bubblewrap

pytestmark = pytest.mark.slow
LONG = [
    Step(run=[TRAIN, "python train.py"]),
    Step(run=["sleep 3; echo slept"]),
    Step(run=["sleep 3; echo slept again"]),
    Step(text="All is done."),
]


@pytest.fixture(autouse=True)
def confined() -> None:
    if not bubblewrap.usable():
        pytest.skip("bubblewrap is not installed or may not make namespaces here")


def begun(folder: Path) -> RunFolder:
    """The run that was just started, once its agent has asked something."""
    # The gateway makes an empty one before there is a session.
    until(lambda: [one for one in folder.glob("runs/*/gateway/ledger.jsonl") if one.stat().st_size], 120)
    return RunFolder(next(folder.glob("runs/*")))


def kinds(record: dict[str, Any]) -> set[str]:
    return {one["kind"] for one in record["incidents"]}


def test_a_killed_gateway_and_a_provider_that_is_away_are_waited_for(tmp_path: Path) -> None:
    with Provider(script(*LONG), tmp_path / "provider.jsonl") as provider:
        line = words("claude", tmp_path, times=0)
        with driving.start(*line, cwd=tmp_path, **environment(provider)) as process:
            folder = begun(tmp_path)
            os.kill(json.loads((folder.gateway / "started.json").read_text())["pid"], signal.SIGKILL)
            until(lambda: len(provider.lines()) >= 2, 120)
            provider.stop()
            time.sleep(12)
            provider.start()
            out, err = process.communicate(timeout=400)
    assert process.returncode == 0, err
    record = json.loads(out)
    assert record["outcome"] == "scored"
    assert kinds(record) >= {"gateway_restarted", "throttled"}
    assert record["usage"]["throttled_seconds"] > 5


def test_ptb_dies_and_the_session_goes_on_with_its_gateway(tmp_path: Path) -> None:
    with Provider(script(*LONG), tmp_path / "provider.jsonl") as provider:
        line = words("claude", tmp_path, times=0)
        with driving.start(*line, cwd=tmp_path, **environment(provider)) as process:
            folder = begun(tmp_path)
            process.kill()
        until(lambda: (folder.session / "result.json").exists(), 240)
        answer = driving.ptb("resume", "last", "--json", cwd=tmp_path, **environment(provider))
        assert answer.returncode == 0, answer.stderr
        record = json.loads(answer.stdout)
        assert (record["outcome"], record["session"]["reason"]) == ("scored", "exited")
        assert sum(one["tokens"]["output"] for one in record["usage"]["models"]) == provider.used().output


def test_a_budget_ends_the_agent_and_not_the_run(tmp_path: Path) -> None:
    with Provider(script(*LONG), tmp_path / "provider.jsonl") as provider:
        record = run("claude", provider, tmp_path, "--max-tokens", "10", times=0)
        assert provider.used().total == 0
    assert (record["outcome"], "budget_spent" in kinds(record)) == ("no_checkpoint", True)
    assert record["session"]["seconds"] < 120


def test_a_key_that_is_refused_is_our_failure(tmp_path: Path) -> None:
    with Provider(script(*LONG, key="another"), tmp_path / "provider.jsonl") as provider:
        # The other agents ask again for minutes before they believe it.
        record = run("gemini", provider, tmp_path, times=0)
    assert record["outcome"] == "infrastructure"
    assert "auth" in record["reason"]
    assert of(record, tmp_path).record.exists()
