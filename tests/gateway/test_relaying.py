"""What goes through the gateway, in both directions."""

import asyncio
import gzip
import json
from pathlib import Path

import pytest
from aiohttp import web
from gateway import upstream as fake
from gateway.upstream import KEY, MESSAGE, SECRET, gateway, request, says, spec, streams, upstream

from posttrainbench.gateway.dialects import Credential
from posttrainbench.gateway.ledger import Tokens

CHAT = "/openai/v1/chat/completions"
STREAM = "/gemini/v1beta/models/gemini-3.1-pro-preview:streamGenerateContent?alt=sse"
STREAMS = {
    "anthropic": (
        "anthropic",
        "",
        request(),
        fake.ANTHROPIC_STREAM,
        Tokens(input=10, cached=3, cache_write=2, output=42),
    ),
    "responses": (
        "openai",
        "",
        request("openai"),
        fake.OPENAI_STREAM,
        Tokens(input=40, cached=60, output=20, reasoning=12),
    ),
    "chat": (
        "openai",
        CHAT,
        {"model": "gpt-5.5", "stream": True, "stream_options": {"include_usage": True}, "max_tokens": 9},
        fake.CHAT_STREAM,
        Tokens(input=7, output=4),
    ),
    "gemini": (
        "gemini",
        STREAM,
        request("gemini"),
        fake.GEMINI_STREAM,
        Tokens(input=30, cached=20, output=10, reasoning=4),
    ),
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_is_relayed_byte_for_byte_and_counted(tmp_path: Path, name: str) -> None:
    dialect, path, body, pieces, tokens = STREAMS[name]

    async def run() -> None:
        async with (
            upstream(streams(pieces)) as provider,
            gateway(tmp_path, spec(tmp_path, provider.url, dialect)) as one,
        ):
            got = await one.ask(body, path)
            assert (got.status, got.body) == (200, b"".join(pieces))
            assert got.headers["Content-Type"] == "text/event-stream"
            end = one.end()
            assert (end.tokens, end.cause, end.estimated, end.repeats) == (tokens, None, False, None)
            assert end.cost_usd and end.cost_usd > 0
            assert json.loads(provider.asked[0][3]) == body

    asyncio.run(run())


def test_each_piece_of_a_stream_comes_when_the_provider_sends_it(tmp_path: Path) -> None:
    async def run() -> None:
        go_on = asyncio.Event()

        async def answer(asked: web.Request) -> web.StreamResponse:
            out = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await out.prepare(asked)
            await out.write(fake.ANTHROPIC_STREAM[0])
            await go_on.wait()
            for piece in fake.ANTHROPIC_STREAM[1:]:
                await out.write(piece)
            return out

        async with (
            upstream(answer) as provider,
            gateway(tmp_path, spec(tmp_path, provider.url)) as one,
            one.client.post(fake.PATHS["anthropic"], json=request(), headers=fake.SHOWN["anthropic"]) as got,
        ):
            assert await asyncio.wait_for(got.content.readany(), 0.25) == fake.ANTHROPIC_STREAM[0]
            go_on.set()
            assert await got.content.read() == b"".join(fake.ANTHROPIC_STREAM[1:])

    asyncio.run(run())


@pytest.mark.parametrize("dialect", ["anthropic", "openai", "gemini"])
def test_the_provider_gets_its_key_and_the_agents_bytes(tmp_path: Path, dialect: str) -> None:
    expected = {
        "anthropic": {"x-api-key": KEY},
        "openai": {"Authorization": f"Bearer {KEY}"},
        "gemini": {"x-goog-api-key": KEY},
    }

    async def run() -> None:
        content = json.dumps(request(dialect), indent=3).encode()
        async with upstream(says(MESSAGE)) as provider, gateway(tmp_path, spec(tmp_path, provider.url, dialect)) as one:
            await one.ask(content, headers={"Cookie": "a=b", "OpenAI-Organization": "other", "X-Mine": "kept"})
            _, path, headers, body = provider.asked[0]
            assert body == content
            assert "/" + path.partition("/")[2] == fake.PATHS[dialect].removeprefix(f"/{dialect}")
            secret = {name: value for name, value in headers.items() if SECRET in value or KEY in value}
            assert secret == expected[dialect]
            assert headers["X-Mine"] == "kept"
            assert not {"Cookie", "OpenAI-Organization"} & set(headers)

    asyncio.run(run())


def test_an_oauth_token_goes_as_bearer_with_its_beta_beside_the_agents(tmp_path: Path) -> None:
    async def run() -> None:
        token = Credential(kind="oauth", value=KEY)
        async with upstream(says(MESSAGE)) as provider, gateway(tmp_path, spec(tmp_path, provider.url), token) as one:
            await one.ask(headers={"anthropic-beta": "one-2025,two-2026"})
            headers = provider.asked[0][2]
            assert headers["Authorization"] == f"Bearer {KEY}"
            assert headers["anthropic-beta"] == "one-2025,two-2026,oauth-2025-04-20"
            assert "x-api-key" not in headers

    asyncio.run(run())


def test_a_compressed_answer_is_relayed_as_it_is_and_counted(tmp_path: Path) -> None:
    async def run() -> None:
        content = gzip.compress(json.dumps(MESSAGE).encode())
        answer = says(content, Content_Encoding="gzip", Set_Cookie="a=b")
        async with upstream(answer) as provider, gateway(tmp_path, spec(tmp_path, provider.url)) as one:
            got = await one.ask(headers={"Accept-Encoding": "gzip, br, zstd"})
            assert (got.body, got.headers["Content-Encoding"], "Set-Cookie" in got.headers) == (content, "gzip", False)
            assert provider.asked[0][2]["Accept-Encoding"] == "gzip"
            assert one.end().tokens == Tokens(input=10, cached=3, cache_write=2, output=5)

    asyncio.run(run())


def test_a_compressed_request_is_read_and_sent_on_as_it_came(tmp_path: Path) -> None:
    async def run() -> None:
        content = gzip.compress(json.dumps(request()).encode())
        async with upstream(says(MESSAGE)) as provider, gateway(tmp_path, spec(tmp_path, provider.url)) as one:
            assert (await one.ask(content, headers={"Content-Encoding": "gzip"})).status == 200
            assert provider.asked[0][3] == content
            assert (await one.ask(content, headers={"Content-Encoding": "zstd"})).status == 415
            assert (await one.ask(content[:-9], headers={"Content-Encoding": "gzip"})).status == 413

    asyncio.run(run())


def test_bodies_of_many_megabytes_pass_in_both_directions(tmp_path: Path) -> None:
    async def run() -> None:
        answer = MESSAGE | {"content": [{"type": "text", "text": "a" * 12_000_000}]}
        async with upstream(says(answer)) as provider, gateway(tmp_path, spec(tmp_path, provider.url)) as one:
            body = request(messages=[{"role": "user", "content": "b" * 12_000_000}])
            got = await one.ask(body)
            assert got.json == answer
            assert json.loads(provider.asked[0][3]) == body
            assert (await one.ask(b"x" * (64 * 2**20 + 1))).status == 413

    asyncio.run(run())


def test_a_websocket_is_answered_so_that_the_cli_falls_back_at_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with upstream(says({})) as provider, gateway(tmp_path, spec(tmp_path, provider.url, "openai")) as one:
            got = await one.ask(
                path="/openai/v1/responses", method="GET", headers={"Upgrade": "websocket", "Connection": "Upgrade"}
            )
            assert (got.status, provider.asked, one.ends()) == (426, [], [])

    asyncio.run(run())


def test_a_chat_stream_is_made_to_tell_its_tokens_and_the_client_sees_nothing_of_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            upstream(streams(fake.CHAT_STREAM)) as provider,
            gateway(tmp_path, spec(tmp_path, provider.url, "openai")) as one,
        ):
            got = await one.ask({"model": "gpt-5.5", "stream": True}, CHAT)
            assert got.body == b"".join([*fake.CHAT_STREAM[:2], fake.CHAT_STREAM[3]])
            assert json.loads(provider.asked[0][3])["stream_options"] == {"include_usage": True}
            assert one.end().tokens == Tokens(input=7, output=4)

    asyncio.run(run())


def test_a_client_that_hangs_up_ends_the_request_at_the_provider(tmp_path: Path) -> None:
    async def run() -> None:
        ended = asyncio.Event()

        async def answer(asked: web.Request) -> web.StreamResponse:
            out = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await out.prepare(asked)
            try:
                for piece in fake.ANTHROPIC_STREAM[:4]:
                    await out.write(piece)
                await asyncio.sleep(60)
            finally:
                ended.set()
            return out

        async with (
            upstream(answer) as provider,
            gateway(tmp_path, spec(tmp_path, provider.url), patience=fake.Patience()) as one,
        ):
            async with one.client.post(fake.PATHS["anthropic"], json=request(), headers=fake.SHOWN["anthropic"]) as got:
                await got.content.readany()
                got.close()
            await asyncio.wait_for(ended.wait(), 2)
            end = one.end()
            assert (end.status, end.cause, end.estimated) == (200, "connection", True)
            assert end.tokens == Tokens(input=10, cached=3, cache_write=2, output=4)

    asyncio.run(run())


def test_a_key_that_the_provider_repeats_does_not_reach_the_agent(tmp_path: Path) -> None:
    async def run() -> None:
        error = {"type": "error", "error": {"type": "authentication_error", "message": f"bad key {KEY}"}}
        zipped = gzip.compress(json.dumps(error).encode())
        pieces = [b"data: {} " + KEY[:9].encode(), KEY[9:].encode() + b"\n\n"]
        answers = (
            says(error, 401),
            says(zipped, 401, Content_Encoding="gzip"),
            streams(pieces),
            says(MESSAGE, X_Key=KEY),
        )
        async with upstream(*answers) as provider, gateway(tmp_path, spec(tmp_path, provider.url)) as one:
            for expected in (401, 401, 200, 200):
                got = await one.ask()
                assert got.status == expected
                assert KEY not in str(got.headers) and KEY.encode() not in got.body
        found = [file for file in one.folder.path.rglob("*") if file.is_file() and KEY.encode() in _plain(file)]
        assert found == []

    asyncio.run(run())


def _plain(file: Path) -> bytes:
    return gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()


def test_a_key_in_the_error_of_a_stream_is_not_written_down(tmp_path: Path) -> None:
    async def run() -> None:
        error = {"type": "error", "error": {"type": "invalid_request_error", "message": f"{KEY} is a bad key"}}
        pieces = [f"data: {json.dumps(error)}\n\n".encode()]
        async with upstream(streams(pieces)) as provider, gateway(tmp_path, spec(tmp_path, provider.url)) as one:
            await one.ask()
            assert one.end().detail == f"{'*' * len(KEY)} is a bad key"

    asyncio.run(run())


def test_request_and_answer_are_kept_without_secrets(tmp_path: Path) -> None:
    async def run() -> None:
        async with upstream(says(MESSAGE)) as provider, gateway(tmp_path, spec(tmp_path, provider.url)) as one:
            await one.ask(request(messages=[{"role": "user", "content": f"my key is {SECRET}"}]))
            name = one.end().body
        kept = json.loads(_plain(one.folder.bodies / name))
        assert json.loads(kept["answer"]) == MESSAGE
        assert json.loads(kept["request"])["messages"][0]["content"] == "my key is [redacted]"
        assert kept["request_headers"]["x-api-key"] == "[redacted]"

    asyncio.run(run())
