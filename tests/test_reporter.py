"""What a person sees: a line a stage, and foreign text that cannot command the terminal."""

import io
import time

import pytest
from rich.console import Console

from posttrainbench.reporter import Terminal, following


def reporter() -> tuple[Terminal, io.StringIO]:
    out = io.StringIO()
    return Terminal(Console(file=out, width=100, highlight=False)), out


def test_a_stage_ends_in_a_line_that_says_how() -> None:
    terminal, out = reporter()
    with terminal.stage("freeze", "what it left"):
        pass
    with pytest.raises(ValueError, match="x"), terminal.stage("audit", "the rules"):
        raise ValueError("x")
    lines = out.getvalue().splitlines()
    assert lines[0].startswith("✓ freeze    what it left")
    assert lines[1].startswith("✗ audit     the rules")


def test_markup_in_foreign_text_is_shown_as_text() -> None:
    terminal, out = reporter()
    terminal.say("[red]not markup[/red] [/]")
    assert out.getvalue() == "  [red]not markup[/red] [/]\n"


def test_following_reports_until_the_block_ends() -> None:
    heard: list[str] = []
    with following(heard.append, lambda: "on it", every=0.01):
        until = time.monotonic() + 10
        while not heard and time.monotonic() < until:
            time.sleep(0.01)
    count = len(heard)
    time.sleep(0.05)
    assert heard[0] == "on it"
    assert len(heard) == count
