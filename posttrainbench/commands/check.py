"""Check that all agent, task, model and protocol folders are well-formed.

Reads every TOML strictly, and looks for the files that each folder needs. Give --agents-dir or --tasks-dir to check
your own folders. With --data the questions of each task are read too, checked against the digests that task.toml
declares, and compared: how many of what the agent may see share a run of thirteen words with a test question.

  ptb check --data --task gsm8k

Exit code 3 if anything is wrong; 4 or 7 where data cannot be had or is other data.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from posttrainbench.catalog import Catalog, Entry, Task, find
from posttrainbench.commands import options
from posttrainbench.errors import ConfigError, PtbError, UsageError
from posttrainbench.inputs import clis, data
from posttrainbench.integrity import ngrams
from posttrainbench.settings import Settings


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's flags."""
    parser.add_argument("--data", action="store_true", help="read the tasks' questions too, and compare their splits")
    parser.add_argument("--task", metavar="T", help="with --data: this task alone")
    options.places(parser)


def main(args: argparse.Namespace) -> int:
    """Check the catalog."""
    settings = options.load(args)
    if args.task and not args.data:
        raise UsageError("--task says whose questions are read, and without --data none are; add --data.")
    catalog = settings.catalog
    kinds: dict[str, Callable[[], int]] = {
        "agents": lambda: _agents(catalog),
        "tasks": lambda: _tasks(catalog),
        "models": lambda: len(catalog.models()),
        "protocols": lambda: len(catalog.protocols()),
    }
    wrong = []
    for kind, check in kinds.items():
        try:
            print(f"{kind}: {check()} well-formed")
        except PtbError as error:
            wrong.append(f"{kind}: {error}")
    if wrong:
        raise ConfigError("\n".join(wrong))
    if args.data:
        tasks = catalog.tasks()
        compare([find(tasks, args.task, "task")] if args.task else list(tasks.values()), settings)
    return 0


def compare(entries: Sequence[Entry[Task]], settings: Settings) -> None:
    """Print what the splits of each task share; raises the first task's error after all were tried."""
    failed = []
    for entry in entries:
        try:
            for line in _overlaps(entry, settings):
                print(line)
        except PtbError as error:
            print(f"{entry.value.name}: its data was not read")
            failed.append(error)
    if failed:
        raise failed[0]


def _overlaps(entry: Entry[Task], settings: Settings) -> Iterator[str]:
    """What each split of a task shares with its test split; no words of a question, which may not be published."""
    splits = data.fetch(entry.value, entry.path, settings.data, settings.cache)
    index = ngrams.Index({row["id"]: question(row) for row in splits["test"]})
    for name in sorted(set(splits) - {"test"}):
        found = ngrams.overlap(index, map(question, splits[name]))
        most = f", at most {found.most.shared} of its {found.most.of} runs ({found.most.id})" if found.most else ""
        yield (
            f"{entry.value.name}: {found.texts} of {len(splits[name])} in {name} share {ngrams.SIZE} words in a row "
            f"with {found.protected} of {len(splits['test'])} in test{most}"
        )


def question(row: Mapping[str, object]) -> str:
    """The words of a row that make it this question: its column `question`, or else all its text."""
    if isinstance(row.get("question"), str):
        return str(row["question"])
    return "\n".join(value for name, value in row.items() if name != "id" and isinstance(value, str))


def _agents(catalog: Catalog) -> int:
    agents = catalog.agents()
    for name, entry in agents.items():
        if not entry.value.command and "command" not in entry.value.needs:
            raise ConfigError(f"{entry.path}/agent.toml: agent {name!r} has no command.")
        for problem in clis.problems(entry.path, entry.value.install) if entry.value.install else ():
            raise ConfigError(f"{entry.path}: {problem}")
        for word in (*entry.value.command, *entry.value.resume_command):
            if word.startswith("{agent}/") and not (entry.path / word.removeprefix("{agent}/")).is_file():
                raise ConfigError(f"{entry.path}/agent.toml: the command names {word}, which is not in the folder.")
    return len(agents)


def _tasks(catalog: Catalog) -> int:
    tasks = catalog.tasks()
    for name, entry in tasks.items():
        for problem in task_problems(entry.path, set(entry.value.splits)):
            raise ConfigError(f"{entry.path}: task {name!r} {problem}")
    return len(tasks)


def task_problems(folder: Path, splits: set[str]) -> Iterator[str]:
    """What is missing in a task's folder."""
    for path in ("data.py", "bench/lm_eval.yaml", "bench/scorer.py"):
        if not (folder / path).is_file():
            yield f"has no {path}; every task needs one (docs/adding-a-task.md)."
    for split in {"dev", "test"} - splits:
        yield f"declares no [splits.{split}]; a task needs a dev and a test split."
