"""The per-question outcomes behind a sealed record, read from the run's folder and checked against it."""

from collections.abc import Mapping
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
    return read(named(record), folder, scored=record.outcome == "scored")


def named(record: Record) -> dict[str, str]:
    """Digest of the questions' file of each measurement that a record names."""
    measured = {"base": record.base, "few_shot": record.few_shot, "final": record.final, "human": record.human}
    return {name: one.questions for name, one in measured.items() if isinstance(one, Measurement)}


def read(names: Mapping[str, str], folder: Path, *, scored: bool) -> Outcomes | None:
    """As `load`, without the record: from the digests that it `named`, and whether it was scored."""
    base = _read(names, "base", folder)
    if base is None:
        return None
    final = _read(names, "final", folder)
    if final is None and scored:
        return None
    return Outcomes(
        base=base,
        final=final or {},
        few_shot=_read(names, "few_shot", folder),
        human=_read(names, "human", folder),
    )


def _read(names: Mapping[str, str], name: str, folder: Path) -> dict[str, float] | None:
    path = folder / "evaluation" / name / "questions.jsonl"
    if name not in names or not path.is_file():
        return None
    content = path.read_bytes()
    if digest_bytes(content) != names[name]:
        raise DigestError(f"{path} is not the file that the run's record names. Somebody changed it.")
    return {line.id: line.score for line in _LINES.decode_lines(content)}
