"""The per-question outcomes behind a sealed record, read from the run's folder and checked against it."""

from pathlib import Path

import msgspec

from posttrainbench.board.entry import Outcomes
from posttrainbench.errors import DigestError
from posttrainbench.evaluation import Measurement
from posttrainbench.record import Record
from posttrainbench.strict import digest_bytes


class _Line(msgspec.Struct):
    """A line of questions.jsonl; answers are skipped."""

    id: str
    score: float


_LINES = msgspec.json.Decoder(_Line)


def load(record: Record, folder: Path) -> Outcomes | None:
    """Outcomes of each measurement that the record names; None where it has no base or no file is there. Raises
    DigestError for a file that is not the one which the record names."""
    base = _read(record.base, folder / "evaluation" / "base")
    if base is None:
        return None
    final = _read(record.final if isinstance(record.final, Measurement) else None, folder / "evaluation" / "final")
    if final is None and record.outcome == "scored":
        return None
    return Outcomes(
        base=base,
        final=final or {},
        few_shot=_read(record.few_shot, folder / "evaluation" / "few_shot"),
        human=_read(record.human, folder / "evaluation" / "human"),
    )


def _read(measurement: Measurement | None, folder: Path) -> dict[str, float] | None:
    path = folder / "questions.jsonl"
    if measurement is None or not path.is_file():
        return None
    content = path.read_bytes()
    if digest_bytes(content) != measurement.questions:
        raise DigestError(f"{path} is not the file that the run's record names. Somebody changed it.")
    return {line.id: line.score for line in _LINES.decode_lines(content)}
