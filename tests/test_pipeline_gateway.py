"""A run and its gateway: it serves while the session runs, whatever befell ptb before, and not when there is none."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import factory
import pytest

from posttrainbench.agent import access
from posttrainbench.agent.result import SessionResult
from posttrainbench.catalog import Api
from posttrainbench.errors import InfrastructureError
from posttrainbench.folder import RunFolder
from posttrainbench.gateway import GatewaySpec, process
from posttrainbench.gateway.folder import GatewayFolder, Started
from posttrainbench.pipeline import Run, hold_session
from posttrainbench.record import Prepared
from posttrainbench.reporter import Silent
from posttrainbench.sandbox import Handle, SessionSpec
from posttrainbench.sandbox.local import Local
from posttrainbench.strict import read_json, write_json

API = Api(dialect="anthropic", model="claude-opus-4-6")
PREPARED = Prepared(
    model_folder="/model",
    model_digest="",
    model_revision="",
    bench_digest="",
    test_digest="",
    protected={},
    isolation=[],
)


@dataclass
class Brief(Local):
    """A sandbox whose sessions are over as soon as they have begun; `during` is what happens meanwhile."""

    name = "local"
    during: Callable[[], None]
    after: Callable[[], None]

    def start(self, spec: SessionSpec) -> Handle:
        """Begin and end."""
        self.during()
        session = Path(spec.session)
        (session / "claim").write_text("")
        write_json(session / "result.json", SessionResult(reason="exited", seconds=1.0))
        return Handle(kind="local", data={})

    def state(self, spec: SessionSpec, handle: Handle | None) -> Any:
        """By the files."""
        return "ended" if Path(spec.session, "result.json").exists() else "absent"

    def close(self, spec: SessionSpec, handle: Handle | None) -> None:
        """Nothing runs; `after` is what happens once it has begun."""
        self.after()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunFolder]:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-1")
    found = RunFolder(tmp_path / "run")
    found.session.mkdir(parents=True)
    write_json(found.prepared, PREPARED)
    yield found
    process.stop(found.gateway)


def run_of(folder: RunFolder, during: Callable[[], None], after: Callable[[], None] = lambda: None) -> Run:
    agent = factory.agent(folder.path / "agent", api=API)
    plan = factory.plan(folder.path, agent=agent, protocol=factory.protocol(network="closed"))
    return Run(plan, folder, folder.path / "cache", Brief(during, after), Silent())


def started(folder: RunFolder) -> Started:
    return read_json(GatewayFolder(folder.gateway).started, Started)


def served(folder: RunFolder) -> list[bool]:
    """Hold the session; whether the gateway answered in it."""
    seen: list[bool] = []
    hold_session(run_of(folder, lambda: seen.append(process.alive(folder.gateway))))
    return seen


def fail() -> None:
    raise InfrastructureError("no card is fit")


def interrupt() -> None:
    raise KeyboardInterrupt


def test_it_serves_the_session_and_ends_with_it(folder: RunFolder) -> None:
    assert served(folder) == [True]
    assert not process.alive(folder.gateway)


def test_the_run_s_secret_is_covered_in_what_the_agent_has_printed(folder: RunFolder) -> None:
    output = folder.session / "output.log"

    def during() -> None:
        output.write_text(f"KEY={access.spec(run.plan, folder, run.cache, os.environ).secret} and more\n")  # type: ignore[union-attr]

    run = run_of(folder, during)
    hold_session(run)
    secret = read_json(GatewayFolder(folder.gateway).spec, GatewaySpec).secret
    assert output.read_text() == f"KEY={'*' * len(secret)} and more\n"
    assert secret not in folder.trajectory.read_text()


@pytest.mark.parametrize("during", [fail, interrupt])
def test_a_session_that_does_not_begin_leaves_no_gateway_and_can_begin_later(
    folder: RunFolder, during: Callable[[], None]
) -> None:
    with pytest.raises((InfrastructureError, KeyboardInterrupt)):
        hold_session(run_of(folder, during))
    assert not process.alive(folder.gateway)
    assert served(folder) == [True]


def test_a_run_that_is_taken_up_when_its_gateway_has_long_ended_gets_it_again(folder: RunFolder) -> None:
    served(folder)
    (folder.session / "result.json").unlink()
    (folder.session / "claim").unlink()
    GatewayFolder(folder.gateway).stop.unlink()
    ended = Started(pid=1, at="", ends=time.time() - 60, restarts=0)
    write_json(GatewayFolder(folder.gateway).started, ended)
    assert served(folder) == [True]


def test_one_that_outlived_its_ptb_is_taken_over_without_the_key(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    run = run_of(folder, lambda: seen.append(started(folder).pid))
    told = access.spec(run.plan, folder, run.cache, os.environ)
    assert told
    process.start(folder.gateway, told, access.credential(run.plan, os.environ))
    first = started(folder).pid
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    hold_session(run)
    assert seen == [first]


def test_its_time_begins_when_the_session_does_however_long_that_waited(folder: RunFolder) -> None:
    ends: list[float] = []

    def wait() -> None:
        ends.append(started(folder).ends)
        time.sleep(1)

    hold_session(run_of(folder, wait, after=lambda: ends.append(started(folder).ends)))
    assert ends[1] - ends[0] >= 1


def test_one_that_is_gone_at_the_sessions_end_is_noted(folder: RunFolder) -> None:
    def kill() -> None:
        os.kill(started(folder).pid, signal.SIGKILL)

    hold_session(run := run_of(folder, kill))
    assert {"ended": "early"} in run.journal.notes("gateway")


def test_one_that_ptb_itself_has_ended_is_not(folder: RunFolder) -> None:
    served(folder)
    folder.path.joinpath("session.json").unlink()
    hold_session(run := run_of(folder, fail))
    assert run.journal.notes("gateway") == []
