"""Check a sealed record and every file that it names.

Exit code 7 where the record or a file behind it differs from what was sealed.
"""

import argparse

from posttrainbench import record
from posttrainbench.commands import options
from posttrainbench.errors import UsageError


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's flags."""
    parser.add_argument("run", metavar="RUN", help="name, part of a name, folder, or `last`")
    options.places(parser)


def main(args: argparse.Namespace) -> int:
    """Verify one run."""
    folder = options.find_run(args.run, options.load(args).runs)
    if not folder.record.exists():
        raise UsageError(f"Run {folder.run} is not sealed yet. `ptb resume {folder.run}` goes on with it.")
    sealed = record.verify(folder.path)
    print(f"{folder.run}: the record and {len(sealed.artefacts)} files are as they were sealed ({sealed.digest}).")
    return 0
