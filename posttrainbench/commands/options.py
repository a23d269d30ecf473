"""Flags that several verbs share, and what they mean together."""

import argparse
import os
from pathlib import Path

from posttrainbench import settings
from posttrainbench.catalog import KINDS
from posttrainbench.errors import UsageError
from posttrainbench.folder import RunFolder
from posttrainbench.settings import Settings


def places(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say where things lie."""
    group = parser.add_argument_group(
        "places", "also in ptb.toml in the working folder, or PTB_RUNS, PTB_CACHE, PTB_DATA"
    )
    group.add_argument("--runs-dir", metavar="DIR", help="where run folders lie (default: ./runs)")
    group.add_argument("--cache-dir", metavar="DIR", help="where models, data and base scores are kept")
    group.add_argument("--data-dir", metavar="DIR", help="where benchmark files lie, for a machine without the hub")
    for kind in KINDS:
        group.add_argument(f"--{kind}-dir", metavar="DIR", action="append", help=f"one more folder of {kind}")


def load(args: argparse.Namespace) -> Settings:
    """The settings that the flags of `places` ask for."""
    return settings.load(vars(args), Path.cwd())


def find_run(given: str, runs: Path) -> RunFolder:
    """A run by its folder, its name, or a part of its name that only it has; `last` is the newest."""
    path = Path(given)
    if os.path.isfile(path / "plan.json"):  # Unlike Path.is_file, it takes whatever may be typed.
        return RunFolder(path.resolve())
    names = sorted(entry.parent.name for entry in runs.glob("*/plan.json"))
    if given == "last" and names:
        return RunFolder(runs / names[-1])
    found = [name for name in names if name == given] or [name for name in names if given in name]
    if len(found) == 1:
        return RunFolder(runs / found[0])
    if found:
        raise UsageError(f"{given!r} is part of {len(found)} runs: {', '.join(found[:5])}. Give more of the name.")
    known = ", ".join(names[-5:]) or "none"
    raise UsageError(f"There is no run {given!r} in {runs}. The newest there: {known}.")
