"""What a session left: its result, telemetry and output, read back from the supervisor's files.

The supervisor is ours, but the agent's output is not: text is decoded with replacement and read in bounded pieces.
"""

from pathlib import Path
from typing import Literal

import msgspec

from posttrainbench.errors import InfrastructureError


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One start of the agent's command. Seconds since the session's start."""

    start: float
    end: float
    exit_code: int | None = None
    signal: int | None = None


class SessionResult(msgspec.Struct, frozen=True, kw_only=True):
    """How the session ended. `session/result.json`."""

    reason: Literal["exited", "deadline", "disk_limit", "stopped", "failed_to_start", "lost"]
    seconds: float
    exit_code: int | None = None
    signal: int | None = None
    turns: list[Turn] = []
    output_bytes: int = 0
    kept_bytes: int = 0
    killed: int = 0
    """Processes that were still there when the agent's time was over or its command had ended."""
    detail: str = ""


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """A telemetry sample. t: seconds since start; cpu_percent: 100 is one core."""

    t: float
    cpu_percent: float = 0.0
    memory_mb: float = 0.0
    disk_free_mb: float = 0.0
    disk_used_mb: float = 0.0
    """What workspace, home and tmp took, as last measured."""
    processes: int = 0
    gpus: list[dict[str, float]] = []


MAX_TELEMETRY_BYTES = 64 * 2**20
_SAMPLES = msgspec.json.Decoder(Sample)


def read_result(session: Path) -> SessionResult:
    """The supervisor's result; raises InfrastructureError if it is not what the supervisor writes."""
    path = session / "result.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=SessionResult)
    except (OSError, msgspec.DecodeError) as error:
        raise InfrastructureError(
            f"The session's {path} is not readable: {error}. The run is lost; run it again."
        ) from error


def read_telemetry(session: Path) -> list[Sample]:
    """Samples, oldest first; a line that a crash cut off is left out."""
    try:
        with (session / "telemetry.jsonl").open("rb") as file:
            return parse_telemetry(file.read(MAX_TELEMETRY_BYTES))
    except FileNotFoundError:
        return []


def parse_telemetry(content: bytes) -> list[Sample]:
    """Samples of a file's content, as `read_telemetry` gives them."""
    try:
        return _SAMPLES.decode_lines(content)  # Many times faster than line by line.
    except msgspec.DecodeError:
        pass
    samples = []
    for line in content.splitlines():
        try:
            samples.append(msgspec.json.decode(line, type=Sample))
        except msgspec.DecodeError:
            continue
    return samples


def tail(path: Path, size: int = 20_000) -> str:
    """The last `size` bytes of a file of foreign output, decoded with replacement; empty if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            length = file.tell()
            file.seek(max(0, length - size))
            return file.read(size).decode("utf-8", "replace")
    except OSError:
        return ""
