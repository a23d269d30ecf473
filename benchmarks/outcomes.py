"""Which questions trained networks get right, run by run: `python benchmarks/outcomes.py > tests/outcomes.json`.

`ptb compare` claims that it rarely tells an agent apart from itself. That hangs on how alike runs are on a question and
on how hard questions are, which a formula can only guess. So here are outcomes of real trainings: small networks learn
to add or to multiply from some hundred examples, each run from other first weights and from more or fewer and other
examples, in which large numbers are rare; then all answer the same questions. They are no language models, of whose
post-training nobody has thousands of runs to draw from. It takes a minute.
"""

import json

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
RUNS, QUESTIONS, HIDDEN, STEPS, RATE = 24, 120, 96, 500, 0.004
EXAMPLES = (400, 1600)
TASKS = {"sums": lambda a, b: a + b, "products": lambda a, b: a * b}
DIGITS = 4


def encoded(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> Floats:
    """Both numbers, a digit and its neighbours' values at a time; shape (n, 44)."""
    digits = np.stack([a // 10, a % 10, b // 10, b % 10], axis=1)
    return np.concatenate([np.eye(10)[digits].reshape(len(a), -1), digits / 9.0], axis=1)


def answers(given: Floats, weights: list[Floats]) -> tuple[Floats, Floats]:
    """The hidden layer, and the logits of each digit of the answer; shapes (n, HIDDEN) and (n, DIGITS, 10)."""
    hidden = np.maximum(0.0, given @ weights[0] + weights[1])
    return hidden, (hidden @ weights[2] + weights[3]).reshape(len(given), DIGITS, 10)


def trained(task: str, seed: int) -> list[Floats]:
    """A network after its training, by Adam on the cross-entropy of all digits."""
    draw = np.random.default_rng(seed)
    many = int(draw.integers(*EXAMPLES))
    a, b = ((100 * draw.random(many) ** 2).astype(np.int64) for _ in range(2))
    given = encoded(a, b)
    wanted = np.eye(10)[(TASKS[task](a, b)[:, None] // 10 ** np.arange(DIGITS)) % 10]
    shapes = [(given.shape[1], HIDDEN), (HIDDEN,), (HIDDEN, 10 * DIGITS), (10 * DIGITS,)]
    weights = [draw.normal(size=one) * (0.15 if len(one) > 1 else 0.0) for one in shapes]
    mean, square = [np.zeros(one) for one in shapes], [np.zeros(one) for one in shapes]
    for step in range(1, STEPS + 1):
        some = draw.integers(0, many, 64)
        hidden, logits = answers(given[some], weights)
        shares = np.exp(logits - logits.max(axis=2, keepdims=True))
        off = (shares / shares.sum(axis=2, keepdims=True) - wanted[some]).reshape(len(some), -1) / len(some)
        back = (off @ weights[2].T) * (hidden > 0)
        slopes = [given[some].T @ back, back.sum(axis=0), hidden.T @ off, off.sum(axis=0)]
        for n, slope in enumerate(slopes):
            mean[n] = 0.9 * mean[n] + 0.1 * slope
            square[n] = 0.99 * square[n] + 0.01 * slope**2
            weights[n] = weights[n] - RATE * (mean[n] / (1 - 0.9**step)) / (
                np.sqrt(square[n] / (1 - 0.99**step)) + 1e-8
            )
    return weights


def outcomes(task: str) -> list[str]:
    """A row a run, a place a question: 1 where every digit is right."""
    draw = np.random.default_rng(10_000)
    a, b = draw.integers(0, 100, QUESTIONS), draw.integers(0, 100, QUESTIONS)
    right = (TASKS[task](a, b)[:, None] // 10 ** np.arange(DIGITS)) % 10
    rows = []
    for seed in range(RUNS):
        _, logits = answers(encoded(a, b), trained(task, seed))
        found = (logits.argmax(axis=2) == right).all(axis=1)
        rows.append("".join(map(str, found.astype(int))))
    return rows


if __name__ == "__main__":
    print(json.dumps({task: outcomes(task) for task in TASKS}, indent=0))
