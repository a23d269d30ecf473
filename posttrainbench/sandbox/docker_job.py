"""A job in a container: attached to, read within bounds, ended in time, removed."""

import os
import re
import select
import socket
import time
from pathlib import Path

from posttrainbench.errors import InfrastructureError
from posttrainbench.sandbox import JobResult, JobSpec
from posttrainbench.sandbox.engine import Container, Engine, Settings
from posttrainbench.strict import disk
from posttrainbench.supervisor.output import Output

MAX_LOG_BYTES = 64 * 2**20
TAIL_BYTES = 8192
END_SECONDS = 30.0
PATIENCE_SECONDS = 3.0
HEADER = 8


def run(engine: Engine, spec: JobSpec, settings: Settings) -> JobResult:
    """Run a job to its end; its container is removed whatever happens, and dies with ptb by itself."""
    with disk("open the job's log"):
        # What runs may replace the log with a link, so it is opened once and read through the descriptor.
        log = os.open(spec.log, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
    container = ""
    try:
        container = engine.create(settings)
        begin = time.monotonic()
        with engine.attached(container) as stream:
            engine.start(container)
            timed_out = _follow(stream, Output(log, Path(os.devnull), MAX_LOG_BYTES), begin, spec.seconds)
            if timed_out:
                engine.kill(container)
        ended = _await_end(engine, container, spec)
        return JobResult(
            exit_code=ended.exit_code if ended.exit_code is not None else 1,
            timed_out=timed_out,
            seconds=round(time.monotonic() - begin, 3),
            tail=_tail(log) + ("\nThe job was killed: it used all its memory." if ended.out_of_memory else ""),
        )
    finally:
        os.close(log)
        if container:
            engine.remove(container)


def _follow(stream: socket.socket, output: Output, begin: float, seconds: float) -> bool:
    """Store what the job prints until it has ended; whether its time was over before."""
    stream.settimeout(None)
    frames = _Frames()
    try:
        while True:
            left = begin + seconds - time.monotonic()
            if left <= 0:
                return True
            if not select.select([stream], [], [], min(left, 5.0))[0]:
                continue
            try:
                chunk = stream.recv(1 << 16)
            except OSError:
                chunk = b""
            if not chunk:
                return False
            for payload in frames.take(chunk):
                output.write(payload, time.monotonic() - begin)
    finally:
        output.close()


class _Frames:
    """Takes the API's frames apart: a stream's number, three zeros, a length of four bytes, the payload."""

    def __init__(self) -> None:
        self._header = b""
        self._left = 0

    def take(self, chunk: bytes) -> list[bytes]:
        found = []
        while chunk:
            if self._left:
                found.append(chunk[: self._left])
                chunk, self._left = chunk[self._left :], max(0, self._left - len(chunk))
                continue
            need = HEADER - len(self._header)
            self._header, chunk = self._header + chunk[:need], chunk[need:]
            if len(self._header) == HEADER:
                self._left, self._header = int.from_bytes(self._header[4:], "big"), b""
        return found


def _await_end(engine: Engine, container: str, spec: JobSpec) -> Container:
    until = time.monotonic() + END_SECONDS
    while time.monotonic() < until:
        found = engine.inspect(container)
        if found is None:
            raise InfrastructureError(f"The container of the job {spec.command[0]} was removed by someone else.")
        if not found.is_live and found.state != "created":
            return found
        if time.monotonic() > until - END_SECONDS + PATIENCE_SECONDS:
            # The connection broke while the job goes on: nobody reads it, so it ends.
            engine.kill(container)
        time.sleep(0.02)
    raise InfrastructureError(f"The job {spec.command[0]} could not be ended in time; its log: {spec.log}.")


def _tail(log: int) -> str:
    size = os.fstat(log).st_size
    return re.sub(r"\r", "\n", os.pread(log, TAIL_BYTES, max(0, size - TAIL_BYTES)).decode("utf-8", "replace"))
