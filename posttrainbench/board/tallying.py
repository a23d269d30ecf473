"""Tallies kept between builds: a cell whose records did not change is not counted again."""

import functools
import gc
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from posttrainbench.board import keeping, outcomes
from posttrainbench.board.entry import Entry, Outcomes
from posttrainbench.board.keeping import Kept
from posttrainbench.board.standings import CellStanding
from posttrainbench.board.tallies import Tally, Work, tally
from posttrainbench.errors import PtbError
from posttrainbench.statistics import crossed
from posttrainbench.statistics.crossed import Part

MANY = 48
"""From so many jobs on, several processes do them."""

Job = TypeVar("Job")
Done = TypeVar("Done")


@dataclass(frozen=True)
class Place:
    """Where a run's outcomes lie."""

    folder: Path
    mark: str
    """Changes whenever something in the folder does."""
    questions: Mapping[str, str]
    """As `outcomes.named` gives them: the record was checked when its pages were made, and is not read again."""


def each(
    do: Callable[[Job], Done], jobs: Sequence[Job], processes: int | None = None, chunk: int = 16, many: int = MANY
) -> Iterable[Done]:
    """What comes of each job, in their order; of `many` and more in several processes, which inherit `do` and the jobs
    from this one, so that neither needs to be sent."""
    cores = min(len(jobs), processes or len(os.sched_getaffinity(0)))
    if len(jobs) < many or cores < 2:
        yield from map(do, jobs)
        return
    with keeping.uncollected(), ProcessPoolExecutor(cores, get_context("fork"), _begin, (do, jobs)) as pool:
        yield from pool.map(_nth, range(len(jobs)), chunksize=chunk)


_inherited: tuple[Callable[[Any], Any], Sequence[Any]]
"""In a worker: what it does, and the jobs."""


def _begin(do: Callable[[Any], Any], jobs: Sequence[Any]) -> None:
    global _inherited
    _inherited = do, jobs
    gc.freeze()  # What a worker inherits is no garbage of its own.
    gc.enable()


def _nth(number: int) -> Any:
    do, jobs = _inherited
    return do(jobs[number])


class Tallies:
    """Counts works as `Count` says, from what is kept where that was made from the same records."""

    def __init__(
        self,
        known: Mapping[str, Tally],
        kept: Mapping[str, Kept],
        folders: Mapping[str, Path],
        processes: int | None = None,
    ) -> None:
        self.known, self.processes = known, processes
        self.places = {
            one.entry.run: Place(folders[key], f"{one.digest} {one.signature}", one.questions)
            for key, one in kept.items()
            if one.entry
        }
        self.used: dict[str, Tally] = {}
        """All that this build asked for, by the digest of what it was made from."""

    def __call__(self, works: Sequence[Work]) -> list[Tally]:
        keys = [self._key(one) for one in works]
        self.used |= {key: self.known[key] for key in keys if key in self.known}
        new = [(key, one) for key, one in zip(keys, works, strict=True) if key not in self.used]
        jobs = [(one, {run.run: self.places[run.run] for run in _runs(one)}) for _, one in new]
        if len(jobs) >= MANY:
            crossed.student(1.0)  # Imports SciPy here, not once more in each process.
        made = each(_tally, jobs, self.processes, chunk=4)
        self.used |= {key: one for (key, _), one in zip(new, made, strict=True)}
        return [self.used[key] for key in keys]

    def metric(self) -> Callable[[CellStanding], Part | None]:
        """Finds what a cell's runs come to in the metric; None where no outcomes or runs are known."""
        found = {one.standing.names[0]: one.metric for one in self.used.values() if one.standing.names}
        return lambda cell: found.get(cell.names[0]) if cell.names else None

    def _key(self, work: Work) -> str:
        cell = msgspec.structs.asdict(work.cell) | {"source": work.cell.source and work.cell.source.run}
        return keeping.digest(cell, work.measure, [(one.run, self.places[one.run].mark) for one in _runs(work)])


def _runs(work: Work) -> list[Entry]:
    return [*work.runs, *([work.cell.source] if work.cell.source else [])]


def _tally(job: tuple[Work, Mapping[str, Place]]) -> Tally:
    work, places = job
    source = work.cell.source

    def load(entry: Entry) -> Outcomes | None:
        place, scored = places[entry.run], entry.outcome == "scored"
        if source and entry.run == source.run:  # Asked for by every agent's work on the cell.
            return _remembered(place.folder, place.mark, tuple(place.questions.items()), scored)
        return _load(place.folder, place.questions, scored)

    return tally(work, load)


def _load(folder: Path, questions: Mapping[str, str], scored: bool) -> Outcomes | None:
    try:
        return outcomes.read(questions, folder, scored=scored)
    except (PtbError, OSError, ValueError):
        return None


@functools.lru_cache(maxsize=64)
def _remembered(folder: Path, mark: str, questions: tuple[tuple[str, str], ...], scored: bool) -> Outcomes | None:
    return _load(folder, dict(questions), scored)
