"""Check that all agent, task, model and protocol folders are well-formed.

Reads every TOML strictly, and looks for the files that each folder needs. Give --agents-dir or --tasks-dir to check
your own folders. Exit code 3 if anything is wrong.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

from posttrainbench.catalog import Catalog
from posttrainbench.commands import options
from posttrainbench.errors import ConfigError, PtbError
from posttrainbench.inputs import clis


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's flags."""
    options.places(parser)


def main(args: argparse.Namespace) -> int:
    """Check the catalog."""
    catalog = options.load(args).catalog
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
    return 0


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
