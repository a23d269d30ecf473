"""What a gateway is told about its run. No key of a provider stands in it."""

from typing import Literal

from posttrainbench.catalog import Api
from posttrainbench.strict import Value

API_PORT = 8787
EGRESS_PORT = 8788
"""Ports on 127.0.0.1 inside a sandbox; each sandbox has a network of its own, so they are the same in all."""


class GatewaySpec(Value, frozen=True, kw_only=True):
    """`<run>/gateway/gateway.json`, readable by its owner alone."""

    run: str
    secret: str
    """Stands for the provider's key inside the sandbox; worth nothing after the run."""
    api: Api | None
    """None: the agent uses no model, so every model route is refused."""
    upstream: str = ""
    """Base URL of the provider, without a version path: `https://api.anthropic.com`."""
    network: Literal["closed", "curated", "open"]
    """closed: the model interface alone; curated: also hub mirror, package indexes, `allow_hosts`; open: any host."""
    web_tools: bool
    """Whether tools that the provider runs (web search, fetching) stay in requests."""
    allow_hosts: list[str] = []
    """Hosts that the proxy reaches under `curated`; a pattern like `*.example.org` covers all below it."""
    refused_repos: list[str] = []
    """Hub repositories that are refused, with a sentence: the task's test set, the base model's instruct siblings.
    Patterns (fnmatch, case-insensitive) of `org/name`."""
    refused_packages: list[str] = []
    """Python packages that are refused, since the test set lies in them."""
    hub: str = "https://huggingface.co"
    cache: str
    """Folder of the mirror's cache on the host, shared by all runs."""
    max_usd: float | None = None
    max_tokens: int | None = None
    seconds: float
    """The gateway ends by itself this long after its first start, or after its session has begun."""
    private_hosts: bool = False
    """Whether the proxy may reach loopback and private addresses; for tests alone."""
