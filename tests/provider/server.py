"""The provider as a server on loopback: keys, routes, faults and the log."""

import asyncio
import fnmatch
import gzip
import json
import re
import secrets
import threading
import time
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
from aiohttp import web

from posttrainbench.gateway.ledger import Tokens
from provider import anthropic, chat, gemini, responses
from provider.script import COUNTED, SIDE, Fault, Script, tokens
from provider.wire import Asked, Reply, call, shell

DIALECTS: dict[str, ModuleType] = {
    "anthropic.messages": anthropic,
    "openai.responses": responses,
    "openai.chat": chat,
    "gemini.generate": gemini,
    "gemini.stream": gemini,
}
"""Routes that a model answers."""
PATHS = {
    r"(/anthropic)?/v1/messages": "anthropic.messages",
    r"(/anthropic)?/v1/messages/count_tokens": "anthropic.count_tokens",
    r"/anthropic/v1/models": "anthropic.models",
    r"(/openai)?/v1/responses": "openai.responses",
    r"(/openai)?/v1/chat/completions": "openai.chat",
    r"(/openai)?/v1/models": "openai.models",
    r"(/gemini)?/v1(beta)?/models/(?P<model>[^/:]+):generateContent": "gemini.generate",
    r"(/gemini)?/v1(beta)?/models/(?P<model>[^/:]+):streamGenerateContent": "gemini.stream",
    r"(/gemini)?/v1(beta)?/models/(?P<model>[^/:]+):countTokens": "gemini.count_tokens",
    r"(/gemini)?/v1beta/models": "gemini.models",
}
LARGEST = 256 * 2**20
LOGGED = 2**20


class Provider:
    """A server in a thread of its own, between `with` and its end. `stop` and `start` take it away for a while."""

    def __init__(self, script: Script, log: Path, port: int = 0) -> None:
        self.script = script
        self.log = log
        self.port = port
        self.number = 0
        """Requests so far."""
        self.mark = secrets.token_hex(4)
        """In every id, for two providers may play one conversation."""
        self._befallen: Counter[int] = Counter()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Base URL, without a version path."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "Provider":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen: on the port it had before, if it had one."""
        ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, args=(self._loop, ready), daemon=True)
        self._thread.start()
        if not ready.wait(10):
            raise RuntimeError(f"the scripted provider could not listen on port {self.port}")

    def stop(self) -> None:
        """Close the socket and every connection."""
        if self._loop and self._thread and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)

    def lines(self) -> list[dict[str, Any]]:
        """The log so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def used(self) -> Tokens:
        """Tokens of all answers that were sent whole."""
        spent = [msgspec.convert(line["tokens"], Tokens) for line in self.lines() if line["whole"] and line["tokens"]]
        fields = Tokens.__struct_fields__
        return Tokens(**{name: sum(getattr(one, name) for one in spent) for name in fields})

    def _serve(self, loop: asyncio.AbstractEventLoop, ready: threading.Event) -> None:
        asyncio.set_event_loop(loop)
        app = web.Application(client_max_size=LARGEST)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", self.port)
        loop.run_until_complete(site.start())
        assert runner.addresses
        self.port = runner.addresses[0][1]
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        exchange = Exchange(self, request, await request.read())
        try:
            return await exchange.respond()
        finally:
            with self.log.open("a") as file:
                file.write(json.dumps(exchange.line, ensure_ascii=False) + "\n")

    def fault(self, route: str) -> Fault | None:
        """What befalls this request of that route."""
        for index, fault in enumerate(self.script.faults):
            if route in DIALECTS if fault.route == "*" else fnmatch.fnmatch(route, fault.route):
                self._befallen[index] += 1
                number = self._befallen[index]
                if number >= fault.first and (not fault.times or number < fault.first + fault.times):
                    return fault
        return None


class Exchange:
    """One request and what becomes of it."""

    def __init__(self, provider: Provider, request: web.Request, raw: bytes) -> None:
        self.provider = provider
        self.script = provider.script
        self.request = request
        self.raw = raw
        self.route, self.model = _route(request.path)
        provider.number += 1
        self.line: dict[str, Any] = {
            "n": provider.number,
            "t": time.monotonic(),
            "method": request.method,
            "path": request.path_qs.replace(self.script.key, "<key>"),
            "route": self.route,
            "headers": {name.lower(): text.replace(self.script.key, "<key>") for name, text in request.headers.items()},
            "body": _body(raw) if len(raw) < LOGGED else {"bytes": len(raw)},
            "status": None,
            "fault": None,
            "step": None,
            "tokens": None,
            "answer": "",
            "whole": False,
        }

    async def respond(self) -> web.StreamResponse:
        """Answer the request."""
        if "upgrade" in self.request.headers.get("connection", "").lower():
            return self._json(426, {"error": {"message": "no WebSocket here"}}, {"upgrade": "HTTP/1.1"})
        if not self.route:
            return self._json(404, {"error": {"message": f"There is no {self.request.path}", "type": "not_found"}})
        fault = self.provider.fault(self.route)
        self.line["fault"] = fault.kind if fault else None
        dialect = DIALECTS.get(self.route) or (anthropic if self.route.startswith("anthropic") else responses)
        if self.route.startswith("gemini"):
            dialect = gemini
        if not self._is_let_in():
            return self._json(*dialect.error(Fault(cause="auth")))
        if fault and fault.kind == "drop":
            return self._cut(web.StreamResponse())
        if fault and fault.kind == "status":
            after = {} if fault.retry_after is None else {"retry-after": f"{fault.retry_after:g}"}
            return self._json(*dialect.error(fault), after)
        if self.route not in DIALECTS:
            return self._json(200, self._fact())
        if objection := dialect.objection(_body(self.raw)):
            return self._json(400, {"error": {"type": "invalid_request_error", "code": 400, "message": objection}})
        asked = dialect.read(_body(self.raw), self.model, self.route == "gemini.stream")
        if self.script.models and asked.model not in self.script.models:
            return self._json(404, {"error": {"type": "not_found_error", "message": f"model: {asked.model}"}})
        return await self._answer(dialect, asked, self._reply(dialect, asked, fault), fault)

    def _is_let_in(self) -> bool:
        headers = self.request.headers
        given = [headers.get("x-api-key"), headers.get("x-goog-api-key"), self.request.query.get("key")]
        given.append(headers.get("authorization", "").removeprefix("Bearer ") or None)
        return {key for key in given if key} == {self.script.key}

    def _fact(self) -> dict[str, Any]:
        names = self.script.models or ["a-model"]
        match self.route:
            case "anthropic.count_tokens":
                return {"input_tokens": COUNTED}
            case "gemini.count_tokens":
                return {"totalTokens": COUNTED}
            case "gemini.models":
                return {"models": [{"name": f"models/{name}", "displayName": name} for name in names]}
            case "anthropic.models":
                return {
                    "data": [{"type": "model", "id": name, "display_name": name} for name in names],
                    "has_more": False,
                }
            case _:
                data = [{"id": name, "object": "model", "created": 0, "owned_by": "system"} for name in names]
                return {"object": "list", "data": data}

    def _reply(self, dialect: ModuleType, asked: Asked, fault: Fault | None) -> Reply:
        tool = shell(asked.tools)
        padding = "." * fault.size if fault and fault.kind == "big" else ""
        number = f"{self.provider.mark}{self.line['n']:06}"
        if tool is None:
            text = self.raw.decode(errors="replace")
            said = next((side.text for side in self.script.side if side.holds in text), "A title")
            spent, index = tokens(SIDE, writes=dialect.WRITES), SIDE
            reply = Reply(number, asked.model, said + padding, "", [], spent)
        else:
            index = self.script.step(asked.results, asked.said)
            step = self.script.at(index)
            spent = tokens(index, writes=dialect.WRITES)
            calls = [call(tool, command, f"{number}{place:02}") for place, command in enumerate(step.run)]
            think = step.think if asked.thinks else ""
            reply = Reply(number, asked.model, step.text + padding, think, calls, spent)
        self.line |= {"step": index, "tokens": msgspec.to_builtins(spent)}
        return reply

    async def _answer(self, dialect: ModuleType, asked: Asked, reply: Reply, fault: Fault | None) -> web.StreamResponse:
        kind = fault.kind if fault else ""
        packed = kind == "gzip"
        if not asked.stream:
            if fault and kind == "silence":
                await asyncio.sleep(fault.seconds)
            if kind == "cut":
                body = json.dumps(dialect.answer(reply)).encode()
                response = web.StreamResponse(
                    headers={"content-type": "application/json", "content-length": str(len(body))}
                )
                await response.prepare(self.request)
                await response.write(body[: len(body) // 2])
                return self._cut(response)
            if fault and kind == "stream_error":
                return self._json(*dialect.error(fault))
            response = self._json(200, dialect.answer(reply), {}, packed)
            self.line["whole"] = True
            return response
        events = dialect.events(reply)
        if fault and kind == "stream_error":
            events = events[: fault.after] + dialect.stream_error(fault)
        return await self._stream(events, fault, packed)

    async def _stream(self, events: list[tuple[str, Any]], fault: Fault | None, packed: bool) -> web.StreamResponse:
        headers = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
        response = web.StreamResponse(headers=headers | {"request-id": f"req_{self.line['n']}"})
        if packed:
            response.enable_compression(web.ContentCoding.gzip)
        self.line["status"] = 200
        kind, after = (fault.kind, fault.after) if fault else ("", 0)
        if fault and kind == "silence" and not after:
            await asyncio.sleep(fault.seconds)
        await response.prepare(self.request)
        for place, (name, data) in enumerate(events):
            if fault and place == after and kind == "silence" and after:
                await asyncio.sleep(fault.seconds)
            if place == after and kind == "cut":
                return self._cut(response)
            text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
            event = (f"event: {name}\n" if name else "") + f"data: {text}\n\n"
            self.line["answer"] = (self.line["answer"] + event)[:LOGGED]
            await response.write(event.encode())
            await asyncio.sleep(self.script.pace)
        await response.write_eof()
        self.line["whole"] = kind != "stream_error"
        return response

    def _cut(self, response: web.StreamResponse) -> web.StreamResponse:
        if self.request.transport:
            self.request.transport.abort() if response.prepared is False else self.request.transport.close()
        return response

    def _json(
        self, status: int, value: dict[str, Any], headers: dict[str, str] | None = None, packed: bool = False
    ) -> web.Response:
        body = json.dumps(value, ensure_ascii=False).encode()
        self.line |= {"status": status, "answer": body[:LOGGED].decode(errors="replace")}
        more = {"content-encoding": "gzip"} if packed else {}
        return web.Response(
            status=status,
            body=gzip.compress(body) if packed else body,
            content_type="application/json",
            headers={"request-id": f"req_{self.line['n']}", **(headers or {}), **more},
        )


def _route(path: str) -> tuple[str, str]:
    for pattern, route in PATHS.items():
        if match := re.fullmatch(pattern, path):
            return route, match.groupdict().get("model") or ""
    return "", ""


def _body(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else {}
    except ValueError:
        return {"unread": raw[:200].decode("latin-1")}
