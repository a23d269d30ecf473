"""How sure a mean over questions is: intervals from the questions alone, deterministic.

They speak of the chance in which questions were asked. They say nothing about what another run of the same agent would
have reached: that takes more runs.

Right-or-wrong scores have intervals of their own, because a bootstrap of 0 right of 60 claims certainty:

- one proportion: Wilson's score interval, as recommended for all n by Brown, Cai and DasGupta, "Interval Estimation for
  a Binomial Proportion", Statistical Science 16 (2001);
- the difference of two proportions on the same questions: Bonett and Price, "Adjusted Wald Confidence Interval for a
  Difference of Binomial Proportions Based on Paired Data", J. Educational and Behavioral Statistics 37 (2012).

Scores between 0 and 1 (several samples a question) take the percentile bootstrap over questions.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from posttrainbench.strict import Value

Floats = npt.NDArray[np.float64]

LEVEL = 0.95
Z = 1.959963984540054
"""Standard normal quantile of (1 + LEVEL) / 2."""
RESAMPLES = 10_000
CHUNK = 1_000_000
"""Draws held in memory at a time."""


class Estimate(Value, frozen=True, kw_only=True):
    """A number with its interval."""

    value: float
    low: float
    high: float
    level: float = LEVEL
    method: str
    """What gave the interval."""


def mean(values: Sequence[float], seed: int = 0) -> Estimate:
    """The mean of scores from 0 to 1, one a question, with its interval."""
    scores = _scores(values)
    if _binary(scores):
        low, high = wilson(int(scores.sum()), len(scores))
        return _estimate(float(scores.mean()), low, high, "wilson")
    return bootstrap_mean(scores, seed)


def bootstrap_mean(values: Sequence[float] | Floats, seed: int = 0) -> Estimate:
    """The mean of scores from 0 to 1 with the percentile bootstrap over questions; equal scores get a bound instead."""
    scores = _scores(values)
    if np.ptp(scores) == 0:
        return _without_variation(float(scores[0]), len(scores), 0.0, 1.0)
    low, high = _percentiles(scores, seed)
    return _estimate(float(scores.mean()), low, high, "bootstrap")


def paired_gain(base: Sequence[float], final: Sequence[float], seed: int = 0) -> Estimate:
    """Mean of final − base over the same questions, in the same order, with its interval."""
    before, after = _scores(base), _scores(final)
    if len(before) != len(after):
        raise ValueError(f"{len(before)} and {len(after)} scores cannot be paired; give one of each a question")
    differences = after - before
    value = float(differences.mean())
    if _binary(before) and _binary(after):
        won, lost = int((differences > 0).sum()), int((differences < 0).sum())
        low, high = bonett_price(won, lost, len(differences))
        return _estimate(value, low, high, "bonett-price")
    if np.ptp(differences) == 0:
        return _without_variation(value, len(differences), -1.0, 1.0)
    low, high = _percentiles(differences, seed)
    return _estimate(value, low, high, "paired bootstrap")


def wilson(right: int, n: int) -> tuple[float, float]:
    """Wilson's score interval of `right` out of `n`."""
    share = right / n
    centre = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * float(np.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2)))
    return (0.0 if right == 0 else centre - half), (1.0 if right == n else centre + half)


def bonett_price(won: int, lost: int, n: int) -> tuple[float, float]:
    """Interval of (won − lost) / n, where `won` questions turned right and `lost` turned wrong out of `n`."""
    gained, dropped = (won + 1) / (n + 2), (lost + 1) / (n + 2)
    centre = gained - dropped
    half = Z * float(np.sqrt((gained + dropped - centre**2) / (n + 2)))
    return max(-1.0, centre - half), min(1.0, centre + half)


def _scores(values: Sequence[float] | Floats) -> Floats:
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 1 or not len(scores):
        raise ValueError("an estimate needs at least one score")
    if not np.all((scores >= 0) & (scores <= 1)):
        raise ValueError("scores must be numbers from 0 to 1")
    return scores


def _binary(scores: Floats) -> bool:
    return bool(np.all((scores == 0) | (scores == 1)))


def _estimate(value: float, low: float, high: float, method: str) -> Estimate:
    """The interval always holds its own estimate, against rounding in the last digit."""
    return Estimate(value=value, low=min(low, value), high=max(high, value), method=method)


def _percentiles(values: Floats, seed: int) -> tuple[float, float]:
    """Percentile interval of the mean of resampled values."""
    generator = np.random.default_rng(seed)
    rows = max(1, CHUNK // len(values))
    means: list[Floats] = []
    for start in range(0, RESAMPLES, rows):
        drawn = generator.integers(0, len(values), (min(rows, RESAMPLES - start), len(values)))
        means.append(values[drawn].mean(axis=1))
    low, high = np.quantile(np.concatenate(means), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _without_variation(value: float, n: int, lowest: float, highest: float) -> Estimate:
    """Where all n values are equal, a bootstrap would claim certainty. But at most this share of all questions can give
    another value without one of them being likely to show up (Clopper and Pearson's bound at 0 of n), and those could
    lie at either end of the scale."""
    share = 1 - ((1 - LEVEL) / 2) ** (1 / n)
    low, high = value - share * (value - lowest), value + share * (highest - value)
    return _estimate(value, low, high, "no variation")
