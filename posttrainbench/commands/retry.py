"""Repeat a run that broke by no fault of its agent: a new run with the same plan, the same seed too.

For runs that ended as `infrastructure`, and for unfinished ones whose session is lost. A run with any other outcome is
a result, whatever it is, and repeating it until it is liked would be none: that is refused, and so is a second retry
beside one that has not broken. The old run stays as it is; `ptb show` names it in the new one.
"""

import argparse
import dataclasses
import datetime
from pathlib import Path

import msgspec

from posttrainbench import plan, record
from posttrainbench.agent import session
from posttrainbench.commands import options, run
from posttrainbench.errors import ConfigError, UsageError
from posttrainbench.folder import RunFolder
from posttrainbench.gateway import process
from posttrainbench.journal import exclusively, now
from posttrainbench.plan import Plan
from posttrainbench.run import handle_of
from posttrainbench.sandbox import kinds
from posttrainbench.strict import digest_folder, read_json


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's flags."""
    parser.add_argument("run", metavar="RUN", help="name, part of a name, folder, or `last`")
    parser.add_argument("--dry-run", action="store_true", help="print the new plan and stop")
    parser.add_argument("--json", action="store_true", help="print the plan or the record as JSON")
    options.places(parser)


def main(args: argparse.Namespace) -> int:
    """Carry out the run once more."""
    settings = options.load(args)
    folder = options.find_run(args.run, settings.runs)
    old = read_json(folder.plan, Plan)
    _check_broken(folder, old)
    _check_single(folder)
    drawn = again(old)
    if args.dry_run:
        print(msgspec.json.format(msgspec.json.encode(drawn), indent=2).decode() if args.json else run.preview(drawn))
        return 0
    process.stop(folder.gateway)  # Of a session that is lost it may still be there.
    return run.carry_out(drawn, dataclasses.replace(settings, runs=folder.path.parent), as_json=args.json)


def again(old: Plan) -> Plan:
    """The same plan under a new name. Raises ConfigError where it can no longer be carried out as it was."""
    changed = [name for name, then, today in _digests(old) if then != today]
    if changed:
        raise ConfigError(
            f"{' and '.join(changed)} changed since {old.run} was planned, so a retry would measure something else. "
            "Bring the old state back, or start a new run with `ptb run`."
        )
    moment = datetime.datetime.now(datetime.UTC)
    name = plan.name_run(moment, old.agent.label, old.task.name, old.model.name)
    return msgspec.structs.replace(old, run=name, created=now(), retry_of=old.run)


def _digests(old: Plan) -> list[tuple[str, str, str]]:
    return [
        ("the evaluator or the supervisor", old.code, plan.code_digest()),
        ("the agent's folder", old.agent.digest, digest_folder(Path(old.agent.folder))),
        ("the task's folder", old.task_digest, digest_folder(Path(old.task_folder))),
    ]


def _check_broken(folder: RunFolder, old: Plan) -> None:
    """Raise UsageError unless the run has broken."""
    if folder.record.exists():
        outcome = record.read(folder.record).outcome
        if outcome != "infrastructure":
            raise UsageError(
                f"Run {old.run} ended as `{outcome}`, which is a result and is not repeated. For another measurement "
                "of the cell start a new run with `ptb run`, with another --seed."
            )
        return
    with exclusively(folder.lock):
        sandbox = kinds.open_sandbox(old.sandbox, old.images)
        spec, handle = session.stored(folder), handle_of(folder, sandbox)
        if spec is None or sandbox.state(spec, handle) != "lost":
            raise UsageError(f"Run {old.run} is not over: `ptb resume {old.run}` goes on with it.")


def _check_single(folder: RunFolder) -> None:
    """Raise UsageError if there is a retry already that may count."""
    for path in sorted(folder.path.parent.glob("*/plan.json")):
        other = RunFolder(path.parent)
        if read_json(path, Plan).retry_of != folder.run:
            continue
        if not other.record.exists() or record.read(other.record).outcome != "infrastructure":
            raise UsageError(
                f"Run {folder.run} was retried already: `ptb show {other.run}`. One of the two would be chosen by its "
                "score."
            )
