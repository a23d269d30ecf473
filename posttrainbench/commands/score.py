"""Compute all scores of sealed runs again from their questions' outcomes, and say where they differ from the record.

Every file is checked against its digest first. Exit code 7 where a number is not what was sealed.

  ptb score last
  ptb score runs/* --json
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any

import msgspec

from posttrainbench import record, scores
from posttrainbench.board import outcomes
from posttrainbench.commands import options, outcome
from posttrainbench.errors import PtbError, UsageError
from posttrainbench.evaluation import Measurement
from posttrainbench.folder import RunFolder
from posttrainbench.record import Record

CLOSE = 1e-9


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's flags."""
    parser.add_argument("runs", metavar="RUN", nargs="+", help="names, parts of names, folders, or `last`")
    parser.add_argument("--json", action="store_true", help="print a JSON list")
    options.places(parser)


def main(args: argparse.Namespace) -> int:
    """Score runs again."""
    place = options.load(args).runs
    rows = [_again(options.find_run(name, place), single=len(args.runs) == 1) for name in args.runs]
    if args.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        for row in rows:
            print(f"{row['run']}: {row['summary']}")
            for line in row["differences"]:
                print(f"  {line}")
    return 7 if any(row["differences"] for row in rows) else 0


def _again(folder: RunFolder, *, single: bool) -> dict[str, Any]:
    if not folder.record.exists():
        raise UsageError(f"Run {folder.run} is not sealed yet. `ptb resume {folder.run}` goes on with it.")
    row: dict[str, Any] = {"run": folder.run, "summary": "", "scores": None, "differences": []}
    try:
        sealed = record.read(folder.record)
        computed = recompute(sealed, folder.path)
    except PtbError as error:
        if single:
            raise
        return {**row, "summary": "not as it was sealed", "differences": [str(error)]}  # Does not hide the others.
    if computed is None:
        return {**row, "summary": f"{sealed.outcome}: nothing was scored"}
    row["scores"] = msgspec.to_builtins(computed)
    row["differences"] = differences(sealed, computed, folder.path)
    same = "as sealed" if not row["differences"] else "NOT as sealed"
    row["summary"] = (
        f"score {outcome.percent(computed.final)}, gain {outcome.percent(computed.gain, sign=True)}, {same}"
    )
    return row


def recompute(sealed: Record, folder: Path) -> scores.Scores | None:
    """Scores from the files behind a record; None where there was nothing to score."""
    if not isinstance(sealed.final, Measurement):
        return None
    known = outcomes.load(sealed, folder)
    if known is None:
        raise UsageError(f"{folder} lacks the questions' outcomes that its record names, so nothing can be computed.")
    return scores.score(
        metric=sealed.plan.task.metric,
        base=known.base,
        few_shot=known.few_shot,
        final=known.final,
        human=known.human,
        seed=sealed.plan.seed,
    )


def differences(sealed: Record, computed: scores.Scores, folder: Path) -> list[str]:
    """Each number that is not what the record has."""
    old = msgspec.to_builtins(sealed.scores) if sealed.scores else {}
    new = msgspec.to_builtins(computed)
    found = _differ("scores", old, new)
    for name, measured, estimate in (
        ("base", sealed.base, computed.base),
        ("few_shot", sealed.few_shot, computed.few_shot),
        ("final", sealed.final, computed.final),
        ("human", sealed.human, computed.human),
    ):
        if isinstance(measured, Measurement) and estimate and abs(measured.score - estimate.value) > CLOSE:
            found.append(f"{name}: the measurement says {measured.score}, its questions say {estimate.value}")
    return found


def _differ(name: str, old: Any, new: Any) -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        return [line for key in sorted(new) for line in _differ(f"{name}.{key}", old.get(key), new[key])]
    if isinstance(new, float | int) and isinstance(old, float | int):
        return [] if math.isclose(old, new, rel_tol=0, abs_tol=CLOSE) else [f"{name}: sealed {old}, computed {new}"]
    # A sentence may be worded anew by a later version; what is a number may not change.
    return [] if old == new or isinstance(new, str) else [f"{name}: sealed {old}, computed {new}"]
