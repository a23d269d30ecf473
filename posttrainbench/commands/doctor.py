"""Say what this machine can do and what is missing.

Exit code 0 if a run with --sandbox local can be done here, 4 if something that it needs is missing.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from importlib import metadata
from importlib.util import find_spec
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from posttrainbench.agent import access
from posttrainbench.commands import options
from posttrainbench.errors import PtbError
from posttrainbench.sandbox import kinds
from posttrainbench.settings import Settings
from posttrainbench.strict import Value

KEYS = (*(name for _, names in access.PROVIDERS.values() for name in names), "HF_TOKEN")
HUB = "huggingface.co"
GB = 1e9


class Row(Value, frozen=True, kw_only=True):
    """What was looked at, how it stands, and what to do."""

    what: str
    state: Literal["ok", "missing", "note"]
    found: str
    todo: str = ""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's flags."""
    parser.add_argument("--json", action="store_true", help="print a JSON list")
    options.places(parser)


def main(args: argparse.Namespace) -> int:
    """Look at the machine."""
    rows = examine(options.load(args))
    if args.json:
        print(
            json.dumps([{"what": r.what, "state": r.state, "found": r.found, "todo": r.todo} for r in rows], indent=2)
        )
    else:
        table = Table(box=None, show_header=False, pad_edge=False)
        marks = {"ok": "[green]✓[/green]", "missing": "[red]✗[/red]", "note": "[yellow]·[/yellow]"}
        for row in rows:
            table.add_row(marks[row.state], row.what, Text(row.found + (f" {row.todo}" if row.todo else "")))
        Console(highlight=False).print(table)
    return 4 if any(row.state == "missing" for row in rows) else 0


def examine(settings: Settings) -> list[Row]:
    """All that a run may need, looked at now."""
    return [_extra(), _disk(settings), _memory(), _clock(), _isolation(), *_engine(), _gpu(), _hub(), _npm(), *_keys()]


def _extra() -> Row:
    packages = {"torch": "torch", "transformers": "transformers", "trl": "trl", "peft": "peft", "lm_eval": "lm-eval"}
    lacking = [name for name in packages if find_spec(name) is None]
    if lacking:
        found = f"{', '.join(lacking)} not installed in {sys.prefix}."
        return Row(what="local extra", state="missing", found=found, todo="pip install 'posttrainbench[local]'")
    found = ", ".join(f"{name} {metadata.version(package)}" for name, package in packages.items())
    return Row(what="local extra", state="ok", found=found)


def _disk(settings: Settings) -> Row:
    folder = settings.runs
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / GB
    if not os.access(folder, os.W_OK):
        return Row(what="disk", state="missing", found=f"{folder} is not writable.", todo="Choose another --runs-dir.")
    enough = free >= 5
    todo = "" if enough else "A small run needs about 5 GB."
    return Row(what="disk", state="ok" if enough else "missing", found=f"{free:.0f} GB free in {folder}.", todo=todo)


def _memory() -> Row:
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GB
    return Row(what="machine", state="ok", found=f"{os.cpu_count()} cores, {total:.0f} GB memory")


def _clock() -> Row:
    drift = abs((time.time() - time.clock_gettime(time.CLOCK_TAI)) + 37) if hasattr(time, "CLOCK_TAI") else 0
    resolution = time.get_clock_info("monotonic").resolution
    found = f"monotonic, resolution {resolution:g} s; UTC {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())}"
    state: Literal["ok", "note"] = "ok" if time.gmtime().tm_year >= 2026 and drift < 86400 else "note"
    return Row(what="clock", state=state, found=found, todo="" if state == "ok" else "Set the clock: records carry it.")


def _isolation() -> Row:
    gaps = kinds.open_sandbox("local").isolation()
    return Row(what="sandbox local", state="note" if gaps else "ok", found=" ".join(gaps) or "isolated")


def _engine() -> list[Row]:
    """The engine that --sandbox docker would use, and what is not isolated there."""
    # Here, so that no other verb waits for the SDK.
    from posttrainbench.sandbox.docker import Docker
    from posttrainbench.sandbox.engine import Engine

    engine = Engine(seconds=10)
    try:
        found = f"{'podman' if engine.is_podman() else 'docker'} {engine.version()} at {engine.address}"
        gaps = " ".join(Docker(engine=engine).isolation())
    except PtbError as error:
        return [Row(what="engine", state="note", found=str(error))]
    return [Row(what="engine", state="ok", found=found), Row(what="sandbox docker", state="note", found=gaps)]


def _gpu() -> Row:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return Row(
            what="GPU", state="note", found="none.", todo="Protocol smoke runs on the CPU; sealed-v1 needs a GPU."
        )
    query = [tool, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20)
    except subprocess.TimeoutExpired:
        return Row(
            what="GPU", state="missing", found="nvidia-smi does not answer within 20 s.", todo="Restart the driver."
        )
    lines = answer.stdout.strip().splitlines()
    if answer.returncode or not lines:
        return Row(
            what="GPU", state="note", found=f"nvidia-smi fails: {answer.stdout.strip() or answer.stderr.strip()}"
        )
    return Row(what="GPU", state="ok", found="; ".join(lines))


def _hub() -> Row:
    host = os.environ.get("HF_ENDPOINT", f"https://{HUB}").split("://")[-1].split("/")[0].split(":")[0]
    try:
        with socket.create_connection((host, 443), timeout=5):
            return Row(what="hub", state="ok", found=f"{host} answers")
    except OSError as error:
        todo = "Models and data must come from folders: --model FOLDER, --data-dir."
        return Row(what="hub", state="note", found=f"{host} cannot be reached: {error}.", todo=todo)


def _npm() -> Row:
    tool = shutil.which("npm")
    if tool is None:
        return Row(what="npm", state="note", found="none.", todo="Agents such as claude and codex are installed by it.")
    return Row(what="npm", state="ok", found=tool)


def _keys() -> list[Row]:
    present = [name for name in KEYS if os.environ.get(name)]
    found = ", ".join(present) if present else "none in the environment; agents base, sft and command need none"
    return [Row(what="keys", state="ok" if present else "note", found=found)]
