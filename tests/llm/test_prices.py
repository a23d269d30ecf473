import pytest

from posttrainbench.llm import Model, Usage, cost

pytest.importorskip("genai_prices", reason="genai-prices is not installed")
USAGE = Usage(input=1000, cached=2000, cache_write=3000, output=4000, reasoning=1000)


def test_each_kind_of_token_has_its_price() -> None:
    per_million = {"input": 2.0, "cached": 0.1, "cache_write": 2.5, "output": 10.0}
    expected = sum(getattr(USAGE, kind) * price / 1e6 for kind, price in per_million.items())
    assert cost(Model("anthropic", "claude-sonnet-5-5"), USAGE) == pytest.approx(expected)


def test_a_model_without_a_price_costs_none_that_is_known() -> None:
    assert cost(Model("openai", "no-such-model-9"), USAGE) is None
