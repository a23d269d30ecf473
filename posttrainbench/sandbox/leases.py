"""Leases of GPUs by UUID, for all ptb processes of this host.

A lease is a file named by the UUID. It holds while the process that took it lives (it keeps the file locked) and, after
that, while a container that the lease names is there: so a lease survives ptb, and never outlives what it was for. A
card that some other container was given, or that a foreign process computes on, is not leased either.
"""

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import msgspec

from posttrainbench.errors import InfrastructureError, MissingError
from posttrainbench.journal import is_held
from posttrainbench.sandbox.engine import Engine
from posttrainbench.strict import Value, disk, to_json

LABEL = "ptb.gpus"
POLL_SECONDS = 1.0
QUERY_SECONDS = 30


class Lease(Value, frozen=True, kw_only=True):
    """What a lease file holds."""

    container: str
    """Name of the container that the GPU is for."""
    run: str


def default_folder() -> Path:
    """The same for every user of the host; it outlives every ptb, though not the host's next start."""
    return Path(os.environ.get("PTB_LEASES") or Path(tempfile.gettempdir()) / "ptb-leases")


def inventory() -> list[str]:
    """UUIDs of this host's cards: PTB_GPUS if it is set (a pretended inventory), or what the driver says."""
    if "PTB_GPUS" in os.environ:
        return os.environ["PTB_GPUS"].split(",") if os.environ["PTB_GPUS"] else []
    return [line.strip() for line in _driver("--query-gpu=uuid") if line.strip()]


def pretended() -> bool:
    """Whether the inventory is made up: then no device is asked of the engine."""
    return "PTB_GPUS" in os.environ


class Leases:
    """The leases of this host."""

    def __init__(self, engine: Engine, folder: Path | None = None, cards: Callable[[], list[str]] = inventory) -> None:
        self._engine = engine
        self._folder = folder or default_folder()
        self._cards = cards
        self._held: dict[str, IO[bytes]] = {}

    def acquire(self, count: int, container: str, run: str, seconds: float, say: Callable[[str], None]) -> list[str]:
        """Lease `count` cards, waiting up to `seconds` for them; the same ones when the container has them already."""
        if count == 0:
            return []
        cards = self._cards()
        if len(cards) < count:
            raise MissingError(
                f"{count} GPU{'s are' if count > 1 else ' is'} needed, and this host has {len(cards)}. Use a protocol "
                "for fewer, such as smoke, or another host."
            )
        until, told = time.monotonic() + seconds, False
        while True:
            with self._exclusively():
                own = [card for card in cards if (lease := self._read(card)) and lease.container == container]
                free = [card for card in cards if card not in own and self._taker(card) is None]
                if len(own) + len(free) >= count:
                    taken = (own + free)[:count]
                    for card in taken:
                        self._take(card, Lease(container=container, run=run))
                    return sorted(taken)
            if time.monotonic() > until:
                takers = "; ".join(f"{card}: {self._taker(card)}" for card in cards)
                raise InfrastructureError(f"No GPU became free within {seconds:.0f} s ({takers}). Try again later.")
            if not told:
                say("waiting for a free GPU")
                told = True
            time.sleep(POLL_SECONDS)

    def release(self, container: str) -> None:
        """Give back what the container had; nothing happens if that is nothing."""
        if not self._folder.is_dir():
            return
        with self._exclusively():
            for path in self._folder.glob("*.lease"):
                card = path.stem
                lease = self._read(card)
                if lease and lease.container == container:
                    path.unlink(missing_ok=True)
                    if file := self._held.pop(card, None):
                        file.close()

    def stale(self) -> list[str]:
        """Cards whose lease holds no more; `sweep` removes those files, which nobody heeds."""
        with self._exclusively():
            return [path.stem for path in self._folder.glob("*.lease") if self._holder(path.stem) is None]

    def sweep(self) -> None:
        """Remove lease files that hold no more."""
        with self._exclusively():
            for path in self._folder.glob("*.lease"):
                if self._holder(path.stem) is None:
                    path.unlink(missing_ok=True)

    def table(self) -> dict[str, str]:
        """Each card and who has it (empty: free)."""
        with self._exclusively():
            return {card: self._taker(card) or "" for card in self._cards()}

    def _taker(self, card: str) -> str | None:
        """Who has the card, by lease, by a container's own account, or by computing on it."""
        if holder := self._holder(card):
            return holder
        for one in self._engine.containers():
            if one.state != "exited" and card in [*one.gpus, *one.labels.get(LABEL, "").split(",")]:
                return f"container {one.name}"
        if not pretended():
            for line in _driver("--query-compute-apps=gpu_uuid,pid"):
                uuid, _, pid = line.partition(",")
                if uuid.strip() == card:
                    return f"process {pid.strip()}"
        return None

    def _holder(self, card: str) -> str | None:
        lease = self._read(card)
        if lease is None:
            return None
        if card in self._held or is_held(self._path(card)):
            return f"run {lease.run}"
        found = self._engine.inspect(lease.container)
        return f"run {lease.run}" if found and found.state not in ("exited", "dead") else None

    def _read(self, card: str) -> Lease | None:
        with contextlib.suppress(OSError, msgspec.DecodeError):
            return msgspec.json.decode(self._path(card).read_bytes(), type=Lease)
        return None

    def _take(self, card: str, lease: Lease) -> None:
        if card in self._held:
            return
        with disk("write a GPU lease"):
            # Written in place and not renamed: the lock is on this very file.
            file = self._path(card).open("ab+")
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.truncate(0)
            file.write(to_json(lease))
            file.flush()
        self._held[card] = file

    def _path(self, card: str) -> Path:
        return self._folder / f"{card.replace('/', '_')}.lease"

    @contextlib.contextmanager
    def _exclusively(self) -> Iterator[None]:
        """One at a time on this host; released by the kernel when the process ends."""
        with disk("open the folder of GPU leases"):
            if not self._folder.is_dir():
                self._folder.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(PermissionError):
                    self._folder.chmod(0o777)
            lock = (self._folder / ".lock").open("a")
        with lock:
            with contextlib.suppress(PermissionError):
                os.fchmod(lock.fileno(), 0o666)
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _driver(query: str) -> list[str]:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    try:
        answer = subprocess.run(
            [tool, query, "--format=csv,noheader"], capture_output=True, text=True, timeout=QUERY_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise InfrastructureError(f"nvidia-smi does not answer within {QUERY_SECONDS} s. Restart the driver.") from None
    if answer.returncode:
        raise InfrastructureError(f"nvidia-smi fails: {(answer.stdout or answer.stderr).strip()[:300]}")
    return answer.stdout.splitlines()
