"""Whatever an agent does, the run ends in the right outcome, in time, with a record, and leaves nothing running."""

import fcntl
import secrets
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from driving import CELL, folder, ptb, run

ROOT = Path(__file__).parent.parent
SHORT = ["--hours", "0.0014"]
"""Five seconds."""
COPY = "cp -r $PTB_MODEL final_model"


def shell(script: str, cwd: Path, *options: str) -> dict[str, Any]:
    """A run whose agent is a shell script."""
    return run("--agent", "command", *options, "--", "bash", "-c", script, cwd=cwd)


def running(marker: str) -> list[str]:
    """Command lines on this machine that hold `marker`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if marker in line:
            found.append(line)
    return found


def test_the_base_model_scores_as_itself(tmp_path: Path) -> None:
    record = run("--agent", "base", "--limit", "16", cwd=tmp_path)
    scores = record["scores"]
    assert record["outcome"] == "scored"
    assert scores["n"] == 16
    assert scores["final"]["value"] == scores["base"]["value"]
    assert scores["gain"]["value"] == 0
    assert scores["gain"]["low"] <= 0 <= scores["gain"]["high"]
    assert scores["uplift"] is None
    assert record["audit"]["verdict"] == "unchecked"
    where = folder(record, tmp_path)
    assert (where / "report.html").read_text().startswith("<!doctype html>")
    assert not (where / "sealed").exists()
    assert ptb("verify", "last", cwd=tmp_path).returncode == 0
    shown = ptb("show", "last", cwd=tmp_path)
    assert "scored" in shown.stdout
    assert str(where / "record.json") in shown.stdout.replace("\n", "")


def test_an_agent_that_will_not_end_is_ended_with_all_its_children(tmp_path: Path) -> None:
    marker = f"31337.{secrets.randbelow(10**6)}"
    script = (
        "trap '' TERM INT HUP\n"
        f"(trap '' TERM; setsid sleep {marker} &) \n"
        f"for i in 1 2 3; do (trap '' TERM; sleep {marker}; sleep {marker}) & done\n"
        f"while true; do sleep {marker}; done"
    )
    begin = time.monotonic()
    record = shell(script, tmp_path, *SHORT)
    assert record["session"]["reason"] == "deadline"
    assert record["outcome"] == "no_checkpoint"
    assert running(marker) == []
    # Deadline 5 s, grace 5 s; the rest is prepare and seal on a busy machine.
    assert record["session"]["seconds"] < 30
    assert time.monotonic() - begin < 120


def test_a_gigabyte_of_output_is_bounded_and_the_run_is_scored(tmp_path: Path) -> None:
    script = f"{COPY}; head -c 1000000000 /dev/zero | tr '\\0' 'x'; echo; echo the last words"
    record = shell(script, tmp_path, "--limit", "8")
    log = folder(record, tmp_path) / "session" / "output.log"
    assert record["outcome"] == "scored"
    assert record["session"]["output_bytes"] > 1_000_000_000
    assert log.stat().st_size < 17_000_000
    assert log.read_bytes().endswith(b"the last words\n")
    assert "output_truncated" in [one["kind"] for one in record["incidents"]]


def test_an_agent_that_takes_too_much_disk_is_ended_and_judged_by_what_it_left(tmp_path: Path) -> None:
    rules = ROOT.joinpath("protocols/smoke.toml").read_text()
    rules = rules.replace('name = "smoke"', 'name = "narrow"').replace("max_disk_gb = 10", "max_disk_gb = 0.1")
    (tmp_path / "narrow.toml").write_text(rules)
    script = f"{COPY}; for i in 1 2 3 4; do head -c 30000000 /dev/zero > $i; done; sleep 100"
    record = shell(script, tmp_path, "--limit", "4", "--protocols-dir", str(tmp_path), "--protocol", "narrow")
    assert (record["session"]["reason"], record["outcome"]) == ("disk_limit", "scored")
    assert "disk_limit" in [one["kind"] for one in record["incidents"]]
    assert "may take 0.1 GB together" in (folder(record, tmp_path) / "workspace/prompt.md").read_text()


@pytest.mark.parametrize(
    ("script", "outcome", "word"),
    [
        ("true", "no_checkpoint", "final_model"),
        ("exit 1", "no_checkpoint", "final_model"),
        ("mkdir final_model", "no_checkpoint", "final_model"),
        ("mkdir final_model; echo junk > final_model/model.safetensors", "invalid_checkpoint", "config.json"),
        (f"{COPY}; head -c 999 /dev/urandom > final_model/model.safetensors", "invalid_checkpoint", "safetensors"),
        (f"{COPY}; echo 'import os' > final_model/modeling_mine.py", "invalid_checkpoint", "code"),
        (f"{COPY}; ln -sf /etc/passwd final_model/tokenizer.json", "invalid_checkpoint", "link"),
        (f"{COPY}; mkfifo final_model/pipe", "invalid_checkpoint", "pipe"),
        ("kill -9 $$", "no_checkpoint", "final_model"),
        ("exec /no/such/program", "no_checkpoint", "final_model"),
    ],
)
def test_what_is_left_decides_the_outcome(script: str, outcome: str, word: str, tmp_path: Path) -> None:
    record = shell(script, tmp_path, *SHORT)
    assert (record["outcome"], record["scores"]) == (outcome, None)
    assert word in record["reason"]
    assert record["final"] is None


def test_a_program_that_does_not_exist_is_a_result_too(tmp_path: Path) -> None:
    record = run("--agent", "command", *SHORT, "--", "/no/such/program", cwd=tmp_path)
    assert record["outcome"] == "no_checkpoint"
    assert record["session"]["reason"] in ("failed_to_start", "exited")


def test_an_agent_that_edits_its_evaluator_is_found_out_and_gains_nothing(tmp_path: Path) -> None:
    script = f"{COPY}; echo 'print(1.0)' > evaluate.py; rm timer.py; ln -s /etc/passwd timer.py"
    record = shell(script, tmp_path, "--limit", "8")
    assert record["audit"]["verdict"] == "suspect"
    (tamper,) = [finding for finding in record["audit"]["findings"] if finding["check"] == "tamper"]
    assert tamper["status"] == "flag"
    assert "evaluate.py" in tamper["detail"] + tamper["evidence"]
    assert "timer.py" in tamper["detail"] + tamper["evidence"]
    assert record["scores"]["gain"]["value"] == 0


def test_the_session_sees_what_the_pages_promise_and_no_more(tmp_path: Path) -> None:
    script = "ls -A; env | sort; python3 timer.py || true; cat $PTB_PROMPT_FILE | head -3"
    record = run("--agent", "command", *SHORT, "--", "bash", "-c", script, cwd=tmp_path, SECRET_KEY="do-not-leak")
    log = (folder(record, tmp_path) / "session" / "output.log").read_text()
    assert log.splitlines()[:3] == ["evaluate.py", "prompt.md", "timer.py"]
    assert "do-not-leak" not in log
    names = {line.split("=")[0] for line in log.splitlines() if line.startswith("PTB_")}
    assert {
        "PTB_WORKSPACE",
        "PTB_BENCH",
        "PTB_MODEL",
        "PTB_PROMPT_FILE",
        "PTB_DEADLINE",
        "PTB_SEED",
        "PTB_HOURS",
    } <= names


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB."""
    place = tmp_path / "small"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {made.stderr.strip()}")
    yield place
    subprocess.run(["mount", "-o", "remount,rw", str(place)], check=True)
    subprocess.run(["umount", "-l", str(place)], check=True)


LENIENT = """
name = "lenient"
version = 1
title = "Asks for no free disk"
hours = 0.003
grace_seconds = 1
chat_template = "none"
limit = 4
dev_limit = 4
few_shot_baseline = false
min_free_gb = 0
scored = false
"""


def test_too_little_disk_is_a_sentence_before_anything_starts(small_disk: Path, tmp_path: Path) -> None:
    answer = ptb("run", "--agent", "base", *CELL, "--runs-dir", str(small_disk), cwd=tmp_path)
    assert answer.returncode == 5
    assert "GB free" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_disk_that_fills_up_loses_nothing(small_disk: Path, tmp_path: Path) -> None:
    (tmp_path / "protocols").mkdir()
    (tmp_path / "protocols" / "lenient.toml").write_text(LENIENT)
    places = ["--runs-dir", str(small_disk), "--protocols-dir", "protocols"]
    script = f"{COPY}; dd if=/dev/zero of=filler bs=64k 2>/dev/null; true"
    cell = [*CELL[:-1], "lenient"]
    answer = ptb("run", "--agent", "command", *cell, *places, "--", "bash", "-c", script, cwd=tmp_path)
    assert answer.returncode == 5, answer.stdout + answer.stderr
    assert "No space left on device" in answer.stderr
    assert "ptb resume" in answer.stderr
    assert "Traceback" not in answer.stderr
    (filler,) = small_disk.glob("*/workspace/filler")
    filler.unlink()
    answer = ptb("resume", "last", *places, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "scored" in answer.stdout


def test_a_read_only_folder_is_a_sentence(small_disk: Path, tmp_path: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    answer = ptb("run", "--agent", "base", *CELL, "--runs-dir", str(small_disk), cwd=tmp_path)
    assert answer.returncode == 5
    assert "Read-only file system" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_missing_data_is_a_sentence_that_says_where_it_could_come_from(tmp_path: Path) -> None:
    words = ["run", "--agent", "base", "--task", "gsm8k", "--model", "tiny-random", "--protocol", "smoke"]
    answer = ptb(*words, "--cache-dir", "cache", cwd=tmp_path, HF_HUB_OFFLINE="1")
    assert answer.returncode == 4
    assert "--data-dir" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_two_ptb_on_one_run_do_not_meet(tmp_path: Path) -> None:
    record = run("--agent", "command", *SHORT, "--", "true", cwd=tmp_path)
    lock = folder(record, tmp_path) / ".lock"
    (folder(record, tmp_path) / "record.json").unlink()
    with lock.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        answer = ptb("resume", "last", cwd=tmp_path)
    assert answer.returncode == 8
    assert "Another ptb" in answer.stderr
