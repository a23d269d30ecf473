"""Tokens and money: the ledger's, at a step only where that is certain; and beside them what the program says."""

import datetime
from pathlib import Path
from typing import Any

import pytest
from transcribing import answered, called, document, ended, exchange, gathered, said, stream, timed

from posttrainbench.gateway.ledger import Begin, End, Tokens
from posttrainbench.transcript import atif, reconcile
from posttrainbench.transcript.compose import Incident
from posttrainbench.transcript.exchanges import Exchange, exchanges
from posttrainbench.transcript.reconcile import Disagreement

START = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)
ONE, TWO = Tokens(input=10, cached=2, cache_write=1, output=5, reasoning=3), Tokens(input=20, output=6)


class Busy:
    """A sample with one GPU."""

    def __init__(self, t: float, percent: float) -> None:
        self.t, self.gpus = t, [{"utilization.gpu": percent, "index": 0.0}]


def metrics(found: Any) -> list[Any]:
    """Metrics of each step; None where there are none."""
    assert atif.validate(found) == []
    return [step.get("metrics") for step in found["steps"]]


def two_steps(**usage: Any) -> Any:
    """A session of two answers, at 2 s and 12 s."""
    return timed([(2.0, said("One.", "m1")), (12.0, said("Two.", "m2"))], "claude", start=START)


def test_as_many_exchanges_as_steps_at_fitting_times_belong_to_them() -> None:
    known = [ended(1, 1.0, 2.0, ONE, cost_usd=0.5), ended(2, 11.0, 12.0, TWO, cost_usd=None)]
    found = document(two_steps(), start=START, exchanges=known, has_ledger=True)
    assert metrics(found) == [
        {
            "prompt_tokens": 13,
            "completion_tokens": 5,
            "cached_tokens": 2,
            "cost_usd": 0.5,
            "extra": {"cache_write_tokens": 1, "reasoning_tokens": 3},
        },
        {"prompt_tokens": 20, "completion_tokens": 6, "cached_tokens": 0},
    ]
    assert [step["llm_call_count"] for step in found["steps"]] == [1, 1]


@pytest.mark.parametrize(
    "known",
    [
        [ended(1, 1.0, 2.0, ONE)],
        [ended(1, 1.0, 2.0, ONE), ended(2, 11.0, 12.0, TWO), ended(3, 13.0, 14.0, TWO)],
        [ended(1, 1.0, 2.0, ONE), ended(2, 60.0, 61.0, TWO)],
        [ended(1, 1.0, 2.0, ONE), ended(2, 3.0, 4.0, TWO, cause="overloaded")],
    ],
    ids=["too few", "too many", "at another time", "failed"],
)
def test_no_numbers_are_made_up_where_it_is_not_certain(known: list[Exchange]) -> None:
    assert metrics(document(two_steps(), start=START, exchanges=known, has_ledger=True)) == [None, None]


def test_exchanges_of_background_models_belong_to_no_step() -> None:
    known = [ended(1, 1.0, 2.0, ONE), ended(2, 3.0, 4.0, TWO, background=True), ended(3, 11.0, 12.0, TWO)]
    found = document(two_steps(), start=START, exchanges=known, has_ledger=True)
    assert [one["prompt_tokens"] for one in metrics(found)] == [13, 20]


def test_a_step_whose_tokens_the_program_tells_has_the_exchange_with_the_same(tmp_path: Path) -> None:
    rows = [said("One.", "m1"), said("Two.", "m2")]
    for row, tokens in zip(rows, (ONE, TWO), strict=True):
        row["message"]["usage"] = {
            "input_tokens": tokens.input,
            "cache_read_input_tokens": tokens.cached,
            "cache_creation_input_tokens": tokens.cache_write,
            "output_tokens": 1,
        }
    known = [ended(1, 1.0, 2.0, Tokens(input=7, output=1)), ended(2, 2.0, 3.0, ONE), ended(3, 4.0, 5.0, TWO)]
    found = document(gathered(stream(rows), "claude", tmp_path), exchanges=known, has_ledger=True)
    assert [one["prompt_tokens"] for one in metrics(found)] == [13, 20]


def test_totals_are_the_ledger_s_whatever_the_steps_are() -> None:
    known = [ended(1, 1.0, 2.0, ONE, throttled_seconds=4.0), ended(2, 3.0, 4.0, TWO, background=True, model="small")]
    assert document(two_steps(), start=START, exchanges=known, has_ledger=True)["final_metrics"] == {
        "total_prompt_tokens": 33,
        "total_completion_tokens": 11,
        "total_cached_tokens": 2,
        "total_cost_usd": 0.02,
        "total_steps": 2,
        "extra": {
            "cache_write_tokens": 1,
            "reasoning_tokens": 3,
            "exchanges": 2,
            "background_models": ["small"],
            "throttled_seconds": 4.0,
        },
    }


def test_a_model_without_a_price_leaves_no_total_cost() -> None:
    known = [ended(1, 1.0, 2.0, ONE), ended(2, 3.0, 4.0, TWO, cost_usd=None)]
    found = document(two_steps(), start=START, exchanges=known, has_ledger=True)
    assert "total_cost_usd" not in found["final_metrics"]


def test_without_a_gateway_there_are_no_totals() -> None:
    assert document(two_steps(), start=START)["final_metrics"] == {"total_steps": 2}


def test_a_step_says_what_was_the_case_then() -> None:
    found = document(
        two_steps(),
        start=START,
        seconds=100.0,
        samples=[Busy(1.0, 5.0), Busy(11.0, 97.0)],
        incidents=[Incident(10.0, 20.0, "stall")],
        exchanges=[ended(1, 1.0, 2.0, ONE, throttled_seconds=0.5), ended(2, 11.0, 12.0, TWO)],
        has_ledger=True,
    )
    assert [step["extra"]["ptb"] for step in found["steps"]] == [
        {"throttled_seconds": 0.5, "seconds_left": 98.0, "gpu_percent": [5.0]},
        {"seconds_left": 88.0, "gpu_percent": [97.0], "incidents": ["stall"]},
    ]


def test_the_prompt_is_the_first_step_unless_the_stream_tells_it(tmp_path: Path) -> None:
    silent = document(gathered(stream([said("Hi.")]), "claude", tmp_path), prompt="Train.")
    assert [(step["source"], step["message"]) for step in silent["steps"]] == [("user", "Train."), ("agent", "Hi.")]
    told = [{"type": "message", "role": "user", "content": "Train it."}]
    assert [step["message"] for step in document(gathered(stream(told), "gemini", tmp_path), prompt="X")["steps"]] == [
        "Train it."
    ]


def test_lines_of_the_ledger_become_exchanges_by_the_session_s_clock() -> None:
    lines: list[Begin | End] = [
        *exchange(2, 1005.0, 1006.0, TWO),
        *exchange(1, 1001.0, 1002.0, ONE),
        *exchange(3, 1007.0, 1008.0, Tokens(), model=""),
        exchange(4, 1009.0, 1010.0, ONE)[0],
    ]
    assert [(one.begin, one.end, one.facts.n) for one in exchanges(lines, 1000.0)] == [(1.0, 2.0, 1), (5.0, 6.0, 2)]


def result(output: int, **more: Any) -> dict[str, Any]:
    """A result of Claude Code with usage."""
    since = {"big-1": {"inputTokens": 100, "outputTokens": output, "costUSD": 1.0}}
    return {"type": "result", "subtype": "success", "model_usage_since_last_result": since, **more}


def compared(rows: list[Any], format_: str, known: list[Exchange], tmp_path: Path) -> list[Disagreement]:
    """Disagreements of a stream with a ledger."""
    return reconcile.disagreements(format_, reconcile.reported(gathered(stream(rows), format_, tmp_path)), known)


def test_totals_that_agree_within_two_percent_are_no_disagreement(tmp_path: Path) -> None:
    known = [ended(1, 0.0, 1.0, Tokens(input=101, output=51), cost_usd=1.0)]
    assert compared([result(50)], "claude", known, tmp_path) == []


def test_totals_that_differ_are_told_each(tmp_path: Path) -> None:
    known = [ended(1, 0.0, 1.0, Tokens(input=100, cached=50, output=60), cost_usd=1.5)]
    assert compared([result(50)], "claude", known, tmp_path) == [
        Disagreement(what="input", reported=100, ledger=150),
        Disagreement(what="cached", reported=0, ledger=50),
        Disagreement(what="output", reported=50, ledger=60),
        Disagreement(what="cost_usd", reported=1.0, ledger=1.5),
    ]


def test_several_results_of_one_start_add_up(tmp_path: Path) -> None:
    known = [ended(1, 0.0, 1.0, Tokens(input=200, output=70), cost_usd=2.0)]
    assert compared([result(50), said("More."), result(20)], "claude", known, tmp_path) == []


def test_a_last_turn_without_totals_leaves_nothing_to_compare(tmp_path: Path) -> None:
    init = {"type": "system", "subtype": "init"}
    rows = [init, result(50), init, said("Killed.")]
    assert compared(rows, "claude", [ended(1, 0.0, 1.0, Tokens(input=900, output=900))], tmp_path) == []


def test_codex_counts_over_the_whole_thread(tmp_path: Path) -> None:
    begin = {"type": "thread.started", "thread_id": "t"}
    usages = [{"input_tokens": 100, "output_tokens": 10}, {"input_tokens": 300, "output_tokens": 40}]
    rows = [row for usage in usages for row in (begin, {"type": "turn.completed", "usage": usage})]
    assert compared(rows, "codex", [ended(1, 0.0, 1.0, Tokens(input=300, output=40))], tmp_path) == []


def test_the_title_that_opencode_makes_is_not_compared(tmp_path: Path) -> None:
    part = {"reason": "stop", "tokens": {"input": 10, "output": 5, "reasoning": 0, "cache": {"read": 0, "write": 0}}}
    rows = [{"type": "step_finish", "part": part}]
    own, title = Tokens(input=10, output=5), Tokens(input=400, output=9)
    known = [ended(1, 0.0, 1.0, title, background=True), ended(2, 0.0, 1.0, own)]
    assert compared(rows, "opencode", known, tmp_path) == []


def test_a_call_without_a_result_is_still_a_step(tmp_path: Path) -> None:
    found = document(gathered(stream([called("a", "ls"), answered("b", "x")]), "claude", tmp_path))
    assert [("tool_calls" in step, step["source"]) for step in found["steps"]] == [(True, "agent"), (False, "system")]
