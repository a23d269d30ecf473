"""Where a gateway's files lie, and who it is."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from posttrainbench.strict import Value


class Started(Value, frozen=True, kw_only=True):
    """`started.json`, written anew by each start."""

    pid: int
    at: str
    """UTC, ISO 8601."""
    ends: float
    """When it ends by itself, in seconds since 1970; set by the first start, kept by every later one, and put
    off when the session begins."""
    restarts: int


@dataclass(frozen=True)
class GatewayFolder:
    """`<run>/gateway/`. Only `sockets/` is shown to a sandbox."""

    path: Path

    @property
    def spec(self) -> Path:
        return self.path / "gateway.json"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def started(self) -> Path:
        return self.path / "started.json"

    @property
    def stop(self) -> Path:
        return self.path / "stop"

    @property
    def log(self) -> Path:
        return self.path / "gateway.log"

    @property
    def ledger(self) -> Path:
        return self.path / "ledger.jsonl"

    @property
    def bodies(self) -> Path:
        return self.path / "bodies"

    @property
    def sockets(self) -> Path:
        return self.path / "sockets"


@contextmanager
def short(folder: Path) -> Iterator[str]:
    """Another name of the folder that is short, whatever its path: a socket's address has room for 107 bytes."""
    handle = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)


def connect(folder: Path, name: str, seconds: float) -> socket.socket:
    """A connection to the socket of that name in the folder; OSError where nobody listens."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(seconds)
        with short(folder) as place:
            connection.connect(f"{place}/{name}")
    except BaseException:
        connection.close()
        raise
    return connection
