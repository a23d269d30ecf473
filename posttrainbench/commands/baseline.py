"""Measure what agents are compared with on a cell, and store it as a record like any run.

The base model, the base model with worked examples in its prompt, and the model maker's own instruct model, which
stands for the human baseline and gives uplift its scale. Later runs on this machine take the measurements from the
cache; boards take them from the record. Killed or interrupted, the same command goes on with it, as `ptb resume` does.

  ptb baseline --model qwen3-1.7b-base --task gsm8k
  ptb baseline --model ./my-base --instruct ./my-instruct --task gsm8k --protocol smoke
"""

import argparse
import datetime

import msgspec

from posttrainbench import __version__, baselines, catalog, pipeline, plan
from posttrainbench.catalog import HubModel, Model, PackagedWeights
from posttrainbench.commands import options, outcome
from posttrainbench.errors import UsageError
from posttrainbench.inputs import model
from posttrainbench.journal import now
from posttrainbench.plan import Plan
from posttrainbench.reporter import Reporter, Silent, Terminal
from posttrainbench.sandbox import kinds
from posttrainbench.settings import Settings
from posttrainbench.strict import digest_folder, read_json


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's flags."""
    parser.add_argument("--model", required=True, metavar="M", help="the base model, as with `ptb run`")
    parser.add_argument("--task", required=True, metavar="T", help="the benchmark (`ptb list tasks`)")
    parser.add_argument(
        "--instruct", metavar="M", help="its instruct model, where `ptb list models` knows none or another is meant"
    )
    parser.add_argument("--protocol", default="sealed-v1", metavar="P", help="rules of the runs (default: %(default)s)")
    parser.add_argument("--limit", type=int, metavar="N", help="score N test questions (default: the protocol's)")
    parser.add_argument(
        "--sandbox", default="local", metavar="S", help=f"{' or '.join(kinds.KINDS)} (default: %(default)s)"
    )
    parser.add_argument(
        "--backend", choices=["hf", "vllm"], help="what generates answers (default: as runs: vllm with a GPU)"
    )
    parser.add_argument("--json", action="store_true", help="print the record as JSON")
    options.places(parser)


def main(args: argparse.Namespace) -> int:
    """Measure one cell's baselines."""
    settings = options.load(args)
    drawn = draw(args, settings)
    reporter: Reporter = Silent() if args.json else Terminal()
    folder = baselines.begun(drawn, settings.runs) or pipeline.create(drawn, settings.runs)
    drawn = read_json(folder.plan, Plan)
    reporter.say(f"run {drawn.run}" + (", which was begun before" if folder.journal.exists() else ""))
    sandbox = kinds.open_sandbox(drawn.sandbox, drawn.images)
    run = pipeline.Run(drawn, folder, settings.cache, sandbox, reporter)
    sealed = pipeline.carry_out(run, baselines.STAGES)
    code = outcome.show(sealed, folder, as_json=args.json)
    if drawn.baseline == "base":
        reporter.say(
            f"{drawn.model.name} names no instruct sibling, so the cell has no human baseline and no uplift. Name one "
            "with --instruct, or as [instruct] in the model's file."
        )
    return code


def draw(args: argparse.Namespace, settings: Settings) -> Plan:
    """The plan that the flags ask for."""
    known = settings.catalog
    task = catalog.find(known.tasks(), args.task, "task")
    protocol, _ = catalog.find(known.protocols(), args.protocol, "protocol")
    chosen = model.resolve(args.model, known.models())
    if args.instruct:
        chosen = with_instruct(chosen, model.resolve(args.instruct, known.models()))
    limit = protocol.limit if args.limit is None else args.limit
    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit} scores nothing: give 1 or more, or leave it out for all questions.")
    kinds.check(args.sandbox)
    what = "instruct" if chosen.instruct else "base"
    revision = chosen.instruct.revision if isinstance(chosen.instruct, HubModel) else "1"
    return Plan(
        run=plan.name_run(datetime.datetime.now(datetime.UTC), what, args.task, chosen.name),
        created=now(),
        ptb=__version__,
        agent=baselines.stand_in(what, revision),
        task=plan.bounded(task.value, protocol),
        task_folder=str(task.path),
        task_digest=digest_folder(task.path),
        data_dir=str(settings.data) if settings.data else None,
        model=chosen,
        protocol=protocol,
        hours=protocol.hours,
        seed=0,
        limit=limit,
        sandbox=args.sandbox,
        backend=args.backend or plan.usual_backend(protocol.gpus),
        packages=plan.versions(),
        code=plan.code_digest(),
        images=kinds.images(args.sandbox),
        baseline="instruct" if chosen.instruct else "base",
    )


def with_instruct(base: Model, sibling: Model) -> Model:
    """The base model with that model as its instruct sibling."""
    if isinstance(sibling.source, PackagedWeights):
        raise UsageError(f"{sibling.name} cannot be an instruct sibling: give a hub id or a folder.")
    return msgspec.structs.replace(base, instruct=sibling.source)
