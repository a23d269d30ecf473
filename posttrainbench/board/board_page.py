"""A board as the templates show it: rows by score, with rank bands and lines, and cells as a heat map."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from posttrainbench.board import charts, text
from posttrainbench.board.slug import slug
from posttrainbench.board.standings import Board, CellStanding, Standing
from posttrainbench.statistics import Estimate

SHOWN = {"uplift": "uplift", "gain": "gain", "metric": "percent"}
MEASURES = {"uplift": "Uplift", "gain": "Gain over base", "metric": "Score"}
FLAGS = {"no_checkpoint": "∅", "invalid_checkpoint": "✗", "disqualified": "⊘", "infrastructure": "↻"}
MOST_COLUMNS = 8
LEAST_ROWS, MOST_ROWS, MOST_CELLS = 20, 120, 1200
"""A page of a board holds as many rows as fit its size, which a phone must be able to load."""
POSITIVE = (0.005, 0.05, 0.12, 0.2, 0.3, 0.45, 0.6, 0.8)
NEGATIVE = (0.005, 0.05, 0.15)

Row = dict[str, Any]
Columns = list[tuple[str, str]]


def columns(board: Board) -> Columns:
    """Cells of the board, also those that few agents have."""
    found = {(cell.task, cell.model) for row in board.standings for cell in row.cells}
    return sorted(found)


def heads(board: Board) -> list[Row]:
    """Columns of the heat map. Where the cells are many, a column a task comes first, and each cell's own column is
    hidden until a base model is chosen."""
    cells = columns(board)
    hidden = grouped(board)
    shown = [{"task": task, "model": model, "hidden": hidden} for task, model in cells]
    return [
        *({"task": task, "model": "", "hidden": False} for task in (tasks(board) if hidden else ())),
        *shown,
    ]


def grouped(board: Board) -> bool:
    """Whether there are too many cells for a column each."""
    return len(columns(board)) > MOST_COLUMNS and len(tasks(board)) < len(columns(board))


def tasks(board: Board) -> list[str]:
    """Tasks of the board's columns."""
    return sorted({task for task, _ in columns(board)})


def rows_a_page(board: Board) -> int:
    """How many rows a page holds."""
    return max(LEAST_ROWS, min(MOST_ROWS, MOST_CELLS // max(1, len(columns(board)))))


def marks(board: Board) -> list[tuple[str, float]]:
    """The lines that scores are to be seen against."""
    known = (("base", board.base_score), ("few-shot base", board.few_shot_score), ("instruct", board.human_score))
    return [(name, value) for name, value in known if value is not None]


def title(board: Board) -> str:
    """Short enough for a tab."""
    words = f"{board.protocol} v{board.version}"
    if board.published:
        return f"{words}, published"
    return words if board.scored else f"{words}, {board.id.rsplit('-', 1)[-1][:4]}, not official"


def lead(board: Board) -> str:
    """Who is ahead, in a sentence."""
    ranked = [row for row in board.standings if row.band and row.score]
    many = f"{counted(len(board.standings), 'agent')}, {counted(sum(row.runs for row in board.standings), 'run')}"
    if not ranked:
        return f"{many}. None has runs on every cell, so none is ranked."
    first = [row for row in ranked if row.band and row.band[0] == 1]
    if len(first) == 1 and len(ranked) > 1:
        return f"{first[0].agent} is ahead of all others. {many}."
    if len(first) == 1:
        return f"{first[0].agent} is the only one that is ranked. {many}."
    names = ", ".join(row.agent for row in first[:4]) + (f" and {len(first) - 4} more" if len(first) > 4 else "")
    return f"{len(first)} agents share the first place, as these runs cannot tell them apart: {names}. {many}."


def caption(board: Board) -> str:
    """What the numbers mean."""
    meant = {
        "uplift": "Uplift: the share of the way from base model (0) to instruct model (1), weighted over tasks.",
        "gain": "Gain: score minus the base model’s score, weighted over tasks.",
        "metric": "Score, weighted over tasks; a run that left nothing to score counts the base model’s score.",
    }[board.measure]
    lost = (
        ""
        if board.measure == "metric"
        else " Runs without a score and runs below base count 0 and are shown as what they are."
    )
    shares = ", ".join(f"{task} {share:.0%}" for task, share in sorted(board.weights.items()))
    return f"{meant}{lost} Weights: {shares}. 95 % intervals."


def rows(board: Board, standings: Sequence[Standing], root: str, link: Callable[[str], str | None]) -> list[Row]:
    """Rows of some standings, without lines. `link`: a run's page, from the site's root."""
    cells, shown = columns(board), SHOWN[board.measure]
    low, high = scale(board)
    lines, is_grouped = marks(board), grouped(board)
    together = tasks(board) if is_grouped else []
    found = []
    for one in standings:
        by_cell = {(cell.task, cell.model): cell for cell in one.cells}
        page = f"{root}agents/{slug(one.agent)}.html"
        words = [f"version {one.version}" if one.version else "", one.llm if one.llm != one.agent else ""]
        about = ", ".join([word for word in words if word] + ([] if one.sandboxed else ["not sandboxed"]))
        found.append(
            {
                "line": False,
                "name": one.agent,
                "link": page,
                "about": about,
                "note": one.note,
                "band": band(one),
                "best": one.band[0] if one.band else "",
                "score": one.score,
                "number": number(one.score.value) if one.score else "",
                "bar": charts.minibar(one.score, low, high, lines) if one.score else "",
                "shown": shown,
                "cells": [
                    *(task_view(task, one, page) for task in together),
                    *(
                        cell_view(task, model, by_cell.get((task, model)), root, page, link, is_grouped)
                        for task, model in cells
                    ),
                ],
                "runs": one.runs,
                "least": min((cell.runs for cell in one.cells), default=0),
                "outcomes": one.outcomes,
                "verdicts": sorted(one.verdicts),
                "verdict_counts": one.verdicts,
                "usd": text.usd(one.usd),
                "usd_v": "" if one.usd is None else number(one.usd),
                "time": "–" if one.hours is None else text.duration(one.hours * 3600),
                "hours_v": "" if one.hours is None else number(one.hours),
            }
        )
    return found


def with_lines(board: Board, found: Sequence[Row]) -> list[Row]:
    """The rows with those of base, few-shot and instruct model where their scores lie."""
    low, high = scale(board)
    cells = columns(board)
    known = {(cell.task, cell.model): cell for row in board.standings for cell in row.cells}
    lines: list[Row] = []
    for name, value in marks(board):
        field = {"base": "base", "few-shot base": "few_shot", "instruct": "human"}[name]
        values = [getattr(known[cell], field) for cell in cells]
        point = Estimate(value=value, low=value, high=value, method="")
        lines.append(
            {
                "line": True,
                "name": f"{name} model" if name != "few-shot base" else "base model, few-shot",
                "number": number(value),
                "shown": charts.value_words(value, SHOWN[board.measure]),
                "bar": charts.minibar(point, low, high, marks(board)),
                "cells": [_line_cell(board, head, dict(zip(cells, values, strict=True))) for head in heads(board)],
            }
        )
    ranked = [row for row in found if row["band"]]
    rest = [row for row in found if not row["band"]]
    return sorted([*lines, *ranked], key=lambda row: -float(row["number"] or 0.0)) + rest


def cell_view(
    task: str,
    model: str,
    cell: CellStanding | None,
    root: str,
    page: str,
    link: Callable[[str], str | None],
    hidden: bool = False,
) -> Row:
    """A cell of the heat map. One run's cell leads to the run, others to the agent's page."""
    if cell is None:
        return {"task": task, "model": model, "standing": None, "number": None, "hidden": hidden}
    alone = link(cell.names[0]) if len(cell.names) == 1 else None
    told = f"{model} × {task}: {counted(cell.runs, 'run')}"
    if cell.gain:
        told += f", gain {text.percent(cell.gain.value, sign=True)}"
    if cell.base is not None:
        told += f", base {text.percent(cell.base)}"
    told += "".join(f"; {count} {name.replace('_', ' ')}" for name, count in cell.outcomes.items())
    return {
        "task": task,
        "model": model,
        "standing": cell,
        "number": None if cell.score is None else number(cell.score.value),
        "shown": "–" if cell.score is None else percent(cell.score.value),
        "range": "" if cell.score is None else f"{percent(cell.score.low)}–{percent(cell.score.high)}",
        "hidden": hidden,
        "shade": "" if (gain := gained(cell)) is None else shade(gain),
        "flags": flags(cell.outcomes),
        "told": told,
        "link": f"{root}{alone}" if alone else page,
    }


def task_view(task: str, one: Standing, page: str) -> Row:
    """An agent on a task: the mean over those base models on which it has a score."""
    cells = [cell for cell in one.cells if cell.task == task]
    if not cells:
        return {"task": task, "model": "", "standing": None, "number": None, "hidden": False}
    scores = [cell.score.value for cell in cells if cell.score]
    gains = [gain for cell in cells if (gain := gained(cell)) is not None]
    outcomes: Counter[str] = Counter()
    for cell in cells:
        outcomes.update(cell.outcomes)
    mean = sum(scores) / len(scores) if scores else None
    return {
        "task": task,
        "model": "",
        "standing": one,
        "number": None if mean is None else number(mean),
        "shown": "–" if mean is None else percent(mean),
        "shade": shade(sum(gains) / len(gains)) if gains else "",
        "flags": flags(outcomes),
        "told": f"{task}: mean over {counted(len(scores), 'base model')} of {len(cells)}",
        "link": page,
        "hidden": False,
    }


def gained(cell: CellStanding) -> float | None:
    """How far a cell lies above its base model."""
    if cell.gain:
        return cell.gain.value
    return None if cell.score is None or cell.base is None else cell.score.value - cell.base


def flags(outcomes: Mapping[str, int]) -> str:
    """Signs of the runs that have no score."""
    return " ".join(f"{FLAGS[name]}{count if count > 1 else ''}" for name, count in outcomes.items() if name in FLAGS)


def _line_cell(board: Board, head: Row, values: Mapping[tuple[str, str], float | None]) -> Row:
    mine = [value for (task, model), value in values.items() if task == head["task"] and head["model"] in ("", model)]
    known = [value for value in mine if value is not None]
    mean = sum(known) / len(known) if known and len(known) == len(mine) else None
    return {**head, "number": None if mean is None else number(mean), "shown": "–" if mean is None else percent(mean)}


def shade(gain: float) -> str:
    """The class of a cell's colour: blue above base, orange below, told apart by every kind of colour vision."""
    if gain < 0:
        step = sum(-gain >= bound for bound in NEGATIVE)
        return f"n{step}" if step else "h0"
    return f"h{sum(gain >= bound for bound in POSITIVE)}"


def scale(board: Board) -> tuple[float, float]:
    """From where to where the small intervals of a board run."""
    dots = [charts.Dot(row.agent, "", row.score) for row in board.standings if row.score]
    low, high = charts.span(dots, marks(board))
    return max(low, -1.0), min(high, 2.0)


def band(one: Standing) -> str:
    """`1`, `2–5`, or nothing."""
    if one.band is None:
        return ""
    return str(one.band[0]) if one.band[0] == one.band[1] else f"{one.band[0]}–{one.band[1]}"


def number(value: float) -> str:
    """Short, for sorting."""
    return f"{value:.5g}"


def percent(share: float) -> str:
    """`43.8`, where the heading says that it is percent."""
    return f"{100 * share:.1f}"


def counted(many: int, what: str) -> str:
    """`1 run`, `12,000 runs`."""
    return f"{many:,} {what}" + ("" if many == 1 else "s")
