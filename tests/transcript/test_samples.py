"""Real sessions of the five programs: every command, its result, what was said, and the totals."""

import json
from pathlib import Path
from typing import Any

import pytest
from transcribing import SAMPLES, document, gathered, sample, timed

from posttrainbench.gateway.ledger import Tokens
from posttrainbench.transcript import atif, causes, reconcile, supplement

FORMATS = ["claude", "codex", "gemini", "opencode", "qwen"]
COMMANDS = ["cat > train.py", "python train.py", "ls final_model", "echo beside; exit 3", "cat continue.md"]
RESULTS = ["", "step 0\nstep 1\nstep 2", "config.json", "beside", "You have 12 minutes left. Go on."]


@pytest.mark.parametrize("format_", FORMATS)
def test_a_session_becomes_a_valid_document(format_: str, tmp_path: Path) -> None:
    assert atif.validate(document(gathered(sample(format_), format_, tmp_path))) == []


@pytest.mark.parametrize("format_", FORMATS)
def test_commands_and_results_stand_beside_each_other_in_order(format_: str, tmp_path: Path) -> None:
    found = document(gathered(sample(format_), format_, tmp_path))
    pairs = []
    for step in found["steps"]:
        results = {one["source_call_id"]: one["content"] for one in step.get("observation", {"results": []})["results"]}
        for call in step.get("tool_calls", []):
            pairs.append((call["arguments"]["command"], results[call["tool_call_id"]]))
    if format_ == "opencode":  # It tells parallel calls in the order in which they ended.
        pairs[2], pairs[3] = pairs[3], pairs[2]
    assert [next(i for i, part in enumerate(COMMANDS) if part in command) for command, _ in pairs] == [0, 1, 2, 3, 4]
    assert [result for want, (_, result) in zip(RESULTS, pairs, strict=True) if want not in result] == []


@pytest.mark.parametrize("format_", FORMATS)
def test_what_was_said_and_thought_is_there(format_: str, tmp_path: Path) -> None:
    steps = document(gathered(sample(format_), format_, tmp_path))["steps"]
    said = [step["message"] for step in steps if step["source"] == "agent" and step["message"]]
    assert said == ["I write a script.", "The model is trained.", "Nothing is left to do."]
    thoughts = [step["reasoning_content"] for step in steps if "reasoning_content" in step]
    assert thoughts == ([] if format_ == "gemini" else ["A small script will do.", "Look at both."])


@pytest.mark.parametrize("format_", FORMATS)
def test_totals_are_those_of_both_turns(format_: str, tmp_path: Path) -> None:
    totals = reconcile.reported(gathered(sample(format_), format_, tmp_path))
    assert totals is not None
    prompt = totals.tokens.input + totals.tokens.cached + totals.tokens.cache_write
    assert (prompt, totals.tokens.cached, totals.tokens.output, totals.complete) == (12870, 6300, 315, True)


@pytest.mark.parametrize("format_", FORMATS)
def test_a_session_that_ended_well_has_no_cause(format_: str, tmp_path: Path) -> None:
    assert causes.cause(gathered(sample(format_), format_, tmp_path).ending, [], []) == causes.NONE


@pytest.mark.parametrize("format_", [name for name in FORMATS if name != "opencode"])
def test_the_second_start_of_the_program_is_a_turn(format_: str, tmp_path: Path) -> None:
    found = gathered(sample(format_), format_, tmp_path)
    assert (found.turns, [draft.turn for draft in found.main][-1]) == (2, 1)


def test_turns_are_known_by_time_where_no_line_tells_of_a_start() -> None:
    rows = [json.loads(line) for line in sample("opencode").splitlines()]
    first = rows[0]["timestamp"]
    lines = [((row["timestamp"] - first) / 1000 + 1, row) for row in rows]
    found = timed(lines, "opencode", turns=[0.0, 15.0])
    assert [(draft.turn, draft.kind) for draft in found.main if draft.kind or draft.turn] == [
        (1, "continued"),
        (1, ""),
        (1, ""),
    ]


def test_steps_are_answers_of_the_model(tmp_path: Path) -> None:
    for format_ in ("claude", "opencode", "qwen", "gemini"):
        found = gathered(sample(format_), format_, tmp_path)
        agents = [draft for draft in found.main if draft.source == "agent"]
        assert [len(draft.calls) for draft in agents] == [1, 1, 2, 0, 1, 0], format_


def test_gemini_s_own_file_adds_thoughts_and_tokens(tmp_path: Path) -> None:
    found = gathered(sample("gemini"), "gemini", tmp_path)
    native = tmp_path / "native"
    native.mkdir()
    (native / "session-1.jsonl").write_bytes((SAMPLES / "gemini.session.jsonl").read_bytes())
    supplement.add(found, "gemini", native)
    agents: list[Any] = [draft for draft in found.main if draft.source == "agent"]
    assert [str(draft.reasoning) for draft in agents] == ["A small script will do.", "", "Look at both.", "", "", ""]
    assert agents[0].used == Tokens(input=1070, cached=300, output=50, reasoning=20)
