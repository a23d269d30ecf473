"""Intervals agree with published tables and cover what they promise to cover."""

import math

import numpy as np
import pytest

from posttrainbench import statistics
from posttrainbench.statistics import Estimate


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_agrees_with_newcombe_1998_table_1(right: int, n: int, low: float, high: float) -> None:
    assert statistics.wilson(right, n) == pytest.approx((low, high), abs=5e-5)


def test_wilson_at_both_ends() -> None:
    assert statistics.wilson(0, 50)[0] == 0
    assert statistics.wilson(50, 50)[1] == 1
    assert statistics.wilson(50, 50)[0] == pytest.approx(1 - statistics.wilson(0, 50)[1])
    assert 0.06 < statistics.wilson(0, 50)[1] < 0.08


def binomial(n: int, p: float) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    return np.array([math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)])


@pytest.mark.parametrize("n", [30, 100])
@pytest.mark.parametrize("p", [0.05, 0.3, 0.5])
def test_wilson_covers(n: int, p: float) -> None:
    """Exactly, by summing the chances of the samples whose interval holds p. The lowest of these six is 0.9298, at 30
    questions and p = 0.3: Wilson's interval is right on average over p, not at least right for every p."""
    holds = np.array([low <= p <= high for low, high in (statistics.wilson(k, n) for k in range(n + 1))])
    assert 0.929 <= binomial(n, p)[holds].sum() <= 0.985


@pytest.mark.parametrize("n", [30, 100])
@pytest.mark.parametrize(("won", "lost"), [(0.3, 0.05), (0.1, 0.1), (0.5, 0.0), (0.2, 0.4)])
def test_the_paired_interval_covers(n: int, won: float, lost: float) -> None:
    drawn = np.random.default_rng(1).multinomial(n, [won, lost, 1 - won - lost], size=4000)
    intervals = np.array([statistics.bonett_price(int(a), int(b), n) for a, b, _ in drawn])
    covered = ((intervals[:, 0] <= won - lost) & (won - lost <= intervals[:, 1])).mean()
    assert 0.93 <= covered <= 0.985


def test_the_paired_interval_by_hand() -> None:
    # 7 turned right, 1 turned wrong, of 21: (8 − 2) / 23 ± 1.96 √((10/23 − (6/23)²) / 23)
    half = 1.959964 * math.sqrt((10 / 23 - (6 / 23) ** 2) / 23)
    assert statistics.bonett_price(7, 1, 21) == pytest.approx((6 / 23 - half, 6 / 23 + half))


def test_the_bootstrap_covers_scores_of_several_samples() -> None:
    """A percentile bootstrap is a little narrow at 30 questions; less than 0.91 would be a fault."""
    n = 30
    generator = np.random.default_rng(2)
    chances = generator.beta(0.5, 1.0, size=(300, n))
    rows = generator.binomial(8, chances) / 8
    estimates = [statistics.bootstrap_mean(row) for row in rows]
    assert 0.91 <= np.mean([one.low <= 1 / 3 <= one.high for one in estimates]) <= 0.985


def test_equal_scores_do_not_claim_certainty() -> None:
    estimate = statistics.bootstrap_mean([0.5] * 30)
    assert (estimate.value, estimate.method) == (0.5, "no variation")
    # Clopper and Pearson's upper bound of 0 of 30 is 0.1157.
    assert (estimate.low, estimate.high) == pytest.approx((0.5 - 0.1157 / 2, 0.5 + 0.1157 / 2), abs=1e-4)


@pytest.mark.parametrize("values", [[0.0] * 50, [1.0] * 50, [0.25] * 50])
def test_no_change_gives_an_interval_around_zero(values: list[float]) -> None:
    gain = statistics.paired_gain(values, values)
    assert gain.value == 0
    assert gain.low < 0 < gain.high
    assert gain.high < 0.2


def test_a_clear_gain_excludes_zero() -> None:
    gain = statistics.paired_gain([0.0] * 60, [1.0] * 18 + [0.0] * 42)
    assert gain.value == pytest.approx(0.3)
    assert 0.15 < gain.low < 0.3 < gain.high < 0.45
    assert gain.method == "bonett-price"


def test_pairing_uses_the_pairs() -> None:
    generator = np.random.default_rng(3)
    base = generator.beta(0.5, 0.5, 40) * 0.9
    paired = statistics.paired_gain(list(base), list(base + 0.05 + 0.02 * generator.random(40)))
    alone = statistics.mean(list(base))
    assert paired.method == "paired bootstrap"
    assert paired.high - paired.low < (alone.high - alone.low) / 10


def test_the_same_seed_gives_the_same_interval() -> None:
    values = [math.sqrt(number / 20) for number in range(20)]
    assert statistics.mean(values, 7) == statistics.mean(values, 7)
    assert statistics.mean(values, 7) != statistics.mean(values, 8)


def test_resampling_in_pieces_stays_in_memory_bounds() -> None:
    estimate = statistics.bootstrap_mean(np.linspace(0, 1, 2_500))
    # The normal interval of that many uniform scores.
    half = 1.96 * math.sqrt(1 / 12 / 2_500)
    assert (estimate.low, estimate.high) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-3)


def test_right_or_wrong_takes_wilson() -> None:
    assert statistics.mean([1.0, 0.0]) == Estimate(
        value=0.5, low=statistics.wilson(1, 2)[0], high=statistics.wilson(1, 2)[1], method="wilson"
    )


@pytest.mark.parametrize("values", [[], [1.5], [-0.1], [float("nan")]])
def test_what_is_no_score_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="score"):
        statistics.mean(values)


def test_unequal_numbers_are_not_paired() -> None:
    with pytest.raises(ValueError, match="paired"):
        statistics.paired_gain([0.0], [0.0, 1.0])


@pytest.mark.parametrize("n", [1, 2, 5, 400])
def test_every_interval_holds_its_estimate(n: int) -> None:
    for won in range(0, n + 1, max(1, n // 5)):
        gain = statistics.paired_gain([0.0] * n, [1.0] * won + [0.0] * (n - won))
        assert -1 <= gain.low <= gain.value <= gain.high <= 1
