"""Placeholder."""

import asyncio
from pathlib import Path

from posttrainbench.gateway.spec import GatewaySpec


async def serve(spec: GatewaySpec, folder: Path, path: Path) -> asyncio.AbstractServer:
    """A proxy that closes every connection."""
    return await asyncio.start_unix_server(lambda reader, writer: writer.close(), path)
