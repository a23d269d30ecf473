"""Show one run: outcome, scores, and where record and report lie; or, while it is unfinished, where it stands."""

import argparse

from posttrainbench import record
from posttrainbench.agent.result import tail
from posttrainbench.commands import options, outcome
from posttrainbench.journal import Journal
from posttrainbench.plan import Plan
from posttrainbench.strict import read_json, to_json
from posttrainbench.transcript import live


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's flags."""
    parser.add_argument("run", metavar="RUN", help="name, part of a name, folder, or `last`")
    parser.add_argument("--json", action="store_true", help="print the record (unfinished: the plan) as JSON")
    options.places(parser)


def main(args: argparse.Namespace) -> int:
    """Show one run."""
    folder = options.find_run(args.run, options.load(args).runs)
    if folder.record.exists():
        outcome.show(record.read(folder.record), folder, as_json=args.json)
        return 0
    plan = read_json(folder.plan, Plan)
    if args.json:
        print(to_json(plan).decode(), end="")
        return 0
    print(f"{plan.agent.label} on {plan.cell}, unfinished" + (f", a retry of {plan.retry_of}" if plan.retry_of else ""))
    for event in Journal(folder.journal).events():
        if event.event != "note":
            detail = event.detail.get("error", "")
            print(f"  {event.at}  {event.stage:<9} {event.event}" + (f": {detail}" if detail else ""))
    for line in live.last(plan.agent.transcript, tail(folder.session / "output.log"), 5):
        print(f"  | {line}")
    print(f"`ptb resume {plan.run}` goes on with it.")
    return 0
