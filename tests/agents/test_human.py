"""A person in the agent's place: a shell through `ptb attach`, at a real terminal, recorded and under the clock."""

import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

from driving import CELL, environment, folder, ptb, start


class Person:
    """Types at `ptb attach` and reads what it prints."""

    def __init__(self, cwd: Path) -> None:
        self.side, inside = pty.openpty()
        command = [sys.executable, "-m", "posttrainbench.cli", "attach", "last"]
        self.ptb = subprocess.Popen(command, cwd=cwd, env=environment(), stdin=inside, stdout=inside, stderr=inside)
        os.close(inside)
        self.seen = b""

    def waits_for(self, words: bytes, seconds: float = 60) -> None:
        until = time.monotonic() + seconds
        while words not in self.seen:
            ready, _, _ = select.select([self.side], [], [], max(0.0, until - time.monotonic()))
            assert ready, f"{words!r} did not come; seen: {self.seen!r}"
            try:
                self.seen += os.read(self.side, 4096)
            except OSError:
                raise AssertionError(f"{words!r} did not come before the end; seen: {self.seen!r}") from None

    def types(self, words: str) -> None:
        os.write(self.side, words.encode())


def test_a_person_works_at_a_shell_leaves_it_and_comes_back(tmp_path: Path) -> None:
    with start("run", "--agent", "human", *CELL, "--limit", "4", "--json", cwd=tmp_path) as run:
        until = time.monotonic() + 120
        while not list(tmp_path.glob("runs/*/session/started.json")) and time.monotonic() < until:
            time.sleep(0.05)
        first = Person(tmp_path)
        first.waits_for(b"prompt.md")
        first.types("ls; marker=kept; echo files-listed-$((40 + 2))\n")
        first.waits_for(b"files-listed-42")
        assert b"evaluate.py" in first.seen
        first.types("\x1d")
        first.waits_for(b"Detached")
        assert first.ptb.wait(60) == 0
        second = Person(tmp_path)
        # Until it is answered: a shell that is busy with the connection before does not hear the first word.
        time.sleep(0.5)
        second.types("cp -r $PTB_MODEL final_model; echo it-is-$marker\n")
        second.waits_for(b"it-is-kept")
        second.types("exit\n")
        second.waits_for(b"The session ended after")
        assert second.ptb.wait(60) == 0
        out, err = run.communicate(timeout=200)
    assert run.returncode == 0, err
    record = json.loads(out)
    assert record["outcome"] == "scored"
    log = (folder(record, tmp_path) / "session" / "output.log").read_text()
    assert "files-listed-42" in log
    assert "it-is-kept" in log


def test_attach_without_a_terminal_only_looks(tmp_path: Path) -> None:
    with start("run", "--agent", "human", *CELL, "--hours", "0.001", "--json", cwd=tmp_path) as run:
        until = time.monotonic() + 120
        while not list(tmp_path.glob("runs/*/session/started.json")) and time.monotonic() < until:
            time.sleep(0.05)
        answer = ptb("attach", "last", cwd=tmp_path)
        run.communicate(timeout=100)
    assert answer.returncode == 0
    assert "prompt.md" in answer.stdout
    assert "deadline" in answer.stderr
