"""What a session in a container gets, and how it ends."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import relaying
from docking import LIMITS, OWNER, ended, output, spec, until

from posttrainbench.errors import InfrastructureError
from posttrainbench.sandbox import container
from posttrainbench.sandbox.docker import Docker
from posttrainbench.sandbox.engine import Container, Engine

PROBE = """
id -u; grep -E '^(CapEff|CapPrm|NoNewPrivs)' /proc/self/status
for file in /x /ptb/x $PTB_BENCH/x /ptb/model/x /ptb/agent/x /opt/venv/x /var/tmp/x /run/lock/x; do
    touch $file 2>/dev/null && echo wrote $file
done
for file in $HOME/x $TMPDIR/x $PWD/x /dev/shm/x; do touch $file || echo cannot write $file; done
cat /ptb/session/spec.json /ptb/session/lock && echo read the session
cat /proc/1/environ /proc/7/environ && echo read the environment
ls /var/run/docker.sock /run/docker.sock && echo saw the engine
mknod $PWD/device b 8 0 && echo made a device
python -c 'import os; os.chown("/tmp", 0, 0)' 2>/dev/null && echo gave away
python -c 'import socket; socket.create_connection(("10.0.0.1", 80), 2)' 2>/dev/null && echo reached the network
cat /proc/self/oom_score_adj; ls /sys/class/net; echo "$PTB_BENCH"; pwd
"""


def test_the_agent_is_nobody_and_sees_only_its_own(box: Docker, tmp_path: Path) -> None:
    of = spec(tmp_path, PROBE)
    handle = box.start(of)
    assert ended(box, of) == "ended"
    box.close(of, handle)
    text = output(of)
    user = container.user_of(container.name(of))
    assert text.splitlines()[:4] == [
        str(user),
        "CapPrm:\t0000000000000000",
        "CapEff:\t0000000000000000",
        "NoNewPrivs:\t1",
    ]
    assert text.splitlines()[-4:] == ["1000", "lo", "/ptb/bench", "/ptb/workspace"]
    words = ("wrote", "cannot write", "read the", "saw the", "made a", "gave away", "reached the")
    assert [word for word in words if word in text] == []
    assert str(tmp_path) not in (tmp_path / "session/inside.json").read_text().replace(of.run, "")


def test_the_gateways_sockets_are_the_only_way_out_and_outlive_what_the_agent_kills(
    box: Docker, tmp_path: Path
) -> None:
    script = f"kill -9 -1 2>&-; ls /sys/class/net; python -c '{relaying.ASK}'"
    with relaying.answering(tmp_path / "sockets" / "a.sock", b"hello"):
        changes = {"gateway": str(tmp_path / "sockets"), "relays": relaying.relays(tmp_path / "sockets")}
        of = spec(tmp_path, script, resume_command=["sh", "-c", script], early_stop_times=1, **changes)
        handle = box.start(of)
        assert ended(box, of) == "ended"
        box.close(of, handle)
    assert output(of).split() == ["lo", "hello", "lo", "hello"]
    assert json.loads((tmp_path / "session/result.json").read_text())["killed"] == 0


def test_labels_limits_and_nothing_left(box: Docker, tmp_path: Path) -> None:
    of = spec(tmp_path, "sleep 60")
    handle = box.start(of)
    found = box.engine.inspect(handle.data["container"])
    assert found is not None
    assert (found.labels["ptb.run"], found.labels["ptb.owner"]) == (of.run, OWNER)
    assert found.labels["ptb.expires"].endswith("Z")
    box.stop(of, handle, "a test")
    assert ended(box, of) == "ended"
    box.close(of, handle)
    box.close(of, handle)
    assert box.engine.inspect(handle.data["container"]) is None
    assert json.loads((tmp_path / "session/result.json").read_text())["reason"] == "stopped"
    assert box.incidents(of, handle) == []


def test_what_leaves_its_group_ends_with_the_session(box: Docker, tmp_path: Path) -> None:
    script = (
        "for i in 1 2 3; do setsid sh -c 'trap \"\" TERM; while :; do date >> alive; sleep 0.1; done' & done; sleep 1"
    )
    of = spec(tmp_path, script, grace_seconds=0.5)
    handle = box.start(of)
    assert ended(box, of) == "ended"
    box.close(of, handle)
    size = (tmp_path / "workspace/alive").stat().st_size
    time.sleep(0.5)
    assert size and (tmp_path / "workspace/alive").stat().st_size == size


def test_the_deadline_is_kept_inside(box: Docker, tmp_path: Path) -> None:
    of = spec(tmp_path, "sleep 60", seconds=1.5)
    box.start(of)
    assert ended(box, of) == "ended"
    box.close(of, None)
    assert json.loads((tmp_path / "session/result.json").read_text())["reason"] == "deadline"


def test_a_second_start_adopts(box: Docker, engine: Engine, tmp_path: Path) -> None:
    of = spec(tmp_path, "echo started >> starts; sleep 2")
    first = box.start(of)
    assert Docker(engine=engine).start(of) == first
    assert ended(box, of) == "ended"
    assert Docker(engine=engine).start(of) == first
    box.close(of, first)
    assert box.start(of) == first, "a session that is over is not started again"
    assert (tmp_path / "workspace/starts").read_text() == "started\n"
    assert box.engine.containers(ptb__run=of.run) == []


def test_a_container_that_was_killed_is_a_lost_session(box: Docker, tmp_path: Path) -> None:
    of = spec(tmp_path, "sleep 60")
    handle = box.start(of)
    box.engine.kill(handle.data["container"])
    assert ended(box, of) == "lost"
    box.close(of, handle)
    assert [kind for kind, _ in box.incidents(of, handle)] == ["supervisor_lost"]
    assert box.start(of) == handle
    assert box.state(of, handle) == "lost", "it is never started again"


def test_a_supervisor_that_cannot_start_says_why_and_can_be_tried_again(box: Docker, tmp_path: Path) -> None:
    of = spec(tmp_path, "true")
    (tmp_path / "session").rmdir()
    made = box._make(of)
    (tmp_path / "session/inside.json").write_text("not JSON")
    with pytest.raises(InfrastructureError, match=r"did not start in its container: json.*JSONDecodeError"):
        box.start(of)
    assert box.engine.inspect(made) is None
    box.start(of)
    assert ended(box, of) == "ended"
    box.close(of, None)


class Slow(Engine):
    """An engine that answers when the session, which somebody else started, is over."""

    def inspect(self, container: str) -> Container | None:
        if container.startswith("ptb-") and not self.asked:
            self.asked = True
            found = super().inspect(container)
            super().start(found.id)  # type: ignore[union-attr]
            until(lambda: not super(Slow, self).inspect(container).is_live)  # type: ignore[union-attr]
        return super().inspect(container)

    asked = False


def test_a_session_that_is_over_before_the_engine_has_answered_is_adopted(box: Docker, tmp_path: Path) -> None:
    of = spec(tmp_path, "echo started >> starts")
    box._make(of)
    slow = Docker(engine=Slow(), limits=LIMITS)
    handle = slow.start(of)
    assert slow.state(of, handle) == "ended"
    slow.close(of, handle)
    assert (tmp_path / "workspace/starts").read_text() == "started\n"


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", ["create", "start", "remove"])
def test_killed_at_a_call_and_taken_up_again(call: str, when: str, box: Docker, tmp_path: Path) -> None:
    of = spec(tmp_path, "echo started >> starts; sleep 0.5; echo done")
    dying = [sys.executable, str(Path(__file__).parent / "dying_session.py"), f"{call}-{when}", str(tmp_path)]
    died = subprocess.run(dying, capture_output=True, text=True, timeout=120)
    assert died.returncode == -9, died.stderr
    handle = box.start(of)
    assert ended(box, of) == "ended"
    box.close(of, handle)
    assert (tmp_path / "workspace/starts").read_text() == "started\n"
    assert output(of) == "done\n"
    assert box.engine.containers(ptb__run=of.run) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become somebody else")
def test_a_ptb_that_is_not_root_gets_its_agent_s_files_back(box: Docker, tmp_path: Path) -> None:
    address = box.engine.address.removeprefix("unix://")
    group = os.stat(address).st_gid
    if not os.stat(address).st_mode & 0o020:
        pytest.skip("the engine's socket is for its owner alone, as podman makes it")
    script = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from docking import LIMITS, ended, spec; from posttrainbench.sandbox.docker import Docker\n"
        "work = 'umask 077; mkdir d; id -u > d/x; cat /ptb/session/lock'\n"
        "box, of = Docker(limits=LIMITS), spec(Path(sys.argv[2]), work)\n"
        "handle = box.start(of); ended(box, of); box.close(of, handle); print((Path(of.workspace) / 'd/x').read_text())"
    )
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        os.chmod(name, 0o777)
        words = [
            "setpriv",
            "--reuid",
            "12345",
            "--regid",
            "12345",
            "--groups",
            str(group),
            sys.executable,
            "-c",
            script,
        ]
        answer = subprocess.run(
            [*words, str(Path(__file__).parents[1]), f"{name}/run"], capture_output=True, text=True, timeout=120
        )
        assert answer.returncode == 0, answer.stderr
        assert int(answer.stdout) not in (0, 12345)
        assert "Permission denied" in Path(name, "run/session/output.log").read_text()
