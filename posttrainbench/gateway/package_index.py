"""Placeholder."""

from collections.abc import Callable
from pathlib import Path

import aiohttp
from aiohttp import web

from posttrainbench.gateway.spec import GatewaySpec


def routes(
    spec: GatewaySpec, folder: Path, sessions: Callable[[], aiohttp.ClientSession], hub_token: str = ""
) -> list[web.RouteDef]:
    """None."""
    return []
