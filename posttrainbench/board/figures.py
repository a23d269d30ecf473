"""The plots of a board, each with what it says and what stands there when there is nothing to draw."""

from collections.abc import Mapping, Sequence
from typing import Any

from posttrainbench.board import board_page, charts
from posttrainbench.board.charts import Dot
from posttrainbench.board.slug import slug
from posttrainbench.board.standings import Board, Standing

MAX_ROWS = 60
MAX_COURSES = 150

Course = tuple[str, str, Sequence[tuple[float, float]]]
"""A run's agent, its page, and its dev scores over the share of its time."""


def dots(standings: Sequence[Standing], root: str, x: Mapping[int, float | None] | None = None) -> list[Dot]:
    """A dot for each standing with a score."""
    return [
        Dot(
            name=one.agent,
            link=f"{root}agents/{slug(one.agent)}.html",
            estimate=one.score,
            x=x[number] if x else None,
            note=f"version {one.version}, {board_page.counted(one.runs, 'run')}",
            dim=one.band is None,
        )
        for number, one in enumerate(standings)
        if one.score
    ]


def of_board(board: Board, courses: Sequence[Course], root: str) -> list[dict[str, Any]]:
    """All of them."""
    shown, rows = board_page.SHOWN[board.measure], board.standings
    name = board_page.MEASURES[board.measure]
    ranked = rows[:MAX_ROWS]
    more = f" The first {MAX_ROWS} of {len(rows)} agents." if len(rows) > MAX_ROWS else ""
    costs = {number: one.usd for number, one in enumerate(rows)}
    paid = any(cost for cost in costs.values())
    times = {number: None if one.hours is None else one.hours * 60 for number, one in enumerate(rows)}
    return [
        {
            "title": f"{name} with intervals",
            "drawing": charts.intervals(name, dots(ranked, root), board_page.marks(board), shown=shown),
            "caption": "95 % intervals; where they overlap, these runs tell no difference. Hollow: not ranked." + more,
            "empty": "No agent has a score here.",
        },
        {
            "title": f"Cost against {name.lower()}",
            "drawing": charts.scatter("Cost", dots(rows, root, costs), "one run on each cell", "$", shown=shown)
            if paid
            else "",
            "caption": "What the agents’ model calls cost by the gateway’s count. Dashed: Pareto front, beyond "
            "which no agent is both better and cheaper. Agents whose price is not known are left out.",
            "empty": "No agent here paid for a model.",
        },
        {
            "title": f"Time against {name.lower()}",
            "drawing": charts.scatter("Time", dots(rows, root, times), "mean session", "min", shown=shown),
            "caption": "Wall time of a session, on average. Dashed: the Pareto front.",
            "empty": "No times are known here.",
        },
        {
            "title": "Score over time within runs",
            "drawing": charts.courses("Dev scores over time", courses[:MAX_COURSES]),
            "caption": "What evaluate.py told the agents on the dev questions, by their own output. A line a run.",
            "empty": "No agent here measured itself with evaluate.py in a way that its output shows.",
        },
        {
            "title": "Versions",
            "drawing": versions(board, root),
            "caption": "Agents with more than one version on this board, oldest first.",
            "empty": "No agent has more than one version here.",
        },
    ]


def versions(board: Board, root: str, only: str = "") -> Any:
    """Standings of agents that have several versions, in their order."""
    by_agent: dict[str, list[Standing]] = {}
    for one in board.standings:
        if not only or one.agent == only:
            by_agent.setdefault(one.agent, []).append(one)
    found = [
        Dot(
            name=f"{one.agent} {one.version}",
            link=f"{root}agents/{slug(one.agent)}.html",
            estimate=one.score,
            dim=not one.band,
        )
        for _, many in sorted(by_agent.items())
        if len(many) > 1
        for one in sorted(many, key=lambda one: one.first)
        if one.score
    ]
    shown = board_page.SHOWN[board.measure]
    return charts.intervals("Versions", found[:MAX_ROWS], board_page.marks(board), shown=shown)
