"""Score a stored run again, or any checkpoint folder.

  ptb evaluate RUN                       score the frozen checkpoint of a run again, as its plan says; the record stays
  ptb evaluate FOLDER --task bfcl        score a folder with a model on a task's test split
  ptb evaluate FOLDER --task humaneval --pass-at 10
                                         also the chance that of 10 answers to a question at least one is right

Nothing here changes a sealed record: a second measurement is printed beside the first. One that was killed or
interrupted goes on where it was when the same command is given again.
"""

import argparse
import shutil
from pathlib import Path

import msgspec

from posttrainbench import catalog, pipeline, record, statistics
from posttrainbench.catalog import Task
from posttrainbench.commands import options, outcome
from posttrainbench.errors import MissingError, UsageError
from posttrainbench.evaluation import CheckpointUnusable, Generation, bench, measure, passing, unfinished
from posttrainbench.inputs import data, families
from posttrainbench.journal import exclusively
from posttrainbench.plan import Plan, bounded, code_digest, versions
from posttrainbench.protocol import Protocol
from posttrainbench.reporter import Reporter, Silent, Terminal, following
from posttrainbench.sandbox import kinds
from posttrainbench.settings import Settings
from posttrainbench.strict import digest_file, digest_folder, digest_value, read_json, to_json


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's flags."""
    parser.add_argument("what", metavar="RUN|FOLDER", help="a run, or a folder with config.json and safetensors in it")
    parser.add_argument("--task", metavar="T", help="with a folder: the task")
    parser.add_argument(
        "--protocol",
        default="sealed-v1",
        metavar="P",
        help="with a folder: chat template, worked examples, how answers are generated",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="with a folder: score N test questions")
    parser.add_argument(
        "--few-shot",
        type=int,
        metavar="N",
        help="with a folder: worked examples in the prompt (default: the protocol's)",
    )
    parser.add_argument("--backend", choices=["hf", "vllm"], default="hf", help="with a folder (default: %(default)s)")
    parser.add_argument(
        "--pass-at",
        type=int,
        metavar="K",
        help="also pass@K, from several sampled answers a question; changes no metric",
    )
    parser.add_argument("--json", action="store_true", help="print the measurement as JSON")
    options.places(parser)


def main(args: argparse.Namespace) -> int:
    """Measure once more."""
    settings = options.load(args)
    reporter: Reporter = Silent() if args.json else Terminal()
    if (Path(args.what) / "config.json").is_file():
        return _folder(args, settings, reporter)
    if args.task:
        raise UsageError(f"{args.what} holds no config.json, so it is no checkpoint folder that --task could score.")
    return _again(args, settings, reporter)


def _again(args: argparse.Namespace, settings: Settings, reporter: Reporter) -> int:
    folder = options.find_run(args.what, settings.runs)
    plan = read_json(folder.plan, Plan)
    if not folder.checkpoint.is_dir():
        raise UsageError(f"Run {plan.run} has no frozen checkpoint. `ptb show {plan.run}` says where it stands.")
    if args.pass_at is not None and not 1 <= args.pass_at <= plan.task.decoding.samples:
        raise UsageError(
            f"Run {plan.run} is scored with {plan.task.decoding.samples} answers a question, so --pass-at can be 1 to "
            f"{plan.task.decoding.samples}. `ptb evaluate {folder.checkpoint} --task {plan.task.name}` samples more."
        )
    run = pipeline.Run(plan, folder, settings.cache, kinds.open_sandbox(plan.sandbox, plan.images), reporter)
    out = folder.path / "again"
    with exclusively(folder.lock):
        with reporter.stage("evaluate", "once more"):
            pipeline.score_checkpoint(run, out)
        if folder.record.exists() and not args.json:
            first = record.read(folder.record).final
            print(f"first measurement: {_sentence(first)}" if first else "first measurement: none")
        code = _print(read_json(out / "final" / "result.json", measure.Measured), out / "final", args)
        shutil.rmtree(out)
    return code


def _folder(args: argparse.Namespace, settings: Settings, reporter: Reporter) -> int:
    if not args.task:
        raise UsageError(f"{args.what} is a model folder: say with --task what to score it on.")
    task = catalog.find(settings.catalog.tasks(), args.task, "task")
    protocol, _ = catalog.find(settings.catalog.protocols(), args.protocol, "protocol")
    value = _sampled(task.value, protocol, args.pass_at)
    weights = Path(args.what).resolve()
    template = families.chat_template(weights) if protocol.chat_template == "family" else None
    if protocol.chat_template == "family" and template is None:
        raise MissingError(f"No chat template is declared for the architecture of {weights}; use --protocol smoke.")
    splits = data.fetch(task.value, task.path, settings.data, settings.cache, reporter.status)
    limit = args.limit or protocol.limit
    shots = protocol.shots.get(value.name, 0)
    few_shot = shots if args.few_shot is None else args.few_shot
    reporter.status(f"reading {weights}")
    checkpoint = _digest(weights)
    told = [checkpoint, value, digest_folder(task.path), template, limit, few_shot, args.backend]
    key = digest_value([*told, shots, protocol.decoding, code_digest(), versions()]).removeprefix("sha256:")
    with unfinished.held(settings.cache, key, wait=False) as out:
        bench.lay(
            value,
            task.path,
            splits,
            out / "sealed",
            split="test",
            limit=limit,
            chat_template=template,
            library=data.library(task.value, settings.cache, reporter.status),
            shots=shots,
            decoding_from=protocol.decoding,
        )
        with (
            reporter.stage("evaluate", f"{weights.name} on {task.value.name}"),
            following(reporter.status, lambda: pipeline.last_line(out / "final", "checkpoint")),
        ):
            found = measure.measure(
                kinds.open_sandbox("local"),
                bench=out / "sealed",
                model=weights,
                model_digest=checkpoint,
                out=out / "final",
                few_shot=few_shot,
                backend=args.backend,
            )
        code = _print(found, out / "final", args)
        shutil.rmtree(out)
    return code


def _digest(weights: Path) -> str:
    """Digest of a checkpoint's files. They may be links, as the hub's own cache has them."""
    files = [path for path in sorted(weights.rglob("*")) if path.is_file()]
    return digest_value({path.relative_to(weights).as_posix(): digest_file(path) for path in files})


def _sentence(found: measure.Measured) -> str:
    if isinstance(found, CheckpointUnusable):
        return f"unusable: {found.reason}"
    return f"{100 * found.score:.1f} % of {found.n} questions"


def _sampled(task: Task, protocol: Protocol, k: int | None) -> Task:
    """The task as the protocol bounds it, but with as many answers a question as pass@k needs: its own decoding where
    that has them."""
    if k is None:
        return bounded(task, protocol)
    most = max(task.decoding.samples, task.sampled.samples if task.sampled else 0)
    if not 1 <= k <= most:
        raise UsageError(f"{task.name} gives at most {most} answers a question, so --pass-at can be 1 to {most}.")
    decoding = task.decoding if k <= task.decoding.samples or task.sampled is None else task.sampled
    tokens = min(decoding.max_tokens, protocol.max_tokens or decoding.max_tokens)
    return msgspec.structs.replace(task, decoding=msgspec.structs.replace(decoding, max_tokens=tokens))


def _print(found: measure.Measured, out: Path, args: argparse.Namespace) -> int:
    if isinstance(found, CheckpointUnusable):
        print(to_json(found).decode() if args.json else f"unusable: {found.reason}\n", end="")
        return 0
    passed = _passed(args.pass_at, out)
    if args.json:
        extra = {"pass_at": {"k": args.pass_at, **msgspec.to_builtins(passed)}} if passed else {}
        print(to_json(msgspec.to_builtins(found) | extra).decode(), end="")
        return 0
    estimate = statistics.mean(list(measure.outcomes(out).values()))
    print(f"{found.task} {found.split}, {found.few_shot}-shot: {outcome.percent(estimate)} of {found.n} questions")
    if found.generation:
        print(f"decoded as the checkpoint says: {_settings(found.generation)}")
    if passed:
        print(
            f"pass@{args.pass_at}: {outcome.percent(passed)}, from {found.decoding.samples} answers a question at "
            f"temperature {(found.generation or found.decoding).temperature:g}"
        )
    return 0


def _settings(made: Generation) -> str:
    told = msgspec.to_builtins(made)
    refused = f"; not taken: {', '.join(made.refused)}" if made.refused else ""
    return ", ".join(f"{name} {value}" for name, value in told.items() if name != "refused" and value != []) + refused


def _passed(k: int | None, out: Path) -> statistics.Estimate | None:
    """pass@k with its interval over questions; None where it was not asked for."""
    if k is None:
        return None
    try:
        by_question = passing.questions(k, {one.id: one.samples for one in measure.questions(out)})
    except ValueError as error:
        raise UsageError(f"There is no pass@{k} here: {error}.") from None
    return statistics.mean(list(by_question.values()))
