"""A provider on loopback that answers as a test says, and a gateway before it, both in the test's own event loop."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from posttrainbench.catalog import Api
from posttrainbench.gateway import GatewaySpec, ledger, service
from posttrainbench.gateway.dialects import Credential
from posttrainbench.gateway.folder import GatewayFolder, short
from posttrainbench.gateway.provider import Patience

SECRET = "run-secret-0123456789"
KEY = "sk-canary-AbCdEf0123456789"
MODELS = {"anthropic": "claude-opus-4-6", "openai": "gpt-5.5", "gemini": "gemini-3.1-pro-preview"}
PATHS = {
    "anthropic": "/anthropic/v1/messages",
    "openai": "/openai/v1/responses",
    "gemini": "/gemini/v1beta/models/gemini-3.1-pro-preview:generateContent",
}
SHOWN = {
    "anthropic": {"x-api-key": SECRET},
    "openai": {"Authorization": f"Bearer {SECRET}"},
    "gemini": {"x-goog-api-key": SECRET},
}
QUICK = Patience(total=5.0, first_delay=0.01, longest_delay=0.05, connect=1.0, silence=0.3)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Upstream:
    """What it was asked, and what it answers: each of `answers` once, then the last again and again."""

    answers: list[Handler]
    url: str = ""
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.method, request.raw_path, dict(request.headers), await request.read()))
        answer = self.answers[min(len(self.asked), len(self.answers)) - 1]
        return await answer(request)


@asynccontextmanager
async def upstream(*answers: Handler, port: int = 0) -> AsyncIterator[Upstream]:
    """A provider that answers so."""
    told = Upstream(list(answers))
    app = web.Application(client_max_size=2**30)
    app.router.add_route("*", "/{tail:.*}", told.handle)
    runner = web.AppRunner(
        app,
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=0.1,
        auto_decompress=False,
        max_field_size=2**20,
    )
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    told.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield told
    finally:
        await runner.cleanup()


def spec(folder: Path, url: str, dialect: str = "anthropic", **changes: Any) -> GatewaySpec:
    """A gateway's spec for that provider."""
    api = Api(dialect=dialect, model=MODELS[dialect], background=["claude-haiku-*"])
    told = {"api": api, "upstream": url, "network": "closed", "web_tools": False, "cache": str(folder / "cache")}
    return GatewaySpec(run="r1", secret=SECRET, **told | {"seconds": 600.0} | changes)


@dataclass
class Gateway:
    """A gateway and a client that talks to it as an agent would."""

    folder: GatewayFolder
    client: aiohttp.ClientSession
    dialect: str

    async def ask(
        self, body: Any = None, path: str = "", headers: dict[str, str] | None = None, method: str = "POST"
    ) -> "Got":
        """Ask, and read the whole answer."""
        content = body if isinstance(body, bytes) else json.dumps(request(self.dialect) if body is None else body)
        async with self.client.request(
            method,
            path or PATHS[self.dialect],
            data=content if method == "POST" else None,
            headers=SHOWN[self.dialect] | {"Content-Type": "application/json"} | (headers or {}),
        ) as answer:
            return Got(answer.status, dict(answer.headers), await answer.read())

    def ends(self) -> list[ledger.End]:
        return list(ledger.exchanges(self.folder.ledger)[1].values())

    def end(self) -> ledger.End:
        """Of the only exchange."""
        (end,) = self.ends()
        return end


@dataclass
class Got:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@asynccontextmanager
async def gateway(
    path: Path, told: GatewaySpec, credential: Credential | None = None, patience: Patience = QUICK
) -> AsyncIterator[Gateway]:
    """A gateway that serves in this event loop."""
    folder = GatewayFolder(path / "gateway")
    folder.path.mkdir(exist_ok=True)
    credential = credential or Credential(kind="api_key", value=KEY)
    async with service.application(folder, told, credential, patience) as app:
        runner = service.runner_of(app)
        await runner.setup()
        with short(folder.path) as place:
            await web.UnixSite(runner, f"{place}/api.sock", backlog=service.BACKLOG).start()
            connector = aiohttp.UnixConnector(f"{place}/api.sock", limit=0)
            try:
                async with aiohttp.ClientSession(
                    "http://gateway", connector=connector, auto_decompress=False
                ) as client:
                    yield Gateway(folder, client, told.api.dialect if told.api else "anthropic")
            finally:
                await runner.cleanup()


def request(dialect: str = "anthropic", **more: Any) -> dict[str, Any]:
    """A small request."""
    bodies: dict[str, dict[str, Any]] = {
        "anthropic": {"model": MODELS["anthropic"], "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]},
        "openai": {"model": MODELS["openai"], "input": "hi", "max_output_tokens": 100},
        "gemini": {"contents": [{"parts": [{"text": "hi"}]}], "generationConfig": {"maxOutputTokens": 100}},
    }
    return bodies[dialect] | more


MESSAGE = {
    "type": "message",
    "model": "claude-opus-4-6",
    "content": [{"type": "text", "text": "hello"}],
    "stop_reason": "end_turn",
    "usage": {
        "input_tokens": 10,
        "cache_read_input_tokens": 3,
        "cache_creation_input_tokens": 2,
        "output_tokens": 5,
    },
}


def says(body: Any, status: int = 200, **headers: str) -> Handler:
    """An answer in JSON. In a header's name an underscore stands for a hyphen."""

    async def answer(request: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return web.Response(body=content, status=status, headers={"Content-Type": "application/json"} | named)

    return answer


def fails(status: int, **headers: str) -> Handler:
    """An error."""
    return says({"type": "error", "error": {"type": "x", "message": "not now"}}, status, **headers)


def streams(pieces: list[bytes], *, pause: float = 0.0, end: str = "whole", **headers: str) -> Handler:
    """A stream of those pieces; `end` is `whole`, `cut` (the connection is closed) or `silent`."""

    async def answer(request: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        out = web.StreamResponse(headers={"Content-Type": "text/event-stream"} | named)
        await out.prepare(request)
        for piece in pieces:
            await out.write(piece)
            await asyncio.sleep(pause)
        if end == "cut" and request.transport:
            request.transport.close()
        if end == "silent":
            await asyncio.sleep(60)
        return out

    return answer


def events(*data: Any) -> list[bytes]:
    """Server-sent events, one a piece."""
    return [
        (f"event: {one['type']}\n" if "type" in one else "").encode() + b"data: " + json.dumps(one).encode() + b"\n\n"
        for one in data
    ]


ANTHROPIC_STREAM = events(
    {
        "type": "message_start",
        "message": {"model": "claude-opus-4-6", "usage": MESSAGE["usage"] | {"output_tokens": 1}},
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "id": "t1", "name": "Bash"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": '{"command":'}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": '"ls"}'}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 42}},
    {"type": "message_stop"},
)
OPENAI_STREAM = events(
    {"type": "response.created", "response": {"model": "gpt-5.5", "usage": None}},
    {"type": "response.function_call_arguments.delta", "delta": '{"command":"ls"}'},
    {
        "type": "response.completed",
        "response": {
            "model": "gpt-5.5-2026",
            "status": "completed",
            "usage": {
                "input_tokens": 100,
                "input_tokens_details": {"cached_tokens": 60},
                "output_tokens": 20,
                "output_tokens_details": {"reasoning_tokens": 12},
            },
        },
    },
)
CHAT_STREAM = [
    *events(
        {"object": "chat.completion.chunk", "model": "gpt-5.5", "choices": [{"delta": {"content": "he"}}]},
        {"object": "chat.completion.chunk", "choices": [{"delta": {}, "finish_reason": "stop"}], "usage": None},
        {"object": "chat.completion.chunk", "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 4}},
    ),
    b"data: [DONE]\n\n",
]
GEMINI_STREAM = events(
    {
        "candidates": [{"content": {"parts": [{"text": "he"}]}}],
        "usageMetadata": {"promptTokenCount": 50, "candidatesTokenCount": 1},
    },
    {
        "candidates": [{"content": {"parts": [{"functionCall": {"name": "ls"}}]}, "finishReason": "STOP"}],
        "modelVersion": "gemini-3.1-pro",
        "usageMetadata": {
            "promptTokenCount": 50,
            "cachedContentTokenCount": 20,
            "candidatesTokenCount": 6,
            "thoughtsTokenCount": 4,
        },
    },
)
