"""Let an agent post-train a model, and score what it leaves.

Base model × task, one agent, one seed, under a protocol. The agent works in a sandbox that goes on without ptb: when
ptb is killed or interrupted, `ptb resume` takes the run up again.

  ptb run --agent sft --task bfcl-simple --model smollm2-135m --protocol smoke
  ptb run --agent base --task gsm8k --model Qwen/Qwen3-1.7B-Base
  ptb run --agent command --task bfcl-simple --model ./my-model --protocol smoke -- python train.py
"""

import argparse
import datetime
import os
import shutil
import sys
from importlib.util import find_spec

import msgspec

from posttrainbench import __version__, catalog, pipeline, plan
from posttrainbench.agent import access
from posttrainbench.commands import options, outcome
from posttrainbench.errors import MissingError, UsageError
from posttrainbench.inputs import model
from posttrainbench.journal import now
from posttrainbench.plan import Plan
from posttrainbench.reporter import Reporter, Silent, Terminal
from posttrainbench.run import Run
from posttrainbench.sandbox import kinds
from posttrainbench.sandbox.local import Local
from posttrainbench.settings import Settings
from posttrainbench.strict import digest_folder


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's flags."""
    parser.add_argument("--agent", required=True, metavar="A", help="agent or agent:variant (`ptb list agents`)")
    parser.add_argument("--task", required=True, metavar="T", help="benchmark to improve (`ptb list tasks`)")
    parser.add_argument(
        "--model", required=True, metavar="M", help="name (`ptb list models`), hub id org/name[@revision], or folder"
    )
    parser.add_argument("--protocol", default="sealed-v1", metavar="P", help="rules of the run (default: %(default)s)")
    parser.add_argument("--hours", type=float, metavar="H", help="wall time of the session (default: the protocol's)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="given to the agent (default: %(default)s)")
    parser.add_argument("--limit", type=int, metavar="N", help="score N test questions (default: the protocol's)")
    parser.add_argument("--max-usd", type=float, metavar="X", help="what the agent's model calls may cost in all")
    parser.add_argument("--max-tokens", type=int, metavar="N", help="how many tokens they may use in all")
    parser.add_argument(
        "--sandbox", default="local", metavar="S", help=f"{' or '.join(kinds.KINDS)} (default: %(default)s)"
    )
    parser.add_argument("--gpus", type=int, metavar="N", help="cards of the session (default: the protocol's)")
    parser.add_argument(
        "--backend", choices=["hf", "vllm"], help="what generates answers (default: vllm with a GPU, else hf)"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    parser.add_argument("--json", action="store_true", help="print the plan or the record as JSON")
    options.places(parser)
    parser.add_argument("command", nargs="*", metavar="-- COMMAND", help="command line of --agent command")


def main(args: argparse.Namespace) -> int:
    """Carry out one run."""
    settings = options.load(args)
    drawn = draw(args, settings)
    if args.dry_run:
        print(msgspec.json.format(msgspec.json.encode(drawn), indent=2).decode() if args.json else preview(drawn))
        return 0
    return carry_out(drawn, settings, as_json=args.json)


def carry_out(drawn: Plan, settings: Settings, as_json: bool) -> int:
    """Carry out a new run from its plan."""
    _check_extras(drawn)
    reporter: Reporter = Silent() if as_json else Terminal()
    folder = pipeline.create(drawn, settings.runs)
    reporter.say(f"run {drawn.run}")
    sandbox = kinds.open_sandbox(drawn.sandbox, drawn.images)
    sealed = pipeline.carry_out(Run(drawn, folder, settings.cache, sandbox, reporter))
    return outcome.show(sealed, folder, as_json=as_json)


def draw(args: argparse.Namespace, settings: Settings) -> Plan:
    """The plan that the flags ask for."""
    known = settings.catalog
    name, variant = catalog.split_variant(args.agent)
    agent = plan.merge(catalog.find(known.agents(), name, "agent"), variant, args.command)
    task = catalog.find(known.tasks(), args.task, "task")
    protocol, _ = catalog.find(known.protocols(), args.protocol, "protocol")
    chosen = model.resolve(args.model, known.models())
    hours = protocol.hours if args.hours is None else args.hours
    limit = protocol.limit if args.limit is None else args.limit
    if not 0 < hours <= 1000:
        raise UsageError(f"--hours {hours:g} is not a session: give more than 0 and at most 1000.")
    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit} scores nothing: give 1 or more, or leave it out for all questions.")
    if not 0 <= args.seed < 2**31:
        raise UsageError(f"--seed {args.seed} is out of range: give 0 to {2**31 - 1}.")
    if args.max_usd is not None and not 0 < args.max_usd < float("inf"):
        raise UsageError(f"--max-usd {args.max_usd:g} buys nothing: give more than 0, or leave it out.")
    if args.max_tokens is not None and args.max_tokens < 1:
        raise UsageError(f"--max-tokens {args.max_tokens} allows nothing: give 1 or more, or leave it out.")
    if args.gpus is not None and not 0 <= args.gpus <= 64:
        raise UsageError(f"--gpus {args.gpus} is no number of cards: give 0 to 64, or leave it out.")
    kinds.check(args.sandbox)
    cards = protocol.gpus if args.gpus is None else args.gpus
    drawn = Plan(
        run=plan.name_run(datetime.datetime.now(datetime.UTC), agent.label, args.task, chosen.name),
        created=now(),
        ptb=__version__,
        agent=agent,
        task=plan.bounded(task.value, protocol),
        task_folder=str(task.path),
        task_digest=digest_folder(task.path),
        data_dir=str(settings.data) if settings.data else None,
        model=chosen,
        protocol=protocol,
        hours=hours,
        seed=args.seed,
        limit=limit,
        sandbox=args.sandbox,
        backend=args.backend or plan.usual_backend(cards),
        packages=plan.versions(),
        code=plan.code_digest(),
        images=kinds.images(args.sandbox),
        max_usd=args.max_usd,
        max_tokens=args.max_tokens,
        gpus=args.gpus,
    )
    access.check(drawn)
    return drawn


def preview(drawn: Plan) -> str:
    """A plan in a few lines."""
    size = drawn.task.splits["test"].size
    questions = min(drawn.limit or size, size)
    lines = [
        f"run       {drawn.run}",
        f"agent     {drawn.agent.label} {drawn.agent.version}: {' '.join(drawn.agent.command)}",
        f"cell      {drawn.cell}, {questions} of {size} test questions",
        f"protocol  {drawn.protocol.name}: {drawn.hours * 60:g} min, {drawn.cards} GPUs, "
        f"network {drawn.protocol.network}",
        f"sandbox   {drawn.sandbox}, seed {drawn.seed}, backend {drawn.backend}",
    ]
    if drawn.deviations:
        lines.append(f"departs   {'; '.join(drawn.deviations)}: no board ranks it beside runs that keep the protocol")
    return "\n".join(lines)


def _check_extras(drawn: Plan) -> None:
    """Find out before hours of work whether this machine can do its part."""
    if drawn.cards and shutil.which("nvidia-smi") is None:
        raise MissingError(
            f"The run asks for {drawn.cards} GPU (protocol {drawn.protocol.name}), and this machine has no NVIDIA "
            "driver. Use --protocol smoke to try things out on a CPU."
        )
    if access.needed(drawn):
        access.credential(drawn, os.environ)
        _need(["aiohttp", "genai_prices"], f"the gateway of agent {drawn.agent.label}", "gateway")
        _check_price(drawn)
    if drawn.sandbox != "local":
        return
    if access.needed(drawn):
        Local().check_gateway()
    _need(["lm_eval", "torch"], "scoring", "local")
    if "local" in drawn.agent.needs:
        _need(["trl"], f"agent {drawn.agent.name}", "local")
    if "sdks" in drawn.agent.needs:
        _need(["anthropic", "openai", "google.genai"], f"agent {drawn.agent.name}", "judge")
    if drawn.backend == "vllm":
        _need(["vllm"], "--backend vllm", "gpu")


def _check_price(drawn: Plan) -> None:
    """A budget in dollars holds only where the model's price is known."""
    api = drawn.agent.api
    if drawn.max_usd is None or api is None:
        return
    from posttrainbench.gateway import prices  # With the extra's library.

    if not prices.known(api.dialect, api.model, access.upstream(api, os.environ)):
        raise UsageError(
            f"No price is known for the model {api.model}, so --max-usd cannot be kept. Use --max-tokens instead."
        )


def _need(packages: list[str], what: str, extra: str) -> None:
    missing = [name for name in packages if find_spec(name.partition(".")[0]) is None or find_spec(name) is None]
    if missing:
        raise MissingError(
            f"{', '.join(missing)} is not installed in {sys.prefix}, but {what} needs it. "
            f"Install it with: pip install 'posttrainbench[{extra}]'"
        )
