"""A hub mirror for a whole site: many hosts and runs share one cache.

    python -m posttrainbench.gateway.mirror_service --cache DIR --listen HOST:PORT

It serves the hub read-only at its root, without refusals and logs: HF_ENDPOINT of the hosts, and `hub` of the runs'
gateways, which keep their own rules. Its own HF_TOKEN, if set, reaches gated repositories for everyone who reaches it;
there is no authentication, so it belongs on a private network.
"""

import argparse
import os
from pathlib import Path

import aiohttp
from aiohttp import web

from posttrainbench.gateway.hub_mirror import Mirror
from posttrainbench.gateway.hub_upstream import Hub

DEFAULT_HUB = "https://huggingface.co"


def application(hub: str, cache: Path, token: str = "") -> web.Application:
    """The mirror as an application of its own."""
    app = web.Application()
    opened: list[aiohttp.ClientSession] = []

    def session() -> aiohttp.ClientSession:
        if not opened:
            opened.append(aiohttp.ClientSession(auto_decompress=False, trust_env=True))
        return opened[0]

    async def close(_: web.Application) -> None:
        for one in opened:
            await one.close()

    mirror = Mirror(Hub(hub, session, token), cache, refused=[], prefix="", log=None)
    app.add_routes([web.route("*", "/{tail:.*}", mirror.handle)])
    app.on_cleanup.append(close)
    return app


def main() -> None:
    """Serve until it is ended."""
    parser = argparse.ArgumentParser(description="A hub mirror for a whole site.")
    parser.add_argument("--cache", type=Path, required=True, help="folder that it keeps what it fetched in")
    parser.add_argument("--listen", default="127.0.0.1:8080", help="HOST:PORT")
    parser.add_argument("--hub", default=DEFAULT_HUB, help="address of the hub")
    words = parser.parse_args()
    host, _, port = words.listen.rpartition(":")
    if not port.isdigit():
        parser.error(f"--listen is {words.listen!r}; it must be HOST:PORT, such as 0.0.0.0:8080")
    web.run_app(application(words.hub, words.cache, os.environ.get("HF_TOKEN", "")), host=host or None, port=int(port))


if __name__ == "__main__":
    main()
