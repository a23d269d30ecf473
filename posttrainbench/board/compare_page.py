"""The page on which a reader compares two agents of a board."""

from collections.abc import Sequence
from typing import Any

from posttrainbench.board import charts, pairing, text
from posttrainbench.board.charts import Dot
from posttrainbench.board.standings import Board, Standing


def lead(board: Board, pairs: Sequence[pairing.Pair]) -> str:
    """What the page shows."""
    if not pairs:
        return "No two agents here have a cell in common."
    more = len(board.standings) > pairing.MAX_AGENTS
    which = f"Every two of the first {pairing.MAX_AGENTS} agents" if more else "Every two agents"
    return (
        f"{which}, on each cell that both have: the difference of their mean scores with its 95 % interval. A "
        "run that left nothing to score counts the base model’s score. An interval that includes 0 is no evidence of a "
        "difference. "
        "ptb compare does so for any two sets of records, and says what could have been seen."
    )


def names(pairs: Sequence[pairing.Pair]) -> list[str]:
    """Agents to choose from, in the board's order."""
    return list(dict.fromkeys([*(_label(pair.left) for pair in pairs), *(_label(pair.right) for pair in pairs)]))


def view(pair: pairing.Pair) -> dict[str, Any]:
    """Two agents, as the template shows them."""
    whole = pair.whole
    dots = [Dot(cell.name, "", cell.difference) for cell in pair.cells]
    if whole and len(pair.cells) > 1:
        dots.insert(0, Dot("all cells, equally", "", whole))
    return {
        "a": _label(pair.left),
        "b": _label(pair.right),
        "told": _told(pair) if whole else "",
        "drawing": charts.intervals(f"{_label(pair.left)} minus {_label(pair.right)}", dots, shown="gain"),
        "cells": [
            {
                "name": cell.name,
                "left": text.percent(cell.left),
                "right": text.percent(cell.right),
                "difference": cell.difference,
                "how": "question" if cell.paired else "nothing: outcomes not at hand",
            }
            for cell in pair.cells
        ],
    }


def _told(pair: pairing.Pair) -> str:
    whole = pair.whole
    if whole is None:
        return ""
    range_ = charts.range_words(whole, "gain")
    if whole.low > 0:
        return f"{_label(pair.left)} scores higher: {range_}."
    if whole.high < 0:
        return f"{_label(pair.right)} scores higher: the difference is {range_}."
    return f"No evidence that they differ: {range_}."


def _label(row: Standing) -> str:
    return f"{row.agent} {row.version}"
