"""End a run's session or evaluation now.

The agent gets SIGTERM, some grace, then SIGKILL. The run ends as `infrastructure`: a session that was cut short by its
owner is no measurement. A ptb that watches the run seals it; otherwise `ptb resume` does.

Where no session runs but a ptb works on the run, because it fetches a model, waits for a GPU or evaluates, that ptb is
interrupted and ends what it has started. Nothing is lost: `ptb resume` goes on at the same stage.
"""

import argparse
import os
import signal
import time

from posttrainbench.agent import session
from posttrainbench.commands import options
from posttrainbench.errors import InfrastructureError, UsageError
from posttrainbench.folder import RunFolder
from posttrainbench.gateway import process
from posttrainbench.journal import worker
from posttrainbench.plan import Plan
from posttrainbench.run import handle_of
from posttrainbench.sandbox import kinds
from posttrainbench.strict import read_json

INTERRUPT_SECONDS = 120.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's flags."""
    parser.add_argument("run", metavar="RUN", help="name, part of a name, folder, or `last`")
    options.places(parser)


def main(args: argparse.Namespace) -> int:
    """Stop one session, or whatever else is done for the run."""
    folder = options.find_run(args.run, options.load(args).runs)
    plan = read_json(folder.plan, Plan)
    sandbox = kinds.open_sandbox(plan.sandbox, plan.images)
    spec, handle = session.stored(folder), handle_of(folder, sandbox)
    if spec is not None and sandbox.state(spec, handle) == "running":
        sandbox.stop(spec, handle, "ptb stop")
        process.stop(folder.gateway)  # Nobody may be there to do so.
        print(f"The session of {plan.run} has ended. `ptb resume {plan.run}` seals the run.")
        return 0
    _interrupt(folder)
    print(f"The ptb that worked on {plan.run} was interrupted. `ptb resume {plan.run}` goes on where it stopped.")
    return 0


def _interrupt(folder: RunFolder) -> None:
    """Have the ptb that works on the run end in order, as ctrl-c at its terminal does."""
    pid = worker(folder.lock)
    if pid is None:
        raise UsageError(
            f"Run {folder.run} has no session that is running, and no ptb works on it. `ptb show {folder.run}` says "
            "where it stands."
        )
    os.kill(pid, signal.SIGINT)
    until = time.monotonic() + INTERRUPT_SECONDS
    while worker(folder.lock) == pid:
        if time.monotonic() > until:
            raise InfrastructureError(
                f"The ptb that works on {folder.run}, process {pid}, does not end. Kill it, then run `ptb gc`."
            )
        time.sleep(0.1)
