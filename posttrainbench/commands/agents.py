"""List or show agents, install their programs, or ask the npm registry for newer ones.

  ptb agents list                 all agents, their models and whether the key that each needs is set
  ptb agents show claude:sonnet   one agent or variant: model, command, environment, what it needs
  ptb agents outdated             which pinned programs are behind the registry's latest
  ptb agents install codex        fetch a program into the cache now, rather than at the first run

Without a name, `outdated` and `install` take all agents that bring a program.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from posttrainbench import catalog
from posttrainbench.agent import access
from posttrainbench.catalog import Agent, Api, Entry
from posttrainbench.commands import options
from posttrainbench.errors import UsageError
from posttrainbench.inputs import clis
from posttrainbench.plan import merge
from posttrainbench.settings import Settings


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's flags."""
    parser.add_argument("action", choices=["list", "show", "outdated", "install"])
    parser.add_argument("names", nargs="*", metavar="NAME", help="agent, or agent:variant for `show`")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options.places(parser)


def main(args: argparse.Namespace) -> int:
    """Carry out one action."""
    settings = options.load(args)
    known = settings.catalog.agents()
    match args.action:
        case "list":
            rows = [_row(entry.value) for _, entry in sorted(known.items())]
        case "show":
            if len(args.names) != 1:
                raise UsageError("Name one agent: `ptb agents show NAME` or `ptb agents show NAME:VARIANT`.")
            return _show(known, args.names[0], args.json)
        case "outdated":
            rows = [_outdated(entry) for entry in _programs(known, args.names)]
        case _:
            rows = [_install(entry, settings) for entry in _programs(known, args.names)]
    print(json.dumps(rows, indent=2, ensure_ascii=False)) if args.json else _print(rows)
    return 0


def _programs(known: dict[str, Entry[Agent]], names: list[str]) -> list[Entry[Agent]]:
    chosen = [catalog.find(known, catalog.split_variant(name)[0], "agent") for name in names]
    for entry in chosen:
        if entry.value.install is None:
            raise UsageError(f"Agent {entry.value.name!r} brings no program of the npm registry.")
    return chosen or [entry for _, entry in sorted(known.items()) if entry.value.install]


def _row(agent: Agent) -> dict[str, Any]:
    return {
        "name": agent.name,
        "version": agent.version,
        "model": agent.api.model if agent.api else "",
        "key": _key(agent.api) if agent.api else "",
        "variants": " ".join(sorted(agent.variants)),
    }


def _key(api: Api) -> str:
    """The variable that holds the provider's key on this host, or those of which one must be set."""
    names = (api.key,) if api.key else access.PROVIDERS[api.dialect][1]
    found = next((name for name in names if os.environ.get(name, "").strip()), None)
    return f"{found} is set" if found else f"{' or '.join(names)} is not set"


def _show(known: dict[str, Entry[Agent]], name: str, as_json: bool) -> int:
    agent, variant = catalog.split_variant(name)
    entry: Entry[Agent] = catalog.find(known, agent, "agent")
    plan = merge(entry, variant, ["COMMAND"] if "command" in entry.value.needs else [])
    api, install = plan.api, plan.install
    facts: dict[str, Any] = {
        "name": plan.label,
        "title": entry.value.variants[variant].title if variant else entry.value.title,
        "version": entry.value.version,
        "description": entry.value.description,
        "folder": str(entry.path),
        "program": f"{install.package} {install.version}" if install else "",
        "model": api.model if api else "",
        "interface": api.dialect if api else "",
        "also": api.also if api else [],
        "background": api.background if api else [],
        "provider": access.upstream(api, os.environ),
        "key": _key(api) if api else "",
        "transcript": plan.transcript,
        "command": plan.command,
        "resume_command": plan.resume_command,
        "env": plan.env,
        "variants": {f"{agent}:{key}": value.title for key, value in sorted(entry.value.variants.items())},
    }
    if as_json:
        print(json.dumps(facts, indent=2, ensure_ascii=False))
        return 0
    _print([{"": key, " ": _text(value)} for key, value in facts.items() if value])
    return 0


def _text(value: Any) -> str:
    match value:
        case dict():
            return "\n".join(f"{key} = {text}" if text else str(key) for key, text in value.items())
        case list():
            return " ".join(json.dumps(word) if " " in word else word for word in value)
        case _:
            return str(value)


def _outdated(entry: Entry[Agent]) -> dict[str, Any]:
    install = entry.value.install
    assert install
    with tempfile.TemporaryDirectory(prefix="ptb-") as nowhere:
        latest = clis.npm(["view", install.package, "version"], Path(nowhere), install.package).strip()
    state = "current" if latest == install.version else "outdated"
    return {"name": entry.value.name, "package": install.package, "pinned": install.version, "latest": latest} | {
        "state": state
    }


def _install(entry: Entry[Agent], settings: Settings) -> dict[str, Any]:
    assert entry.value.install
    say = lambda text: print(text, file=sys.stderr)  # noqa: E731
    installed = clis.obtain(entry.path, entry.value.install, settings.cache, say)
    return {"name": entry.value.name, "folder": str(installed.folder), "digest": installed.digest}


def _print(rows: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False, show_header=bool(rows) and "" not in rows[0])
    for column in rows[0] if rows else []:
        table.add_column(column, overflow="fold", no_wrap=column in ("name", ""))
    for row in rows:
        table.add_row(*(Text(str(value)) for value in row.values()))
    Console(highlight=False).print(table)
