"""A person in the agent's place: a shell through `ptb attach`, at a real terminal, recorded and under the clock."""

import json
import time
from pathlib import Path

from driving import CELL, folder, ptb, start
from sitting import Person


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
        second.sits()
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
