"""What a run fetched through its gateway: `hub.jsonl`, `packages.jsonl` and `egress.jsonl`, and their readers.

`t` is CLOCK_MONOTONIC of the host in seconds, as the supervisor's clock; `at` is UTC, ISO 8601. Bytes are those of the
answer; fewer arrived where the agent hung up. What an agent chose (names, files, hosts) is text to show, never a path
to open.
"""

from pathlib import Path
from typing import Literal

from posttrainbench.gateway.lines import read_lines
from posttrainbench.strict import Value

RepoKind = Literal["model", "dataset", "space", "kernel"]


class HubFetch(Value, frozen=True, kw_only=True):
    """One call to the hub mirror: a file, a piece of one, or an answer of the hub's interface."""

    t: float
    at: str
    kind: RepoKind | None
    """None: a search, or what names no repository."""
    repo: str
    """As the hub names it, also where the agent used an older name."""
    revision: str
    """The commit, where the hub named it."""
    file: str
    """Path in the repository; empty for the hub's interface."""
    bytes: int
    status: int
    cached: bool
    """Whether it was on the host already."""
    refused: str = ""
    """The sentence that the agent got instead."""


class PackageFetch(Value, frozen=True, kw_only=True):
    """One call to a package index: a package's page, or one of its files."""

    t: float
    at: str
    index: Literal["pypi", "npm"]
    package: str
    file: str
    """Name of the file, which holds the version; empty for the page that lists them."""
    bytes: int
    status: int
    cached: bool
    refused: str = ""


class Connection(Value, frozen=True, kw_only=True):
    """One connection through the proxy: a line when it opens and one when it ends, or one if it is refused."""

    n: int
    t: float
    at: str
    host: str
    port: int
    address: str
    """IP address that was connected to; empty if none was."""
    allowed: bool
    reason: str
    """Why it was refused, or how it ended; empty while it is open."""
    up: int = 0
    """Bytes from the agent."""
    down: int = 0
    seconds: float | None = None
    """None: still open, or the gateway was killed meanwhile."""


def hub_fetches(path: Path) -> list[HubFetch]:
    """Lines of `hub.jsonl`, oldest first."""
    return read_lines(path, HubFetch)


def package_fetches(path: Path) -> list[PackageFetch]:
    """Lines of `packages.jsonl`, oldest first."""
    return read_lines(path, PackageFetch)


def connections(path: Path) -> list[Connection]:
    """The last that `egress.jsonl` says of each connection, in the order in which they were opened."""
    return list({line.n: line for line in read_lines(path, Connection)}.values())
