"""Bytes both ways between two connections, within limits of time."""

import asyncio
import time
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

CHUNK = 64 * 1024
CLOSE_SECONDS = 5.0


@dataclass
class Flow:
    """What went through one connection."""

    up: int = 0
    down: int = 0
    touched: float = 0.0
    """When bytes last went through, on the monotonic clock."""


async def pump(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    flow: Flow,
    way: Literal["up", "down"],
    most: int | None,
) -> None:
    """Copy until the end and pass the end on, or copy `most` bytes."""
    left = most
    while left is None or left > 0:
        chunk = await reader.read(CHUNK if left is None else min(CHUNK, left))
        if not chunk:
            break
        left = None if left is None else left - len(chunk)
        setattr(flow, way, getattr(flow, way) + len(chunk))
        flow.touched = time.monotonic()
        writer.write(chunk)
        await writer.drain()
    if most is None and writer.can_write_eof():
        writer.write_eof()


async def both(up: Awaitable[None], down: Awaitable[None], flow: Flow, idle: float, until: float) -> str:
    """Run both ways until both ended, or nothing went through for `idle` seconds, or it is `until`; how it ended."""
    tasks = {asyncio.ensure_future(up), asyncio.ensure_future(down)}
    try:
        while pending := {task for task in tasks if not task.done()}:
            await asyncio.wait(pending, timeout=min(5.0, idle), return_when=asyncio.FIRST_COMPLETED)
            if any(task.done() and task.exception() for task in tasks):
                return "reset"
            if time.monotonic() - flow.touched > idle:
                return "idle for too long"
            if time.monotonic() > until:
                return "open for too long"
        return "closed"
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def close(writer: asyncio.StreamWriter) -> None:
    """Send what is left, and close; never waits long for the other side."""
    with suppress(OSError, TimeoutError):
        await asyncio.wait_for(writer.drain(), CLOSE_SECONDS)
    writer.close()
    with suppress(OSError, TimeoutError):
        await asyncio.wait_for(writer.wait_closed(), CLOSE_SECONDS)
