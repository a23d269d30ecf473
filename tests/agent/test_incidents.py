"""Facts about a session, from its telemetry and the times of its output."""

import json
from pathlib import Path

import pytest

from posttrainbench.agent.incidents import incidents, losses, stalls
from posttrainbench.agent.result import Sample


def samples(*stretches: tuple[float, float, float, float | None]) -> list[Sample]:
    """A sample every five seconds: from, to, CPU percent, GPU percent (None: no GPU)."""
    return [
        Sample(t=t, cpu_percent=cpu, gpus=[] if gpu is None else [{"utilization.gpu": gpu}], disk_free_mb=1000)
        for begin, end, cpu, gpu in stretches
        for t in range(int(begin), int(end), 5)
    ]


@pytest.mark.parametrize(
    ("taken", "outputs", "expected"),
    [
        (samples((0, 1000, 0, None)), [], [(0, 995)]),
        (samples((0, 1000, 0, 0)), [], [(0, 995)]),
        # Silent, but at work.
        (samples((0, 1000, 0, 95)), [], []),
        (samples((0, 1000, 100, 0)), [], []),
        # Not long enough, or broken by a word or by work.
        (samples((0, 590, 0, None)), [], []),
        (samples((0, 1000, 0, None)), [500.0], []),
        (samples((0, 500, 0, None), (500, 520, 50, None), (520, 1000, 0, None)), [], []),
        # Twice.
        (samples((0, 700, 1, None), (700, 710, 50, None), (710, 1400, 1, None)), [], [(0, 695), (710, 1395)]),
        (samples((0, 100, 80, None), (100, 800, 2, None)), [50.0, 99.0], [(105, 795)]),
        ([], [1.0], []),
    ],
)
def test_a_stall_is_silence_with_all_idle(
    taken: list[Sample], outputs: list[float], expected: list[tuple[float, float]]
) -> None:
    assert stalls(taken, outputs) == expected


def test_facts_are_read_from_the_session_s_files(tmp_path: Path) -> None:
    rows = [{"t": t, "cpu_percent": 0.0, "disk_free_mb": 900.0 if t < 700 else 3.0} for t in range(0, 705, 5)]
    (tmp_path / "telemetry.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"t": 70')
    (tmp_path / "output.index").write_text('{"t": 0.0, "offset": 0}\nbroken\n')
    assert incidents(tmp_path) == [
        ("stall", "no output and nothing at work from 5 s to 700 s"),
        ("disk_full", "3 MB free at 700 s"),
    ]


def test_a_session_without_files_has_no_incidents(tmp_path: Path) -> None:
    assert incidents(tmp_path) == []


def cards(*counts: int) -> list[Sample]:
    """A sample every ten seconds with so many cards that answer; below zero, one more that is an error."""
    fine, broken = {"index": 0.0, "memory.used": 5.0}, {"index": 1.0}
    return [
        Sample(t=10.0 * number, gpus=[fine] * abs(count) + [broken] * (count < 0))
        for number, count in enumerate(counts)
    ]


@pytest.mark.parametrize(
    ("taken", "expected"),
    [
        (cards(2, 2, 2, 1, 1, 1, 1, 1), [(1, 2, 30, 70)]),
        (cards(2, 2, -1, -1, -1, -1, -1), [(1, 2, 20, 60)]),
        (cards(1, 0, 0, 0, 0, 1, 0, 0, 0, 0), [(0, 1, 10, 40), (0, 1, 60, 90)]),
        # A late answer is no loss, and neither is a machine without cards.
        (cards(2, 2, 0, 0, 0, 2, 2), []),
        (cards(0, 0, 0, 0, 0, 0), []),
        (cards(0, 0, 0, 1, 1, 1), []),
        ([], []),
    ],
)
def test_a_card_that_no_longer_answers_is_lost(
    taken: list[Sample], expected: list[tuple[int, int, float, float]]
) -> None:
    assert losses(taken) == expected
