"""Put a sealed run into one file that can be sent, published and verified.

  ptb bundle RUN                     writes RUN.ptb.tar.gz into the working folder and prints its digest
  ptb bundle RUN --out FILE          writes it elsewhere
  ptb bundle RUN --weights           with the frozen checkpoint in it; otherwise it is named by its digests alone

In it are the record and every file that backs it: plan, trajectory, the agent's output, the gateway's ledger, audit,
telemetry, and the outcome of each question. A file that holds a key (of a known shape, of this machine, or the run's
own) is refused, with its place. The digest names the very bytes: publish it where others can compare.
"""

import argparse
import sys
from pathlib import Path

from posttrainbench import bundle
from posttrainbench.commands import options
from posttrainbench.errors import UsageError
from posttrainbench.strict import to_json


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's flags."""
    parser.add_argument("run", metavar="RUN", help="name, part of a name, folder, or `last`")
    parser.add_argument("--out", metavar="FILE", help=f"where to write it (default: ./RUN{bundle.SUFFIX})")
    parser.add_argument("--weights", action="store_true", help="include the frozen checkpoint")
    parser.add_argument("--json", action="store_true", help="print what verifying it found as JSON")
    options.places(parser)


def main(args: argparse.Namespace) -> int:
    """Bundle one run, and say what its reader will find."""
    settings = options.load(args)
    folder = options.find_run(args.run, settings.runs)
    if not folder.record.exists():
        raise UsageError(f"Run {folder.run} is not sealed yet. `ptb resume {folder.run}` goes on with it.")
    out = Path(args.out) if args.out else Path.cwd() / f"{folder.run}{bundle.SUFFIX}"
    if out.is_dir():
        raise UsageError(f"{out} is a folder; give --out the name of the file to write.")
    digest = bundle.seal(folder, out, weights=args.weights)
    report = bundle.verify(out, settings.catalog, digest=digest, max_bytes=sys.maxsize)
    if args.json:
        print(to_json(report).decode(), end="")
        return 0
    print(f"{out}  {out.stat().st_size} bytes\n{digest}")
    for failure in report.failures:
        print(f"`ptb verify` will refuse it: {failure.check}: {failure.reason}", file=sys.stderr)
    return 0
