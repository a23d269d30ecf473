"""Placeholder."""

from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web

from posttrainbench.gateway.spec import GatewaySpec


def routes(spec: GatewaySpec, folder: Path) -> list[web.RouteDef]:
    """None."""
    return []


async def session(app: web.Application) -> AsyncIterator[None]:
    """None."""
    yield
