"""What a model cost is told in a sentence."""

from posttrainbench.board import spending
from posttrainbench.gateway.ledger import ModelUsage, Tokens, Usage


def usage(cost: float | None, **changes: object) -> Usage:
    tokens = Tokens(input=1000, cached=200, cache_write=30, output=4)
    model = ModelUsage(model="m", background=False, requests=2, tokens=tokens, cost_usd=cost)
    values: dict = {"exchanges": 3, "answered": 2, "models": [model, model], "cost_usd": cost, "unfinished": 0}
    return Usage(**values | {"throttled_seconds": 0.0, "causes": {}} | changes)


def test_all_kinds_of_tokens_and_the_cost() -> None:
    told = "2 of 3 requests answered, 2,468 tokens (2,460 in, 400 of them cached; 8 out), $0.53"
    assert spending.sentence(usage(0.527)) == told


def test_what_is_unknown_and_what_went_wrong_is_told() -> None:
    told = spending.sentence(usage(None, throttled_seconds=61.2, causes={"rate_limit": 1}))
    assert told.endswith("cost unknown; 61 s throttled; 1 × rate_limit")
