"""Watch a run's session again: its output as it comes, then how it ended.

It only looks: an interrupt leaves the session as it is, and `ptb resume` is what carries the run on.
"""

import argparse
import sys

from posttrainbench.agent.result import read_result
from posttrainbench.commands import logs, options


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's flags."""
    parser.add_argument("run", metavar="RUN", help="name, part of a name, folder, or `last`")
    options.places(parser)


def main(args: argparse.Namespace) -> int:
    """Watch until the end."""
    folder = options.find_run(args.run, options.load(args).runs)
    try:
        logs.follow(folder, wait=True)
    except KeyboardInterrupt:
        print(f"\nDetached; the session of {folder.run} goes on.", file=sys.stderr)
        return 0
    if (folder.session / "result.json").exists():
        result = read_result(folder.session)
        print(f"\nThe session ended after {result.seconds:.0f} s: {result.reason}.", file=sys.stderr)
    else:
        print("\nThe session is lost: its supervisor left no result.", file=sys.stderr)
    if not folder.record.exists():
        print(f"`ptb resume {folder.run}` goes on with the run.", file=sys.stderr)
    return 0
