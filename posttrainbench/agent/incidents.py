"""What befell a session, read from its telemetry and the times of its output: stalls, a disk that was full, and a
GPU that no longer answered.

An agent that says nothing while a GPU works is healthy; one that says nothing while nothing works is not. So a stall is
a stretch without output in which processor and GPUs were idle too. It is a fact for the reader of a record, and ends
nothing.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from posttrainbench.agent.result import MAX_TELEMETRY_BYTES, Sample, read_telemetry

STALL_SECONDS = 600.0
IDLE_CPU_PERCENT = 5.0
IDLE_GPU_PERCENT = 5.0
FULL_DISK_MB = 16.0
"""Less free than this, and a save of any model fails."""

LOST_SECONDS = 30.0
"""A busy machine may answer late once; a card that is silent for so long is lost."""

Kind = Literal["stall", "disk_full", "gpu_lost"]


class Mark(msgspec.Struct, frozen=True):
    """A line of output.index: when output came, in seconds since the session's start."""

    t: float


def incidents(session: Path) -> list[tuple[Kind, str]]:
    """Kind and detail of each, from the supervisor's files in `session`."""
    samples = read_telemetry(session)
    found: list[tuple[Kind, str]] = [
        ("stall", f"no output and nothing at work from {begin:.0f} s to {end:.0f} s")
        for begin, end in stalls(samples, _output_times(session))
    ]
    full = [sample for sample in samples if sample.disk_free_mb < FULL_DISK_MB]
    if full:
        found.append(("disk_full", f"{full[0].disk_free_mb:.0f} MB free at {full[0].t:.0f} s"))
    return found + [
        ("gpu_lost", f"{left} of {cards} GPUs answered from {begin:.0f} s to {end:.0f} s")
        for left, cards, begin, end in losses(samples)
    ]


def losses(samples: Sequence[Sample]) -> list[tuple[int, int, float, float]]:
    """Stretches of at least LOST_SECONDS in which fewer cards answered than before: how many, of how many, from, to."""
    found: list[tuple[int, int, float, float]] = []
    most = 0
    stretch: list[tuple[int, float]] = []
    for sample in [*samples, None]:
        answered = sum(1 for gpu in sample.gpus if gpu.get("memory.used") is not None) if sample else most
        if sample and answered < most:
            stretch.append((answered, sample.t))
            continue
        if stretch and stretch[-1][1] - stretch[0][1] >= LOST_SECONDS:
            found.append((min(left for left, _ in stretch), most, stretch[0][1], stretch[-1][1]))
        stretch, most = [], max(most, answered)
    return found


def stalls(samples: Sequence[Sample], outputs: Sequence[float]) -> list[tuple[float, float]]:
    """Stretches, in seconds since the start, of at least STALL_SECONDS without output and with all idle."""
    found: list[tuple[float, float]] = []
    begin: float | None = None
    last = 0.0
    heard = sorted(outputs)
    position = 0
    for sample in [*samples, None]:
        spoke = False
        while sample and position < len(heard) and heard[position] <= sample.t:
            position, spoke = position + 1, True
        if sample and _is_idle(sample) and not spoke:
            begin = sample.t if begin is None else begin
            last = sample.t
            continue
        if begin is not None and last - begin >= STALL_SECONDS:
            found.append((begin, last))
        begin = None
    return found


def _is_idle(sample: Sample) -> bool:
    return sample.cpu_percent < IDLE_CPU_PERCENT and all(
        gpu.get("utilization.gpu", 0.0) < IDLE_GPU_PERCENT for gpu in sample.gpus
    )


def _output_times(session: Path) -> list[float]:
    try:
        with (session / "output.index").open("rb") as file:
            lines = file.read(MAX_TELEMETRY_BYTES).splitlines()
    except FileNotFoundError:
        return []
    times = []
    for line in lines:
        try:
            times.append(msgspec.json.decode(line, type=Mark).t)
        except msgspec.DecodeError:
            continue
    return times
