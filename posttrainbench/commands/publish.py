"""Push a bundle to a dataset repository on the hub.

  ptb publish RUN --repo org/results                   bundles the run, verifies it, and commits it
  ptb publish FILE.ptb.tar.gz --repo org/results       a bundle that was made before
  ptb publish FILE --repo org/results --pull-request   where you may not write yourself

It lies there as bundles/RUN.ptb.tar.gz. What `ptb verify` refuses is not published. The repository must exist, and a
token of the hub is needed (HF_TOKEN, or `hf auth login`). What is published stays public: read docs/submitting.md on
what is in a bundle.
"""

import argparse
import os
import tempfile
from pathlib import Path

from posttrainbench import bundle
from posttrainbench.bundle import publishing
from posttrainbench.commands import options
from posttrainbench.errors import DigestError, UsageError
from posttrainbench.settings import Settings


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's flags."""
    parser.add_argument("run", metavar="RUN|BUNDLE", help="name, part of a name, folder, `last`, or a bundle's file")
    parser.add_argument("--repo", metavar="ORG/NAME", required=True, help="the dataset repository")
    parser.add_argument("--pull-request", action="store_true", help="propose it instead of committing it")
    options.places(parser)


def main(args: argparse.Namespace) -> int:
    """Publish one bundle."""
    settings = options.load(args)
    if os.path.isfile(args.run):
        return _push(Path(args.run), args, settings)
    folder = options.find_run(args.run, settings.runs)
    if not folder.record.exists():
        raise UsageError(f"Run {folder.run} is not sealed yet. `ptb resume {folder.run}` goes on with it.")
    with tempfile.TemporaryDirectory(prefix="ptb-publish-") as place:
        path = Path(place) / f"{folder.run}{bundle.SUFFIX}"
        bundle.seal(folder, path)
        return _push(path, args, settings)


def _push(path: Path, args: argparse.Namespace, settings: Settings) -> int:
    report = bundle.verify(path, settings.catalog)
    if report.failures:
        why = "; ".join(f"{one.check}: {one.reason}" for one in report.failures[:3])
        raise DigestError(f"{path.name} is not published, since `ptb verify` refuses it: {why}")
    where = publishing.push(path, f"{report.run}{bundle.SUFFIX}", args.repo, pull_request=args.pull_request)
    print(f"{where}\n{report.digest}")
    return 0
