"""Remove containers, networks, volumes and GPU leases that no run needs any more.

Only what bears this owner's label and has expired, or what a job left whose ptb was killed. Files of runs are never
touched: a session whose container was removed is still resumed from what its supervisor wrote.

  ptb gc --dry-run
  ptb gc --unused 30     instead, of the cache: what the mirrors keep and no run has read for 30 days, and answers of
                         killed measurements that nobody has gone on with for so long
"""

import argparse
import json

import msgspec

from posttrainbench.commands import options
from posttrainbench.errors import UsageError
from posttrainbench.evaluation import unfinished
from posttrainbench.gateway import eviction
from posttrainbench.sandbox import garbage
from posttrainbench.sandbox.engine import Engine
from posttrainbench.sandbox.leases import Leases


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's flags."""
    parser.add_argument("--dry-run", action="store_true", help="only print what would be removed")
    parser.add_argument(
        "--unused",
        type=float,
        metavar="DAYS",
        help="clear the cache instead: of the mirrors' files and unfinished answers that nobody used for so long",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON list")
    options.places(parser)


def main(args: argparse.Namespace) -> int:
    """Collect."""
    if args.unused is not None:
        return _evict(args)
    engine = Engine()
    leases = Leases(engine)
    items = garbage.find(engine, leases)
    if not args.dry_run:
        garbage.remove(engine, leases, items)
    if args.json:
        print(json.dumps([msgspec.to_builtins(item) for item in items], indent=2))
        return 0
    verb = "would remove" if args.dry_run else "removed"
    for item in items:
        print(f"{verb} {item.kind} {item.name}: {item.why}" + (f" (run {item.run})" if item.run else ""))
    if not items:
        print("Nothing to remove.")
    return 0


def _evict(args: argparse.Namespace) -> int:
    if not 0 <= args.unused < 10_000:
        raise UsageError(f"--unused {args.unused:g} is no number of days: give 0 to 9999.")
    cache = options.load(args).cache
    files, answers = eviction.unused(cache / "hub", args.unused), unfinished.leftovers(cache, args.unused)
    if not args.dry_run:
        files, answers = eviction.evict(files), unfinished.remove(answers)
    items: list[eviction.Unused | unfinished.Leftover] = [*files, *answers]
    if args.json:
        print(json.dumps([msgspec.to_builtins(item) for item in items], indent=2))
        return 0
    verb = "would remove" if args.dry_run else "removed"
    for item in items:
        print(f"{verb} {item.path}: {item.size / 1e6:.1f} MB, unused for {item.days:.0f} days")
    total = sum(item.size for item in items) / 1e9
    print(f"{verb} {len(files)} files and {len(answers)} unfinished measurements, {total:.2f} GB")
    return 0
