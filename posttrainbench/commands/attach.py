"""Watch a run's session again: its output as it comes, then how it ended. With agent human: sit at its shell.

An agent is only looked at: an interrupt leaves the session as it is, and `ptb resume` is what carries the run on. At
the shell of a person's session, ctrl-] leaves it running.
"""

import argparse
import sys

from posttrainbench.agent import terminal
from posttrainbench.agent.result import read_result
from posttrainbench.commands import logs, options
from posttrainbench.plan import Plan
from posttrainbench.strict import read_json


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's flags."""
    parser.add_argument("run", metavar="RUN", help="name, part of a name, folder, or `last`")
    options.places(parser)


def main(args: argparse.Namespace) -> int:
    """Watch until the end."""
    folder = options.find_run(args.run, options.load(args).runs)
    try:
        if "terminal" in read_json(folder.plan, Plan).agent.needs and terminal.at_terminal():
            if terminal.sit(folder.home, sys.stdin.fileno(), sys.stdout.fileno()) == "detached":
                print(f"\nDetached; the session of {folder.run} goes on.", file=sys.stderr)
                return 0
            # The shell is gone; its session ends a moment later.
            for _ in logs.moments(folder):
                pass
        else:
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
