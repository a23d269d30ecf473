"""Which hosts a run may reach through the proxy, by the network policy of its protocol."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase

from yarl import URL

from posttrainbench.gateway.model_hosts import HUB_HOSTS, MODEL_HOSTS
from posttrainbench.gateway.proxy_request import ProxyRequest
from posttrainbench.gateway.refusal import RefusedError
from posttrainbench.gateway.registries import npm_registry, python_index
from posttrainbench.gateway.spec import GatewaySpec

Indexes = Callable[[], Awaitable[list[str]]]
"""Gives the hosts of the package indexes that the gateway serves itself."""


async def index_hosts() -> list[str]:
    """Those of this host."""
    found = []
    for address in (python_index, npm_registry):
        with suppress(RefusedError):
            found.append(URL(await address()).host or "")
    return found


class Policy:
    """Decides by host and port. Under `open`, any port is reached; whatever is tunnelled must be TLS all the same."""

    def __init__(self, spec: GatewaySpec, indexes: Indexes) -> None:
        self._network = spec.network
        self._allowed = spec.allow_hosts
        self._upstream = URL(spec.upstream).host if spec.upstream else None
        self._hub = URL(spec.hub).host
        self._indexes = indexes
        self._indexed: list[str] | None = None

    async def refused(self, asked: ProxyRequest) -> str:
        """Why this run may not reach that host, as a sentence; empty if it may."""
        host = asked.host
        if self._network == "closed":
            return f"This run's protocol closes the network: {host} is not reached, only the model interface is."
        if host == self._upstream or _among(host, MODEL_HOSTS):
            return f"{host} serves models: this run calls its own model through the gateway, and no other."
        if host == self._hub or _among(host, HUB_HOSTS):
            return f"{host} is the hub: it is reached through HF_ENDPOINT, which is set in this sandbox."
        if self._indexed is None:
            self._indexed = await self._indexes()
        if host in self._indexed:
            return f"{host} is a package index: use pip, uv or npm as they are set up in this sandbox."
        if self._network == "open":
            return ""
        if not any(fnmatchcase(host, pattern.lower()) for pattern in self._allowed):
            names = ", ".join(self._allowed) or "none"
            return f"{host} is not among the hosts that this run's protocol allows ({names})."
        if asked.port not in (80, 443):
            return f"{host} is reached on ports 80 and 443 only, not {asked.port}."
        return ""


def _among(host: str, patterns: Sequence[str]) -> bool:
    """Whether a host is one of those, or is the domain whose subdomains are."""
    return any(fnmatchcase(host, pattern) or host == pattern.removeprefix("*.") for pattern in patterns)
