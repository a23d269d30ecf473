"""pass@k is unbiased, and refuses what it cannot be estimated from."""

import itertools

import pytest

from posttrainbench.evaluation import passing


@pytest.mark.parametrize("samples", range(1, 8))
def test_it_is_the_share_of_all_draws_with_a_right_answer(samples: int) -> None:
    for right, k in itertools.product(range(samples + 1), range(1, samples + 1)):
        answers = [1] * right + [0] * (samples - right)
        draws = list(itertools.combinations(answers, k))
        assert passing.pass_at(k, right, samples) == pytest.approx(sum(map(any, draws)) / len(draws), abs=1e-12)


@pytest.mark.parametrize("chance", [0.0, 0.1, 0.5, 1.0])
def test_its_mean_over_all_outcomes_is_the_true_chance(chance: float) -> None:
    """And the plain estimate's is not."""
    samples, k = 6, 3
    found = plain = 0.0
    for answers in itertools.product((0, 1), repeat=samples):
        right = sum(answers)
        weight = chance**right * (1 - chance) ** (samples - right)
        found += weight * passing.pass_at(k, right, samples)
        plain += weight * (1 - (1 - right / samples) ** k)
    true = 1 - (1 - chance) ** k
    assert found == pytest.approx(true)
    assert (plain == pytest.approx(true)) is (chance in (0.0, 1.0))


def test_pass_at_1_is_the_share_of_right_answers() -> None:
    assert passing.questions(1, {"a": [1, 0, 0, 0], "b": [0, 0], "c": [1]}) == {"a": 0.25, "b": 0.0, "c": 1.0}


def test_many_samples_are_exact() -> None:
    assert passing.pass_at(100, 1, 200) == 0.5
    assert passing.pass_at(200, 1, 10_000) == pytest.approx(0.02)


@pytest.mark.parametrize(("k", "right", "samples"), [(0, 0, 1), (2, 1, 1), (-1, 0, 3), (1, 2, 1), (1, -1, 2)])
def test_what_cannot_be_drawn_is_refused(k: int, right: int, samples: int) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        passing.pass_at(k, right, samples)


def test_scores_between_right_and_wrong_have_no_pass_at_k() -> None:
    with pytest.raises(ValueError, match="b has answers that are neither right nor wrong"):
        passing.questions(1, {"a": [1.0], "b": [0.5]})
