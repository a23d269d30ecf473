"""Give what ptb has in a format that others read.

  ptb export atif RUN|BUNDLE [--out FILE]        the trajectory, as ATIF (it is checked; stdout without --out)
  ptb export harbor TASK --model M --out DIR     a task as a Harbor task with a verifier of its own

A Harbor task holds the test questions in plain text (tests/bench), for its verifier: do not publish its folder, and
keep gated data to yourself. Harbor has no gateway, so budgets and refusals of ptb do not hold there, and the reward is
the raw test score, not a gain over the base model.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import msgspec

from posttrainbench import bundle, catalog, harbor, record
from posttrainbench.catalog import HubModel
from posttrainbench.commands import options, run
from posttrainbench.errors import DigestError, MissingError, UsageError
from posttrainbench.inputs import data, families, model
from posttrainbench.reporter import Terminal
from posttrainbench.sandbox import images
from posttrainbench.settings import Settings
from posttrainbench.strict import write_bytes
from posttrainbench.transcript import atif

SHOWN = 3


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's flags."""
    parser.add_argument("format", choices=["atif", "harbor"], help="what to write")
    parser.add_argument("what", metavar="RUN|BUNDLE|TASK", help="atif: a run or a bundle's file; harbor: a task")
    parser.add_argument("--out", metavar="PATH", type=Path, help="file (atif) or new folder (harbor) to write")
    parser.add_argument("--model", metavar="M", help="harbor: the base model")
    parser.add_argument("--protocol", default="sealed-v1", metavar="P", help="harbor: the rules (default: %(default)s)")
    parser.add_argument("--limit", type=int, metavar="N", help="harbor: score N test questions")
    parser.add_argument("--backend", choices=["hf", "vllm"], help="harbor: what generates answers")
    parser.add_argument(
        "--weights", action="store_true", help="harbor: copy a hub model into the task, as a gated one needs"
    )
    parser.add_argument("--variant", metavar="V", help="harbor: whose pins are installed, cpu or cuda")
    options.places(parser)


def main(args: argparse.Namespace) -> int:
    """Export one thing."""
    settings = options.load(args)
    return _atif(args, settings) if args.format == "atif" else _harbor(args, settings)


def _atif(args: argparse.Namespace, settings: Settings) -> int:
    content = _trajectory(args.what, settings)
    wrong = atif.validate(_document(content))
    if wrong:
        raise DigestError(f"The trajectory is not ATIF {atif.VERSION}: {'; '.join(map(ascii, wrong[:SHOWN]))}.")
    if args.out:
        write_bytes(args.out, content)
    else:
        sys.stdout.write(content.decode())
    return 0


def _trajectory(what: str, settings: Settings) -> bytes:
    """The document as it was sealed."""
    if os.path.isfile(what):
        with bundle.opened(Path(what)) as (unpacked, _, _):
            return _read(unpacked, record.verify(unpacked).run)
    folder = options.find_run(what, settings.runs)
    if folder.record.exists():
        record.verify(folder.path)
    return _read(folder.path, folder.run)


def _read(folder: Path, run_name: str) -> bytes:
    path = folder / "trajectory.json"
    if not path.is_file():
        raise UsageError(f"Run {run_name!a} has no trajectory: its session has not ended, or an older ptb held it.")
    return path.read_bytes()


def _document(content: bytes) -> Any:
    try:
        return msgspec.json.decode(content)
    except (ValueError, RecursionError) as error:
        raise DigestError(f"The trajectory is no JSON: {ascii(str(error))[:200]}.") from None


def _harbor(args: argparse.Namespace, settings: Settings) -> int:
    if not args.model or args.out is None:
        raise UsageError("`ptb export harbor TASK` needs --model M and --out DIR.")
    if args.out.exists():
        raise UsageError(f"{args.out} exists already; give --out a folder that is to be made.")
    nothing: dict[str, Any] = {
        "agent": "base",
        "command": [],
        "hours": None,
        "gpus": None,
        "seed": 0,
        "max_usd": None,
        "max_tokens": None,
    }
    drawn = run.draw(argparse.Namespace(**{**vars(args), **nothing, "task": args.what, "sandbox": "local"}), settings)
    reporter = Terminal()
    task = catalog.find(settings.catalog.tasks(), args.what, "task")
    base = model.obtain(drawn.model, settings.cache, reporter.status)
    template = families.chat_template(base.folder) if drawn.protocol.chat_template == "family" else None
    if drawn.protocol.chat_template == "family" and template is None:
        raise MissingError(f"No chat template is declared for the architecture of {drawn.model.name}.")
    harbor.write_task(
        drawn,
        args.out,
        splits=data.fetch(task.value, task.path, settings.data, settings.cache, reporter.status),
        task_folder=task.path,
        chat_template=template,
        library=data.library(task.value, settings.cache, reporter.status),
        model=None if isinstance(drawn.model.source, HubModel) and not args.weights else base.folder,
        variant=images.chosen_variant(args.variant or ("cuda" if drawn.protocol.gpus else None)),
    )
    print(f"{args.out}  run it with: harbor run -p {args.out} -a AGENT -m MODEL")
    print(f"{args.out / 'tests'} holds test questions in plain text; do not publish it.", file=sys.stderr)
    return 0
