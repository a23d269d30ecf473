"""Agents that do their worst: the session ends as it should, and the neighbour does not notice."""

import json
import os
import time
from pathlib import Path

import msgspec
import pytest
from docking import LIMITS, ended, output, spec

from posttrainbench.sandbox import container
from posttrainbench.sandbox.docker import Docker
from posttrainbench.sandbox.engine import Engine

SMALL = msgspec.structs.replace(LIMITS, memory_bytes=300 * 2**20, pids=100, cpus=1)
FORKS = "bomb() { bomb | bomb & }; bomb; sleep 2; echo still here"
STUBBORN_FORKS = """
import os, signal
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
while True:
    try:
        if os.fork() == 0:
            os.setsid()
    except OSError:
        pass
"""
MEMORY = """
for i in 1 2 3; do python -c 'x = [bytearray(2**20) for _ in range(2000)]' & done; wait; echo survived
"""
SIGNALS = "(trap '' TERM; kill -9 -1; kill -9 1 7; kill -TERM 1; killall5 -9; pkill -9 -f supervisor); echo survived"
READS = """
for place in / /proc/1/root /proc/1/cwd /proc/7/root /proc/7/fd; do
    ls $place/work $place/runs $place/host 2>/dev/null
done
find / -xdev \\( -name docker.sock -o -name containerd.sock -o -name '*.lease' -o -name sealed \\) 2>/dev/null
grep -r "the sealed answer" / --include='*.jsonl' -s | head -n 1
dd if=/dev/vda of=/dev/null bs=1 count=1 2>/dev/null && echo read the disk
mount -t proc proc /tmp 2>/dev/null && echo mounted
unshare -Ur true 2>/dev/null && mount --bind / /tmp 2>/dev/null && echo mounted
chroot / true 2>/dev/null && echo changed root
echo done
"""
WORKSPACE = r"""
mkdir -p final_model && cd final_model
ln -s /etc/passwd config.json; ln -s /ptb/session session; ln -s . loop; mkfifo model.safetensors
mkdir -p "$(printf 'line\nbreak')" ' .. ' && touch "$(printf 'line\nbreak')/$(printf '\377')"
python -c 'import os; [open(f"file-{i}", "w").close() for i in range(10000)]'
python -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")'
chmod 0 . ; chmod 6777 ../evil 2>/dev/null; echo done
"""

HEADLESS = """
import ctypes, signal, threading, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
threading.Thread(target=lambda: [time.sleep(0.1) for _ in range(10**6)]).start()
print("up", flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""
UNDEAD = """
import ctypes, os, signal, time
for number in (signal.SIGTERM, signal.SIGCHLD):
    signal.signal(number, signal.SIG_IGN if number == signal.SIGTERM else signal.SIG_DFL)
libc = ctypes.CDLL(None)
for kind in ("zombie", "stopped", "traced"):
    for _ in range(10):
        if os.fork() == 0:
            os.setsid()
            if kind == "traced":
                libc.ptrace(0, 0, None, None)
            if kind != "zombie":
                os.kill(os.getpid(), signal.SIGSTOP)
            os._exit(0)
if libc.vfork() == 0:
    time.sleep(1000)
"""
FLOOD = "tr '\\0' '{' < /dev/zero"
EMPTY = """
import os
for folder in range(100):
    os.makedirs(f"/tmp/many/{folder}")
    for name in range(1000):
        os.close(os.open(f"/tmp/many/{folder}/{name}", os.O_CREAT))
while True:
    pass
"""
HOARD = """
import os
open("/proc/self/oom_score_adj", "w").write("0")
handle = os.memfd_create("hoard")
while True:
    os.write(handle, bytes(1 << 16))
"""


@pytest.fixture
def small(engine: Engine) -> Docker:
    """A sandbox that is soon full."""
    return Docker(engine=engine, limits=SMALL)


def result(folder: Path) -> dict[str, object]:
    value: dict[str, object] = json.loads((folder / "session/result.json").read_text())
    return value


@pytest.mark.parametrize("script", [FORKS, STUBBORN_FORKS], ids=["shell", "stubborn"])
def test_a_fork_bomb_is_bounded_and_killed_beside_a_quiet_neighbour(script: str, small: Docker, tmp_path: Path) -> None:
    quiet = spec(tmp_path / "quiet", "for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.5; done")
    loud = spec(tmp_path / "loud", script, seconds=4.0, grace_seconds=0.5)
    if script == STUBBORN_FORKS:
        loud = msgspec.structs.replace(loud, command=["python", "-c", script])
    small.start(quiet)
    small.start(loud)
    assert ended(small, loud) == "ended"
    assert ended(small, quiet) == "ended"
    small.close(loud, None)
    small.close(quiet, None)
    assert result(tmp_path / "quiet")["reason"] == "exited"
    assert output(quiet).split() == list("12345678")
    assert result(tmp_path / "loud")["seconds"] < 40  # type: ignore[operator]
    assert small.engine.containers(ptb__run=loud.run) == []


def test_a_memory_bomb_ends_the_agent_s_processes_not_the_supervisor(small: Docker, tmp_path: Path) -> None:
    of = spec(tmp_path, MEMORY)
    small.start(of)
    assert ended(small, of) == "ended"
    small.close(of, None)
    assert result(tmp_path)["reason"] == "exited"
    assert [kind for kind, _ in small.incidents(of, None)] == ["out_of_memory"]


def test_signals_do_not_reach_the_supervisor(small: Docker, tmp_path: Path) -> None:
    of = spec(tmp_path, SIGNALS)
    small.start(of)
    assert ended(small, of) == "ended"
    small.close(of, None)
    assert result(tmp_path)["reason"] == "exited"


def test_nothing_of_host_other_runs_engine_or_test_can_be_found(small: Docker, tmp_path: Path) -> None:
    other = tmp_path / "other/sealed"
    other.mkdir(parents=True)
    (other / "questions.jsonl").write_text('{"answer": "the sealed answer"}\n')
    of = spec(tmp_path / "one", READS)
    small.start(of)
    assert ended(small, of) == "ended"
    small.close(of, None)
    assert output(of) == "done\n"


def test_a_workspace_full_of_traps_is_taken_over_whole(small: Docker, tmp_path: Path) -> None:
    of = spec(tmp_path, WORKSPACE)
    small.start(of)
    assert ended(small, of) == "ended"
    small.close(of, None)
    assert output(of).endswith("done\n")
    assert len(os.listdir(tmp_path / "workspace/final_model")) >= 10_000
    assert small.engine.containers(ptb__run=of.run) == []


def test_memory_that_is_a_file_counts_and_a_fixed_share_of_it_is_shared(small: Docker, tmp_path: Path) -> None:
    of = spec(tmp_path, "head -c 1G /dev/zero > /dev/shm/x; du -m /dev/shm/x | cut -f1")
    small.start(of)
    assert ended(small, of) == "ended"
    small.close(of, None)
    assert output(of).split()[-1] == "64"


def test_a_full_disk_ends_no_supervisor(small: Docker, tmp_path: Path) -> None:
    """The workspace lies on a small file system of its own, which the agent fills."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.system(f"mount -t tmpfs -o size=32m tmpfs {disk}"):
        pytest.skip("only root may mount")
    try:
        of = spec(disk / "one", "head -c 100M /dev/zero > full; echo written; sleep 1")
        small.start(of)
        assert ended(small, of) == "ended"
        small.close(of, None)
        assert result(disk / "one")["reason"] == "exited"
    finally:
        time.sleep(0.2)
        os.system(f"umount -l {disk}")


HIDDEN = "mkdir -p hidden; for i in 1 2 3 4 5 6; do head -c 4M /dev/zero > hidden/$i; done; chmod 0 hidden; sleep 60"


def test_a_disk_fill_ends_the_session_where_only_its_user_may_read_too(small: Docker, tmp_path: Path) -> None:
    of = spec(tmp_path, HIDDEN, max_disk_bytes=20_000_000)
    small.start(of)
    assert ended(small, of) == "ended"
    small.close(of, None)
    assert result(tmp_path)["reason"] == "disk_limit"


def test_files_without_content_end_the_session_before_the_disk_has_no_room_for_names(
    small: Docker, tmp_path: Path
) -> None:
    of = spec(tmp_path, "", command=["python", "-c", EMPTY], max_disk_bytes=100_000_000)
    small.start(of)
    assert ended(small, of) == "ended"
    small.close(of, None)
    assert result(tmp_path)["reason"] == "disk_limit"
    assert "of 6,103 at most" in str(result(tmp_path)["detail"])


def test_output_without_end_or_newline_neither_delays_the_deadline_nor_fills_the_disk(
    small: Docker, tmp_path: Path
) -> None:
    of = spec(tmp_path, FLOOD, seconds=3.0)
    small.start(of)
    assert ended(small, of) == "ended"
    small.close(of, None)
    found = result(tmp_path)
    assert found["reason"] == "deadline"
    assert found["output_bytes"] > 10 * of.max_output_bytes  # type: ignore[operator]
    assert (tmp_path / "session/output.log").stat().st_size < of.max_output_bytes + 100


@pytest.mark.parametrize("script", [HEADLESS, UNDEAD], ids=["headless", "undead"])
def test_what_looks_dead_is_ended_at_the_deadline(script: str, small: Docker, tmp_path: Path) -> None:
    of = spec(tmp_path, "", command=["python", "-c", script], seconds=3.0, grace_seconds=0.5)
    small.start(of)
    assert ended(small, of) == "ended"
    small.close(of, None)
    found = result(tmp_path)
    assert (found["reason"], "could not be ended" in str(found["detail"])) == ("deadline", False)
    assert small.engine.containers(ptb__run=of.run) == []


def test_memory_that_counts_for_no_process_ends_the_agent_or_is_told(small: Docker, tmp_path: Path) -> None:
    of = spec(tmp_path, "", command=["python", "-I", "-S", "-c", HOARD])
    small.start(of)
    state = ended(small, of)
    small.close(of, None)
    assert small.engine.containers(ptb__run=of.run) == []
    told = [kind for kind, _ in small.incidents(of, None)]
    if state == "ended":
        assert told == ["out_of_memory"]
    else:
        assert told[-1] == "supervisor_lost"
        assert not container.holds_memory()
        assert any("hoards memory" in gap for gap in small.isolation())
