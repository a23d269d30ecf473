"""`kill -9` of ptb in each stage, then `ptb resume`: the same record but for times, the agent started once, no orphans.

`dying.py` is ptb with one difference: it kills itself at a named moment of a named stage.
"""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from driving import CELL, environment, folder, ptb, run, start

SCRIPT = "echo started >> starts; sleep 3; cp -r $PTB_MODEL final_model; echo done"
STAGES = ("prepare", "session", "freeze", "audit", "evaluate", "seal")
MOMENTS = [(stage, moment) for stage in STAGES for moment in ("begin", "end")]
MOMENTS[3:3] = [("session", "before-start"), ("session", "after-start")]
AGENT = ["--agent", "command", "--limit", "8"]


def comparable(record: dict[str, Any]) -> dict[str, Any]:
    """A record without what may differ between two equal runs: its name, times, how often the evaluator was begun, and
    what follows from them."""
    other = ("seconds", "start", "end", "tries")

    def without_times(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without_times(inner) for key, inner in value.items() if key not in other}
        return [without_times(inner) for inner in value] if isinstance(value, list) else value

    kept = {
        key: value for key, value in record.items() if key not in ("run", "times", "digest", "artefacts", "incidents")
    }
    kept["plan"] = {key: value for key, value in record["plan"].items() if key not in ("run", "created")}
    # prompt.md names nothing of the run, but its digest may hold the hours; bench and evaluate.py must be the same.
    kept["artefacts"] = sorted(record["artefacts"])
    return dict(without_times(kept))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The record of a run that nobody disturbed."""
    return run(*AGENT, "--", "bash", "-c", SCRIPT, cwd=tmp_path_factory.mktemp("undisturbed"))


def resumed(cwd: Path) -> dict[str, Any]:
    answer = ptb("resume", "last", "--json", cwd=cwd)
    assert answer.returncode == 0, answer.stderr
    record: dict[str, Any] = json.loads(answer.stdout)
    return record


def assert_whole(record: dict[str, Any], expected: dict[str, Any], cwd: Path) -> None:
    where = folder(record, cwd)
    assert (where / "workspace" / "starts").read_text() == "started\n"
    assert comparable(record) == comparable(expected)
    assert ptb("verify", "last", cwd=cwd).returncode == 0
    assert orphans(where) == []


def orphans(where: Path) -> list[str]:
    """Processes that still have something to do with the run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if str(where) in line:
            found.append(line)
    return found


def test_killed_at_each_moment_of_one_run_and_resumed_each_time(undisturbed: dict[str, Any], tmp_path: Path) -> None:
    dying = Path(__file__).parent / "dying.py"
    words = ["run", *CELL, *AGENT, "--json", "--", "bash", "-c", SCRIPT]
    for stage, moment in MOMENTS:
        command = [sys.executable, str(dying), stage, moment, *words]
        died = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=300)
        assert died.returncode == -signal.SIGKILL, f"at the {moment} of {stage}: {died.stderr}"
        words = ["resume", "last", "--json"]
    assert_whole(resumed(tmp_path), undisturbed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_killed_at_any_moment_again_and_again(seed: int, undisturbed: dict[str, Any], tmp_path: Path) -> None:
    chance = random.Random(seed)
    words = ["run", *CELL, *AGENT, "--json", "--", "bash", "-c", SCRIPT]
    for _ in range(4):
        with start(*words, cwd=tmp_path) as process:
            # Not before the run has a folder: without one there is nothing to resume.
            until = time.monotonic() + 60
            while not list(tmp_path.glob("runs/*/plan.json")) and time.monotonic() < until and process.poll() is None:
                time.sleep(0.02)
            time.sleep(chance.uniform(0, 6))
            process.kill()
        words = ["resume", "last", "--json"]
    assert_whole(resumed(tmp_path), undisturbed, tmp_path)


def test_stopped_by_its_owner_is_no_score_and_says_so(tmp_path: Path) -> None:
    words = ["run", *CELL, *AGENT, "--json", "--", "bash", "-c", "cp -r $PTB_MODEL final_model; sleep 100"]
    with start(*words, cwd=tmp_path) as process:
        until = time.monotonic() + 120
        while not list(tmp_path.glob("runs/*/session/started.json")) and time.monotonic() < until:
            time.sleep(0.05)
        stopped = ptb("stop", "last", cwd=tmp_path)
        out, err = process.communicate(timeout=120)
    assert stopped.returncode == 0, stopped.stderr
    assert process.returncode == 6, err
    record = json.loads(out)
    assert (record["outcome"], record["scores"], record["freeze"]) == ("infrastructure", None, None)
    assert "stopped" in record["reason"]


def test_interrupted_from_the_keyboard_the_session_goes_on(undisturbed: dict[str, Any], tmp_path: Path) -> None:
    with start("run", *CELL, *AGENT, "--json", "--", "bash", "-c", SCRIPT, cwd=tmp_path) as process:
        until = time.monotonic() + 120
        while not list(tmp_path.glob("runs/*/session/started.json")) and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "ptb resume" in err
    assert "Traceback" not in err
    assert_whole(resumed(tmp_path), undisturbed, tmp_path)
