"""The supervisor alone, as a program, against commands that behave badly. No sandbox around them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from posttrainbench import supervisor
from posttrainbench.supervisor.usage import SAMPLE_SECONDS, Usage

PYTHON = sys.executable


def lay(folder: Path, command: list[str], **changes: object) -> Path:
    """A session folder with a spec, ready for the supervisor."""
    session, workspace = folder / "session", folder / "workspace"
    session.mkdir()
    workspace.mkdir()
    spec = {
        "command": command,
        "resume_command": [],
        "workspace": str(workspace),
        "env": {"PATH": os.environ["PATH"], "MARK": str(folder)},
        "seconds": 20.0,
        "grace_seconds": 1.0,
        "max_output_bytes": 10_000,
        "early_stop_times": 0,
        "early_stop_seconds_left": 0.0,
    }
    (session / "spec.json").write_text(json.dumps(spec | changes))
    return session


def begin(session: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([PYTHON, supervisor.PROGRAM, str(session)])


def run(folder: Path, command: list[str], **changes: object) -> dict:
    session = lay(folder, command, **changes)
    assert begin(session).wait(90) == 0
    return json.loads((session / "result.json").read_text())


def output(folder: Path) -> bytes:
    return (folder / "session" / "output.log").read_bytes()


def marked(folder: Path) -> list[int]:
    """Processes that inherited this test's environment."""
    found = []
    for path in [Path("/proc", name, "environ") for name in os.listdir("/proc") if name.isdigit()]:
        try:
            alive = path.with_name("stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
            if alive and f"MARK={folder}".encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def eventually(condition, seconds: float = 20.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_a_command_that_ends(tmp_path):
    result = run(tmp_path, ["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (result["reason"], result["exit_code"], result["signal"], result["killed"]) == ("exited", 3, None, 0)
    assert output(tmp_path) == b"out\nerr\n"
    assert result["output_bytes"] == result["kept_bytes"] == 8
    assert [turn["exit_code"] for turn in result["turns"]] == [3]


def test_a_command_that_exits_1_at_once(tmp_path):
    result = run(tmp_path, ["false"])
    assert (result["reason"], result["exit_code"]) == ("exited", 1)


def test_a_command_that_kills_itself(tmp_path):
    result = run(tmp_path, ["sh", "-c", "kill -9 $$"])
    assert (result["reason"], result["exit_code"], result["signal"]) == ("exited", None, 9)


def test_a_command_that_does_not_exist(tmp_path):
    result = run(tmp_path, ["/nowhere/agent"])
    assert (result["reason"], result["exit_code"], result["turns"]) == ("failed_to_start", None, [])
    assert "/nowhere/agent" in result["detail"]


def test_the_command_sees_an_empty_stdin_its_environment_and_its_deadline(tmp_path):
    run(tmp_path, ["sh", "-c", "cat; env"])
    lines = dict(line.split("=", 1) for line in output(tmp_path).decode().splitlines())
    started = json.loads((tmp_path / "session" / "started.json").read_text())
    assert float(lines.pop("PTB_DEADLINE")) == started["deadline"] == pytest.approx(started["monotonic"] + 20)
    assert set(lines) - {"PWD", "_", "SHLVL", "OLDPWD"} == {"PATH", "MARK"}


def test_the_deadline_ends_a_command_that_sleeps(tmp_path):
    result = run(tmp_path, ["sleep", "100"], seconds=1.0)
    assert (result["reason"], result["signal"], result["killed"]) == ("deadline", 15, 1)
    assert 1 <= result["seconds"] < 10


def test_overtime_comes_after_the_deadline_that_the_command_knows(tmp_path):
    script = "import os, time; time.sleep(float(os.environ['PTB_DEADLINE']) - time.monotonic() + 1); print('late')"
    result = run(tmp_path, [PYTHON, "-c", script], seconds=1.0, overtime_seconds=30.0)
    assert (result["reason"], result["exit_code"], output(tmp_path)) == ("exited", 0, b"late\n")
    assert result["seconds"] > 2


def test_after_its_overtime_a_command_is_ended(tmp_path):
    result = run(tmp_path, ["sleep", "100"], seconds=0.5, overtime_seconds=1.0)
    assert (result["reason"], result["signal"]) == ("deadline", 15)
    assert 1.5 <= result["seconds"] < 20


def test_in_overtime_nothing_is_continued(tmp_path):
    more = {"resume_command": ["sh", "-c", "echo again"], "early_stop_times": 3, "overtime_seconds": 20.0}
    result = run(tmp_path, ["sleep", "2"], seconds=1.0, **more)
    assert (result["reason"], len(result["turns"]), output(tmp_path)) == ("exited", 1, b"")


def test_sigterm_may_be_used_to_save(tmp_path):
    script = "trap 'echo saved; exit 0' TERM; echo up; while :; do sleep 0.1; done"
    result = run(tmp_path, ["sh", "-c", script], seconds=1.0, grace_seconds=10.0)
    assert (result["reason"], result["exit_code"]) == ("deadline", 0)
    assert output(tmp_path).startswith(b"up\n")
    assert output(tmp_path).endswith(b"saved\n")
    assert result["seconds"] < 9


def test_a_command_that_ignores_sigterm_is_killed_after_the_grace(tmp_path):
    script = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(100)"
    result = run(tmp_path, [PYTHON, "-c", script], seconds=1.5)
    assert (result["reason"], result["signal"]) == ("deadline", 9)
    assert 2.5 <= result["seconds"] < 15


TREE = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(3):
    subprocess.Popen(["sh", "-c", "trap '' TERM; sleep 100 & sleep 100; wait"])
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    time.sleep(100)
print("up", flush=True)
time.sleep(100)
"""


def test_a_tree_dies_with_those_that_left_its_session(tmp_path):
    result = run(tmp_path, [PYTHON, "-c", TREE], seconds=2.0)
    assert result["reason"] == "deadline"
    assert result["killed"] >= 8
    assert marked(tmp_path) == []


FORKS = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
end = time.monotonic() + 30  # A supervisor that fails the test must not cost the machine more than this.
for _ in range(2):
    if os.fork() == 0:
        break
while time.monotonic() < end:  # Each process lives for a moment only: who is seen has already passed the torch on.
    if os.fork():
        os._exit(0)
    if sys.argv[1] == "leave":
        os.setsid()
"""


@pytest.mark.parametrize("group", ["stay", "leave"])
def test_a_tree_that_forks_while_it_is_killed(tmp_path, group):
    result = run(tmp_path, [PYTHON, "-c", FORKS, group], seconds=1.0, grace_seconds=0.3)
    assert result["seconds"] < 30
    assert marked(tmp_path) == []


def test_what_a_command_leaves_behind_is_killed_and_counted(tmp_path):
    result = run(tmp_path, ["sh", "-c", "setsid sleep 100 & sleep 100 & echo bye"])
    assert (result["reason"], result["exit_code"], result["killed"]) == ("exited", 0, 2)
    assert result["seconds"] < 15
    assert marked(tmp_path) == []


def test_a_command_that_closes_its_output_lives_on(tmp_path):
    result = run(tmp_path, ["sh", "-c", "exec >&- 2>&-; sleep 1; exit 4"])
    assert (result["reason"], result["exit_code"]) == ("exited", 4)
    assert result["seconds"] >= 1


def test_much_output_is_bounded_on_disk_and_in_memory(tmp_path):
    session = lay(tmp_path, ["sh", "-c", "echo first; yes | head -c 300000000; echo last"], max_output_bytes=1_000_000)
    child = begin(session)
    peak = 0
    while child.poll() is None:
        try:
            status = Path(f"/proc/{child.pid}/status").read_text()
            peak = max([peak, *(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))])
        except OSError:
            pass
        assert sum(path.stat().st_size for path in session.iterdir() if path.exists()) < 2_000_000
        time.sleep(0.05)
    result = json.loads((session / "result.json").read_text())
    text = output(tmp_path)
    assert (result["reason"], result["output_bytes"], result["kept_bytes"]) == ("exited", 300_000_011, 1_000_000)
    assert text.startswith(b"first\ny\n")
    assert text.endswith(b"y\nlast\n")
    assert b"[299000011 bytes of output were dropped here]" in text
    assert peak < 60_000  # kB


def test_output_just_at_the_bound_is_whole(tmp_path):
    result = run(tmp_path, [PYTHON, "-c", "print('a' * 99)"], max_output_bytes=100)
    assert output(tmp_path) == b"a" * 99 + b"\n"
    assert result["kept_bytes"] == 100


def test_output_that_is_no_text_is_stored_as_it_came(tmp_path):
    run(tmp_path, ["printf", r"\377\376\000ok"])
    assert output(tmp_path) == b"\xff\xfe\x00ok"


def test_the_index_says_when_output_came(tmp_path):
    run(tmp_path, ["sh", "-c", "for i in 1 2 3 4; do echo $i; sleep 0.7; done"])
    rows = [json.loads(line) for line in (tmp_path / "session" / "output.index").read_text().splitlines()]
    times, offsets = [row["t"] for row in rows], [row["offset"] for row in rows]
    assert len(rows) >= 2
    assert times == sorted(times)
    assert offsets == sorted(offsets)
    assert offsets[0] == 0
    assert offsets[-1] < 8


def test_telemetry_sees_the_load(tmp_path):
    run(tmp_path, [PYTHON, "-c", "while True: pass"], seconds=6.5)
    samples = [json.loads(line) for line in (tmp_path / "session" / "telemetry.jsonl").read_text().splitlines()]
    assert len(samples) >= 2
    assert samples[0]["t"] < 3
    assert samples[1]["cpu_percent"] > 5
    assert samples[1]["memory_mb"] > 1
    assert samples[1]["processes"] == 1
    assert samples[1]["disk_free_mb"] > 0


def test_a_command_that_stops_early_is_continued(tmp_path):
    result = run(
        tmp_path,
        ["sh", "-c", "echo first"],
        resume_command=["sh", "-c", "echo again; exit 5"],
        early_stop_times=2,
    )
    assert output(tmp_path) == b"first\nagain\nagain\n"
    assert [turn["exit_code"] for turn in result["turns"]] == [0, 5, 5]
    assert (result["reason"], result["exit_code"]) == ("exited", 5)
    starts = [turn["start"] for turn in result["turns"]]
    assert starts == sorted(starts)


def test_a_command_that_stops_late_is_not_continued(tmp_path):
    result = run(tmp_path, ["true"], resume_command=["true"], early_stop_times=2, early_stop_seconds_left=30.0)
    assert len(result["turns"]) == 1


def test_the_deadline_holds_in_a_continuation(tmp_path):
    result = run(tmp_path, ["true"], resume_command=["sleep", "100"], early_stop_times=5, seconds=1.5)
    assert (result["reason"], len(result["turns"])) == ("deadline", 2)


def test_a_continuation_that_cannot_start_does_not_undo_the_session(tmp_path):
    result = run(tmp_path, ["true"], resume_command=["/nowhere/agent"], early_stop_times=1)
    assert (result["reason"], result["exit_code"], len(result["turns"])) == ("exited", 0, 1)
    assert "/nowhere/agent" in result["detail"]


@pytest.mark.parametrize("how", ["file", "signal"])
def test_stop(tmp_path, how):
    session = lay(tmp_path, ["sh", "-c", "sleep 100 & sleep 100"])
    child = begin(session)
    assert eventually(lambda: len(marked(tmp_path)) == 3)
    if how == "file":
        (session / "stop").touch()
    else:
        child.send_signal(signal.SIGTERM)
    assert child.wait(30) == 0
    assert json.loads((session / "result.json").read_text())["reason"] == "stopped"
    assert marked(tmp_path) == []


def test_of_two_supervisors_one_runs(tmp_path):
    session = lay(tmp_path, ["sh", "-c", "echo once >> count; sleep 0.5"])
    children = [begin(session) for _ in range(4)]
    assert [child.wait(60) for child in children] == [0, 0, 0, 0]
    assert begin(session).wait(30) == 0  # A later one finds the claim.
    assert (tmp_path / "workspace" / "count").read_text() == "once\n"
    assert json.loads((session / "result.json").read_text())["exit_code"] == 0


def test_the_command_dies_with_a_supervisor_that_is_killed(tmp_path):
    session = lay(tmp_path, ["sleep", "100"])
    child = begin(session)
    assert eventually(lambda: len(marked(tmp_path)) == 1)
    child.kill()
    child.wait()
    assert eventually(lambda: marked(tmp_path) == [])
    assert not (session / "result.json").exists()


def test_a_full_disk_costs_output_but_not_the_result(tmp_path):
    session = lay(tmp_path, ["sh", "-c", "yes | head -c 3000000; echo end; exit 6"], max_output_bytes=4_000_000)
    script = f"""
        mount -t tmpfs -o size=256k none {tmp_path}/small || exit 77
        cp {session}/spec.json {tmp_path}/small && {PYTHON} {supervisor.PROGRAM} {tmp_path}/small || exit 1
        cp {tmp_path}/small/result.json {session}
    """
    (tmp_path / "small").mkdir()
    try:
        code = subprocess.run(["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script]).returncode
    except FileNotFoundError:
        code = 77
    if code in (1, 77) and not (session / "result.json").exists() and not can_mount(tmp_path):
        pytest.skip("a tmpfs of one's own cannot be mounted here")
    assert code == 0
    result = json.loads((session / "result.json").read_text())
    assert (result["reason"], result["exit_code"], result["output_bytes"]) == ("exited", 6, 3_000_004)
    assert 0 < result["kept_bytes"] < 256_000
    assert "could not be written" in result["detail"]


def can_mount(folder: Path) -> bool:
    command = ["unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", str(folder)]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("hangs", [False, True])
def test_telemetry_of_gpus_comes_from_a_program_that_may_hang(tmp_path, hangs):
    program = tmp_path / "nvidia-smi"
    row = "echo '0, 87, 1024, 81559, 310.55, [N/A]'"
    program.write_text(f"#!/bin/sh\n{'exec sleep 100' if hangs else row}\n")
    program.chmod(0o755)
    session = lay(tmp_path, ["sleep", "100"], seconds=6.0 if hangs else 2.0, grace_seconds=0.5)
    env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    assert subprocess.run([PYTHON, supervisor.PROGRAM, str(session)], env=env, timeout=60).returncode == 0
    first = json.loads((session / "telemetry.jsonl").read_text().splitlines()[0])
    known = {"index": 0, "utilization.gpu": 87, "memory.used": 1024, "memory.total": 81559, "power.draw": 310.55}
    assert first["gpus"] == ([] if hangs else [known])
    result = json.loads((session / "result.json").read_text())
    assert (result["reason"], result["killed"]) == ("deadline", 1)


def lay_folders(tmp_path: Path, command: list[str], limit: int) -> Path:
    """A session whose folders are measured, `limit` bytes at most."""
    folders = {name: str(tmp_path / name) for name in ("home", "tmp")}
    for folder in folders.values():
        os.mkdir(folder)
    return lay(tmp_path, command, max_disk_bytes=limit, **folders)


def measured(tmp_path: Path, *names: str, limit: int = 0) -> Usage:
    """A whole walk through folders."""
    usage = Usage([str(tmp_path / name) for name in names], limit)
    while not usage.whole:
        usage.due = 0
        usage.tick()
    return usage


def test_folders_that_take_too_much_end_the_session(tmp_path):
    script = "mkdir ../home/deep; for i in 1 2 3 4 5 6; do head -c 1000000 /dev/zero > ../home/deep/$i; done; sleep 60"
    session = lay_folders(tmp_path, ["sh", "-c", script], 5_000_000)
    begun = time.monotonic()
    assert begin(session).wait(60) == 0
    result = json.loads((session / "result.json").read_text())
    assert (result["reason"], result["exit_code"]) == ("disk_limit", None)
    assert re.fullmatch(r"Its folders took 0\.01 GB on the disk, of 0\.01 GB at most\.", result["detail"])
    assert time.monotonic() - begun < 3 * SAMPLE_SECONDS


def test_a_single_file_is_held_to_the_limit_by_the_kernel(tmp_path):
    session = lay_folders(tmp_path, ["sh", "-c", "head -c 9000000 /dev/zero > file; stat -c %s file"], 5_000_000)
    assert begin(session).wait(60) == 0
    assert output(tmp_path).split()[-1] == b"5000000"


def test_a_sample_says_what_the_folders_take(tmp_path):
    script = "head -c 4000000 /dev/zero > file; sync file; sleep 11"
    session = lay_folders(tmp_path, ["sh", "-c", script], 0)
    assert begin(session).wait(60) == 0
    samples = [json.loads(line) for line in (session / "telemetry.jsonl").read_text().splitlines()]
    assert 3.5 < samples[-1]["disk_used_mb"] < 4.5


def test_links_are_not_followed_and_names_of_one_file_count_once(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_bytes(bytes(3_000_000))
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    (tmp_path / "one/file").write_bytes(bytes(1_000_000))
    for name in ("one/again", "two/again"):
        os.link(tmp_path / "one/file", tmp_path / name)
    os.symlink(tmp_path / "outside", tmp_path / "one/link")
    os.symlink(tmp_path / "outside/file", tmp_path / "one/file-link")
    os.symlink(tmp_path / "outside", tmp_path / "three")
    (tmp_path / "one/sparse").touch()
    os.truncate(tmp_path / "one/sparse", 10**12)
    assert 1_000_000 <= measured(tmp_path, "one", "two", "three", "four").used < 1_050_000


def test_a_tree_of_any_depth_is_measured_in_slices(tmp_path):
    deep = os.open(tmp_path, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d" * 20, dir_fd=deep)
        inner = os.open("d" * 20, os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = inner
    with os.fdopen(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=deep), "wb") as file:
        file.write(bytes(50_000_000))
    os.close(deep)
    usage = Usage([str(tmp_path)], 0)
    longest = 0.0
    while not usage.whole:
        before = time.monotonic()
        usage.due = 0
        usage.tick()
        longest = max(longest, time.monotonic() - before)
    assert usage.used > 50_000_000
    assert longest < 1
    subprocess.run(["rm", "-rf", str(tmp_path / ("d" * 20))], check=True)


def test_one_walk_over_the_limit_is_not_enough(tmp_path):
    """What is moved while it is walked past may be counted twice."""
    (tmp_path / "one").mkdir()
    (tmp_path / "one/file").write_bytes(bytes(1_000_000))
    usage = measured(tmp_path, "one", limit=900_000)
    assert not usage.exceeded
    os.truncate(tmp_path / "one/file", 0)
    usage.tick()
    assert not usage.exceeded
    (tmp_path / "one/file").write_bytes(bytes(1_000_000))
    for _ in range(2):
        usage.due = 0
        usage.tick()
    assert usage.exceeded


def test_files_without_content_take_a_share_too(tmp_path):
    """A disk has so many inodes; what one run takes of them, no other can have."""
    script = "mkdir many; cd many; seq 2000 | xargs touch; sleep 60"
    session = lay_folders(tmp_path, ["sh", "-c", script], 16_384_000)
    assert begin(session).wait(60) == 0
    result = json.loads((session / "result.json").read_text())
    assert result["reason"] == "disk_limit"
    assert re.fullmatch(r"Its folders held 1,0\d\d files, of 1,000 at most\.", result["detail"])


HEADLESS = """
import ctypes, os, signal, sys, threading, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
def work():
    while True:
        time.sleep(0.1)
threading.Thread(target=work).start()
if sys.argv[1:] == ["child"] and os.fork():
    os._exit(0)
threading.Thread(target=work).start()
ctypes.CDLL(None).pthread_exit(None)
"""


@pytest.mark.parametrize("words", [[], ["child"]], ids=["command", "child"])
def test_a_process_whose_first_thread_ended_is_no_corpse(tmp_path, words):
    """/proc calls it a zombie, but its other threads go on."""
    result = run(tmp_path, [PYTHON, "-c", HEADLESS, *words], seconds=2.0)
    assert result["killed"] == 1
    assert (result["reason"], result["seconds"] < 20) == ("exited" if words else "deadline", True)
    assert marked(tmp_path) == []


BLIND = """
import resource, subprocess, time
from posttrainbench.supervisor.processes import Tree
tree, (_, most) = Tree(contained=False), resource.getrlimit(resource.RLIMIT_NOFILE)
script = "trap '' TERM; for i in $(seq 300); do sleep 0.1; done"
tree.main = subprocess.Popen(["sh", "-c", script], start_new_session=True)
def meanwhile(seconds):
    time.sleep(seconds)
    if tree.main.poll() is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
resource.setrlimit(resource.RLIMIT_NOFILE, (3, most))
tree.end(0.1, meanwhile)
print(tree.main.poll())
"""


def test_what_cannot_be_listed_is_ended_all_the_same():
    """An agent may use up the descriptors of the whole host, and /proc cannot be read without one."""
    said = subprocess.run([PYTHON, "-c", BLIND], capture_output=True, text=True, timeout=60)
    assert (said.stdout, said.stderr) == ("-9\n", "")
