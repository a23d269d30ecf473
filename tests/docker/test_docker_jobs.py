"""Jobs in containers: what they may, how they end, and what a killed ptb leaves of them."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from docking import LIMITS, OWNER, job, until

from posttrainbench.errors import InfrastructureError
from posttrainbench.sandbox import garbage
from posttrainbench.sandbox.docker import Docker
from posttrainbench.sandbox.engine import Engine
from posttrainbench.sandbox.leases import Leases

HOLD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from docking import LIMITS, job
from posttrainbench.sandbox.docker import Docker
where = sys.argv[2]
script = f"touch {where}/write/began; while :; do date >> {where}/write/alive; sleep 0.1; done"
Docker(limits=LIMITS).run(job(Path(where), script))
"""


def jobs(engine: Engine) -> list[str]:
    """States of this test's jobs."""
    return [one.state for one in engine.containers(ptb__owner=OWNER, ptb__role="job")]


def test_a_job_reads_and_writes_what_it_was_given_and_nothing_else(box: Docker, tmp_path: Path) -> None:
    of = job(
        tmp_path,
        f"cat {tmp_path}/read/in; echo x > {tmp_path}/write/out; touch {tmp_path}/read/x {tmp_path}/x /x; "
        "ls /sys/class/net; grep CapEff /proc/self/status; test $(id -u) -gt 0 && exit 3",
    )
    (tmp_path / "read/in").write_text("given\n")
    result = box.run(of)
    assert (result.exit_code, result.timed_out) == (3, False)
    assert "given\n" in result.tail
    assert "lo\nCapEff:\t0000000000000000\n" in result.tail
    assert (tmp_path / "write/out").read_text() == "x\n"
    assert not (tmp_path / "read/x").exists() and not (tmp_path / "x").exists()
    assert (tmp_path / "job.log").read_text() == result.tail
    assert jobs(box.engine) == []


def test_time_memory_and_the_log_are_bounded(box: Docker, tmp_path: Path) -> None:
    slow = box.run(job(tmp_path, "(setsid sleep 60 &) ; sleep 60", seconds=1.5))
    assert slow.timed_out and slow.seconds < 30
    small = Docker(engine=box.engine, limits=msgspec.structs.replace(LIMITS, memory_bytes=2**26, pids=50))
    hungry = small.run(job(tmp_path, "python -c 'x = bytearray(2**29)'; exec python -c 'x = bytearray(2**29)'"))
    assert hungry.exit_code == 137
    # Podman does not say why a process was killed, and a job has no supervisor that could.
    assert "used all its memory" in hungry.tail or box.engine.is_podman()
    loud = box.run(job(tmp_path, "head -c 90000000 /dev/zero | tr '\\0' x; echo; echo the end"))
    assert (tmp_path / "job.log").stat().st_size < 2**26 + 100
    assert loud.tail.endswith("the end\n")
    assert jobs(box.engine) == []


def test_a_job_dies_with_a_killed_ptb_and_its_container_is_collected(box: Docker, tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(Path(__file__).parent.parent), str(tmp_path)]
    with subprocess.Popen(command) as process:
        until((tmp_path / "write/began").exists)
        process.send_signal(signal.SIGKILL)
    until(lambda: jobs(box.engine) == ["exited"])
    size = (tmp_path / "write/alive").stat().st_size
    time.sleep(0.5)
    assert (tmp_path / "write/alive").stat().st_size == size
    leases = Leases(box.engine, tmp_path / "leases", list)
    found = [item for item in garbage.find(box.engine, leases) if item.kind == "container"]
    assert [item.why for item in found] == ["its ptb is gone"]
    garbage.remove(box.engine, leases, found)
    assert jobs(box.engine) == []


def test_the_next_job_sweeps_what_a_killed_ptb_left(box: Docker, tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(Path(__file__).parent.parent), str(tmp_path)]
    with subprocess.Popen(command) as process:
        until((tmp_path / "write/began").exists)
        process.kill()
    assert box.run(job(tmp_path, "true")).exit_code == 0
    assert jobs(box.engine) == []


def test_an_interrupt_leaves_no_job(box: Docker, tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(Path(__file__).parent.parent), str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        until((tmp_path / "write/began").exists)
        process.send_signal(signal.SIGINT)
    assert jobs(box.engine) == []


def test_only_the_planned_image_is_run(engine: Engine, tmp_path: Path) -> None:
    other = Docker({"eval": "sha256:" + "0" * 64, "train": "sha256:" + "0" * 64}, engine, limits=LIMITS)
    with pytest.raises(InfrastructureError, match="plan's eval image sha256:000000000000 is not on this host"):
        other.run(job(tmp_path, "true"))
