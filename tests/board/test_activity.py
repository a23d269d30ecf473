"""Where time went: what is known of a session is read in a fixed order, and nothing hostile gets into a drawing."""

import math
from typing import Any

import pytest

from posttrainbench.agent.result import Sample
from posttrainbench.board import activity, charts, recorder, svg
from posttrainbench.board.reading import Call, Step, Traces
from posttrainbench.gateway.ledger import End, Tokens
from posttrainbench.statistics import Estimate
from posttrainbench.transcript.exchanges import Exchange


def exchange(begin: float, end: float, throttled: float = 0.0, **changes: Any) -> Exchange:
    facts = End(
        n=1,
        t=end,
        status=200,
        seconds=end - begin,
        first_byte_seconds=None,
        attempts=[],
        throttled_seconds=throttled,
        answered_model="m",
        tokens=Tokens(input=5, output=5),
        cost_usd=0.5,
        sent_bytes=1,
        received_bytes=1,
        cause=None,
    )
    return Exchange(begin, end, facts, "m", changes.get("background", False))


def test_each_second_is_told_once_and_the_whole_is_the_session() -> None:
    traces = Traces(
        steps=[
            Step(source="agent", t=300.0, tool_calls=[Call(function_name="bash", arguments={"c": "evaluate.py"})]),
            Step(source="agent", t=400.0),
        ],
        samples=[Sample(t=10.0 * n, cpu_percent=90.0 if n > 40 else 0.0) for n in range(61)],
        exchanges=[exchange(0, 100, throttled=40), exchange(400, 450), exchange(500, 600, background=True)],
    )
    spent = dict(activity.shares(activity.spans(traces, 600.0)))
    assert sum(spent.values()) == pytest.approx(600.0)
    assert spent["thinking"] == pytest.approx(110, abs=3)
    assert spent["throttled"] == pytest.approx(40, abs=3)
    assert spent["evaluating"] == pytest.approx(100, abs=3)
    assert spent["computing"] == pytest.approx(150, abs=3)
    assert spent["idle"] == pytest.approx(200, abs=3)


def test_a_busy_gpu_is_computing() -> None:
    traces = Traces(samples=[Sample(t=10.0 * n, gpus=[{"utilization.gpu": 80.0}]) for n in range(11)])
    assert [kind for kind, _ in activity.shares(activity.spans(traces, 100.0))] == ["computing"]


@pytest.mark.parametrize("seconds", [0.0, -5.0, math.inf, math.nan, 1e12])
def test_a_session_without_a_length_has_no_spans(seconds: float) -> None:
    assert activity.spans(Traces(), seconds) == []


def test_times_that_make_no_sense_do_no_harm() -> None:
    wild = [exchange(-1e300, 1e300), exchange(math.nan, 5), exchange(50, 40)]
    traces = Traces(
        steps=[Step(source="agent", t=t) for t in (math.inf, -1e9, math.nan)],
        samples=[Sample(t=t, cpu_percent=c) for t, c in ((math.nan, 5.0), (1e308, math.inf), (5.0, -1.0))],
        exchanges=wild,
    )
    spans = activity.spans(traces, 100.0)
    drawn = recorder.draw(traces, spans, 100.0, 100.0, lambda number: f"#step-{number}")
    assert "nan" not in drawn
    assert "inf" not in drawn


def test_what_an_agent_named_is_text_in_a_drawing() -> None:
    evil = '"><script>alert(1)</script>'
    dot = charts.Dot(evil, "agents/x.html", Estimate(value=0.5, low=0.4, high=0.6, method=""), x=1.0, note=evil)
    for drawn in (
        charts.intervals(evil, [dot], [(evil, 0.2)]),
        charts.scatter(evil, [dot], evil, evil),
        charts.courses(evil, [(evil, "runs/x.html", [(0.5, 0.5)])]),
        svg.element("text", evil, aria_label=evil),
    ):
        assert "<script" not in drawn
        assert '""' not in drawn


def test_the_front_holds_those_that_none_beats_in_both() -> None:
    def dot(name: str, x: float, value: float) -> charts.Dot:
        return charts.Dot(name, "", Estimate(value=value, low=value, high=value, method=""), x=x)

    drawn = charts.scatter("Cost", [dot("cheap", 1, 0.2), dot("beaten", 2, 0.1), dot("dear", 3, 0.4)], "cost", "$")
    assert drawn.count('class="dot on"') == 2
    assert drawn.count('class="dot"') == 1


def test_ticks_are_round_and_inside() -> None:
    assert svg.ticks(0, 1) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert svg.ticks(3, 3) == []
    assert svg.ticks(0, math.inf) == []
