"""End a run's session now.

The agent gets SIGTERM, some grace, then SIGKILL. The run ends as `infrastructure`: a session that was cut short by its
owner is no measurement. A ptb that watches the run seals it; otherwise `ptb resume` does.
"""

import argparse

from posttrainbench import pipeline
from posttrainbench.agent import session
from posttrainbench.commands import options
from posttrainbench.errors import UsageError
from posttrainbench.plan import Plan
from posttrainbench.sandbox import kinds
from posttrainbench.strict import read_json


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's flags."""
    parser.add_argument("run", metavar="RUN", help="name, part of a name, folder, or `last`")
    options.places(parser)


def main(args: argparse.Namespace) -> int:
    """Stop one session."""
    folder = options.find_run(args.run, options.load(args).runs)
    plan = read_json(folder.plan, Plan)
    sandbox = kinds.open_sandbox(plan.sandbox, plan.images)
    spec, handle = session.stored(folder), pipeline.handle(folder, sandbox)
    if spec is None or sandbox.state(spec, handle) != "running":
        raise UsageError(f"Run {plan.run} has no session that is running. `ptb show {plan.run}` says where it stands.")
    sandbox.stop(spec, handle, "ptb stop")
    print(f"The session of {plan.run} has ended. `ptb resume {plan.run}` seals the run.")
    return 0
