"""List this owner's containers: sessions and jobs, running or ended, and who has which GPU."""

import argparse
import json

from posttrainbench.sandbox import container
from posttrainbench.sandbox.engine import Engine
from posttrainbench.sandbox.leases import Leases


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's flags."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(args: argparse.Namespace) -> int:
    """List them."""
    engine = Engine()
    rows = [
        {
            "run": one.labels.get("ptb.run", ""),
            "what": one.labels.get("ptb.role", ""),
            "state": one.state,
            "gpus": [card for card in one.labels.get("ptb.gpus", "").split(",") if card],
            "expires": one.labels.get("ptb.expires", ""),
            "container": one.name,
        }
        for one in engine.containers(ptb__owner=container.owner())
    ]
    cards = Leases(engine).table()
    if args.json:
        print(json.dumps({"containers": rows, "gpus": cards}, indent=2))
        return 0
    for row in sorted(rows, key=lambda row: str(row["run"])):
        gpus = f"  {' '.join(row['gpus'])}" if row["gpus"] else ""
        print(f"{row['run'] or '-'}  {row['what']}  {row['state']}{gpus}  expires {row['expires']}  {row['container']}")
    for card, taker in cards.items():
        print(f"{card}  {taker or 'free'}")
    if not rows:
        print(f"No container of {container.owner()} is here.")
    return 0
