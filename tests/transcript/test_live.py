"""What a person sees of an agent's output while it comes."""

import json
from typing import Any

import pytest
from transcribing import answered, called, said, sample, stream

from posttrainbench.transcript.live import Live, last


def shown(content: bytes, format_: str, size: int = 1 << 16) -> list[str]:
    """All lines, the bytes coming in pieces of a size."""
    live = Live(format_)
    found = [line for n in range(0, len(content), size) for line in live.feed(content[n : n + size])]
    return [*found, *live.close()]


def test_a_session_is_readable() -> None:
    assert shown(sample("codex"), "codex") == [
        "== started",
        "~ A small script will do.",
        "I write a script.",
        "$ /bin/bash -c \"cat > train.py <<'END'",
        "$ import pathlib",
        "$ for step in range(3):",
        "$     print('step', step)",
        "$ pathlib.Path('final_model').mkdir(exist_ok=True)",
        "$ pathlib.Path('final_model/config.json').write_text('{}')",
        "$ … 1 more lines",
        "$ /bin/bash -c 'python train.py'",
        "  | step 0",
        "  | step 1",
        "  | step 2",
        "~ Look at both.",
        "$ /bin/bash -c 'ls final_model'",
        "  | config.json",
        "$ /bin/bash -c 'echo beside; exit 3'",
        "  | beside",
        "  | failed, exit code 3",
        "The model is trained.",
        "== ended",
        "== started",
        "$ /bin/bash -c 'cat continue.md > continued.txt; cat continued.txt'",
        "  | You have 12 minutes left. Go on.",
        "Nothing is left to do.",
        "== ended",
    ]


@pytest.mark.parametrize("format_", ["claude", "codex", "gemini", "opencode", "qwen"])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_size_of_pieces_changes_nothing(format_: str, size: int) -> None:
    assert shown(sample(format_), format_, size) == shown(sample(format_), format_)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("npm warn", ["npm warn"]),
        (
            {"type": "system", "subtype": "api_retry", "attempt": 1, "error_status": 529, "error": "overloaded"},
            ["! trying again: 529 overloaded, attempt 1"],
        ),
        (
            {"type": "result", "is_error": True, "api_error_status": 401, "result": "no key"},
            ["== ended with an error: 401 no key"],
        ),
        (
            answered("a", "\n".join(str(n) for n in range(9))),
            ["  | 0", "  | 1", "  | 2", "  | 3", "  | 4", "  | 5", "  | … 3 more lines"],
        ),
        (
            {
                "type": "assistant",
                "message": {"content": [{"type": "tool_use", "name": "Read", "input": {"file_path": "a.py"}}]},
            },
            ["* Read a.py"],
        ),
        (said("x" * 305), ["x" * 300 + " … 5 more characters"]),
        ({"type": "new"}, []),
    ],
    ids=["plain", "retry", "end", "long", "read", "wide", "unknown"],
)
def test_each_event_has_its_line(row: Any, expected: list[str]) -> None:
    assert shown(stream([row]), "claude") == expected


def test_what_a_terminal_would_obey_is_taken_out() -> None:
    rows = [said("\x1b[2J\u202eX\x07\ud83d"), called("a", "printf '\x1b]0;t\x07'"), answered("a", "\x9b31m\r\u2028")]
    assert shown(stream(rows), "claude") == [" [2J X �", "$ printf ' ]0;t '", "  |  31m  "]


def test_pieces_of_a_text_are_shown_when_a_line_of_it_is_whole() -> None:
    live = Live("gemini")
    rows = [{"type": "message", "role": "assistant", "content": text, "delta": True} for text in ("Hel", "lo\nyo", "u")]
    assert [list(live.feed(stream([row]))) for row in rows] == [[], ["Hello"], []]
    assert list(live.close()) == ["you"]


def test_a_line_without_an_end_is_not_kept_in_memory() -> None:
    live = Live("claude")
    for _ in range(40):
        list(live.feed(b'{"' + b"x" * (1 << 20)))
    assert len(live.rest) <= 9 << 20
    assert list(live.feed(b"\n" + stream([said("Hi.")]))) == ["Hi."]


def test_the_last_lines_of_an_output_that_was_cut_somewhere() -> None:
    lines = [json.dumps(said(word)) for word in ("one", "two", "three")]
    cut = "\n".join(["rest of a line\x1b[2J", *lines])
    assert last("claude", cut, 2) == ["two", "three"]
    assert last("text", "only a piece", 2) == ["only a piece"]
    assert last("text", "", 2) == []
