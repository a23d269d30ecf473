"""The journal survives what a crash leaves, and one process at a time works on a run."""

import subprocess
import sys
from pathlib import Path

import pytest

from posttrainbench.errors import RunBusyError
from posttrainbench.journal import Journal, exclusively, worker


def test_a_stage_is_journalled_before_and_after(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    with journal.stage("prepare"):
        assert not journal.is_done("prepare")
        assert [event.event for event in journal.events()] == ["begin"]
    assert journal.is_done("prepare")
    assert not journal.is_done("session")


def test_a_failure_is_journalled_and_passes_on(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    with pytest.raises(ValueError, match="broken"), journal.stage("freeze"):
        raise ValueError("broken")
    last = journal.last()
    assert last is not None
    assert (last.event, last.detail) == ("failed", {"error": "ValueError: broken"})
    assert not journal.is_done("freeze")


def test_a_line_that_was_cut_off_is_ignored_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    with journal.stage("prepare"):
        pass
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"at":"2026-01-01T00:00:00Z","stage":"sess')
    assert len(journal.events()) == 2
    journal.note("session", pid="7")
    assert [event.event for event in journal.events()] == ["begin", "done", "note"]
    assert journal.notes("session") == [{"pid": "7"}]


def test_a_stage_that_began_again_is_not_done(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    with journal.stage("audit"):
        pass
    with pytest.raises(KeyboardInterrupt), journal.stage("audit"):
        raise KeyboardInterrupt
    assert not journal.is_done("audit")


def test_a_second_process_is_told_that_the_run_is_taken(tmp_path: Path) -> None:
    lock = tmp_path / "run-1" / ".lock"
    lock.parent.mkdir()
    code = f"""
from pathlib import Path
from posttrainbench.journal import exclusively
with exclusively(Path({str(lock)!r})):
    print("held", flush=True)
    input()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(RunBusyError, match="run-1"), exclusively(lock):
            pass
        other.kill()
    with exclusively(lock):
        pass


def test_who_works_on_a_run_is_known_while_it_does(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    assert worker(lock) is None
    script = "import sys, time; from pathlib import Path; from posttrainbench.journal import exclusively\n"
    script += "with exclusively(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script, str(lock)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        assert worker(lock) == process.pid
        process.kill()
    assert worker(lock) is None
    with exclusively(lock):
        lock.write_text("1:1")
        with pytest.raises(RunBusyError, match="no process of this host"):
            worker(lock)
