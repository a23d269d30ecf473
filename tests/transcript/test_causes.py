"""Why an agent ended."""

from pathlib import Path
from typing import Any

import pytest
from transcribing import answered, called, ended, gathered, said, stream

from posttrainbench.catalog import Pattern
from posttrainbench.gateway.ledger import Tokens
from posttrainbench.transcript.causes import NONE, Cause, cause
from posttrainbench.transcript.exchanges import Exchange

PATTERNS = [
    Pattern(regex="usage limit", cause="usage_limit"),
    Pattern(regex="too long", cause="context_exceeded"),
    Pattern(regex='"error":"rate_limit"|"error": "rate_limit"', cause="rate_limit"),
]


def found(rows: list[Any], format_: str, tmp_path: Path, *known: Exchange) -> Cause:
    """The cause of a stream's end."""
    return cause(gathered(stream(rows), format_, tmp_path).ending, known, PATTERNS)


def failed(status: int | None, text: str) -> dict[str, Any]:
    """Claude Code's end of a failed start: success, it says."""
    return {"type": "result", "subtype": "success", "is_error": True, "api_error_status": status, "result": text}


@pytest.mark.parametrize(
    ("rows", "format_", "expected"),
    [
        ([failed(401, "no")], "claude", "auth"),
        ([failed(429, "slow down")], "claude", "rate_limit"),
        ([failed(429, "you hit your usage limit")], "claude", "usage_limit"),
        ([failed(529, "busy")], "claude", "overloaded"),
        ([failed(400, "prompt is too long")], "claude", "context_exceeded"),
        ([{"type": "result", "subtype": "error_max_turns"}], "claude", "none"),
        ([{"type": "turn.failed", "error": {"message": "usage limit reached"}}], "codex", "usage_limit"),
        ([{"type": "result", "status": "error", "error": {"code": 503, "message": "x"}}], "gemini", "overloaded"),
        ([{"type": "error", "error": {"name": "E", "data": {"statusCode": 403}}}], "opencode", "auth"),
        ([{"type": "result", "is_error": True, "error": {"message": "too long"}}], "qwen", "context_exceeded"),
        ([{"type": "error", "cause": "budget", "message": "spent"}, {"type": "end", "reason": "x"}], "mini", "budget"),
    ],
)
def test_each_program_s_end_is_understood(rows: list[Any], format_: str, expected: str, tmp_path: Path) -> None:
    assert found(rows, format_, tmp_path).cause == expected


def test_a_failure_that_was_overcome_ended_nothing(tmp_path: Path) -> None:
    retry = {"type": "system", "subtype": "api_retry", "error_status": 529, "error": "overloaded"}
    assert found([retry, said("On I go.")], "claude", tmp_path) == NONE
    assert found([said("Hm."), retry], "claude", tmp_path) == Cause(
        cause="overloaded", source="stream", detail="overloaded, attempt 0"
    )


def test_what_the_agent_says_and_its_tools_print_is_no_cause(tmp_path: Path) -> None:
    rows = [said("usage limit"), called("a", "x"), answered("a", "usage limit, and it is too long")]
    assert found(rows, "claude", tmp_path) == NONE


def test_a_pattern_is_tried_on_plain_lines_and_on_lines_that_tell_of_failures(tmp_path: Path) -> None:
    assert found([said("Hm."), "Error: usage limit"], "claude", tmp_path) == Cause(
        cause="usage_limit", source="pattern", detail="Error: usage limit"
    )
    retry = {"type": "system", "subtype": "api_retry", "error": "rate_limit"}
    assert found([retry], "claude", tmp_path).cause == "rate_limit"


def test_a_budget_that_the_ledger_tells_of_comes_first(tmp_path: Path) -> None:
    last = ended(1, 0.0, 1.0, Tokens(), cause="budget", detail="$0.50 are spent")
    assert found([failed(429, "usage limit")], "claude", tmp_path, last) == Cause(
        cause="budget", source="ledger", detail="$0.50 are spent"
    )


def test_the_ledger_tells_what_the_stream_does_not(tmp_path: Path) -> None:
    last = ended(1, 0.0, 1.0, Tokens(), cause="overloaded", detail="529")
    assert found([said("Hm.")], "claude", tmp_path, last) == Cause(cause="overloaded", source="ledger", detail="529")


def test_an_answer_that_is_a_failure_is_not_the_agent_s(tmp_path: Path) -> None:
    row = said("API Error: usage limit")
    row["message"]["model"] = "<synthetic>"
    assert found([row], "claude", tmp_path).cause == "usage_limit"
