"""Leases of pretended GPUs between real containers."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from docking import ENVIRONMENT, LIMITS, ended, output, spec, until

from posttrainbench.errors import InfrastructureError
from posttrainbench.sandbox.docker import Docker
from posttrainbench.sandbox.engine import Engine
from posttrainbench.sandbox.leases import Leases
from posttrainbench.sandbox.preflight import Preflight
from posttrainbench.strict import read_json

CARDS = [f"GPU-a-{os.getpid()}", f"GPU-b-{os.getpid()}"]
"""Each test process pretends cards of its own: whoever has one is known by its containers, of any process."""
START = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from docking import LIMITS, spec
from posttrainbench.sandbox.docker import Docker
Docker(limits=LIMITS).start(spec(Path(sys.argv[2]), "sleep 60", gpus=1))
"""


@pytest.fixture(autouse=True)
def pretended(tmp_path: Path) -> None:
    """Two cards and a folder of leases, in the environment, where every process of a host has them."""
    os.environ |= {"PTB_GPUS": ",".join(CARDS), "PTB_LEASES": str(tmp_path / "leases")}
    yield
    del os.environ["PTB_GPUS"], os.environ["PTB_LEASES"]


def card(of: object) -> str:
    until(lambda: "GPU-" in output(of))
    return output(of).strip()


def test_two_runs_never_share_and_a_third_waits(engine: Engine, tmp_path: Path) -> None:
    script = "echo $CUDA_VISIBLE_DEVICES; sleep 60"
    specs = [spec(tmp_path / str(number), script, gpus=1) for number in range(3)]
    boxes = [Docker(limits=LIMITS) for _ in specs]
    for of, box in zip(specs[:2], boxes[:2], strict=True):
        box.start(of)
    assert sorted(card(of) for of in specs[:2]) == CARDS
    third = threading.Thread(target=boxes[2].start, args=(specs[2],))
    third.start()
    third.join(2.5)
    assert third.is_alive() and not (tmp_path / "2/session/claim").exists()
    boxes[0].close(specs[0], None)
    third.join(60)
    assert card(specs[2]) == card(specs[0])
    for of, box in zip(specs[1:], boxes[1:], strict=True):
        box.close(of, None)
    assert set(Leases(engine).table().values()) == {""}
    assert list((tmp_path / "leases").glob("*.lease")) == []


def test_a_lease_outlives_ptb_but_not_the_container(engine: Engine, tmp_path: Path) -> None:
    command = [sys.executable, "-c", START, str(Path(__file__).parent.parent), str(tmp_path / "one")]
    subprocess.run(command, check=True, env={**os.environ, **ENVIRONMENT})
    leases = Leases(engine)
    of = spec(tmp_path / "one", "sleep 60", gpus=1)
    assert sorted(leases.table().values()) == ["", f"run {of.run}"]
    with pytest.raises(InfrastructureError, match="No GPU became free within 0 s"):
        leases.acquire(2, "other", "other", 0, lambda text: None)
    engine.kill(Docker().start(of).data["container"])
    until(lambda: set(leases.table().values()) == {""})
    assert len(leases.stale()) == 1
    assert leases.acquire(2, "other", "other", 0, lambda text: None) == CARDS
    leases.release("other")
    Docker().close(of, None)


def test_a_foreign_container_s_card_is_not_leased(engine: Engine, tmp_path: Path) -> None:
    of = spec(tmp_path / "one", "sleep 60", gpus=1)
    box = Docker(limits=LIMITS)
    box.start(of)
    (path,) = (tmp_path / "leases").glob("*.lease")
    path.unlink()  # As if leased by something that keeps no lease: its own account is what is left.
    free = [name for name, taker in Leases(engine).table().items() if not taker]
    assert len(free) == 1 and path.stem not in free
    box.close(of, None)


def test_a_card_is_looked_at_and_made_to_compute_before_a_session(engine: Engine, tmp_path: Path) -> None:
    box = Docker(engine=engine, limits=LIMITS)
    of = spec(tmp_path / "one", "true", gpus=1)
    box.start(of)
    found = read_json(tmp_path / "one/session/preflight.json", Preflight)
    assert (found.leased, found.cards, found.failures) == (CARDS[:1], [], [])
    assert [product.device for product in found.products] == ["cpu"]
    assert found.products[0].error < 1e-5
    assert ended(box, of) == "ended"
    box.close(of, None)
    assert box.incidents(of, None) == []
    assert box.engine.containers(ptb__run=of.run) == []


BROKEN = f"""#!/bin/sh
case "$1" in
--query-gpu=*) echo "{CARDS[0]}, Card, 1, 00000000:17:00.0, 80000, 80000, 3, No, No" ;;
esac
"""


def test_a_card_that_fails_starts_no_agent_and_is_given_back(engine: Engine, tmp_path: Path) -> None:
    tool, before = tmp_path / "bin/nvidia-smi", os.environ["PATH"]
    tool.parent.mkdir()
    tool.write_text(BROKEN)
    tool.chmod(0o755)
    os.environ["PATH"] = f"{tool.parent}:{before}"
    of = spec(tmp_path / "one", "echo started > x", gpus=1)
    said = f"{CARDS[0]} has 3 uncorrected memory errors.*agent was not started"
    try:
        with pytest.raises(InfrastructureError, match=said):
            Docker(engine=engine, limits=LIMITS).start(of)
    finally:
        os.environ["PATH"] = before
    assert set(Leases(engine).table().values()) == {""}
    assert not (tmp_path / "one/workspace/x").exists()
    assert read_json(tmp_path / "one/session/preflight.json", Preflight).cards[0].uncorrected_errors == 3
    assert engine.containers(ptb__run=of.run) == []


def test_a_card_that_is_gone_after_the_session_is_an_incident(engine: Engine, tmp_path: Path) -> None:
    tool, before = tmp_path / "bin/nvidia-smi", os.environ["PATH"]
    tool.parent.mkdir()
    tool.write_text(BROKEN.replace("80000, 3,", "80000, 0,"))
    tool.chmod(0o755)
    os.environ["PATH"] = f"{tool.parent}:{before}"
    box, of = Docker(engine=engine, limits=LIMITS), spec(tmp_path / "one", "true", gpus=1)
    try:
        box.start(of)
        assert ended(box, of) == "ended"
        tool.write_text("#!/bin/sh\nexit 1\n")
        box.close(of, None)
    finally:
        os.environ["PATH"] = before
    assert box.incidents(of, None) == [("gpu_lost", f"{CARDS[0]} is no longer among the cards that the driver lists")]
