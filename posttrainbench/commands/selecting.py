"""Which sealed runs a command is about: by folder, glob, agent, or what their records say."""

import glob
from collections.abc import Callable, Iterable
from pathlib import Path

from posttrainbench import record
from posttrainbench.board import outcomes
from posttrainbench.board.entry import Entry, Outcomes, entry
from posttrainbench.errors import UsageError
from posttrainbench.record import Record

TERMS = ("agent", "version", "llm", "model", "task", "protocol", "seed", "sandbox")
HELP = """a set of runs: a run's folder, a folder of runs, a glob, or terms as in `agent=sft:fast,version=2,task=gsm8k`
(terms: agent, version, llm, model, task, protocol, seed, sandbox); a bare name is an agent, `name@version` a version"""


class Runs:
    """Sealed runs with what boards need of them; each record is read once."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self.folders: dict[str, Path] = {}
        self._records: dict[Path, tuple[Record, Entry]] = {}

    def choose(self, told: str) -> list[Entry]:
        """The runs that `told` names (see HELP); raises UsageError where there are none."""
        path = Path(told).expanduser()
        if path.is_dir() or any(sign in told for sign in "*?["):
            named = [path] if path.is_dir() else [Path(one) for one in sorted(glob.glob(str(path)))]
            found = [one for folder in named for one in self._below(folder)]
            where = told
        else:
            wanted = _terms(told)
            found = [one for one in self._below(self.runs) if all(wanted(one))]
            where = f"{told} in {self.runs}"
        if not found:
            raise UsageError(f"There is no sealed run of {where}. `ptb list runs` shows what there is.")
        return found

    def record(self, one: Entry) -> Record:
        """The record of a chosen run."""
        return self._records[self.folders[one.run]][0]

    def load(self, one: Entry) -> Outcomes | None:
        """Its questions' outcomes."""
        folder = self.folders[one.run]
        return outcomes.load(self._records[folder][0], folder)

    def _below(self, folder: Path) -> Iterable[Entry]:
        paths = [folder / "record.json"] if (folder / "record.json").is_file() else sorted(folder.glob("*/record.json"))
        for path in paths:
            place = path.parent.resolve()
            if place not in self._records:
                read = record.read(path)
                if self.folders.setdefault(read.run, place) != place:
                    raise UsageError(f"The run {read.run} lies in two places: {self.folders[read.run]} and {place}.")
                self._records[place] = (read, entry(read))
            yield self._records[place][1]


def _terms(told: str) -> Callable[[Entry], list[bool]]:
    wanted: dict[str, str] = {}
    for term in told.split(","):
        name, equals, value = term.partition("=")
        if not equals:
            agent, _, version = term.partition("@")
            wanted |= {"agent": agent} | ({"version": version} if version else {})
        elif name in TERMS:
            wanted[name] = value
        else:
            raise UsageError(f"{name!r} in {told!r} is no term. Known: {', '.join(TERMS)}.")

    def check(one: Entry) -> list[bool]:
        told_by = {name: getattr(one, name) for name in TERMS if name != "protocol"} | {"protocol": one.protocol.name}
        return [str(told_by[name]) == value for name, value in wanted.items()]

    return check
