"""Print what a run's agent has written, and with -f what it writes until its session ends."""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from posttrainbench import pipeline
from posttrainbench.agent import session
from posttrainbench.commands import options, outcome
from posttrainbench.errors import UsageError
from posttrainbench.folder import RunFolder
from posttrainbench.plan import Plan
from posttrainbench.sandbox import kinds
from posttrainbench.strict import read_json

PIECE = 1 << 16


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's flags."""
    parser.add_argument("run", metavar="RUN", help="name, part of a name, folder, or `last`")
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the session ends")
    options.places(parser)


def main(args: argparse.Namespace) -> int:
    """Print the output."""
    folder = options.find_run(args.run, options.load(args).runs)
    follow(folder, wait=args.follow)
    return 0


def follow(folder: RunFolder, wait: bool) -> None:
    """Print the output so far; with `wait`, until the session has ended."""
    offset = 0
    for _ in moments(folder):
        offset = _print_from(folder.session / "output.log", offset)
        if not wait:
            return


def moments(folder: RunFolder) -> Iterator[None]:
    """A moment every so often while the session runs, and one after it has ended."""
    plan = read_json(folder.plan, Plan)
    sandbox = kinds.open_sandbox(plan.sandbox, plan.images)
    spec, handle = session.stored(folder), pipeline.handle(folder, sandbox)
    if spec is None:
        raise UsageError(f"The session of {plan.run} has not begun. `ptb show {plan.run}` says where the run stands.")
    while sandbox.state(spec, handle) == "running":
        yield
        time.sleep(0.2)
    yield


def _print_from(path: Path, offset: int) -> int:
    if not path.exists():
        return offset
    with path.open("rb") as file:
        file.seek(offset)
        while chunk := file.read(PIECE):
            offset += len(chunk)
            # An agent's output may hold what changes a terminal's state.
            sys.stdout.write("\n".join(outcome.plain(line) for line in chunk.decode("utf-8", "replace").split("\n")))
    sys.stdout.flush()
    return offset
