"""The one call: a folder of an ended session in, a trajectory and what it comes to out."""

import json
from pathlib import Path

import factory
from transcribing import answered, called, exchange, said, stream

from posttrainbench.folder import RunFolder
from posttrainbench.gateway.ledger import Tokens
from posttrainbench.plan import Plan
from posttrainbench.transcript import Summary, atif, write
from posttrainbench.transcript.causes import NONE
from posttrainbench.transcript.native import Kept


def run(tmp_path: Path, format_: str = "claude") -> tuple[RunFolder, Plan]:
    """A folder with a session in it that began at 1000 s of the host's clock."""
    plan = factory.plan(tmp_path, agent=factory.agent(tmp_path, name="robot", variant="big", transcript=format_))
    folder = RunFolder(tmp_path / "run")
    folder.session.mkdir(parents=True)
    sessions = folder.home / ".claude" / "projects" / "-w"
    sessions.mkdir(parents=True)
    (sessions / "s.jsonl").write_text("{}\n")
    rows = [called("a", "ls", "m1"), answered("a", "files"), said("Done.", "m2")]
    (folder.session / "output.log").write_bytes(stream([*rows, {"type": "result", "subtype": "success"}]))
    (folder.session / "output.index").write_text('{"t": 2.0, "offset": 0}\n')
    clock = {"monotonic": 1000.0, "utc": "2026-11-01T00:00:00+00:00", "pid": 1, "deadline": 1003.6}
    (folder.session / "started.json").write_text(json.dumps(clock))
    return folder, plan


def test_a_session_with_its_ledger(tmp_path: Path) -> None:
    folder, plan = run(tmp_path)
    ledger = [*exchange(1, 1000.5, 1001.5, Tokens(input=5, output=2)), *exchange(2, 1002.0, 1003.0, Tokens(input=7))]
    assert write(folder, plan, model="big-1", ledger=ledger, turns=[0.0], prompt="Train.") == Summary(
        steps=3,
        agent_steps=2,
        tool_calls=1,
        subagents=0,
        turns=1,
        retries=0,
        other_events=0,
        steps_with_exchange=2,
        cause=NONE,
        reported=None,
        disagreements=[],
        native=Kept(files=1, bytes=3),
    )
    found = json.loads((folder.path / "trajectory.json").read_bytes())
    assert atif.validate(found) == []
    assert found["agent"] == {"name": "robot:big", "version": "1", "model_name": "big-1"}
    assert [(step["timestamp"], step["extra"]["ptb"]["seconds_left"]) for step in found["steps"]] == [
        ("2026-11-01T00:00:00.000Z", 3.6),
        ("2026-11-01T00:00:02.000Z", 1.6),
        ("2026-11-01T00:00:02.000Z", 1.6),
    ]
    assert (folder.path / "transcript/native/.claude/projects/-w/s.jsonl").read_text() == "{}\n"


def test_a_session_that_never_began_has_a_trajectory_that_says_so(tmp_path: Path) -> None:
    plan, folder = factory.plan(tmp_path), RunFolder(tmp_path / "run")
    folder.path.mkdir()
    assert write(folder, plan).steps == 1
    assert atif.validate(json.loads((folder.path / "trajectory.json").read_bytes())) == []


def test_writing_again_gives_the_same(tmp_path: Path) -> None:
    folder, plan = run(tmp_path)
    first = write(folder, plan), (folder.path / "trajectory.json").read_bytes()
    assert (write(folder, plan), (folder.path / "trajectory.json").read_bytes()) == first
