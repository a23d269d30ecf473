"""What goes wrong at the provider, and what the agent sees of it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from gateway import upstream as fake
from gateway.upstream import MESSAGE, Handler, events, fails, gateway, says, spec, streams, upstream

from posttrainbench.gateway.ledger import Attempt, Tokens
from posttrainbench.gateway.provider import Patience


def _tried(attempts: list[Attempt]) -> list[tuple[int | None, str | None]]:
    return [(one.status, one.cause) for one in attempts]


async def _hangs(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(60)
    raise AssertionError


async def _drops(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


@pytest.mark.parametrize(
    ("trouble", "status", "cause"),
    [
        (fails(429), 429, "rate_limit"),
        (fails(500), 500, "overloaded"),
        (fails(503), 503, "overloaded"),
        (fails(529), 529, "overloaded"),
        (_drops, None, "connection"),
        (_hangs, None, "stall"),
    ],
)
def test_passing_trouble_is_not_seen_by_the_agent(
    tmp_path: Path, trouble: Handler, status: int | None, cause: str
) -> None:
    async def run() -> None:
        async with (
            upstream(trouble, trouble, says(MESSAGE)) as provider,
            gateway(tmp_path, spec(tmp_path, provider.url)) as one,
        ):
            assert (await one.ask()).json == MESSAGE
            end = one.end()
            assert _tried(end.attempts) == [(status, cause), (status, cause), (200, None)]
            assert end.throttled_seconds > 0
            assert (end.status, end.cause) == (200, None)

    asyncio.run(run())


def test_a_stream_that_begins_with_overloaded_is_asked_again(tmp_path: Path) -> None:
    async def run() -> None:
        trouble = streams(events({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}))
        async with (
            upstream(trouble, streams(fake.ANTHROPIC_STREAM)) as provider,
            gateway(tmp_path, spec(tmp_path, provider.url)) as one,
        ):
            assert (await one.ask()).body == b"".join(fake.ANTHROPIC_STREAM)
            assert _tried(one.end().attempts) == [(200, "overloaded"), (200, None)]

    asyncio.run(run())


def test_the_provider_says_how_long_to_wait(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            upstream(fails(429, Retry_After="0.3"), says(MESSAGE)) as provider,
            gateway(tmp_path, spec(tmp_path, provider.url)) as one,
        ):
            await one.ask()
            assert one.end().attempts[0].waited == 0.3
            assert 0.3 <= one.end().throttled_seconds < 1

    asyncio.run(run())


def test_a_wait_beyond_the_patience_is_passed_on_at_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            upstream(fails(429, Retry_After="3600")) as provider,
            gateway(tmp_path, spec(tmp_path, provider.url)) as one,
        ):
            got = await one.ask()
            assert (got.status, got.headers["Retry-After"], len(provider.asked)) == (429, "3600", 1)

    asyncio.run(run())


@pytest.mark.parametrize(("status", "after"), [(429, "30"), (529, None)])
def test_after_the_patience_the_last_answer_is_passed_on(tmp_path: Path, status: int, after: str | None) -> None:
    async def run() -> None:
        short = Patience(total=0.2, first_delay=0.02, longest_delay=0.05)
        async with (
            upstream(fails(status)) as provider,
            gateway(tmp_path, spec(tmp_path, provider.url), patience=short) as one,
        ):
            got = await one.ask()
            assert (got.status, got.headers.get("Retry-After")) == (status, after)
            assert got.json["error"]["message"] == "not now"
            assert len(provider.asked) > 2
            assert one.end().status == status

    asyncio.run(run())


LASTING: list[tuple[str, int, dict[str, Any], str]] = [
    (
        "anthropic",
        400,
        {"error": {"type": "invalid_request_error", "message": "max_tokens: required"}},
        "invalid_request",
    ),
    (
        "anthropic",
        400,
        {"error": {"type": "invalid_request_error", "message": "prompt is too long: 9 > 8"}},
        "context_exceeded",
    ),
    (
        "anthropic",
        400,
        {"error": {"type": "invalid_request_error", "message": "Your credit balance is too low"}},
        "usage_limit",
    ),
    ("anthropic", 401, {"error": {"type": "authentication_error", "message": "invalid x-api-key"}}, "auth"),
    ("anthropic", 404, {"error": {"type": "not_found_error", "message": "model"}}, "invalid_request"),
    ("anthropic", 413, {"error": {"type": "request_too_large", "message": "big"}}, "invalid_request"),
    ("openai", 429, {"error": {"code": "insufficient_quota", "message": "You exceeded your quota"}}, "usage_limit"),
    ("openai", 400, {"error": {"code": "context_length_exceeded", "message": "long"}}, "context_exceeded"),
    ("openai", 401, {"error": {"code": "invalid_api_key", "message": "no"}}, "auth"),
    ("gemini", 400, {"error": {"status": "INVALID_ARGUMENT", "message": "API key not valid."}}, "auth"),
    (
        "gemini",
        429,
        {"error": {"status": "RESOURCE_EXHAUSTED", "details": [{"violations": [{"quotaId": "PerDay"}]}]}},
        "usage_limit",
    ),
]


@pytest.mark.parametrize(("dialect", "status", "body", "cause"), LASTING)
def test_lasting_trouble_is_passed_on_word_for_word_at_once(
    tmp_path: Path, dialect: str, status: int, body: dict[str, Any], cause: str
) -> None:
    async def run() -> None:
        async with (
            upstream(says(body, status)) as provider,
            gateway(tmp_path, spec(tmp_path, provider.url, dialect)) as one,
        ):
            got = await one.ask()
            assert (got.status, got.json, len(provider.asked)) == (status, body, 1)
            assert "Retry-After" not in got.headers
            assert (one.end().cause, one.end().tokens) == (cause, Tokens())

    asyncio.run(run())


@pytest.mark.parametrize(("end", "cause"), [("cut", "connection"), ("silent", "stall")])
def test_a_stream_that_breaks_off_breaks_off_for_the_agent_too(tmp_path: Path, end: str, cause: str) -> None:
    async def run() -> None:
        pieces = fake.ANTHROPIC_STREAM[:4]
        async with (
            upstream(streams(pieces, end=end)) as provider,
            gateway(tmp_path, spec(tmp_path, provider.url)) as one,
        ):
            async with one.client.post(
                fake.PATHS["anthropic"], json=fake.request(), headers=fake.SHOWN["anthropic"]
            ) as got:
                read = b""
                with pytest.raises(Exception, match="payload|closed"):
                    while True:
                        read += await got.content.readany() or b"END"
                assert read == b"".join(pieces)
            written = one.end()
            assert (written.cause, written.estimated, written.tokens.output) == (cause, True, 4)

    asyncio.run(run())


def test_a_stream_without_its_last_event_is_not_counted_as_answered(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            upstream(streams(fake.ANTHROPIC_STREAM[:4])) as provider,
            gateway(tmp_path, spec(tmp_path, provider.url)) as one,
        ):
            await one.ask()
            assert (one.end().cause, one.end().detail) == ("connection", "The answer ended before its last part.")

    asyncio.run(run())


def test_a_provider_that_was_away_and_comes_back_costs_only_time(tmp_path: Path) -> None:
    async def run() -> None:
        async with upstream(says(MESSAGE)) as provider:
            port = int(provider.url.rpartition(":")[2])
        async with gateway(tmp_path, spec(tmp_path, f"http://127.0.0.1:{port}")) as one:
            waiting = asyncio.create_task(one.ask())
            await asyncio.sleep(0.4)
            async with upstream(says(MESSAGE), port=port):
                assert (await waiting).json == MESSAGE
            assert one.end().throttled_seconds >= 0.3
            assert {tried.cause for tried in one.end().attempts} == {"connection", None}

    asyncio.run(run())


def test_a_provider_that_stays_away_is_told_in_its_own_words(tmp_path: Path) -> None:
    async def run() -> None:
        short = Patience(total=0.1, first_delay=0.02)
        async with gateway(tmp_path, spec(tmp_path, "http://127.0.0.1:9"), patience=short) as one:
            got = await one.ask()
            assert (got.status, got.json["error"]["type"], got.headers["Retry-After"]) == (502, "api_error", "30")
            assert (one.end().cause, one.end().tokens.output) == ("connection", 0)

    asyncio.run(run())


def test_a_retry_is_marked_with_what_it_repeats(tmp_path: Path) -> None:
    async def run() -> None:
        again = {"x-stainless-retry-count": "1"}
        async with (
            upstream(streams(fake.ANTHROPIC_STREAM[:4], end="cut"), says(MESSAGE)) as provider,
            gateway(tmp_path, spec(tmp_path, provider.url)) as one,
        ):
            with pytest.raises(Exception, match="payload|closed"):
                await one.ask()
            for headers in ({}, {}, again):
                await one.ask(headers=headers)
            assert [end.repeats for end in one.ends()] == [None, 1, None, 3]

    asyncio.run(run())


def test_the_same_request_twice_at_once_counts_what_each_was_answered(tmp_path: Path) -> None:
    async def run() -> None:
        async def slow(request: web.Request) -> web.StreamResponse:
            await asyncio.sleep(0.05)
            return web.json_response(MESSAGE)

        async with upstream(slow) as provider, gateway(tmp_path, spec(tmp_path, provider.url)) as one:
            await asyncio.gather(one.ask(), one.ask())
            assert sorted(str(end.repeats) for end in one.ends()) == ["1", "None"]
            assert [end.tokens.output for end in one.ends()] == [5, 5]

    asyncio.run(run())
