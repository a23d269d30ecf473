"""Whole runs in containers: `ptb run --sandbox docker`, killed, stopped, resumed, and collected."""

import contextlib
import json
import random
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from docking import ENVIRONMENT, OWNER
from driving import CELL, folder, ptb, run, start
from sitting import Person

from posttrainbench.sandbox.engine import Engine

DOCKER = ["--sandbox", "docker", "--limit", "8"]
SCRIPT = "echo started >> starts; sleep 8; cp -r $PTB_MODEL final_model; echo done"

TRAPS = r"""
mkdir -p final_model && cd final_model && cp $PTB_MODEL/config.json .
ln -s /etc/passwd tokenizer.json; ln -s . loop; mkfifo model.safetensors; mknod device b 8 0
mkdir -p "$(printf 'line\nbreak')" '..x' 'x..' ' .. ' && touch "$(printf 'line\nbreak')/$(printf '\377')"
python -c 'import os; [open(f"file-{i}", "w").close() for i in range(10000)]'
python -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")'
for i in 1 2 3; do python -c 'x = [bytearray(2**20) for _ in range(500)]' & done; wait
(trap '' TERM; kill -9 -1; pkill -9 -f python; pkill -9 -f supervisor)
bomb() { bomb | bomb & }; bomb; sleep 5
"""


def left(engine: Engine) -> list[str]:
    """What this test's owner still has in the engine."""
    return [one.name for one in engine.containers(ptb__owner=OWNER)]


def assert_nothing_left(engine: Engine, cwd: Path) -> None:
    assert ptb("gc", cwd=cwd, **ENVIRONMENT).returncode == 0
    assert left(engine) == []


@pytest.mark.parametrize("agent", ["base", "sft:fast"])
def test_the_small_cell_is_scored_in_two_containers(agent: str, engine: Engine, tmp_path: Path) -> None:
    record = run("--agent", agent, *DOCKER, cwd=tmp_path, **ENVIRONMENT)
    where = folder(record, tmp_path)
    assert record["outcome"] == "scored", (record["reason"], (where / "session/output.log").read_text()[-2000:])
    assert set(record["plan"]["images"]) == {"train", "eval"}
    assert not any("network" in gap or "Files" in gap for gap in record["prepared"]["isolation"])
    assert ptb("verify", "last", cwd=tmp_path).returncode == 0
    assert left(engine) == []
    said = ptb("logs", "last", cwd=tmp_path, **ENVIRONMENT).stdout
    assert said.strip() == (where / "session/output.log").read_text().replace("\t", " ").strip() or agent != "base"


def test_the_test_split_is_nowhere_in_the_agent_s_sandbox(engine: Engine, tmp_path: Path) -> None:
    script = (
        "find / -path /proc -prune -o -path /sys -prune -o "
        "\\( -name questions.jsonl -o -name sealed -o -name plan.json \\) -print 2>/dev/null; "
        "env; cp -r $PTB_MODEL final_model"
    )
    record = run("--agent", "command", *DOCKER, "--", "sh", "-c", script, cwd=tmp_path, **ENVIRONMENT)
    assert record["outcome"] == "scored", record["reason"]
    said = (folder(record, tmp_path) / "session/output.log").read_text()
    assert [line for line in said.splitlines() if line.startswith("/")] == ["/ptb/bench/questions.jsonl"]
    assert str(tmp_path) not in said


@pytest.mark.parametrize("seed", range(4))
def test_killed_five_times_and_resumed_nothing_is_lost_or_started_twice(
    seed: int, engine: Engine, tmp_path: Path
) -> None:
    chance = random.Random(seed)
    words = ["run", *CELL, "--agent", "command", *DOCKER, "--json", "--", "sh", "-c", SCRIPT]
    for _ in range(5):
        with start(*words, cwd=tmp_path, **ENVIRONMENT) as process:
            wait_for(tmp_path, "plan.json", process)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(chance.uniform(0.2, 5))
            assert process.poll() is None, "it was over before it was killed"
            process.kill()
        words = ["resume", "last", "--json"]
    answer = ptb(*words, cwd=tmp_path, **ENVIRONMENT)
    assert answer.returncode == 0, answer.stderr
    record = json.loads(answer.stdout)
    assert record["outcome"] == "scored", record["reason"]
    assert (folder(record, tmp_path) / "workspace/starts").read_text() == "started\n"
    assert ptb("verify", "last", cwd=tmp_path).returncode == 0
    assert_nothing_left(engine, tmp_path)


def test_a_hostile_run_ends_in_its_outcome_beside_one_that_does_not_notice(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "quiet").mkdir()
    (tmp_path / "loud").mkdir()
    quiet_words = ["run", *CELL, "--agent", "command", *DOCKER, "--json", "--", "sh", "-c", SCRIPT]
    with start(*quiet_words, cwd=tmp_path / "quiet", **ENVIRONMENT) as quiet:
        loud = run("--agent", "command", *DOCKER, "--", "sh", "-c", TRAPS, cwd=tmp_path / "loud", **ENVIRONMENT)
        out, err = quiet.communicate(timeout=300)
    assert (loud["outcome"], loud["scores"]) == ("invalid_checkpoint", None)
    assert quiet.returncode == 0, err
    assert json.loads(out)["outcome"] == "scored"
    assert ptb("verify", "last", cwd=tmp_path / "loud").returncode == 0
    assert_nothing_left(engine, tmp_path)


def test_a_person_sits_at_a_shell_in_the_container(engine: Engine, tmp_path: Path) -> None:
    with start("run", "--agent", "human", *CELL, *DOCKER, "--json", cwd=tmp_path, **ENVIRONMENT) as process:
        wait_for(tmp_path, "session/started.json", process)
        person = Person(tmp_path, **ENVIRONMENT)
        person.waits_for(b"prompt.md")
        person.types("cp -r $PTB_MODEL final_model; pwd; echo user-$(id -u)-$((40 + 2))\n")
        person.waits_for(b"-42")
        assert b"/ptb/workspace" in person.seen
        assert b"user-0-42" not in person.seen
        person.types("exit\n")
        person.waits_for(b"The session ended after")
        assert person.ptb.wait(60) == 0
        out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert json.loads(out)["outcome"] == "scored"
    assert_nothing_left(engine, tmp_path)


def test_stopped_by_its_owner(engine: Engine, tmp_path: Path) -> None:
    words = ["run", *CELL, "--agent", "command", *DOCKER, "--json", "--", "sh", "-c", "echo waiting; sleep 100"]
    with start(*words, cwd=tmp_path, **ENVIRONMENT) as process:
        wait_for(tmp_path, "session/started.json", process)
        listed = json.loads(ptb("ps", "--json", cwd=tmp_path, **ENVIRONMENT).stdout)["containers"]
        assert [(row["what"], row["state"]) for row in listed] == [("session", "running")]
        with start("attach", "last", cwd=tmp_path, **ENVIRONMENT) as watcher:
            stopped = ptb("stop", "last", cwd=tmp_path, **ENVIRONMENT)
            said, told = watcher.communicate(timeout=60)
        out, err = process.communicate(timeout=120)
    assert stopped.returncode == 0, stopped.stderr
    assert process.returncode == 6, err
    assert json.loads(out)["outcome"] == "infrastructure"
    assert (said, "The session ended" in told) == ("waiting\n", True)
    assert_nothing_left(engine, tmp_path)


def test_killed_during_evaluation_no_job_is_left(engine: Engine, tmp_path: Path) -> None:
    words = ["run", *CELL, "--agent", "base", *DOCKER, "--json"]
    with start(*words, cwd=tmp_path, **ENVIRONMENT) as process:
        end = time.monotonic() + 120
        while not any(one.labels["ptb.role"] == "job" for one in engine.containers(ptb__owner=OWNER)):
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.1)
        process.kill()
    answer = ptb("resume", "last", "--json", cwd=tmp_path, **ENVIRONMENT)
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["outcome"] == "scored"
    assert left(engine) == []


def test_stopped_during_evaluation_the_run_goes_on_where_it_was(engine: Engine, tmp_path: Path) -> None:
    words = ["run", *CELL, "--agent", "base", *DOCKER, "--json"]
    with start(*words, cwd=tmp_path, **ENVIRONMENT) as process:
        wait_for(tmp_path, "audit.json", process)
        end = time.monotonic() + 120
        while not any(one.labels["ptb.role"] == "job" and one.is_live for one in engine.containers(ptb__owner=OWNER)):
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.05)
        stopped = ptb("stop", "last", cwd=tmp_path, **ENVIRONMENT)
        assert left(engine) == []
        _, err = process.communicate(timeout=60)
    assert (stopped.returncode, process.returncode) == (0, 130), (stopped.stderr, err)
    assert "`ptb resume" in stopped.stdout and "goes on where it stopped" in stopped.stdout
    assert not list(tmp_path.glob("runs/*/record.json"))
    assert ptb("stop", "last", cwd=tmp_path, **ENVIRONMENT).returncode == 2
    answer = ptb("resume", "last", "--json", cwd=tmp_path, **ENVIRONMENT)
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["outcome"] == "scored"
    assert_nothing_left(engine, tmp_path)


def test_an_image_that_the_plan_does_not_name_stops_the_run(engine: Engine, tmp_path: Path) -> None:
    drawn = ptb("run", *CELL, "--agent", "base", *DOCKER, "--dry-run", "--json", cwd=tmp_path, **ENVIRONMENT)
    plan: dict[str, Any] = json.loads(drawn.stdout)
    plan["images"]["train"] = "sha256:" + "0" * 64
    where = tmp_path / "runs" / plan["run"]
    where.mkdir(parents=True)
    (where / "plan.json").write_text(json.dumps(plan))
    answer = ptb("resume", "last", cwd=tmp_path, **ENVIRONMENT)
    assert answer.returncode == 6
    assert "plan's train image" in answer.stderr
    assert not (where / "session/claim").exists()
    assert left(engine) == []


def wait_for(cwd: Path, name: str, process: "subprocess.Popen[str]") -> Path:
    """Wait until the run in `cwd` has a file."""
    end = time.monotonic() + 120
    while not (found := list(cwd.glob(f"runs/*/{name}"))):
        assert time.monotonic() < end and process.poll() is None, process.stderr.read() if process.stderr else ""
        time.sleep(0.02)
    return found[0]
