"""Scores compare like with like, and claim an uplift only where there is a scale."""

import pytest

from posttrainbench import scores, statistics
from posttrainbench.errors import InfrastructureError

BASE = {f"q{number}": 0.0 for number in range(20)}
FEW = {name: float(name in ("q1", "q2")) for name in BASE}
FINAL = {name: float(name < "q15") for name in reversed(BASE)}


def test_each_number_is_what_statistics_says() -> None:
    found = scores.score(metric="exact", base=BASE, few_shot=FEW, final=FINAL, seed=1)
    order = sorted(BASE)
    assert (found.metric, found.n) == ("exact", 20)
    assert found.base == statistics.mean([0.0] * 20)
    assert found.few_shot == statistics.mean([FEW[name] for name in order])
    assert found.final == statistics.mean([FINAL[name] for name in order])
    assert found.gain == statistics.paired_gain([0.0] * 20, [FINAL[name] for name in order])
    assert found.gain_over_few_shot == statistics.paired_gain(
        [FEW[name] for name in order], [FINAL[name] for name in order]
    )
    assert (found.human, found.uplift) == (None, None)
    assert "not measured" in found.uplift_note


def test_without_a_checkpoint_there_is_no_gain() -> None:
    found = scores.score(metric="exact", base=BASE, few_shot=FEW)
    assert (found.final, found.gain, found.gain_over_few_shot, found.uplift) == (None, None, None, None)
    assert "no checkpoint" in found.uplift_note


def test_uplift_is_the_share_of_the_way_to_the_instruct_model() -> None:
    human = dict.fromkeys(BASE, 1.0)
    found = scores.score(metric="exact", base=BASE, final=FEW, human=human)
    assert found.uplift == pytest.approx(0.1)
    assert found.human == statistics.mean([1.0] * 20)


def test_a_regression_is_reported_as_it_is() -> None:
    found = scores.score(metric="exact", base=FEW, final=BASE, human=dict.fromkeys(BASE, 1.0))
    assert found.gain is not None
    assert found.gain.value == pytest.approx(-0.1)
    assert found.uplift == pytest.approx(-0.1 / 0.9)


def test_an_instruct_model_below_the_base_gives_no_scale() -> None:
    found = scores.score(metric="exact", base=FEW, final=FEW, human=BASE)
    assert found.uplift is None
    assert "no scale" in found.uplift_note


@pytest.mark.parametrize("other", [{}, {"q0": 1.0}, {**BASE, "new": 1.0}])
def test_other_questions_are_our_fault(other: dict[str, float]) -> None:
    with pytest.raises(InfrastructureError, match="final measurement is not of the base measurement's 20 questions"):
        scores.score(metric="exact", base=BASE, final=other)


@pytest.mark.parametrize("value", [float("nan"), 1.01, -1.0, float("inf")])
def test_a_score_off_the_scale_is_our_fault(value: float) -> None:
    with pytest.raises(InfrastructureError, match="from 0 to 1"):
        scores.score(metric="exact", base=BASE, final={**BASE, "q3": value})


def test_no_questions_are_our_fault() -> None:
    with pytest.raises(InfrastructureError, match="no questions"):
        scores.score(metric="exact", base={})
