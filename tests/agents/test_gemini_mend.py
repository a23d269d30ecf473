"""Before Gemini CLI is continued: each tool's result stands once in its chat files."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from posttrainbench import catalog

MEND = catalog.bundled() / "agents" / "gemini" / "mend.mjs"
RESULT = {"functionResponse": {"id": "1", "name": "run_shell_command", "response": {"output": "ok"}}}
ASKED = {"type": "user", "content": [{"text": "Go on."}]}
CALLED = {"type": "gemini", "content": "", "toolCalls": [{"id": "1", "result": [RESULT]}]}
COPY = {"type": "user", "content": [RESULT]}


def mended(tmp_path: Path, text: str) -> str:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node, which comes with npm, is not installed")
    chat = tmp_path / ".gemini" / "tmp" / "workspace" / "chats" / "session-1.jsonl"
    chat.parent.mkdir(parents=True)
    chat.write_text(text)
    done = subprocess.run([node, str(MEND)], env={"HOME": str(tmp_path)}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert [path.name for path in chat.parent.iterdir()] == [chat.name]
    return chat.read_text()


def lines(*values: Any) -> str:
    return "".join(json.dumps(value, separators=(",", ":")) + "\n" for value in values)


def test_a_result_s_second_copy_is_dropped_and_all_else_stays(tmp_path: Path) -> None:
    assert mended(tmp_path, lines(ASKED, CALLED, COPY, ASKED)) == lines(ASKED, CALLED, ASKED)


def test_copies_inside_a_list_of_messages_are_dropped_too(tmp_path: Path) -> None:
    before, after = ({"$set": {"messages": messages}} for messages in ([ASKED, CALLED, COPY], [ASKED, CALLED]))
    assert mended(tmp_path, lines(before)) == lines(after)


def test_a_line_that_was_cut_stays_as_it_is(tmp_path: Path) -> None:
    assert mended(tmp_path, lines(ASKED) + '{"type": "us') == lines(ASKED) + '{"type": "us\n'
