"""Check a sealed run, or a bundle that somebody else sends.

  ptb verify RUN                     the record's digest and that of every file behind it
  ptb verify FILE.ptb.tar.gz         all that a bundle lets one check, each failure with a sentence
  ptb verify FILE --digest sha256:…  and that it is the very file whose digest was published
  ptb verify FILE --weights DIR      and that a folder holds the checkpoint that was scored
  ptb verify FILE --rescore DIR      and score that checkpoint again, question by question
  ptb verify FILE --report R.html    and draw its report: a bundle holds no page of a stranger's

Of a bundle: the archive, every digest, the record and its schema, protocol and task against the published ones,
time and budget, keys that must not be published, scores recomputed from each question's outcome, outcome and verdict.
Exit code 7 where something differs from what was sealed or from what it claims, an outcome that is scored again among
it. Scoring again needs the extra `local`; weights that are not those of the record are not loaded.
"""

import argparse
import os
import re
from pathlib import Path

import msgspec

from posttrainbench import bundle, record
from posttrainbench.bundle import Rescored
from posttrainbench.commands import options
from posttrainbench.errors import DigestError, UsageError
from posttrainbench.folder import RunFolder
from posttrainbench.record import Record
from posttrainbench.reporter import Reporter, Silent, Terminal
from posttrainbench.settings import Settings
from posttrainbench.strict import to_json


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's flags."""
    parser.add_argument("run", metavar="RUN|BUNDLE", help="name, part of a name, folder, `last`, or a bundle's file")
    parser.add_argument("--digest", metavar="D", help="the digest (sha256:…) that the bundle, or the record, must have")
    parser.add_argument("--weights", metavar="DIR", type=Path, help="a folder that is said to hold the checkpoint")
    parser.add_argument("--rescore", metavar="DIR", type=Path, help="such a folder, to be scored again")
    parser.add_argument(
        "--report", metavar="FILE", type=Path, help="draw a bundle's report, if nothing is wrong with it"
    )
    parser.add_argument(
        "--max-gb", type=float, metavar="G", help="what a bundle may unpack to (default: 4.3; more for weights)"
    )
    parser.add_argument("--json", action="store_true", help="print what was found as JSON")
    options.places(parser)


def main(args: argparse.Namespace) -> int:
    """Verify one run or bundle."""
    settings = options.load(args)
    if args.digest and not re.fullmatch(r"sha256:[0-9a-f]{64}", args.digest):
        raise UsageError(f"--digest {args.digest!r} is no digest: `sha256:` and 64 hex digits, as `ptb bundle` prints.")
    if args.max_gb is not None and not 0 < args.max_gb < 1e6:
        raise UsageError(f"--max-gb {args.max_gb:g} lets nothing be unpacked, or all: give a number of gigabytes.")
    if args.rescore and args.weights:
        raise UsageError("--rescore checks the weights too; give one of --weights and --rescore.")
    if os.path.isfile(args.run):
        return _bundle(args, settings)
    return _run(args, settings, options.find_run(args.run, settings.runs))


def _run(args: argparse.Namespace, settings: Settings, folder: RunFolder) -> int:
    if not folder.record.exists():
        raise UsageError(f"Run {folder.run} is not sealed yet. `ptb resume {folder.run}` goes on with it.")
    sealed = record.verify(folder.path)
    if args.digest and sealed.digest != args.digest:
        raise DigestError(f"The record of {folder.run} has the digest {sealed.digest}, not {args.digest}.")
    if args.weights and (wrong := bundle.check_weights(sealed, args.weights)):
        raise DigestError(f"{args.weights} does not hold the checkpoint of {folder.run}: {' '.join(wrong)}")
    again = _rescore(sealed, folder.path, args, settings) if args.rescore else None
    if args.json:
        found = {"run": folder.run, "record": sealed.digest, "files": len(sealed.artefacts)}
        print(to_json(found | ({"rescored": again} if again else {})).decode(), end="")
    else:
        print(f"{folder.run}: the record and {len(sealed.artefacts)} files are as they were sealed ({sealed.digest}).")
    return _told(again, args)


def _rescore(sealed: Record, folder: Path, args: argparse.Namespace, settings: Settings) -> Rescored:
    reporter: Reporter = Silent() if args.json else Terminal()
    with reporter.stage("evaluate", f"{args.rescore.name} on {sealed.plan.task.name}"):
        return bundle.rescore(
            sealed,
            folder,
            args.rescore,
            settings.catalog,
            data_folder=settings.data,
            cache=settings.cache,
            say=reporter.status,
        )


def _told(again: Rescored | None, args: argparse.Namespace) -> int:
    if again and not args.json:
        print(again.told)
    return DigestError.exit_code if again and again.differing else 0


def _bundle(args: argparse.Namespace, settings: Settings) -> int:
    most = int(args.max_gb * 1e9) if args.max_gb else bundle.MAX_BYTES
    path = Path(args.run)
    report = bundle.verify(
        path,
        settings.catalog,
        digest=args.digest or "",
        weights=args.rescore or args.weights,
        page=args.report,
        max_bytes=most,
    )
    again = None
    if args.rescore and not report.failures:
        with bundle.opened(path, most) as (folder, _, _):
            again = _rescore(record.read(folder / "record.json"), folder, args, settings)
    if args.json:
        found = msgspec.to_builtins(report) | ({"rescored": msgspec.to_builtins(again)} if again else {})
        print(to_json(found).decode(), end="")
    else:
        for failure in report.failures:
            print(f"refused  {failure.check}: {failure.reason}")
        for note in report.notes:
            print(f"note     {note}")
        if not report.failures:
            print(f"{report.run}: {report.outcome}; {len(report.checks)} checks found nothing wrong.")
        print(f"bundle   {report.digest or 'none'}")
    return DigestError.exit_code if report.failures else _told(again, args)
