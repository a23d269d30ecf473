"""Jobs of the local sandbox: a process that is waited for, under a supervisor that ends it when ptb is gone."""

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from posttrainbench.errors import InfrastructureError
from posttrainbench.sandbox import JobResult, JobSpec, bubblewrap
from posttrainbench.sandbox.environment import SUPERVISE, environment
from posttrainbench.strict import disk, write_json
from posttrainbench.supervisor.processes import KILL_SECONDS

MAX_LOG_BYTES = 64 * 2**20
TAIL_BYTES = 8192
GRACE_SECONDS = 2.0
SPARE_SECONDS = 30.0


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed of the supervisor's result."""

    reason: str
    seconds: float
    exit_code: int | None
    signal: int | None
    detail: str


def run(spec: JobSpec, wrapped: bool, python: str) -> JobResult:
    """Run a job to its end, inside bubblewrap if `wrapped`."""
    with disk("make the folder of a job"):
        place = tempfile.TemporaryDirectory(prefix="ptb-job-", ignore_cleanup_errors=True)
    with place as name:
        folder = Path(name)
        with disk("open the log of a job"):
            (folder / "tmp").mkdir()
            # What runs may replace the log with a link, so it is opened once, here, and read through the descriptor.
            log = os.open(spec.log, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
        try:
            write_json(folder / "spec.json", _supervised(spec, folder, log, wrapped, python))
            _supervise(spec, folder, log)
            return _result(spec, folder, log)
        finally:
            os.close(log)


def _supervised(spec: JobSpec, folder: Path, log: int, wrapped: bool, python: str) -> dict[str, Any]:
    """The job as the supervisor reads it."""
    tmp, read, write = str(folder / "tmp"), spec.mounts.read, spec.mounts.write
    wrapper = []
    if wrapped:
        wrapper = bubblewrap.command_line(
            read=read, write=write, tmp=tmp, cwd=spec.cwd, held=False, gpus=spec.gpus, private=[str(folder)]
        )
        tmp = bubblewrap.tmp_inside(tmp, [*read, *write])
    return {
        "command": spec.command,
        "resume_command": [],
        "env": environment(python, spec.gpus, tmp, tmp) | spec.env,
        "workspace": spec.cwd,
        "seconds": spec.seconds,
        "grace_seconds": GRACE_SECONDS,
        "max_output_bytes": MAX_LOG_BYTES,
        "early_stop_times": 0,
        "early_stop_seconds_left": 0.0,
        "wrapper": wrapper,
        "log_fd": log,
        "parent": os.getpid(),
    }


def _supervise(spec: JobSpec, folder: Path, log: int) -> None:
    # Its own session, so that an interrupt from the keyboard reaches ptb alone, which then ends the job in order.
    child = subprocess.Popen(
        [*SUPERVISE, str(folder)], cwd="/", env={}, stdin=subprocess.DEVNULL, pass_fds=[log], start_new_session=True
    )
    to_end = GRACE_SECONDS + KILL_SECONDS + SPARE_SECONDS
    try:
        child.wait(spec.seconds + to_end)
    except subprocess.TimeoutExpired:
        raise InfrastructureError(
            f"The job {spec.command[0]} could not be ended in time. Look into {spec.log}, then run it again."
        ) from None
    finally:
        child.terminate()
        try:
            child.wait(to_end)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _result(spec: JobSpec, folder: Path, log: int) -> JobResult:
    size = os.fstat(log).st_size
    tail = os.pread(log, TAIL_BYTES, max(0, size - TAIL_BYTES)).decode("utf-8", "replace")
    try:
        ended = msgspec.json.decode((folder / "result.json").read_bytes(), type=Ended)
    except (OSError, msgspec.DecodeError) as error:
        raise InfrastructureError(
            f"The job {spec.command[0]} ended without a result: {error}. Its log is {spec.log}; run it again."
        ) from error
    if ended.reason == "failed_to_start":
        raise InfrastructureError(f"A job could not be started: {ended.detail} {tail.strip()}")
    return JobResult(
        exit_code=ended.exit_code if ended.exit_code is not None else 128 + (ended.signal or 0),
        timed_out=ended.reason == "deadline",
        seconds=ended.seconds,
        tail=tail.replace("\r", "\n"),
    )
