"""Read results that others measured.

  ptb import harbor JOB [--out FILE]     the trials of a Harbor job (the folder that `harbor run` names)

They are foreign results: task, agent, model, reward as the task's verifier gave it, what ended a trial that failed,
cost as the agent reported it, and whether its trajectory is ATIF. They are no records, no board ranks them among runs,
and `ptb verify` can say nothing about them. --out writes them as JSON.
"""

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from posttrainbench import harbor
from posttrainbench.commands import options
from posttrainbench.strict import to_json, write_json


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's flags."""
    parser.add_argument("format", choices=["harbor"], help="whose format it is")
    parser.add_argument("folder", metavar="JOB", type=Path, help="the job's folder")
    parser.add_argument("--out", metavar="FILE", type=Path, help="write them there, as JSON")
    parser.add_argument("--json", action="store_true", help="print them as JSON")
    options.places(parser)


def main(args: argparse.Namespace) -> int:
    """Import one job."""
    job = harbor.read_job(args.folder)
    if args.out:
        write_json(args.out, job)
    if args.json:
        print(to_json(job).decode(), end="")
        return 0
    table = Table(title=Text(f"Harbor job {job.job}: not measured by ptb"), title_justify="left", box=None)
    for name in ("task", "agent", "model", "outcome", "reward", "cost"):
        table.add_column(name)
    for one in job.trials:
        reward = "–" if one.reward is None else f"{one.reward:g}"
        cost = "–" if one.cost_usd is None else f"${one.cost_usd:.2f}"
        ended = f"{one.outcome} ({one.failure})" if one.failure else one.outcome
        table.add_row(*(Text(word) for word in (one.task, one.agent, one.model, ended, reward, cost)))
    Console(highlight=False).print(table)
    for line in job.unreadable:
        Console(highlight=False, soft_wrap=True).print(Text(f"unreadable: {line}"))
    return 0
