"""What an agent may not ask; what it sends is hostile."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from gateway import upstream as fake
from gateway.upstream import MESSAGE, SECRET, gateway, request, says, spec, streams, upstream

from posttrainbench.gateway import ledger
from posttrainbench.gateway.folder import connect

HEADERS = {
    "none": {"x-api-key": ""},
    "wrong": {"x-api-key": "wrong"},
    "prefix": {"x-api-key": SECRET[:-1]},
    "longer": {"x-api-key": SECRET + "x"},
    "not ascii": {"x-api-key": "schlüssel"},
    "basic": {"x-api-key": "", "Authorization": f"Basic {SECRET}"},
}


@pytest.mark.parametrize("name", HEADERS)
def test_who_does_not_know_the_secret_gets_nothing(tmp_path: Path, name: str) -> None:
    async def run() -> None:
        async with upstream(says(MESSAGE)) as provider, gateway(tmp_path, spec(tmp_path, provider.url)) as one:
            got = await one.ask(headers=HEADERS[name])
            assert (got.status, got.json["error"]["type"], provider.asked) == (401, "authentication_error", [])
            assert one.end().cause == "policy"
            assert SECRET.encode() not in got.body

    asyncio.run(run())


@pytest.mark.parametrize("dialect", ["anthropic", "openai", "gemini"])
def test_another_model_is_refused_and_written_down(tmp_path: Path, dialect: str) -> None:
    async def run() -> None:
        path = fake.PATHS["gemini"].replace("3.1-pro-preview", "3.8-flash") if dialect == "gemini" else ""
        body = request(dialect) if dialect == "gemini" else request(dialect, model="some-other")
        async with upstream(says(MESSAGE)) as provider, gateway(tmp_path, spec(tmp_path, provider.url, dialect)) as one:
            got = await one.ask(body, path)
            assert (got.status, provider.asked) == (400 if dialect == "openai" else 403, [])
            assert "is not part of this run" in got.json["error"]["message"]
            begun, ended = ledger.exchanges(one.folder.ledger)
            assert begun[1].model == ("gemini-3.8-flash" if dialect == "gemini" else "some-other")
            assert (ended[1].cause, ended[1].status) == ("policy", got.status)
            assert ledger.summary(one.folder.ledger).models == []

    asyncio.run(run())


def test_a_small_model_of_the_cli_is_counted_apart(tmp_path: Path) -> None:
    async def run() -> None:
        async with upstream(says(MESSAGE)) as provider, gateway(tmp_path, spec(tmp_path, provider.url)) as one:
            await one.ask(request(model="claude-haiku-4-5-20251001"))
            await one.ask()
            used = ledger.summary(one.folder.ledger)
            assert [(model.model, model.background, model.requests) for model in used.models] == [
                ("claude-haiku-4-5-20251001", True, 1),
                ("claude-opus-4-6", False, 1),
            ]
            assert used.models[0].cost_usd == pytest.approx(used.models[1].cost_usd / 5)

    asyncio.run(run())


BODIES: dict[str, bytes] = {
    "no JSON": b"{",
    "nothing": b"",
    "a list": b"[1]",
    "a number": b"1",
    "not UTF-8": b'{"model": "\xff\xfe"}',
    "too deep": b"[" * 100_000,
    "deep object": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "NaN": b'{"model": NaN}',
    "a huge number": b'{"model": ' + b"9" * 10_000 + b"}",
    "two models": b'{"model": "other", "model": "claude-opus-4-6"}',
    "two models, one written otherwise": b'{"mod\\u0065l": "other", "model": "claude-opus-4-6"}',
    "two of anything": b'{"model": "claude-opus-4-6", "messages": [{"a": 1, "a": 2}]}',
}
for wrong in (1, None, True, [], {}, ["claude-opus-4-6"], {"a": 1}, "", "\ud800"):
    BODIES[f"the model {wrong!r}"] = json.dumps(request(model=wrong)).encode()


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_makes_no_sense_is_refused_in_the_providers_form(tmp_path: Path, name: str) -> None:
    async def run() -> None:
        async with upstream(says(MESSAGE)) as provider, gateway(tmp_path, spec(tmp_path, provider.url)) as one:
            got = await one.ask(BODIES[name])
            assert got.status in (400, 403), got.body
            assert got.json["type"] == "error"
            assert provider.asked == []
            assert len(one.ends()) == 1

    asyncio.run(run())


PATHS = [
    "/anthropic/v1/messages/batches",
    "/anthropic/v1/files",
    "/anthropic/v1/messages/../files",
    "/anthropic/../openai/v1/responses",
    "/anthropic/v1/messages%2fbatches",
    "/anthropic/v1/%6dessages",
    "/anthropic/v1/messages/",
    "/anthropic//v1/messages",
    "/openai/v1/responses",
    "/gemini/v1beta/models/x:generateContent",
    "/",
    "/etc/passwd",
    "/%00",
    "/anthropic/" + "a" * 20_000,
]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:40])
def test_other_routes_are_refused_and_written_down(tmp_path: Path, path: str) -> None:
    async def run() -> None:
        async with upstream(says(MESSAGE)) as provider, gateway(tmp_path, spec(tmp_path, provider.url)) as one:
            written = (
                f"POST {path} HTTP/1.1\r\nHost: g\r\nx-api-key: {SECRET}\r\nContent-Length: 2\r\n"
                "Connection: close\r\n\r\n{}"
            )
            got = await _raw(one, written.encode())
            assert got.split(b" ")[1] == b"404"
            assert provider.asked == []
            assert (one.end().cause, one.end().status) == ("policy", 404)

    asyncio.run(run())


async def _raw(one: fake.Gateway, content: bytes) -> bytes:
    with connect(one.folder.path, "api.sock", 5) as connection:
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(connection, content)
        got = b""
        while piece := await asyncio.wait_for(loop.sock_recv(connection, 2**16), 5):
            got += piece
        return got


def test_a_head_gets_a_quiet_404(tmp_path: Path) -> None:
    async def run() -> None:
        async with upstream(says(MESSAGE)) as provider, gateway(tmp_path, spec(tmp_path, provider.url)) as one:
            got = await one.ask(path="/anthropic/api/hello", method="HEAD")
            assert (got.status, one.ends(), provider.asked) == (404, [], [])

    asyncio.run(run())


WEB: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "anthropic": (
        "anthropic",
        request(tools=[{"type": "web_search_20250305", "name": "web_search"}, {"name": "Bash"}], mcp_servers=[{}]),
        request(tools=[{"name": "Bash"}]),
    ),
    "anthropic, nothing left": (
        "anthropic",
        request(tools=[{"type": "web_fetch_20260209", "name": "f"}], tool_choice={"type": "tool", "name": "f"}),
        request(),
    ),
    "openai": (
        "openai",
        request("openai", tools=[{"type": "web_search_preview"}, {"type": "function", "name": "sh"}, {"type": "mcp"}]),
        request("openai", tools=[{"type": "function", "name": "sh"}]),
    ),
    "openai, in the input": (
        "openai",
        request("openai", input=[{"type": "additional_tools", "tools": [{"type": "web_search"}, {"type": "custom"}]}]),
        request("openai", input=[{"type": "additional_tools", "tools": [{"type": "custom"}]}]),
    ),
    "gemini": (
        "gemini",
        request("gemini", tools=[{"google_search": {}}, {"urlContext": {}, "functionDeclarations": []}]),
        request("gemini", tools=[{"functionDeclarations": []}]),
    ),
}


@pytest.mark.parametrize("name", WEB)
def test_web_tools_of_the_provider_are_taken_out_where_the_rules_say_so(tmp_path: Path, name: str) -> None:
    dialect, body, expected = WEB[name]

    async def run() -> None:
        async with upstream(says(MESSAGE)) as provider:
            for allowed, sent in ((False, expected), (True, body)):
                folder = tmp_path / str(allowed)
                folder.mkdir()
                async with gateway(folder, spec(tmp_path, provider.url, dialect, web_tools=allowed)) as one:
                    assert (await one.ask(body)).status == 200
                    got = json.loads(provider.asked[-1][3])
                    got.pop("tool_choice", None) if not expected.get("tools") and allowed is False else None
                    assert got == sent

    asyncio.run(run())


URLS: dict[str, tuple[str, dict[str, Any]]] = {
    "anthropic": (
        "anthropic",
        request(
            messages=[
                {"role": "user", "content": [{"type": "document", "source": {"type": "url", "url": "https://a.org/x"}}]}
            ]
        ),
    ),
    "openai file": (
        "openai",
        request("openai", input=[{"content": [{"type": "input_file", "file_url": "https://a.org/x"}]}]),
    ),
    "openai image": (
        "openai",
        request("openai", input=[{"content": [{"type": "input_image", "image_url": "https://a.org/x"}]}]),
    ),
    "gemini": ("gemini", request("gemini", contents=[{"parts": [{"file_data": {"file_uri": "https://a.org/x"}}]}])),
}


@pytest.mark.parametrize("name", URLS)
def test_the_provider_is_not_made_to_fetch_an_address(tmp_path: Path, name: str) -> None:
    dialect, body = URLS[name]

    async def run() -> None:
        async with upstream(says(MESSAGE)) as provider, gateway(tmp_path, spec(tmp_path, provider.url, dialect)) as one:
            got = await one.ask(body)
            assert (got.status, provider.asked) == (400 if dialect == "openai" else 403, [])
            assert "asked to fetch 'https://a.org/x'" in got.json["error"]["message"]

    asyncio.run(run())


REFUSED = {
    "an answer that nobody waits for": request("openai", background=True),
    "another model in its place": request("openai", models=["other"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_counted_or_pinned_is_refused(tmp_path: Path, name: str) -> None:
    async def run() -> None:
        async with (
            upstream(says(MESSAGE)) as provider,
            gateway(tmp_path, spec(tmp_path, provider.url, "openai")) as one,
        ):
            got = await one.ask(REFUSED[name])
            assert (got.status, "is not allowed" in got.json["error"]["message"], provider.asked) == (400, True, [])

    asyncio.run(run())


def test_search_of_codex_is_refused_or_relayed_by_the_rules(tmp_path: Path) -> None:
    async def run() -> None:
        async with upstream(says({})) as provider:
            for allowed, status in ((False, 403), (True, 200)):
                folder = tmp_path / str(allowed)
                folder.mkdir()
                async with gateway(folder, spec(tmp_path, provider.url, "openai", web_tools=allowed)) as one:
                    assert (await one.ask({"q": "x"}, "/openai/v1/alpha/search")).status == status

    asyncio.run(run())


def test_a_tool_that_calls_another_model_is_refused(tmp_path: Path) -> None:
    async def run() -> None:
        async with upstream(says(MESSAGE)) as provider, gateway(tmp_path, spec(tmp_path, provider.url)) as one:
            got = await one.ask(request(tools=[{"type": "advisor", "model": "claude-mythos-9"}]))
            assert (got.status, provider.asked) == (403, [])

    asyncio.run(run())


def test_headers_of_any_size_and_bytes_break_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        async with upstream(says(MESSAGE)) as provider, gateway(tmp_path, spec(tmp_path, provider.url)) as one:
            for line in (b"X: " + b"a" * 200_000, b"X: \xff\xfe", b"\x00: b", b"X\r\nY: z", b"X: y\r\n" * 2_000):
                assert (await _raw(one, b"GET /alive HTTP/1.1\r\nConnection: close\r\n" + line + b"\r\n\r\n"))[
                    :5
                ] == b"HTTP/"
            assert (await one.ask(headers={"X-Big": "a" * 60_000})).status == 200

    asyncio.run(run())


def test_slow_and_silent_clients_keep_nobody_waiting(tmp_path: Path) -> None:
    async def run() -> None:
        async with upstream(says(MESSAGE)) as provider, gateway(tmp_path, spec(tmp_path, provider.url)) as one:
            lazy = [connect(one.folder.path, "api.sock", 5) for _ in range(200)]
            for connection in lazy:
                connection.sendall(
                    b"POST /anthropic/v1/messages HTTP/1.1\r\nx-api-key: " + SECRET.encode() + b"\r\nContent-Le"
                )
            assert (await asyncio.wait_for(one.ask(), 2)).status == 200
            for connection in lazy:
                connection.close()

    asyncio.run(run())


def test_ten_thousand_events_pass(tmp_path: Path) -> None:
    async def run() -> None:
        delta = fake.events({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "word"}})[0]
        pieces = [fake.ANTHROPIC_STREAM[0], delta * 10_000, *fake.ANTHROPIC_STREAM[5:]]
        async with upstream(streams(pieces)) as provider, gateway(tmp_path, spec(tmp_path, provider.url)) as one:
            assert (await one.ask()).body == b"".join(pieces)
            assert one.end().tokens.output == 42

    asyncio.run(run())


ANSWERS: dict[str, bytes] = {
    "no JSON": b"{",
    "a list": b"[1, {}]",
    "null": b"null",
    "not UTF-8": b"\xff\xfe" * 100,
    "wrong types": b'{"type": "message", "model": [], "usage": {"input_tokens": "many", "output_tokens": -5}}',
    "huge numbers": b'{"type": "message", "usage": {"input_tokens": 1e400, "output_tokens": 99999999999999999999}}',
    "usage is a list": b'{"type": "message", "usage": [1]}',
    "deep": b"[" * 100_000,
    "half a letter": b'{"type": "message", "model": "\\ud800", "usage": {}}',
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_makes_no_sense_is_relayed_and_counts_nothing_false(tmp_path: Path, name: str) -> None:
    async def run() -> None:
        async with upstream(says(ANSWERS[name])) as provider, gateway(tmp_path, spec(tmp_path, provider.url)) as one:
            got = await one.ask()
            assert (got.status, got.body) == (200, ANSWERS[name])
            assert one.end().tokens.output == 0

    asyncio.run(run())


def test_refused_requests_fill_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posttrainbench.gateway.accounts.MAX_REFUSALS", 5)

    async def run() -> None:
        async with upstream(says(MESSAGE)) as provider, gateway(tmp_path, spec(tmp_path, provider.url)) as one:
            for _ in range(9):
                assert (await one.ask(path="/x")).status == 404
            assert len(one.ends()) == 5

    asyncio.run(run())


def test_an_agent_without_a_model_may_use_none(tmp_path: Path) -> None:
    async def run() -> None:
        async with gateway(tmp_path, spec(tmp_path, "", api=None)) as one:
            got = await one.ask()
            assert (got.status, "uses no model" in got.json["error"]["message"]) == (404, True)

    asyncio.run(run())
