"""Samples of what a session uses."""

import contextlib
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from .files import append
from .processes import OURS, TICKS, WAITED_FOR, Process, tree
from .usage import SAMPLE_SECONDS, Usage

GPU_FIELDS = "index,utilization.gpu,memory.used,memory.total,power.draw,temperature.gpu"


class Sampler:
    """Telemetry. nvidia-smi can hang beyond the reach of SIGKILL, so nothing here ever waits for it."""

    def __init__(self, path: Path, workspace: str, usage: Usage, started: float) -> None:
        self.path, self.workspace, self.usage, self.started = path, workspace, usage, started
        self.nvidia_smi = shutil.which("nvidia-smi")
        self.query: subprocess.Popen[bytes] | None = None
        self.due = self.before = started
        self.ticks: dict[tuple[int, int], int] = {}

    def tick(self) -> None:
        """Take a sample if one is due; write it when its GPU query has ended, or without GPUs if that hangs."""
        if self.query and self.query.poll() is not None:
            assert self.query.stdout
            with self.query.stdout as pipe:
                os.set_blocking(pipe.fileno(), False)
                text = pipe.read() or b""
            WAITED_FOR.discard(self.query.pid)
            OURS.discard(self.query.pid)
            self.query = None
            self._write(text.decode("utf-8", "replace"))
        now = time.monotonic()
        if now < self.due:
            return
        self.due = now + SAMPLE_SECONDS
        if self.query or not self._ask():
            self.close()
            self._write("")

    def close(self) -> None:
        """End a query that hangs."""
        if self.query:
            self.query.kill()

    def _ask(self) -> bool:
        if self.nvidia_smi is None:
            return False
        command = [self.nvidia_smi, f"--query-gpu={GPU_FIELDS}", "--format=csv,noheader,nounits"]
        null = subprocess.DEVNULL
        try:
            self.query = subprocess.Popen(command, stdin=null, stdout=subprocess.PIPE, stderr=null)
        except OSError:  # The agent may have used up all processes.
            return False
        WAITED_FOR.add(self.query.pid)
        OURS.add(self.query.pid)
        return True

    def _write(self, csv: str) -> None:
        gpus: list[dict[str, float]] = []
        for line in csv.splitlines():
            gpus.append({})
            for name, text in zip(GPU_FIELDS.split(","), line.split(","), strict=False):
                with contextlib.suppress(ValueError):
                    gpus[-1][name] = float(text)
        rows: list[Process] = []
        with contextlib.suppress(OSError):
            rows = tree()
        ticks = {(row.pid, row.start): row.ticks for row in rows}
        used = sum(count - self.ticks.get(key, 0) for key, count in ticks.items()) / TICKS
        now = time.monotonic()
        sample: dict[str, Any] = {
            "t": round(now - self.started, 3),
            "cpu_percent": round(100 * used / (now - self.before), 1) if now - self.before > 0.1 else 0.0,
            "memory_mb": round(sum(row.memory for row in rows) / 2**20, 1),
            "disk_free_mb": 0.0,
            "disk_used_mb": round(self.usage.used / 2**20, 1),
            "processes": len(rows),
            "gpus": gpus,
        }
        with contextlib.suppress(OSError):
            sample["disk_free_mb"] = round(shutil.disk_usage(self.workspace).free / 2**20, 1)
        append(self.path, sample)
        self.ticks, self.before = ticks, now
