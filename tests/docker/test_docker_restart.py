"""The engine is stopped, killed and started again while sessions run. Needs an engine of our own (`.ci/engine`)."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from docking import LIMITS, OWNER, ended, job, missing, output, reachable, spec

from posttrainbench.errors import InfrastructureError, MissingError
from posttrainbench.sandbox.docker import Docker
from posttrainbench.sandbox.engine import Engine

TOOL = Path(__file__).parents[2] / ".ci/engine"
SCRIPT = "echo started >> starts; for i in 1 2 3 4 5 6 7 8 9; do echo $i; sleep 1; done"


def control(verb: str, *flags: str) -> None:
    tool = Path(__file__).parents[2] / ".ci/engine"
    subprocess.run(
        [str(tool), verb, os.environ["PTB_ENGINE_DIR"], *flags], check=True, capture_output=True, timeout=120
    )


@pytest.fixture
def own_engine() -> Iterator[Engine]:
    """An engine that may be restarted; it runs as before when the test ends."""
    engine = reachable()
    if engine.is_podman():
        pytest.skip("podman has no daemon: nothing that could be restarted is between it and its containers")
    if "PYTEST_XDIST_WORKER" in os.environ:
        pytest.skip("a restart would end what other workers run; start pytest without -n")
    if "PTB_ENGINE_DIR" not in os.environ:
        missing("PTB_ENGINE_DIR names no engine of our own, as `.ci/engine start` prints it")
    yield engine
    control("stop")
    control("start")


def test_stopped_in_the_middle_the_session_ends_in_order(own_engine: Engine, tmp_path: Path) -> None:
    box = Docker(engine=own_engine, limits=LIMITS)
    of = spec(tmp_path, SCRIPT)
    box.start(of)
    control("stop")
    assert ended(box, of) == "ended"
    assert json.loads((tmp_path / "session/result.json").read_text())["reason"] == "stopped"
    with pytest.raises(MissingError, match="No container engine answers"):
        box.close(of, None)
    control("start")
    box = Docker(limits=LIMITS)
    assert box.state(of, None) == "ended"
    box.close(of, None)
    assert [kind for kind, _ in box.incidents(of, None)] == ["engine_stopped"]
    assert box.engine.containers(ptb__run=of.run) == []


def test_killed_and_restarted_with_live_restore_the_session_goes_on(own_engine: Engine, tmp_path: Path) -> None:
    control("stop")
    control("start", "--live-restore")
    box = Docker(limits=LIMITS)
    of = spec(tmp_path, SCRIPT)
    handle = box.start(of)
    control("kill")
    assert box.state(of, handle) == "running", "asked of the kernel, not of the engine"
    control("start", "--live-restore")
    box = Docker(limits=LIMITS)
    assert box.start(of) == handle
    assert ended(box, of) == "ended"
    box.close(of, handle)
    assert output(of).split() == list("123456789")
    assert (tmp_path / "workspace/starts").read_text() == "started\n"
    assert box.engine.containers(ptb__run=of.run) == []


def test_killed_during_a_job_it_is_our_fault(own_engine: Engine, tmp_path: Path) -> None:
    box = Docker(engine=own_engine, limits=LIMITS)
    killer = subprocess.Popen(["sh", "-c", f"sleep 2; exec {TOOL} kill {os.environ['PTB_ENGINE_DIR']}"])
    with pytest.raises((InfrastructureError, MissingError)):
        box.run(job(tmp_path, "sleep 30"))
    killer.wait()
    control("start")
    assert Docker(limits=LIMITS).run(job(tmp_path, "true")).exit_code == 0
    assert Engine().containers(ptb__owner=OWNER, ptb__role="job") == []
