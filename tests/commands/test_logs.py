"""An agent's output, readable where its format is known, and as it came with --raw."""

from pathlib import Path

import factory
import pytest
from driving import ptb
from transcribing import called, said, stream

from posttrainbench.commands.logs import print_from, printer_for
from posttrainbench.strict import write_json

CONTENT = stream([called("a", "ls"), said("Done \u001b[2J.", "m2")])


def printed(format_: str, content: bytes, capsys: pytest.CaptureFixture[str], tmp_path: Path, *, raw: bool) -> str:
    """What is printed of an output."""
    log = tmp_path / "output.log"
    log.write_bytes(content)
    printer = printer_for(format_, raw=raw)
    print_from(log, print_from(log, 0, printer), printer)
    printer.close()
    return capsys.readouterr().out


def test_a_known_format_is_readable(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert printed("claude", CONTENT, capsys, tmp_path, raw=False) == "$ ls\nDone  [2J.\n"


def test_raw_is_what_the_program_printed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert printed("claude", CONTENT, capsys, tmp_path, raw=True) == CONTENT.decode()


def test_plain_text_stays_as_it_is_but_for_what_a_terminal_would_obey(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    content = "é\x1b[2J\n{}\nno end".encode()
    assert printed("text", content, capsys, tmp_path, raw=False) == "é [2J\n{}\nno end"


def test_a_run_whose_session_has_not_begun_is_a_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "quick-run"
    folder.mkdir(parents=True)
    write_json(folder / "plan.json", factory.plan(tmp_path))
    answer = ptb("logs", "last", "--raw", cwd=tmp_path)
    assert (answer.returncode, "has not begun" in answer.stderr) == (2, True)
