"""Requests and answers as files, compressed, with the run's secrets taken out: `<run>/gateway/bodies/<number>.json.gz`.

Each is a JSON object. What is too long is cut and says so; when all together have reached their bound, no more are
kept, and the ledger's lines name none.
"""

import asyncio
import gzip
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from posttrainbench.gateway.redaction import Redaction

MAX_BYTES = 4 * 2**20
"""Of a request, and of an answer, before compression."""
MAX_TOTAL_BYTES = 2 * 2**30


@dataclass(frozen=True)
class Bodies:
    """One exchange, before redaction."""

    route: str
    request_headers: dict[str, str]
    request: bytes
    request_whole: bool
    status: int
    answer_headers: dict[str, str]
    answer: bytes
    answer_whole: bool


class BodyFolder:
    """The folder, and how full it is."""

    def __init__(self, path: Path, redaction: Redaction, limit: int = MAX_TOTAL_BYTES) -> None:
        path.mkdir(mode=0o700, exist_ok=True)
        self._path, self._redaction, self._limit = path, redaction, limit
        self._size = sum(file.stat().st_size for file in path.iterdir())
        self._turn = asyncio.Semaphore(1)
        self._tasks: set[asyncio.Task[None]] = set()

    def keep(self, n: int, bodies: Bodies) -> str:
        """The name of the file in which they will stand; empty if there is no room. It is written in the background,
        so that no agent waits for it."""
        if self._size >= self._limit:
            return ""
        name = f"{n:06}.json.gz"
        task = asyncio.create_task(self._write(self._path / name, bodies))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return name

    async def close(self) -> None:
        """Wait until all are written."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _write(self, path: Path, bodies: Bodies) -> None:
        async with self._turn:
            self._size += await asyncio.to_thread(self._write_now, path, bodies)

    def _write_now(self, path: Path, bodies: Bodies) -> int:
        plain = asdict(bodies)
        for key in ("request", "answer"):
            plain[key] = self._redaction.content(plain[key][:MAX_BYTES]).decode("utf-8", "replace")
            plain[f"{key}_whole"] = plain[f"{key}_whole"] and len(getattr(bodies, key)) <= MAX_BYTES
            plain[f"{key}_headers"] = self._redaction.headers(plain[f"{key}_headers"])
        content = gzip.compress(json.dumps(plain).encode(), compresslevel=1, mtime=0)
        try:
            path.write_bytes(content)
        except OSError:
            path.unlink(missing_ok=True)
            return 0
        return len(content)
