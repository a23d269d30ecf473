"""pass@k: the chance that of k answers to a question at least one is right.

Of n sampled answers c are right. The unbiased estimate for k ≤ n is 1 − C(n−c, k) / C(n, k): Chen et al., "Evaluating
Large Language Models Trained on Code" (2021). The plain 1 − (1 − c/n)^k is biased, and is not used.
"""

from collections.abc import Mapping, Sequence
from math import comb


def pass_at(k: int, right: int, samples: int) -> float:
    """The estimate for one question of whose `samples` answers `right` are right; raises ValueError where k answers
    cannot be drawn from them."""
    if not 1 <= k <= samples:
        raise ValueError(f"pass@{k} cannot be estimated from {samples} answers a question")
    if not 0 <= right <= samples:
        raise ValueError(f"{right} of {samples} answers cannot be right")
    return 1.0 - comb(samples - right, k) / comb(samples, k)


def questions(k: int, scores: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """pass@k of each question, from the scores of its answers, which must be right (1) or wrong (0)."""
    for name, given in scores.items():
        if set(given) - {0.0, 1.0}:
            raise ValueError(f"{name} has answers that are neither right nor wrong, so it has no pass@{k}")
    return {name: pass_at(k, int(sum(given)), len(given)) for name, given in scores.items()}
