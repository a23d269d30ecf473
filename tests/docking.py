"""Containers in tests: an engine or a reason why not, session specs below a folder, and waiting."""

import os
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from posttrainbench.errors import PtbError
from posttrainbench.sandbox import JobSpec, Mounts, SessionSpec, images
from posttrainbench.sandbox.container import Limits
from posttrainbench.sandbox.docker import Docker
from posttrainbench.sandbox.engine import Engine

OWNER = f"test-{os.getpid()}"
"""Each test process is an owner of its own, so that several may share an engine."""
ENVIRONMENT = {"PTB_OWNER": OWNER, "PTB_IMAGES": "cpu"}
LIMITS = Limits(memory_bytes=2**30, cpus=2, pids=300, shared_memory_bytes=2**26, tmp_bytes=2**26)
FOLDERS = ("session", "workspace", "bench", "model", "agent", "home", "tmp")


def reachable() -> Engine:
    """The engine; a test without one is skipped, or fails where PTB_REQUIRE asks for docker."""
    engine = Engine()
    try:
        engine.version()
        images.digests(engine, "cpu")
    except PtbError as error:
        missing(str(error))
    return engine


def missing(what: str, tool: str = "docker") -> None:
    """Skip, or fail where PTB_REQUIRE asks for the tool."""
    if tool in os.environ.get("PTB_REQUIRE", "").split(","):
        pytest.fail(f"{tool} is required here: {what}")
    pytest.skip(what)


def spec(folder: Path, script: str, **changes: Any) -> SessionSpec:
    """A session that runs a shell script, with its folders below `folder`."""
    paths = {name: folder / name for name in FOLDERS}
    for path in paths.values():
        path.mkdir(parents=True, exist_ok=True)
    values: dict[str, Any] = {
        # By the whole path: another test process may have a folder of the same name.
        "run": f"run-{folder.name}-{zlib.crc32(str(folder).encode()):08x}",
        **{name: str(path) for name, path in paths.items()},
        "command": ["sh", "-c", script],
        "resume_command": [],
        "env": {"PTB_BENCH": str(paths["bench"])},
        "seconds": 60.0,
        "grace_seconds": 1.0,
        "max_output_bytes": 100_000,
        "early_stop_times": 0,
        "early_stop_seconds_left": 0.0,
    }
    return SessionSpec(**values | changes)


def job(folder: Path, script: str, seconds: float = 60.0) -> JobSpec:
    """A job that runs a shell script, with one folder to read and one to write."""
    for name in ("read", "write"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    mounts = Mounts(read=[str(folder / "read")], write=[str(folder / "write")])
    log = str(folder / "job.log")
    return JobSpec(command=["sh", "-c", script], cwd="/", env={}, mounts=mounts, log=log, seconds=seconds)


def until(true: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait; fail when it takes too long."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def ended(box: Docker, of: SessionSpec, seconds: float = 90.0) -> str:
    """Wait for the session's end; its state."""
    until(lambda: box.state(of, None) != "running", seconds)
    return box.state(of, None)


def output(of: SessionSpec) -> str:
    """What the session printed."""
    return (Path(of.session) / "output.log").read_text(errors="replace")
