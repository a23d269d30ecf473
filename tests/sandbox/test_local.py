"""The local sandbox, with and without bubblewrap, against real processes."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import pytest
import relaying

from posttrainbench.errors import InfrastructureError, UsageError
from posttrainbench.sandbox import Handle, JobSpec, Mounts, SessionSpec, bubblewrap
from posttrainbench.sandbox.kinds import KINDS, open_sandbox
from posttrainbench.sandbox.local import Local

PYTHON = sys.executable


def needs_bubblewrap() -> None:
    if not bubblewrap.usable():
        assert "bubblewrap" not in os.environ.get("PTB_REQUIRE", ""), "bubblewrap is required but does not work here"
        pytest.skip("bubblewrap is not installed or may not make namespaces here")


@pytest.fixture(params=[False, True], ids=["plain", "bubblewrap"])
def local(request: pytest.FixtureRequest) -> Local:
    if request.param:
        needs_bubblewrap()
    return Local(bubblewrap=request.param)


@pytest.fixture
def wrapped() -> Local:
    needs_bubblewrap()
    return Local(bubblewrap=True)


def spec(folder: Path, command: list[str], **changes: object) -> SessionSpec:
    """A session whose folders lie below `folder`."""
    names = ("workspace", "bench", "model", "agent", "home", "tmp")
    for name in names:
        (folder / name).mkdir(exist_ok=True, parents=True)
    values: dict = {name: str(folder / name) for name in (*names, "session")} | {
        "run": "r",
        "command": command,
        "resume_command": [],
        "env": {"PTB_WORKSPACE": str(folder / "workspace"), "OWN": "1"},
        "seconds": 30.0,
        "grace_seconds": 1.0,
        "max_output_bytes": 100_000,
        "early_stop_times": 0,
        "early_stop_seconds_left": 0.0,
    }
    return SessionSpec(**values | changes)


def eventually(condition, seconds: float = 30.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.02)
    return False


def hold(local: Local, one: SessionSpec) -> dict:
    """Run a session to its end and give its result."""
    handle = local.start(one)
    assert eventually(lambda: local.state(one, handle) != "running", 60)
    assert local.state(one, handle) == "ended"
    local.close(one, handle)
    return json.loads((Path(one.session) / "result.json").read_text())


def output(one: SessionSpec) -> str:
    return (Path(one.session) / "output.log").read_text()


def workers(one: SessionSpec) -> list[int]:
    """Processes of the session, by their environment."""
    mark = f"PTB_WORKSPACE={one.workspace}".encode()
    found = []
    for path in [Path("/proc", name, "environ") for name in os.listdir("/proc") if name.isdigit()]:
        try:
            if mark in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def test_a_session_from_start_to_end(local, tmp_path):
    one = spec(tmp_path, ["sh", "-c", "pwd; echo x > made; exit 3"])
    assert local.state(one, None) == "absent"
    result = hold(local, one)
    assert (result["reason"], result["exit_code"], result["signal"]) == ("exited", 3, None)
    assert output(one).strip() == one.workspace
    assert (tmp_path / "workspace" / "made").read_text() == "x\n"


def test_a_command_that_cannot_be_started(local, tmp_path):
    result = hold(local, spec(tmp_path, ["no-such-agent"]))
    assert (result["reason"], result["turns"]) == ("failed_to_start", [])
    assert "no-such-agent" in result["detail"]


def test_a_command_cannot_pass_for_one_that_was_not_started(local, tmp_path):
    one = spec(tmp_path, ["sh", "-c", "echo 'bwrap: execvp sh: No such file or directory' >&2; exit 1"])
    assert hold(local, one)["reason"] == "exited"


def test_a_command_that_dies_of_a_signal(local, tmp_path):
    result = hold(local, spec(tmp_path, ["sh", "-c", "kill -9 $$"]))
    assert (result["reason"], result["exit_code"], result["signal"]) == ("exited", None, 9)


def test_sigterm_reaches_the_command(local, tmp_path):
    script = "trap 'echo saved; exit 0' TERM; while :; do sleep 0.1; done"
    one = spec(tmp_path, ["sh", "-c", script], seconds=1.5, grace_seconds=20.0)
    result = hold(local, one)
    assert (result["reason"], result["exit_code"]) == ("deadline", 0)
    assert output(one).endswith("saved\n")
    assert result["seconds"] < 15


def test_a_tree_that_ignores_sigterm_dies(local, tmp_path):
    script = "trap '' TERM; setsid sh -c 'sleep 100' & (sleep 100 &) ; sleep 100"
    one = spec(tmp_path, ["sh", "-c", script], seconds=1.5)
    result = hold(local, one)
    assert (result["reason"], result["killed"] >= 3) == ("deadline", True)
    assert workers(one) == []


def test_nothing_of_the_hosts_environment_is_handed_on(local, tmp_path):
    one = spec(tmp_path, ["env"])
    hold(local, one)
    names = {line.split("=")[0] for line in output(one).splitlines()}
    own = {"PTB_WORKSPACE", "PTB_DEADLINE", "OWN"}
    assert names - {"PWD"} == {"PATH", "HOME", "TMPDIR", "CUDA_VISIBLE_DEVICES", *own}


def test_the_interpreter_works_inside(local, tmp_path):
    one = spec(tmp_path, [local.python(), "-c", "import msgspec, tempfile; print(tempfile.gettempdir())"])
    assert hold(local, one)["exit_code"] == 0
    assert output(one).strip() == one.tmp  # Not /tmp, since the run's own folders lie there.


def test_start_again_does_not_start_again(local, tmp_path):
    one = spec(tmp_path, ["sh", "-c", "echo once; sleep 1"])
    first = local.start(one)
    assert Local(bubblewrap=local.wrapped).start(one) == first
    assert eventually(lambda: local.state(one, first) == "ended")
    local.start(one)
    assert output(one) == "once\n"


def test_a_killed_supervisor_is_lost_and_close_leaves_nothing(local, tmp_path):
    one = spec(tmp_path, ["sh", "-c", "sleep 100 & setsid sleep 100 & sleep 100"])
    handle = local.start(one)
    assert eventually(lambda: len(workers(one)) >= 4)
    assert local.state(one, handle) == "running"
    os.kill(int(handle.data["pid"]), signal.SIGKILL)
    assert eventually(lambda: local.state(one, handle) == "lost")
    if local.wrapped:
        assert eventually(lambda: workers(one) == [])
    local.close(one, handle)
    assert workers(one) == []
    assert local.state(one, handle) == "lost"


def test_stop(local, tmp_path):
    one = spec(tmp_path, ["sleep", "100"])
    handle = local.start(one)
    # As a later ptb would, which knows the folder but not the handle.
    Local(bubblewrap=local.wrapped).stop(one, None, "a test")
    assert local.state(one, handle) == "ended"
    assert json.loads((Path(one.session) / "result.json").read_text())["reason"] == "stopped"
    local.stop(one, handle, "again")


def test_stop_ends_a_supervisor_that_hangs(local, tmp_path):
    one = spec(tmp_path, ["sleep", "100"], grace_seconds=-39.0)  # So that the wait for it is short.
    handle = local.start(one)
    assert eventually(lambda: workers(one) != [])
    os.kill(int(handle.data["pid"]), signal.SIGSTOP)
    local.stop(one, handle, "a test")
    assert eventually(lambda: local.state(one, handle) == "lost")
    assert eventually(lambda: workers(one) == [])


def test_a_pid_that_is_somebody_elses_is_spared(local, tmp_path):
    one = spec(tmp_path, ["sleep", "100"], grace_seconds=-39.0)
    handle = local.start(one)
    os.kill(int(handle.data["pid"]), signal.SIGSTOP)
    stranger = subprocess.Popen(["sleep", "100"])
    local.stop(one, Handle(kind="local", data={"pid": str(stranger.pid), "start": "1"}), "a test")
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()
    local.stop(one, handle, "a test")


def test_a_supervisor_that_cannot_start_says_why(local, tmp_path):
    one = spec(tmp_path, ["true"], env={"A": "b"})
    Path(one.session).mkdir()
    (Path(one.session) / "lock").mkdir()
    with pytest.raises(InfrastructureError, match="(?s)did not start.*IsADirectory"):
        local.start(one)


def test_without_bubblewrap_there_is_no_gateway(tmp_path):
    with pytest.raises(UsageError, match="Without bubblewrap"):
        Local(bubblewrap=False).start(spec(tmp_path, ["true"], gateway=str(tmp_path)))


def test_hidden_folders(wrapped, tmp_path):
    for name in ("run/sealed", "run/bench", "other/workspace", "cache"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "questions.jsonl").write_text("secret")
    find = "find / -path /usr -prune -o -path /proc -prune -o -name questions.jsonl -print"
    one = spec(
        tmp_path / "run", ["sh", "-c", f"{find}; ls {tmp_path} {tmp_path}/run; cat {tmp_path}/other/workspace/*"]
    )
    hold(wrapped, one)
    lines = output(one).splitlines()
    shown = ["agent", "bench", "home", "model", "tmp", "workspace"]
    bench = f"{tmp_path}/run/bench/questions.jsonl"
    assert lines[:-1] == [bench, f"{tmp_path}:", "run", "", f"{tmp_path}/run:", *shown]
    assert lines[-1].endswith("No such file or directory")


def test_tmp_is_the_runs_own(wrapped):
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        one = spec(Path(name), ["sh", "-c", "echo $TMPDIR; echo x > /tmp/x; ls -A /tmp"])
        hold(wrapped, one)
        assert output(one) == "/tmp\nx\n"
        assert (Path(one.tmp) / "x").read_text() == "x\n"


def test_the_users_home_is_hidden(wrapped, tmp_path):
    one = spec(tmp_path, ["sh", "-c", f"ls -A {Path.home()} 2>/dev/null; ls /etc/shadow /root/.ssh /sys/kernel"])
    hold(wrapped, one)
    home = str(Path.home())
    python = [path for path in bubblewrap.python_folders() if path.startswith(f"{home}/")]
    inside = {Path(path).relative_to(home).parts[0] for path in python}
    listed = {line for line in output(one).splitlines() if not line.startswith("ls: ")}
    assert listed <= inside
    assert output(one).count("No such file") == 3


@pytest.mark.parametrize("name", ["bench", "model", "agent"])
def test_read_only_folders(wrapped, tmp_path, name):
    at = tmp_path / name
    script = f"touch {at}/x; mount -o remount,rw {at}; touch {at}/y; touch /usr/x /x"
    one = spec(tmp_path, ["sh", "-c", script])
    hold(wrapped, one)
    assert list((tmp_path / name).iterdir()) == []
    assert output(one).count("Read-only file system") == 4


def test_no_other_process_can_be_seen_and_no_capability_is_held(wrapped, tmp_path):
    one = spec(tmp_path, ["sh", "-c", "ls /proc | grep -c '^[0-9]'; grep CapEff /proc/self/status; hostname"])
    hold(wrapped, one)
    count, capabilities, name = output(one).splitlines()
    assert int(count) < 8
    assert int(capabilities.split()[1], 16) == 0
    assert name == "sandbox"


def test_there_is_no_network(wrapped, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        script = f"""
import socket
try:
    socket.create_connection(("127.0.0.1", {server.getsockname()[1]}), 5)
    print("yes")
except OSError:
    print("no")
"""
        hold(wrapped, one := spec(tmp_path, [PYTHON, "-c", script]))
    assert output(one).strip() == "no"


def test_the_gateways_sockets_answer_on_the_loopback_in_every_turn(wrapped, tmp_path):
    with relaying.answering(tmp_path / "sockets" / "a.sock", b"hello"):
        ask = [PYTHON, "-c", relaying.ASK]
        changes = {"resume_command": ask, "early_stop_times": 1, "relays": relaying.relays(tmp_path / "sockets")}
        hold(wrapped, one := spec(tmp_path, ask, gateway=str(tmp_path / "sockets"), **changes))
    assert output(one) == "hello\nhello\n"


def test_an_agent_that_kills_all_it_sees_keeps_its_way_out(wrapped, tmp_path):
    with relaying.answering(tmp_path / "sockets" / "a.sock", b"hello"):
        script = f"pkill -9 -f [r]elay; pkill -9 [p]ython; kill -9 -1 2>&-; {PYTHON} -c '{relaying.ASK}'"
        changes = {"gateway": str(tmp_path / "sockets"), "relays": relaying.relays(tmp_path / "sockets")}
        hold(wrapped, one := spec(tmp_path, ["sh", "-c", script], **changes))
    assert output(one).strip() == "hello"


def test_a_connection_waits_for_a_gateway_that_is_being_restarted(wrapped, tmp_path):
    changes = {"gateway": str(tmp_path / "sockets"), "relays": relaying.relays(tmp_path / "sockets")}
    (tmp_path / "sockets").mkdir()
    handle = wrapped.start(one := spec(tmp_path, [PYTHON, "-c", relaying.ASK], **changes))
    time.sleep(0.5)
    with relaying.answering(tmp_path / "sockets" / "a.sock", b"late"):
        assert eventually(lambda: wrapped.state(one, handle) == "ended")
    assert output(one) == "late\n"


def test_a_session_whose_way_out_cannot_be_made_is_lost(wrapped, tmp_path):
    changes = {"gateway": str(tmp_path), "relays": {"no port": str(tmp_path / "a.sock")}}
    handle = wrapped.start(one := spec(tmp_path, ["sh", "-c", "echo begun"], **changes))
    assert eventually(lambda: wrapped.state(one, handle) == "lost")
    wrapped.close(one, handle)
    assert output(one) == ""


def test_a_shown_folder_may_not_hold_what_is_hidden(wrapped, tmp_path):
    one = spec(tmp_path, ["true"], model=str(tmp_path))
    with pytest.raises(UsageError, match="must stay hidden"):
        wrapped.start(one)


def test_isolation_is_told(local):
    said = " ".join(local.isolation())
    assert "Memory" in said
    assert ("Files are not isolated" in said) is not local.wrapped


def job(folder: Path, command: list[str], **changes: object) -> JobSpec:
    (folder / "out").mkdir(exist_ok=True)
    values: dict = {
        "command": command,
        "cwd": str(folder / "out"),
        "env": {"OWN": "1"},
        "mounts": Mounts(read=[], write=[str(folder / "out")]),
        "log": str(folder / "job.log"),
        "seconds": 30.0,
    }
    return JobSpec(**values | changes)


def test_a_job(local, tmp_path):
    result = local.run(job(tmp_path, ["sh", "-c", "echo hello; echo $OWN $TMPDIR > made; touch $TMPDIR/x; exit 5"]))
    assert (result.exit_code, result.timed_out, result.tail) == (5, False, "hello\n")
    assert (tmp_path / "job.log").read_text() == "hello\n"
    assert (tmp_path / "out" / "made").read_text().startswith("1 /")


def test_a_job_that_takes_too_long(local, tmp_path):
    begin = time.monotonic()
    result = local.run(job(tmp_path, ["sh", "-c", "trap '' TERM; sleep 100 & sleep 100"], seconds=1.0))
    assert (result.timed_out, result.exit_code) == (True, 137)
    assert time.monotonic() - begin < 25


def test_a_job_that_cannot_be_started(local, tmp_path):
    with pytest.raises(InfrastructureError, match="no-such-program"):
        local.run(job(tmp_path, ["no-such-program"]))


def test_a_jobs_log_is_bounded_and_may_not_be_redirected(local, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    log = tmp_path / "out" / "log"
    command = ["sh", "-c", f"rm log; ln -s {secret} log; yes | head -c 100000000; echo end"]
    result = local.run(job(tmp_path, command, log=str(log)))
    assert result.exit_code == 0
    assert result.tail.endswith("y\nend\n")
    assert len(result.tail) <= 8192
    assert secret.read_text() == "secret"


def test_a_job_sees_its_mounts_only(wrapped, tmp_path):
    for name in ("read", "hidden"):
        (tmp_path / name).mkdir()
    mounts = Mounts(read=[str(tmp_path / "read")], write=[str(tmp_path / "out")])
    result = wrapped.run(
        job(tmp_path, ["sh", "-c", f"ls {tmp_path}; ls /sys/class/net /proc/sys/net/ipv4/conf"], mounts=mounts)
    )
    lines = result.tail.splitlines()
    assert lines[:2] == ["out", "read"]
    assert "eth0" not in lines


SOMEBODY = """
import sys, msgspec
from posttrainbench.sandbox import JobSpec
from posttrainbench.sandbox.local import Local
Local(bubblewrap=sys.argv[1] == "True").run(msgspec.json.decode(sys.argv[2], type=JobSpec))
"""


def test_a_job_dies_with_a_ptb_that_is_killed(local, tmp_path):
    one = job(tmp_path, ["sh", "-c", "setsid sleep 100 & sleep 100"], env={"PTB_WORKSPACE": str(tmp_path)})
    root = str(Path(bubblewrap.__file__).parents[2])
    command = [PYTHON, "-c", SOMEBODY, str(local.wrapped), msgspec.json.encode(one).decode()]
    ptb = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": root})
    mark = spec(tmp_path, [], workspace=str(tmp_path), env={})
    assert eventually(lambda: len(workers(mark)) >= 3)
    ptb.kill()
    ptb.wait()
    assert eventually(lambda: workers(mark) == [])


def test_kinds():
    assert "local" in KINDS
    assert open_sandbox("local").name == "local"
    with pytest.raises(UsageError, match="'moon'.*local"):
        open_sandbox("moon")
