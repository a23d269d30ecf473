"""The same sandbox under podman, which answers in Docker's language: a service of our own, a session and a job."""

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from docking import LIMITS, OWNER, ended, job, missing, output, spec

from posttrainbench.sandbox.docker import Docker
from posttrainbench.sandbox.engine import Engine

BASE = "ptb/base:bookworm"
SMALL = "localhost/ptb-test-small:latest"
DOCKERFILE = f"FROM localhost/{BASE}\nRUN mkdir -p /opt/venv/bin && ln -s /usr/bin/python3 /opt/venv/bin/python\n"


@pytest.fixture(scope="module")
def podman(engine: Engine) -> Iterator[Engine]:
    """A podman service with storage of its own, and an image in it that has just enough."""
    tool = shutil.which("podman")
    if tool is None:
        missing("podman is not installed", "podman")
        raise AssertionError
    if engine.image(BASE) is None:
        missing(f"the image {BASE}, which podman needs for its tests, is not in the engine")
    # A short path: podman allows its folders fifty characters.
    with tempfile.TemporaryDirectory(prefix="ptb-", dir="/tmp", ignore_cleanup_errors=True) as name:
        own = [tool, "--root", f"{name}/root", "--runroot", f"{name}/run"]
        address = f"unix://{name}/podman.sock"
        with Path(name, "log").open("wb") as log:
            # Its containers' monitors note there what the kernel ended for memory.
            service = subprocess.Popen(
                [*own, "system", "service", "-t", "0", address], stdout=log, stderr=log, cwd=name
            )
        try:
            answering(Engine(address), service, Path(name, "log"))
            with subprocess.Popen(["docker", "save", BASE], stdout=subprocess.PIPE) as saved:
                subprocess.run([*own, "load"], stdin=saved.stdout, check=True, capture_output=True)
            Path(name, "context").mkdir()
            Path(name, "context/Dockerfile").write_text(DOCKERFILE)
            found = Engine(address)
            found.build(
                Path(name, "context"),
                target="",
                tag=SMALL,
                arguments={},
                labels={},
                network="none",
                say=lambda line: None,
            )
            yield found
        finally:
            service.terminate()
            service.wait(30)
            for place in sorted(mounted(name), reverse=True):
                subprocess.run(["umount", "-l", place], check=True)


def mounted(folder: str) -> list[str]:
    """Mount points below a folder: podman leaves its storage mounted."""
    points = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    return [point for point in points if point.startswith(f"{folder}/")]


@pytest.fixture
def box(podman: Engine) -> Docker:
    """A sandbox in podman."""
    image = podman.image(SMALL)
    assert image is not None
    return Docker({"train": image.digest, "eval": image.digest}, podman, limits=LIMITS)


def answering(engine: Engine, service: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until the service answers."""
    until = time.monotonic() + 30
    while not Path(engine.address.removeprefix("unix://")).exists():
        assert time.monotonic() < until and service.poll() is None, log.read_text()
        time.sleep(0.1)
    engine.version()


def test_a_session_is_confined_measured_and_removed(box: Docker, tmp_path: Path) -> None:
    script = "id -u; grep CapEff /proc/self/status; ls /sys/class/net; touch /x /ptb/bench/x $HOME/kept; exit 3"
    of = spec(tmp_path, script)
    handle = box.start(of)
    assert ended(box, of) == "ended"
    box.close(of, handle)
    said = output(of)
    assert "CapEff:\t0000000000000000\nlo\n" in said
    assert said.count("Read-only file system") == 2
    assert int(said.split()[0]) > 0
    assert json.loads((tmp_path / "session/result.json").read_text())["exit_code"] == 3
    assert (tmp_path / "home/kept").exists()
    assert box.engine.containers(ptb__run=of.run) == []


def test_a_session_is_adopted_and_stopped(box: Docker, tmp_path: Path) -> None:
    of = spec(tmp_path, "echo started >> starts; setsid sleep 60 & sleep 60")
    handle = box.start(of)
    assert Docker(engine=box.engine).start(of) == handle
    box.stop(of, handle, "a test")
    assert ended(box, of) == "ended"
    box.close(of, handle)
    assert json.loads((tmp_path / "session/result.json").read_text())["reason"] == "stopped"
    assert (tmp_path / "workspace/starts").read_text() == "started\n"


def test_a_job_reads_writes_and_ends_in_time(box: Docker, tmp_path: Path) -> None:
    done = box.run(job(tmp_path, f"id -u; echo x > {tmp_path}/write/out; touch {tmp_path}/read/x; exit 3"))
    assert (done.exit_code, done.timed_out) == (3, False)
    assert "Read-only file system" in done.tail
    assert (tmp_path / "write/out").read_text() == "x\n"
    slow = box.run(job(tmp_path, "sleep 60", seconds=1.0))
    assert slow.timed_out
    assert box.engine.containers(ptb__owner=OWNER, ptb__role="job") == []


def test_what_podman_would_leave_writable_is_not(box: Docker, tmp_path: Path) -> None:
    of = spec(tmp_path, "touch /run/x /run/lock/x /var/tmp/x")
    box.start(of)
    assert ended(box, of) == "ended"
    box.close(of, None)
    assert output(of).count("Read-only file system") == 3


def test_memory_that_is_used_up_is_an_incident(box: Docker, tmp_path: Path) -> None:
    few = msgspec.structs.replace(LIMITS, memory_bytes=2**27)
    small = Docker(box._planned, box.engine, limits=few)
    of = spec(tmp_path, "python -c 'x = bytearray(2**29)'; echo survived")
    small.start(of)
    assert ended(small, of) == "ended"
    small.close(of, None)
    assert (output(of).split()[-1], [kind for kind, _ in small.incidents(of, None)]) == ("survived", ["out_of_memory"])
