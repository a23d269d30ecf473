"""The one tool of `mini`."""

import os
import signal
import time
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from posttrainbench.catalog import bundled

spec = spec_from_file_location("mini_shell", bundled() / "agents" / "mini" / "shell.py")
assert spec is not None
assert spec.loader is not None
module: Any = module_from_spec(spec)
spec.loader.exec_module(module)
Ran = module.Ran


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Any]:
    (tmp_path / "work").mkdir()
    yield module.Shell(tmp_path / "kept", tmp_path / "work")


def test_a_command_gives_both_its_outputs_and_its_exit_code(shell: Any) -> None:
    assert shell.run("echo out; echo err >&2; exit 3", 10) == Ran("out\nerr", 3)
    assert list(shell.folder.iterdir()) == []


def test_the_folder_is_kept_and_variables_are_not(shell: Any) -> None:
    shell.run("X=1; mkdir 'a b'; cd 'a b'; false", 10)
    assert shell.run('echo "$X${PWD##*/}"', 10) == Ran("a b", 0)


def test_a_folder_that_is_gone_is_left(shell: Any) -> None:
    shell.run("mkdir gone; cd gone; rmdir ../gone", 10)
    assert shell.run("pwd", 10) == Ran(str(shell.start), 0)


def test_there_is_no_input(shell: Any) -> None:
    assert shell.run("cat; read x; echo $?", 10) == Ran("1", 0)


def test_a_script_of_many_lines_and_any_length_runs(shell: Any) -> None:
    text = "x" * 300_000
    assert shell.run(f"cat > file <<'END'\n{text}\nEND\nwc -c < file", 10) == Ran("300001", 0)


def test_what_is_wrong_with_a_command_is_its_output(shell: Any) -> None:
    ran = shell.run("if then", 10)
    assert (ran.exit_code, "syntax error" in ran.output) == (2, True)


def test_at_its_limit_a_command_ends_with_all_that_it_started(shell: Any) -> None:
    began = time.monotonic()
    ran = shell.run("trap '' TERM; sleep 61 & sleep 62 & echo $$; wait; wait", 1)
    assert ran.exit_code is None
    pid, note = ran.output.split("\n")
    assert note == "[stopped with all its processes after 1 s, its time limit]"
    assert module.members(int(pid)) == []
    assert time.monotonic() - began < 20


def test_what_goes_on_in_the_background_is_told_and_does_not_hold_the_shell(shell: Any) -> None:
    began = time.monotonic()
    ran = shell.run("echo now; sleep 63 & (sleep 0.5; echo later) &", 30)
    assert time.monotonic() - began < 10
    first, *notes = ran.output.split("\n")
    assert (first, ran.exit_code) == ("now", 0)
    pids = [int(note.removeprefix("[still running in the background: ").split()[0]) for note in notes[:-1]]
    try:
        assert any("sleep 63]" in note for note in notes)
        kept = Path(notes[-1].removeprefix("[all output: ").removesuffix("]"))
        until = time.monotonic() + 10
        while "later" not in kept.read_text():
            assert time.monotonic() < until
            time.sleep(0.05)
    finally:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                continue


def test_a_kill_by_name_does_not_find_the_shell_itself(shell: Any) -> None:
    assert shell.run("pkill -f a-name-that-nobody-has; echo $?", 10) == Ran("1", 0)


def test_a_long_output_is_cut_in_the_middle_and_kept_whole(shell: Any) -> None:
    ran = shell.run("seq 200000", 30)
    lines = ran.output.split("\n")
    assert len(ran.output) < 16_500
    assert (lines[0], lines[-2]) == ("1", "200000")
    assert "characters left out" in ran.output
    kept = Path(lines[-1].removeprefix("[all output: ").removesuffix("]"))
    assert kept.read_text().count("\n") == 200_000


def test_a_flood_is_stopped(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST", 1_000_000)
    ran = shell.run("yes", 60)
    assert (ran.exit_code, "after 1 MB of output]" in ran.output) == (None, True)


def test_of_a_progress_bar_the_last_state_is_shown(shell: Any) -> None:
    assert shell.run(r"printf '10%%\r50%%\r100%%\ndone\r\n'", 10) == Ran("100%\ndone\r", 0)


def test_bytes_that_are_no_text_are_replaced(shell: Any) -> None:
    assert shell.run(r"printf 'a\377b'", 10) == Ran("a\ufffdb", 0)
