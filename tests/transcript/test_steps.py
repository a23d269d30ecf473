"""Which lines make a step, and when it was."""

import datetime
import json
from pathlib import Path
from typing import Any

from transcribing import answered, called, document, gathered, said, stream, timed

from posttrainbench.transcript import atif

START = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)
INIT = {"type": "system", "subtype": "init", "session_id": "s"}
RESULT = {"type": "result", "subtype": "success", "is_error": False}


def steps(rows: list[Any], format_: str, tmp_path: Path) -> list[Any]:
    """The document's steps, which are valid."""
    found = document(gathered(stream(rows), format_, tmp_path))
    assert atif.validate(found) == []
    return list(found["steps"])


def test_blocks_of_one_answer_are_one_step_though_a_result_came_between(tmp_path: Path) -> None:
    rows = [said("Both."), called("a", "one"), answered("a", "1"), called("b", "two"), answered("b", "2")]
    (step,) = steps(rows, "claude", tmp_path)
    assert [call["arguments"]["command"] for call in step["tool_calls"]] == ["one", "two"]
    assert [(one["source_call_id"], one["content"]) for one in step["observation"]["results"]] == [
        ("a", "1"),
        ("b", "2"),
    ]


def test_a_result_that_comes_late_stands_beside_its_call(tmp_path: Path) -> None:
    rows = [called("a", "sleep", "m1"), said("Meanwhile.", "m2"), answered("a", "slept")]
    first, second = steps(rows, "claude", tmp_path)
    assert first["observation"]["results"][0]["content"] == "slept"
    assert "observation" not in second


def test_ids_that_come_again_after_a_result_are_calls_of_their_own(tmp_path: Path) -> None:
    rows = [called("a", "one"), answered("a", "1"), called("a", "two"), answered("a", "2")]
    (step,) = steps(rows, "claude", tmp_path)
    assert [(call["tool_call_id"], call["arguments"]["command"]) for call in step["tool_calls"]] == [
        ("a", "one"),
        ("a#2", "two"),
    ]
    assert [(one["source_call_id"], one["content"]) for one in step["observation"]["results"]] == [
        ("a", "1"),
        ("a#2", "2"),
    ]


def test_a_result_without_a_call_is_kept_by_itself(tmp_path: Path) -> None:
    (step,) = steps([answered("nobody", "text")], "claude", tmp_path)
    assert (step["source"], step["observation"]) == ("system", {"results": [{"content": "text"}]})


def test_a_subagent_s_steps_are_a_trajectory_of_their_own(tmp_path: Path) -> None:
    rows = [
        called("task", "explore"),
        called("b", "ls", "m2", parent_tool_use_id="task"),
        answered("b", "files", parent_tool_use_id="task"),
        answered("task", "explored"),
    ]
    found = document(gathered(stream(rows), "claude", tmp_path))
    assert atif.validate(found) == []
    assert [step["tool_calls"][0]["arguments"]["command"] for step in found["steps"]] == ["explore"]
    assert found["steps"][0]["observation"]["results"][0]["subagent_trajectory_ref"] == [{"trajectory_id": "task"}]
    (inner,) = found["subagent_trajectories"]
    assert (inner["trajectory_id"], inner["steps"][0]["observation"]["results"][0]["content"]) == ("task", "files")


def test_pieces_of_a_text_are_joined_without_a_break(tmp_path: Path) -> None:
    rows = [{"type": "message", "role": "assistant", "content": text, "delta": True} for text in ("Hel", "lo\n", "x")]
    assert [step["message"] for step in steps(rows, "gemini", tmp_path)] == ["Hello\nx"]


def test_an_item_that_is_told_twice_is_one_call_with_what_was_told_last(tmp_path: Path) -> None:
    item = {"id": "item_0", "type": "web_search"}
    rows = [
        {"type": "item.started", "item": item},
        {"type": "item.completed", "item": {**item, "query": "lr", "result": "found"}},
    ]
    (step,) = steps(rows, "codex", tmp_path)
    assert step["tool_calls"] == [
        {"tool_call_id": "item_0", "function_name": "web_search", "arguments": {"query": "lr"}}
    ]


def test_lines_that_are_no_events_are_the_program_s_own_words(tmp_path: Path) -> None:
    found = steps(["npm warn", "npm warn again", json.dumps(said("Hi."))], "claude", tmp_path)
    assert [(step["source"], step["message"]) for step in found] == [
        ("system", "npm warn\nnpm warn again"),
        ("agent", "Hi."),
    ]


def test_plain_text_is_one_step_of_the_agent_of_bounded_length(tmp_path: Path) -> None:
    content = b"first\n" + b"x" * 79 + b"\n"
    (step,) = document(gathered(content * 50_000 + b"last\n", "text", tmp_path))["steps"]
    assert step["source"] == "agent"
    assert (step["message"][:5], step["message"][-5:]) == ("first", "\nlast")
    assert "characters were left out here" in step["message"]
    assert len(step["message"]) < 110_000


def test_an_empty_output_is_a_valid_document(tmp_path: Path) -> None:
    assert [step["message"] for step in steps([], "claude", tmp_path)] == ["The agent's output is empty."]


def test_dropped_bytes_are_told_where_they_were(tmp_path: Path) -> None:
    rows = [said("Before."), "[123 bytes of output were dropped here]", said("After.", "m2")]
    assert [step["message"] for step in steps(rows, "claude", tmp_path)] == [
        "Before.",
        "123 bytes of output were dropped here.",
        "After.",
    ]


def test_of_too_many_steps_the_first_and_the_last_are_kept(tmp_path: Path) -> None:
    found = steps([said(str(n), f"m{n}") for n in range(20_005)], "claude", tmp_path)
    assert [found[n]["message"] for n in (0, 9999, 10_000, 10_001, -1)] == [
        "0",
        "9999",
        "5 steps were left out here.",
        "10005",
        "20004",
    ]


def test_unknown_events_are_counted_by_name(tmp_path: Path) -> None:
    rows = [{"type": "system", "subtype": "new"}, {"type": "system", "subtype": "new"}, {"x": 1}, {"type": "other"}]
    assert gathered(stream(rows), "claude", tmp_path).kinds == {"system/new": 2, "without a type": 1, "other": 1}


def test_a_second_start_after_an_end_is_a_turn(tmp_path: Path) -> None:
    rows = [INIT, said("One."), RESULT, INIT, said("Two.", "m2"), RESULT]
    assert [step["message"] for step in steps(rows, "claude", tmp_path)] == [
        "One.",
        "The agent had stopped early; its session was continued.",
        "Two.",
    ]


def test_a_second_init_of_one_start_is_no_turn_where_the_starts_are_known() -> None:
    rows = [(0.1, INIT), (1.0, RESULT), (2.0, INIT), (3.0, RESULT)]
    assert timed(rows, "claude", turns=[0.0]).turns == 1


def test_a_time_of_the_program_counts_where_ours_does_not_contradict_it() -> None:
    rows = [
        (10.0, said("Near.", "m1", timestamp="2026-11-01T00:00:10.750Z")),
        (20.0, said("Far.", "m2", timestamp="2026-11-01T00:09:00Z")),
        (30.0, said("Absurd.", "m3", timestamp="9999-01-01T00:00:00Z")),
        (40.0, said("None.", "m4", timestamp={"a": 1})),
    ]
    found = document(timed(rows, "claude", start=START), start=START)
    assert [step["timestamp"][-13:] for step in found["steps"]] == [
        "00:00:10.750Z",
        "00:00:20.000Z",
        "00:00:30.000Z",
        "00:00:40.000Z",
    ]


def test_our_own_agent_s_stream(tmp_path: Path) -> None:
    rows = [
        {"type": "start", "model": "big-1", "version": "3", "at": "2026-11-01T00:00:00Z"},
        {
            "type": "assistant",
            "text": "I look.",
            "reasoning": "Where?",
            "tool_calls": [{"id": "a", "name": "bash", "arguments": {"command": "ls"}}],
            "usage": {"input": 5, "cached": 2, "cache_write": 1, "output": 4, "reasoning": 3},
            "at": "2026-11-01T00:00:01Z",
        },
        {"type": "result", "id": "a", "output": "files", "exit_code": 2, "at": "2026-11-01T00:00:02Z"},
        {"type": "assistant", "text": "Done.", "tool_calls": [], "at": "2026-11-01T00:00:03Z"},
        {"type": "end", "reason": "done", "at": "2026-11-01T00:00:03Z"},
    ]
    assert steps(rows, "mini", tmp_path) == [
        {
            "step_id": 1,
            "source": "agent",
            "message": "I look.",
            "timestamp": "2026-11-01T00:00:01.000Z",
            "reasoning_content": "Where?",
            "tool_calls": [{"tool_call_id": "a", "function_name": "bash", "arguments": {"command": "ls"}}],
            "observation": {
                "results": [
                    {
                        "source_call_id": "a",
                        "content": "files",
                        "extra": {"ptb": {"is_error": True, "exit_code": 2}},
                    }
                ]
            },
        },
        {"step_id": 2, "source": "agent", "message": "Done.", "timestamp": "2026-11-01T00:00:03.000Z"},
    ]
