"""The run's limits hold while the run goes on."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from gateway.upstream import MESSAGE, Handler, gateway, request, says, spec, upstream
from genai_prices import Usage, calc_price

from posttrainbench.catalog import Api
from posttrainbench.gateway import ledger, prices
from posttrainbench.gateway.budget import Budget, Reservation
from posttrainbench.gateway.ledger import Begin, Tokens


def _uses(output: int, *, pause: float = 0.0) -> Handler:
    """An answer that used so many tokens of output."""

    async def answer(asked: web.Request) -> web.StreamResponse:
        await asyncio.sleep(pause)
        return web.json_response(MESSAGE | {"usage": {"input_tokens": 20, "output_tokens": output}})

    return answer


def test_fifty_calls_at_once_do_not_overshoot_half_a_dollar(tmp_path: Path) -> None:
    async def run() -> None:
        # Each may cost $0.05 and does: its whole output is used.
        async with (
            upstream(_uses(2000, pause=0.05)) as provider,
            gateway(tmp_path, spec(tmp_path, provider.url, max_usd=0.5)) as one,
        ):
            got = await asyncio.gather(*(one.ask(request(max_tokens=2000, metadata={"n": n})) for n in range(50)))
            answered = [answer for answer in got if answer.status == 200]
            refused = [answer for answer in got if answer.status == 403]
            spent = ledger.summary(one.folder.ledger).cost_usd
            assert len(answered) + len(refused) == 50
            assert spent is not None and 0.4 < spent <= 0.5
            assert len(provider.asked) == len(answered)
            message = refused[0].json
            assert message["error"]["type"] == "permission_error"
            assert "The budget of this run is used up" in message["error"]["message"]
            assert refused[0].headers["x-should-retry"] == "false"
            assert ledger.summary(one.folder.ledger).causes == {"budget": len(refused)}

    asyncio.run(run())


def test_a_single_request_that_is_too_dear_is_refused_though_nothing_is_spent(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            upstream(says(MESSAGE)) as provider,
            gateway(tmp_path, spec(tmp_path, provider.url, max_usd=0.5)) as one,
        ):
            assert (await one.ask(request(max_tokens=32_000))).status == 403
            assert provider.asked == []

    asyncio.run(run())


@pytest.mark.parametrize(
    ("dialect", "path", "key"),
    [
        ("openai", "", "max_output_tokens"),
        ("openai", "/openai/v1/chat/completions", "max_completion_tokens"),
        ("gemini", "", "maxOutputTokens"),
    ],
)
def test_a_request_without_a_limit_gets_what_is_left_as_its_limit(
    tmp_path: Path, dialect: str, path: str, key: str
) -> None:
    bodies: dict[str, Any] = {"openai": {"model": "gpt-5.5"}, "gemini": {"contents": []}}

    async def run() -> None:
        async with upstream(says({})) as provider:
            for limit, expected in ((0.5, 8_000), (100.0, None)):
                folder = tmp_path / str(limit)
                folder.mkdir()
                async with gateway(folder, spec(tmp_path, provider.url, dialect, max_usd=limit)) as one:
                    assert (await one.ask(bodies[dialect], path)).status == 200
                    sent = json.loads(provider.asked[-1][3])
                    found = sent.get("generationConfig", sent).get(key)
                    assert (found is None) if expected is None else (found in (expected, 2 * expected, 4 * expected))

    asyncio.run(run())


def test_a_limit_in_tokens_holds_too(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            upstream(_uses(100)) as provider,
            gateway(tmp_path, spec(tmp_path, provider.url, max_tokens=500)) as one,
        ):
            statuses = [(await one.ask()).status for _ in range(6)]
            assert statuses == [200, 200, 200, 403, 403, 403]
            assert sum(end.tokens.total for end in one.ends()) == 360

    asyncio.run(run())


def test_without_a_price_a_limit_in_dollars_lets_nothing_through(tmp_path: Path) -> None:
    async def run() -> None:
        api = Api(dialect="anthropic", model="nobody-knows")
        async with upstream(says(MESSAGE)) as provider:
            async with gateway(tmp_path, spec(tmp_path, provider.url, api=api, max_usd=5.0)) as one:
                got = await one.ask(request(model="nobody-knows"))
                assert (got.status, "No price is known" in got.json["error"]["message"]) == (403, True)
            async with gateway(tmp_path, spec(tmp_path, provider.url, api=api)) as one:
                assert (await one.ask(request(model="nobody-knows"))).status == 200
                assert ledger.summary(one.folder.ledger).cost_usd is None

    asyncio.run(run())


def test_what_was_begun_and_never_ended_counts_with_its_reservation(tmp_path: Path) -> None:
    async def run() -> None:
        async with upstream(_uses(100)) as provider:
            told = spec(tmp_path, provider.url, max_usd=0.01)
            async with gateway(tmp_path, told) as one:
                assert (await one.ask()).status == 200
            begun, _ = ledger.exchanges(one.folder.ledger)
            lost = Begin(
                **{name: getattr(begun[1], name) for name in Begin.__struct_fields__} | {"n": 2, "reserved_usd": 0.007}
            )
            ledger.Ledger(one.folder.ledger).write(lost)
            with one.folder.ledger.open("ab") as file:
                file.write(b'{"line":"begin","n":3,"t":')
            async with gateway(tmp_path, told) as one:
                assert (await one.ask()).status == 403
                assert ledger.summary(one.folder.ledger).unfinished == 1
                assert list(ledger.exchanges(one.folder.ledger)[0]) == [1, 2, 3]

    asyncio.run(run())


def test_a_reservation_is_given_back_when_less_was_used() -> None:
    budget = Budget(max_usd=1.0, max_tokens=None)
    assert budget.reserve(1, Reservation(0.8, 10))
    assert not budget.reserve(2, Reservation(0.8, 10))
    budget.settle(1, 0.1, 5)
    assert budget.reserve(2, Reservation(0.8, 10))


@pytest.mark.parametrize(
    ("dialect", "model"),
    [
        ("anthropic", "claude-sonnet-4-5"),
        ("openai", "gpt-5.5"),
        ("openai", "gpt-5.4-nano"),
        ("gemini", "gemini-3.1-pro-preview"),
    ],
)
@pytest.mark.parametrize("size", [1, 99_999, 100_001, 1_000_000])
def test_prices_are_those_of_the_list_and_never_above_the_bound(dialect: Any, model: str, size: int) -> None:
    listed = calc_price(
        Usage(input_tokens=size, cache_read_tokens=size // 2, output_tokens=size),
        model,
        provider_id=prices.PROVIDERS[dialect],
    )
    tokens = Tokens(input=size - size // 2, cached=size // 2, output=size)
    usd = prices.cost(dialect, model, tokens)
    assert usd == pytest.approx(float(listed.total_price), abs=2e-9)
    bound = prices.upper_bound(dialect, model, Tokens(input=size, output=size))
    assert bound is not None and usd is not None and bound >= usd


def test_prices_tell_caches_apart() -> None:
    def usd(**tokens: int) -> float | None:
        long = tokens.pop("long", 0)
        return prices.cost("anthropic", "claude-opus-4-6", Tokens(**tokens), long_write=long)

    million = 10**6
    assert [usd(input=million), usd(cached=million), usd(cache_write=million), usd(output=million)] == [
        5,
        0.5,
        6.25,
        25,
    ]
    assert usd(cache_write=million, long=million) == 10
    assert prices.known("openai", "gpt-5.5") and prices.known("gemini", "gemini-3.1-pro-preview")
    assert not prices.known("openai", "nobody-knows")
