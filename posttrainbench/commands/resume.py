"""Go on with a run at its first unfinished stage.

An agent is never started twice: a session that was started is found again and watched, or, if it is gone, the run ends
as `infrastructure`. A run that is complete prints its record again.
"""

import argparse

from posttrainbench import baselines, pipeline
from posttrainbench.commands import options, outcome
from posttrainbench.plan import Plan
from posttrainbench.reporter import Reporter, Silent, Terminal
from posttrainbench.run import Run
from posttrainbench.sandbox import kinds
from posttrainbench.strict import read_json


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's flags."""
    parser.add_argument("run", metavar="RUN", help="name, part of a name, folder, or `last`")
    parser.add_argument("--json", action="store_true", help="print the record as JSON")
    options.places(parser)


def main(args: argparse.Namespace) -> int:
    """Carry out what is left of a run."""
    settings = options.load(args)
    folder = options.find_run(args.run, settings.runs)
    plan = read_json(folder.plan, Plan)
    reporter: Reporter = Silent() if args.json else Terminal()
    run = Run(plan, folder, settings.cache, kinds.open_sandbox(plan.sandbox, plan.images), reporter)
    stages = baselines.STAGES if plan.baseline else pipeline.STAGES
    return outcome.show(pipeline.carry_out(run, stages), folder, as_json=args.json)
