"""Remove containers, networks, volumes and GPU leases that no run needs any more.

Only what bears this owner's label and has expired, or what a job left whose ptb was killed. Files of runs are never
touched: a session whose container was removed is still resumed from what its supervisor wrote.
"""

import argparse
import json

import msgspec

from posttrainbench.sandbox import garbage
from posttrainbench.sandbox.engine import Engine
from posttrainbench.sandbox.leases import Leases


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's flags."""
    parser.add_argument("--dry-run", action="store_true", help="only print what would be removed")
    parser.add_argument("--json", action="store_true", help="print a JSON list")


def main(args: argparse.Namespace) -> int:
    """Collect."""
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
