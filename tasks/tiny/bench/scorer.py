"""Right if the first word of the answer is the expected one."""

METRIC = "exact"


def process_results(doc: dict[str, str], results: list[str]) -> dict[str, float]:
    """lm-eval's hook: the verdict on one answer."""
    return {METRIC: score(doc["answer"], results[0])}


def score(expected: str, response: str) -> float:
    """1.0 if the first word of the first line of `response` is `expected`, else 0.0."""
    words = response[:1000].split("\n", 1)[0].split()
    return 1.0 if words[:1] == [expected] else 0.0
