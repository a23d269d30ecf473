"""Say whether the runs of B are better than those of A: an agent's new version against its old one, for instance.

Runs are paired by cell, seed and question. The verdict has an exit code of its own:

   0 better          B scores higher, and chance is no good explanation
  20 equivalent      whatever difference there is is smaller than --within
  21 inconclusive    more runs would be needed; the smallest difference that these would have shown is printed
  22 worse           B scores lower

  ptb compare claude@2.1.0 claude@2.1.1
  ptb compare agent=sft,task=gsm8k agent=sft:fast,task=gsm8k --within 0.01 --markdown summary.md
  ptb compare old-runs/ new-runs/ --json
"""

import argparse
import html
from pathlib import Path

from rich.console import Console
from rich.table import Table

from posttrainbench import compare
from posttrainbench.commands import options, outcome
from posttrainbench.commands.selecting import HELP, Runs
from posttrainbench.compare import Comparison
from posttrainbench.errors import UsageError
from posttrainbench.strict import to_json, write_bytes

CODES: dict[compare.Verdict, int] = {"better": 0, "equivalent": 20, "inconclusive": 21, "worse": 22}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's flags."""
    parser.add_argument("a", metavar="A", help=HELP)
    parser.add_argument("b", metavar="B", help="another; the verdict is about B against A")
    parser.add_argument(
        "--within",
        type=float,
        default=0.02,
        metavar="D",
        help="scores that differ by less are taken as equal (default: %(default)s, two points of a hundred)",
    )
    parser.add_argument("--markdown", metavar="FILE", help="write a summary in Markdown too")
    parser.add_argument("--json", action="store_true", help="print the comparison as JSON")
    options.places(parser)


def main(args: argparse.Namespace) -> int:
    """Compare two sets of runs."""
    if not 0 < args.within < 1:
        raise UsageError(f"--within {args.within:g} is no difference of scores: give more than 0 and less than 1.")
    runs = Runs(options.load(args).runs)
    a, b = runs.choose(args.a), runs.choose(args.b)
    both = {one.run for one in a} & {one.run for one in b}
    if both:
        raise UsageError(f"{len(both)} runs are in both sets, {min(both)} for one. Compare sets that share no run.")
    found = compare.compare(a, b, runs.load, within=args.within, names=(args.a, args.b))
    if args.markdown:
        write_bytes(Path(args.markdown), markdown(found).encode())
    if args.json:
        print(to_json(found).decode(), end="")
    else:
        _print(found)
    return CODES[found.verdict]


def _print(found: Comparison) -> None:
    console = Console(highlight=False, markup=False)
    table = Table(box=None, pad_edge=False)
    for column in ("cell", "A", "B", "B − A", "runs"):
        table.add_column(column)
    for cell in found.cells:
        table.add_row(*_cells(cell))
    console.print(table)
    for line in _lines(found):
        console.print(line, soft_wrap=True)


def _cells(cell: compare.CellDifference) -> list[str]:
    means = [f"{100 * mean:.1f} %" for mean in cell.means]
    runs = f"{cell.runs[0]} and {cell.runs[1]}" + (", paired" if cell.paired else "")
    return [f"{cell.model} × {cell.task}", *means, outcome.percent(cell.difference, sign=True), runs]


def _lines(found: Comparison) -> list[str]:
    lines = [
        f"{found.verdict}: {found.reason}",
        f"effect: {outcome.percent(found.effect, sign=True)} ({found.effect.method})",
        f"smallest difference that would have been seen in four of five cases: {100 * found.smallest:.1f} points",
    ]
    for name, side in (("A", found.a), ("B", found.b)):
        ends = ", ".join(f"{count} {ending}" for ending, count in side.outcomes.items())
        lines.append(f"{name}: {side.name}: {side.runs} runs ({ends}) of {', '.join(side.agents)}")
    return lines + [f"left out: {line}" for line in found.left_out[:20]]


def markdown(found: Comparison) -> str:
    """A summary for a CI job's page."""
    lines = _lines(found)
    rows = ["| cell | A | B | B − A | runs |", "|---|---|---|---|---|"]
    rows += ["| " + " | ".join(_plain(text) for text in _cells(cell)) + " |" for cell in found.cells]
    head = f"## {found.verdict.capitalize()}: {_plain(found.b.name)} against {_plain(found.a.name)}"
    return "\n".join([head, "", _plain(found.reason), "", *rows, "", *(f"- {_plain(line)}" for line in lines[1:]), ""])


def _plain(text: str) -> str:
    """Names come from records of other people: nothing in them is markup."""
    kept = html.escape("".join(one if one.isprintable() else " " for one in text), quote=False)
    for sign in "\\`*_[]|#!":
        kept = kept.replace(sign, f"\\{sign}")
    return kept
