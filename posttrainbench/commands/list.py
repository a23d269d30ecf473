"""List agents, tasks, models, protocols or runs."""

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from posttrainbench import record
from posttrainbench.commands import options, outcome
from posttrainbench.errors import PtbError
from posttrainbench.journal import Journal
from posttrainbench.plan import Plan
from posttrainbench.settings import Settings
from posttrainbench.strict import read_json


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's flags."""
    parser.add_argument("what", choices=["agents", "tasks", "models", "protocols", "runs"])
    parser.add_argument("--json", action="store_true", help="print a JSON list")
    options.places(parser)


def main(args: argparse.Namespace) -> int:
    """List one kind of thing."""
    settings = options.load(args)
    rows = _runs(settings.runs) if args.what == "runs" else _catalog(settings, args.what)
    if args.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return 0
    if not rows:
        print(f"No {args.what} yet." if args.what == "runs" else f"No {args.what}.")
        return 0
    table = Table(box=None, pad_edge=False)
    for column in rows[0]:
        table.add_column(column, overflow="fold", no_wrap=column in ("name", "run"))
    for row in rows:
        table.add_row(*(Text(str(value)) for value in row.values()))
    Console(highlight=False).print(table)
    return 0


def _catalog(settings: Settings, what: str) -> list[dict[str, Any]]:
    known = settings.catalog
    match what:
        case "agents":
            return [
                {
                    "name": name,
                    "version": entry.value.version,
                    "variants": " ".join(f"{name}:{variant}" for variant in sorted(entry.value.variants)),
                    "description": entry.value.description,
                }
                for name, entry in sorted(known.agents().items())
            ]
        case "tasks":
            return [
                {
                    "name": name,
                    "version": entry.value.version,
                    "dev": entry.value.splits["dev"].size,
                    "test": entry.value.splits["test"].size,
                    "title": entry.value.title,
                }
                for name, entry in sorted(known.tasks().items())
            ]
        case "models":
            return [
                {"name": name, "licence": entry.value.licence, "title": entry.value.title}
                for name, entry in sorted(known.models().items())
            ]
        case _:
            return [
                {"name": name, "hours": protocol.hours, "gpus": protocol.gpus, "title": protocol.title}
                for name, (protocol, _) in sorted(known.protocols().items())
            ]


def _runs(runs: Path) -> list[dict[str, Any]]:
    return [_run(path.parent) for path in sorted(runs.glob("*/plan.json"))]


def _run(folder: Path) -> dict[str, Any]:
    try:
        plan = read_json(folder / "plan.json", Plan)
        row = {"run": folder.name, "agent": plan.agent.label, "cell": plan.cell}
        if (folder / "record.json").exists():
            sealed = record.read(folder / "record.json")
            gain = outcome.percent(sealed.scores.gain, sign=True) if sealed.scores else "–"
            return {**row, "state": sealed.outcome, "gain": gain}
        last = Journal(folder / "journal.jsonl").last()
        return {**row, "state": f"unfinished: {last.stage} {last.event}" if last else "unfinished", "gain": "–"}
    except PtbError as error:
        # One damaged run must not hide the others.
        return {"run": folder.name, "agent": "?", "cell": "?", "state": f"unreadable: {error}", "gain": "–"}
