"""An asyncio server beside a test: its loop runs in a thread, and ends with the block."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from posttrainbench.gateway.spec import GatewaySpec


@contextmanager
def beside(opened: Callable[[], AbstractAsyncContextManager[Any]]) -> Iterator[Any]:
    """What an async context manager gives, opened in a loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    context = opened()
    try:
        value = asyncio.run_coroutine_threadsafe(context.__aenter__(), loop).result(20)
        try:
            yield value
        finally:
            asyncio.run_coroutine_threadsafe(context.__aexit__(None, None, None), loop).result(20)
            asyncio.run_coroutine_threadsafe(_rest(), loop).result(20)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()


async def _rest() -> None:
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def listening(app: web.Application, *, socket: Path | None = None) -> AsyncIterator[str]:
    """An application on a free port of loopback, or on a unix socket; gives its address."""
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.UnixSite(runner, str(socket)) if socket else web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield "" if socket else f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@contextmanager
def served(app: web.Application, *, socket: Path | None = None) -> Iterator[str]:
    """The same, beside a test."""
    with beside(lambda: listening(app, socket=socket)) as address:
        yield address


def gateway_spec(folder: Path, **more: Any) -> GatewaySpec:
    """What a gateway is told, with a cache in `folder`."""
    usual = {"network": "curated", "private_hosts": False, "cache": str(folder / "cache")}
    words = {**usual, **more}
    return GatewaySpec(run="r", secret="the-secret", api=None, web_tools=False, seconds=60, **words)


def with_session(routes: Callable[[Callable[[], aiohttp.ClientSession]], list[web.RouteDef]]) -> web.Application:
    """An application with routes that want a session, which lives as long as it."""
    app = web.Application()
    opened: list[aiohttp.ClientSession] = []

    async def session(_: web.Application) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(auto_decompress=False) as one:
            opened.append(one)
            yield

    app.cleanup_ctx.append(session)
    app.add_routes(routes(lambda: opened[0]))
    return app
