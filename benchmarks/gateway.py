"""What the gateway costs: time added to a request, to a stream's first byte, and requests a second on one core.

    python benchmarks/gateway.py

A provider on loopback that answers at once, a process of its own, is asked directly and through a gateway's socket, in
turns, so that both see the same machine. The long request is as long as one of a coding agent's (about 100 kB). The
gateway is the real process; for the requests a second it is bound to one core. On a machine that others use too, the
times grow with the processes that a request passes: look at the processor time then.
"""

import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
from aiohttp import web

from posttrainbench.catalog import Api
from posttrainbench.gateway import GatewaySpec, process
from posttrainbench.gateway.dialects import Credential
from posttrainbench.gateway.folder import GatewayFolder, Started, short
from posttrainbench.strict import read_json

SECRET = "run-secret-of-the-benchmark"
WARM, COUNT = 30, 300
PARALLEL, MANY = 16, 1500
GOAL_MS = 3.0
MODEL = "claude-opus-4-6"
USAGE = {"input_tokens": 10, "output_tokens": 5}
MESSAGE = {"type": "message", "model": MODEL, "content": [{"type": "text", "text": "hello " * 200}], "usage": USAGE}
EVENTS = [
    {"type": "message_start", "message": {"model": MODEL, "usage": USAGE}},
    *({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "hello"}} for _ in range(50)),
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": USAGE},
    {"type": "message_stop"},
]


def request(size: int, stream: bool) -> bytes:
    """A request's body of about `size` bytes."""
    text = "The quick brown fox measures latency. " * (size // 38)
    return json.dumps(
        {"model": MODEL, "max_tokens": 100, "stream": stream, "messages": [{"role": "user", "content": text}]}
    ).encode()


async def answer(asked: web.Request) -> web.StreamResponse:
    """The provider."""
    body = await asked.read()
    if b'"stream": true' not in body[:200]:
        return web.json_response(MESSAGE)
    out = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await out.prepare(asked)
    for event in EVENTS:
        await out.write(b"data: " + json.dumps(event).encode() + b"\n\n")
    return out


async def serve() -> None:
    """The provider's process: prints its address, and ends with its input."""
    app = web.Application(client_max_size=2**30)
    app.router.add_post("/v1/messages", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


@contextlib.contextmanager
def provider() -> Iterator[str]:
    """Its address."""
    command = [sys.executable, __file__, "--provider"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdin and serving.stdout
        yield serving.stdout.readline().strip()
        serving.stdin.close()


class Way:
    """One way to the provider."""

    def __init__(self, client: aiohttp.ClientSession, url: str) -> None:
        self._client, self._url = client, url

    async def ask(self, body: bytes) -> tuple[float, float]:
        """Milliseconds to the first byte, and to the last."""
        begin = time.perf_counter()
        headers = {"x-api-key": SECRET, "Content-Type": "application/json"}
        async with self._client.post(self._url, data=body, headers=headers) as got:
            await got.content.readany()
            first = time.perf_counter()
            await got.read()
            if got.status != 200:
                raise SystemExit(f"The answer was {got.status}.")
        return (first - begin) * 1e3, (time.perf_counter() - begin) * 1e3

    async def a_second(self, body: bytes) -> float:
        """Requests a second with many at once."""
        left = iter(range(MANY))

        async def one() -> None:
            for _ in left:
                await self.ask(body)

        begin = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(PARALLEL)))
        return MANY / (time.perf_counter() - begin)


def processor_seconds(number: int) -> float:
    """Of a process up to now; other programs on the machine do not change it much."""
    fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def compare(direct: Way, through: Way, title: str, body: bytes, which: int) -> float:
    """Print the medians of one kind of request; returns the added milliseconds."""
    times: dict[Way, list[float]] = {direct: [], through: []}
    for turn in range(WARM + COUNT):
        for way in (direct, through) if turn % 2 else (through, direct):
            taken = (await way.ask(body))[which]
            if turn >= WARM:
                times[way].append(taken)
    straight, relayed = (statistics.median(times[way]) for way in (direct, through))
    added = relayed - straight
    print(
        f"{title}: direct {straight:.2f} ms, through the gateway {relayed:.2f} ms: "
        f"{added:+.2f} ms, {relayed / straight:.2f} times direct"
    )
    return added


async def measure(folder: Path) -> None:
    """Everything."""
    cores = sorted(os.sched_getaffinity(0))
    with provider() as url:
        api = Api(dialect="anthropic", model=MODEL)
        told = GatewaySpec(
            run="benchmark",
            secret=SECRET,
            api=api,
            upstream=url,
            network="closed",
            web_tools=False,
            cache=str(folder / "cache"),
            max_usd=10_000.0,
            seconds=600.0,
        )
        place = folder / "gateway"
        await asyncio.to_thread(process.start, place, told, Credential(kind="api_key", value="sk-benchmark"))
        try:
            number = read_json(GatewayFolder(place).started, Started).pid
            with short(place / "sockets") as sockets:
                async with (
                    aiohttp.ClientSession() as plain,
                    aiohttp.ClientSession(connector=aiohttp.UnixConnector(f"{sockets}/api.sock")) as socket,
                ):
                    direct = Way(plain, f"{url}/v1/messages")
                    through = Way(socket, "http://gateway/anthropic/v1/messages")
                    big, stream = request(100_000, False), request(100_000, True)
                    added = await compare(direct, through, "whole answer, request of 100 kB", big, 1)
                    await compare(direct, through, "whole answer, request of 1 kB", request(1_000, False), 1)
                    await compare(direct, through, "stream's first byte, request of 100 kB", stream, 0)
                    await compare(direct, through, "stream's last byte, request of 100 kB", stream, 1)
                    print(f"median added under {GOAL_MS:.0f} ms: {'yes' if added < GOAL_MS else 'NO'}")
                    os.sched_setaffinity(number, {cores[0]})
                    used = processor_seconds(number)
                    rates = [await way.a_second(request(1_000, False)) for way in (direct, through)]
                    used = processor_seconds(number) - used
                    print(
                        f"requests a second, {PARALLEL} at once: direct {rates[0]:.0f}, through a gateway on one core "
                        f"{rates[1]:.0f}: {rates[1] / rates[0]:.2f} of direct"
                    )
                    print(f"the gateway's own processor time: {used / MANY * 1e3:.2f} ms a request")
        finally:
            await asyncio.to_thread(process.stop, place)


def main() -> None:
    """Measure and print."""
    if "--provider" in sys.argv:
        asyncio.run(serve())
        return
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(measure(Path(name)))


if __name__ == "__main__":
    main()
