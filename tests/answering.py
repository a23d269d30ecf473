"""A provider on loopback that answers as it is told to, in the protocol that it is asked in."""

import base64
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

for sdk in ("anthropic", "openai", "google.genai"):
    pytest.importorskip(sdk, reason="the model providers' SDKs are not installed: pip install 'posttrainbench[judge]'")

PATHS = {"anthropic": "/anthropic", "openai": "/openai/v1", "gemini": "/gemini"}
"""Where each dialect's SDK is pointed at, below the server's address; as the gateway has them."""


@dataclass(frozen=True)
class Turn:
    """What the model says. A call is its id, the tool's name and its arguments as JSON text."""

    text: str = ""
    thinking: str = ""
    calls: tuple[tuple[str, str, str], ...] = ()
    usage: Mapping[str, Any] | None = field(default_factory=dict)
    """None: null is sent in its place; empty: 100 in, of them 30 read and 20 written, 40 out, of them 10 reasoning."""
    stop: str = ""
    """In the provider's own words."""
    cut: bool = False
    """Ends the stream in the middle."""


@dataclass(frozen=True)
class Fault:
    """A refusal with a status."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Raw:
    """These bytes, whatever they are, as a stream of events."""

    content: bytes


Said = Turn | Fault | Raw | Callable[[dict[str, Any]], Turn | Fault | Raw]


@dataclass(frozen=True)
class Asked:
    """A request."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class Provider:
    """Where it is, and what it was asked."""

    address: str
    asked: list[Asked] = field(default_factory=list)

    def url(self, dialect: str) -> str:
        """What a model of that dialect takes as base_url."""
        return self.address + PATHS[dialect]


@contextmanager
def provider(*script: Said) -> Iterator[Provider]:
    """Answers the requests in turn by the script; one more than it holds is an error 400."""
    left = list(script)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            headers = {name.lower(): value for name, value in self.headers.items()}
            there.asked.append(Asked(self.path, headers, body))
            said: Any = left.pop(0) if left else Fault(400, {"error": {"message": "the script is over"}})
            if not isinstance(said, Turn | Fault | Raw):
                said = said(body)
            if isinstance(said, Fault):
                content = said.body if isinstance(said.body, bytes) else json.dumps(said.body).encode()
                self.answer(said.status, content, {"content-type": "application/json", **said.headers})
                return
            content = said.content if isinstance(said, Raw) else stream(self.path, body, said)
            self.answer(200, content, {"content-type": "text/event-stream"})

        def answer(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    there = Provider(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield there
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def stream(path: str, body: dict[str, Any], turn: Turn) -> bytes:
    """The turn as a stream of events."""
    if path.startswith(PATHS["anthropic"]):
        events = list(anthropic(turn))
    elif path.startswith(PATHS["openai"]):
        events = list(openai(turn))
    else:
        events = list(gemini(turn))
    if turn.cut:
        events = events[:-1] if path.startswith(PATHS["openai"]) else events[: len(events) // 2]
    named = (
        (f"event: {event['type']}\n" if "type" in event else "") + f"data: {json.dumps(event)}\n\n" for event in events
    )
    return "".join(named).encode()


def anthropic(turn: Turn) -> Iterator[dict[str, Any]]:
    """Messages."""
    usage = turn.usage
    if usage == {}:
        usage = {
            "input_tokens": 50,
            "cache_read_input_tokens": 30,
            "cache_creation_input_tokens": 20,
            "output_tokens": 1,
        }
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": usage}
    yield {"type": "message_start", "message": message | {"stop_reason": None, "stop_sequence": None}}
    blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    if turn.thinking:
        signed = {"type": "signature_delta", "signature": signature(turn.thinking)}
        thought = {"type": "thinking", "thinking": "", "signature": ""}
        blocks.append((thought, [{"type": "thinking_delta", "thinking": turn.thinking}, signed]))
    if turn.text:
        half = len(turn.text) // 2
        pieces = [{"type": "text_delta", "text": text} for text in (turn.text[:half], turn.text[half:])]
        blocks.append(({"type": "text", "text": ""}, pieces))
    for id_, name, arguments in turn.calls:
        used = {"type": "tool_use", "id": id_, "name": name, "input": {}}
        blocks.append((used, [{"type": "input_json_delta", "partial_json": arguments}]))
    for index, (block, deltas) in enumerate(blocks):
        yield {"type": "content_block_start", "index": index, "content_block": block}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    stop = turn.stop or ("tool_use" if turn.calls else "end_turn")
    counted = (
        {"output_tokens": 40, "output_tokens_details": {"thinking_tokens": 10}} if turn.usage == {} else turn.usage
    )
    yield {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None}, "usage": counted}
    yield {"type": "message_stop"}


def openai(turn: Turn) -> Iterator[dict[str, Any]]:
    """Responses."""
    items: list[dict[str, Any]] = []
    if turn.thinking:
        shown = {"type": "summary_text", "text": turn.thinking}
        items.append(
            {"type": "reasoning", "id": "rs_1", "summary": [shown], "encrypted_content": signature(turn.thinking)}
        )
    if turn.text:
        content = [{"type": "output_text", "text": turn.text, "annotations": []}]
        items.append({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content})
    for id_, name, arguments in turn.calls:
        call = {"type": "function_call", "id": f"fc_{id_}", "call_id": id_, "name": name, "arguments": arguments}
        items.append({**call, "status": "completed"})
    for index, item in enumerate(items):
        yield {"type": "response.output_item.done", "output_index": index, "item": item, "sequence_number": index}
    usage = turn.usage
    if usage == {}:
        usage = {
            "input_tokens": 100,
            "input_tokens_details": {"cached_tokens": 30, "cache_write_tokens": 20},
            "output_tokens": 40,
            "output_tokens_details": {"reasoning_tokens": 10},
            "total_tokens": 140,
        }
    response: dict[str, Any] = {"id": "resp_1", "object": "response", "model": "m", "output": items, "usage": usage}
    if turn.stop:
        over = {"status": "incomplete", "incomplete_details": {"reason": turn.stop}}
        yield {"type": "response.incomplete", "sequence_number": 99, "response": response | over}
    else:
        yield {"type": "response.completed", "sequence_number": 99, "response": response | {"status": "completed"}}


def gemini(turn: Turn) -> Iterator[dict[str, Any]]:
    """streamGenerateContent."""
    parts: list[dict[str, Any]] = []
    if turn.thinking:
        parts.append({"text": turn.thinking, "thought": True})
    half = len(turn.text) // 2
    parts += [{"text": text} for text in (turn.text[:half], turn.text[half:]) if text]
    for n, (id_, name, arguments) in enumerate(turn.calls):
        call = {"name": name, "args": json.loads(arguments)} | ({"id": id_} if id_ else {})
        signed = {"thoughtSignature": base64.b64encode(signature(turn.thinking).encode()).decode()} if not n else {}
        parts.append({"functionCall": call, **signed})
    usage = turn.usage
    if usage == {}:
        usage = {
            "promptTokenCount": 100,
            "cachedContentTokenCount": 30,
            "candidatesTokenCount": 30,
            "thoughtsTokenCount": 10,
            "totalTokenCount": 140,
        }
    for part in parts:
        yield {"candidates": [{"content": {"role": "model", "parts": [part]}, "index": 0}]}
    yield {"candidates": [{"content": {"role": "model"}, "finishReason": turn.stop or "STOP"}], "usageMetadata": usage}


def signature(thinking: str) -> str:
    """What stands for the sealed form of a thought."""
    return f"sealed:{thinking}>>>???"


def calling(*commands: str, text: str = "", thinking: str = "I think.") -> Turn:
    """A turn that calls `bash`, once a command."""
    calls = tuple((f"c{n}", "bash", json.dumps({"command": command})) for n, command in enumerate(commands))
    return Turn(text=text, thinking=thinking, calls=calls)
