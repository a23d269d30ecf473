"""Whatever an output holds, and wherever it is cut: a valid document, a readable line, and no exception."""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transcribing import answered, called, document, gathered, said, sample, stream

from posttrainbench.transcript import atif, causes, reconcile
from posttrainbench.transcript.formats import FORMATS
from posttrainbench.transcript.live import Live

NAMES = [*sorted(FORMATS), "text", "none"]
MINI: list[Any] = [
    {"type": "start", "model": "big-1", "version": "3"},
    {"type": "assistant", "text": "é", "tool_calls": [{"id": "a", "name": "bash", "arguments": {"command": "ls"}}]},
    {"type": "result", "id": "a", "output": "x", "exit_code": 0},
    {"type": "error", "cause": "overloaded", "message": "busy"},
    {"type": "end", "reason": "done"},
]
SHORT = {
    "claude": [said("Hé."), called("a", "ls"), answered("a", "x"), {"type": "result", "usage": {"input_tokens": 3}}],
    "codex": [
        {"type": "thread.started", "thread_id": "t"},
        {"type": "item.started", "item": {"id": "0", "type": "command_execution", "command": "ls"}},
        {"type": "item.completed", "item": {"id": "0", "type": "command_execution", "command": "ls", "exit_code": 1}},
        {"type": "turn.completed", "usage": {"input_tokens": 3}},
    ],
    "gemini": [
        {"type": "message", "role": "assistant", "content": "é", "delta": True},
        {"type": "tool_use", "tool_id": "a", "tool_name": "x", "parameters": {"a": 1}},
        {"type": "tool_result", "tool_id": "a", "output": "x"},
        {"type": "result", "status": "success", "stats": {"input_tokens": 3}},
    ],
    "opencode": [
        {"type": "step_start", "part": {"messageID": "m"}},
        {"type": "tool_use", "part": {"callID": "a", "tool": "x", "state": {"status": "completed", "output": "é"}}},
        {"type": "step_finish", "part": {"reason": "stop", "tokens": {"input": 3}, "cost": 0.1}},
    ],
    "mini": MINI,
}


def content_of(name: str) -> bytes:
    """A stream of the format."""
    return stream(MINI) if name == "mini" else sample(name) if name in FORMATS else b"one\ntwo\x1b[2J\n"


def check(content: bytes, name: str, folder: Path) -> None:
    """A valid document, and harmless lines."""
    found = gathered(content, name, folder)
    assert atif.validate(document(found)) == []
    reconcile.disagreements(name, reconcile.reported(found), [])
    causes.cause(found.ending, [], [])
    live = Live(name)
    half = len(content) // 2
    lines = [*live.feed(content[:half]), *live.feed(content[half:]), *live.close()]
    assert [line for line in lines if not line.isprintable()] == []


@pytest.mark.parametrize("name", sorted(SHORT))
def test_a_stream_may_be_cut_at_every_byte(name: str, tmp_path: Path) -> None:
    content = stream(SHORT[name])
    for size in range(len(content) + 1):
        check(content[:size], name, tmp_path)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_real_stream_may_be_cut_anywhere_and_go_on_anywhere(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(NAMES))
    content = content_of(name)
    end, begin = (data.draw(st.integers(0, len(content))) for _ in range(2))
    notice = data.draw(st.sampled_from([b"", b"\n[99 bytes of output were dropped here]\n"]))
    with tempfile.TemporaryDirectory() as folder:
        check(content[:end] + notice + content[begin:], name, Path(folder))


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_any_bytes_of_a_real_stream_may_be_others(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(NAMES))
    content = bytearray(content_of(name))
    for _ in range(data.draw(st.integers(1, 20))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=6))
    with tempfile.TemporaryDirectory() as folder:
        check(bytes(content), name, Path(folder))


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=20)
    | st.sampled_from(
        ["text", "tool_use", "tool_result", "thinking", "a", "9999-99-99", "2026-11-01T00:00:00Z", 1e300]
    ),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5) | st.sampled_from(["type", "text", "id", "message"]), inner, max_size=4)
    ),
    max_leaves=20,
)


def mutated(value: Any, data: st.DataObject) -> Any:
    """The value with some of its parts replaced by anything."""
    if data.draw(st.integers(0, 9)) == 0:
        return data.draw(ANYTHING)
    if isinstance(value, dict):
        return {key: mutated(one, data) for key, one in value.items()}
    if isinstance(value, list):
        return [mutated(one, data) for one in value]
    return value


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_part_of_an_event_may_be_anything(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(SHORT)))
    rows = [mutated(row, data) for row in SHORT[name] for _ in range(data.draw(st.integers(1, 2)))]
    content = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    with tempfile.TemporaryDirectory() as folder:
        check(content, name, Path(folder))


HUGE = {
    "a long line": b'{"type":"assistant","x":"' + b"y" * 50_000_000 + b'"}\n',
    "deep": b'{"type":"assistant","message":' + b"[" * 10_000 + b"]" * 10_000 + b"}\n",
    "deep objects": b'{"type":"assistant","message":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_001 + b"\n",
    "deep arguments": b'{"type":"assistant","message":{"content":[{"type":"tool_use","input":{"a":'
    + b"[" * 500
    + b"]" * 500
    + b"}}]}}\n",
    "many objects": b'{"type":"assistant","message":{"content":[{"type":"tool_use","input":{"a":['
    + b"[]," * 500_000
    + b"1]}}]}}\n",
    "large numbers": b'{"type":"result","usage":{"input_tokens":' + b"9" * 5000 + b',"output_tokens":1e999}}\n',
    "NaN": b'{"type":"result","total_cost_usd":NaN,"usage":{"input_tokens":-Infinity}}\n',
    "half a pair": b'{"type":"assistant","message":{"content":[{"type":"text","text":"\\ud83d"}]}}\n',
    "half a pair in a name": b'{"type":"system","subtype":"init","session_id":"\\ud83d","model":"\\udc00"}\n',
    "no UTF-8": b'{"type":"assistant","message":{"content":[{"type":"text","text":"\xff\xfe"}]}}\n',
    "absurd time": b'{"type":"assistant","timestamp":1e308,"message":{"content":"x"}}\n',
}


@pytest.mark.parametrize("what", sorted(HUGE))
def test_what_is_huge_or_odd_is_survived_and_so_is_what_follows(what: str, tmp_path: Path) -> None:
    content = HUGE[what] + stream([said("Still here.", "last")])
    check(content, "claude", tmp_path)
    assert document(gathered(content, "claude", tmp_path))["steps"][-1]["message"] == "Still here."


def test_half_a_surrogate_pair_costs_one_character_not_the_line(tmp_path: Path) -> None:
    (step,) = document(gathered(HUGE["half a pair"], "claude", tmp_path))["steps"]
    assert (step["source"], step["message"]) == ("agent", "\ufffd")


def test_as_much_output_as_is_kept_is_read_in_bounded_time_and_space(tmp_path: Path) -> None:
    rows = [row for n in range(200) for row in (called(f"c{n}", "x" * 200, f"m{n}"), answered(f"c{n}", "y" * 2000))]
    part = stream(rows)
    begin = time.monotonic()
    found = document(gathered(part * (32_000_000 // len(part)), "claude", tmp_path))
    assert len(json.dumps(found)) < 40_000_000
    assert time.monotonic() - begin < 60
