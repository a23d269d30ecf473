"""Pages of agents, tasks and base models."""

from collections.abc import Mapping, Sequence

from posttrainbench.board import board_page, charts, figures, keeping, lists, shell, text
from posttrainbench.board.charts import Dot
from posttrainbench.board.entry import Entry
from posttrainbench.board.lists import Put, View
from posttrainbench.board.slug import slug
from posttrainbench.board.standings import Board, CellStanding, Standing
from posttrainbench.statistics import Estimate

MAX_RUNS = 100
"""Of an agent, a task or a model that its page lists, the newest first."""


def make(put: Put, boards: Sequence[Board], entries: Sequence[Entry], pages: Mapping[str, str]) -> None:
    """All of them. `pages`: each run's page, from the site's root."""
    by: dict[tuple[str, str], list[Entry]] = {}
    for one in entries:
        for kind, name in (("agent", one.agent), ("task", one.task), ("model", one.model)):
            by.setdefault((kind, name), []).append(one)
    for name in lists.agents(boards, entries):
        _agent(put, name, boards, by.get(("agent", name), []), pages)
    for kind in ("task", "model"):
        for name in lists.named(kind, boards, entries):
            _cells(put, kind, name, boards, by.get((kind, name), []), pages)


def _newest(entries: Sequence[Entry]) -> tuple[list[Entry], str]:
    found = sorted(entries, key=lambda one: (one.created, one.run), reverse=True)
    words = f"{board_page.counted(len(found), 'run')}, the newest first."
    return found[:MAX_RUNS], words if len(found) <= MAX_RUNS else f"The newest {MAX_RUNS} of {words}"


def _agent(put: Put, name: str, boards: Sequence[Board], entries: Sequence[Entry], pages: Mapping[str, str]) -> None:
    mine = [(board, row) for board in boards for row in board.standings if row.agent == name]
    shown, words = _newest(entries)
    source = keeping.digest(name, [(board.id, row) for board, row in mine], shown, words)
    llms = sorted({row.llm for _, row in mine if row.llm})

    def draw() -> bytes:
        history = next((drawn for board, _ in mine if (drawn := figures.versions(board, "../", name))), "")
        versions = sorted({row.version for _, row in mine if row.version})
        lead = board_page.counted(len(entries), "run") + (f" in version {', '.join(versions)}" if versions else "")
        driver = f", driven by {', '.join(llms)}." if llms else ". No model in the loop."
        return shell.page(
            "agent.html.j2",
            "agents",
            "../",
            agent=name,
            lead=f"{lead}{driver}" if entries else "None of its runs lies here; figures that others published.",
            command=next((row.command for _, row in mine if row.command), ""),
            history=history,
            standings=[_standing(board, row) for board, row in mine],
            runs=lists.run_rows(shown, pages),
            runs_caption=words,
        )

    put(f"agents/{slug(name)}.html", source, draw)


def _standing(board: Board, row: Standing) -> View:
    shown = board_page.SHOWN[board.measure]
    return {
        "title": f"{board_page.title(board)}",
        "link": f"../boards/{board.id}.html",
        "version": row.version,
        "band": board_page.band(row) or "–",
        "note": row.note or (f"of {sum(one.band is not None for one in board.standings)} ranked"),
        "measure": board_page.MEASURES[board.measure],
        "score": charts.value_words(row.score.value, shown) if row.score else "–",
        "range": _range(row.score, shown),
        "runs": row.runs,
        "outcomes": row.outcomes,
        "verdicts": row.verdicts,
        "usd": text.usd(row.usd),
        "time": "–" if row.hours is None else text.duration(row.hours * 3600),
        "cells": [_cell(cell) for cell in row.cells],
    }


def _cell(cell: CellStanding) -> View:
    return {
        "task": cell.task,
        "model": cell.model,
        "task_link": f"../tasks/{slug(cell.task)}.html",
        "model_link": f"../models/{slug(cell.model)}.html",
        "score": cell.score,
        "number": board_page.number(cell.score.value) if cell.score else "",
        "gain": cell.gain,
        "gain_v": board_page.number(cell.gain.value) if cell.gain else "",
        "base": _share(cell.base),
        "few_shot": _share(cell.few_shot),
        "human": _share(cell.human),
        "runs": cell.runs,
        "outcomes": cell.outcomes,
    }


def _cells(
    put: Put, kind: str, name: str, boards: Sequence[Board], entries: Sequence[Entry], pages: Mapping[str, str]
) -> None:
    """The page of a task or a base model: how agents stand on each of its cells."""
    found: list[tuple[Board, str, list[tuple[Standing, CellStanding]]]] = []
    for board in boards:
        mine = [(row, cell) for row in board.standings for cell in row.cells if getattr(cell, kind) == name]
        other = "model" if kind == "task" else "task"
        for one in sorted({str(getattr(cell, other)) for _, cell in mine}):
            found.append((board, one, [(row, cell) for row, cell in mine if getattr(cell, other) == one]))
    shown, words = _newest(entries)
    seen = [
        (board.id, board_page.title(board), one, [(row.agent, row.band is None, cell) for row, cell in rows])
        for board, one, rows in found
    ]
    source = keeping.digest(kind, name, seen, shown, words, _settings(kind, entries))

    def draw() -> bytes:
        return shell.page(
            "cells.html.j2",
            f"{kind}s",
            "../",
            kind={"task": "Task", "model": "Base model"}[kind],
            name=name,
            about="",
            settings=_settings(kind, entries),
            sections=[_section(board, one, rows) for board, one, rows in found],
            runs=lists.run_rows(shown, pages),
            runs_caption=words,
        )

    put(f"{kind}s/{slug(name)}.html", source, draw)


def _settings(kind: str, entries: Sequence[Entry]) -> list[tuple[str, str]]:
    if kind != "task" or not entries:
        return []
    newest = max(entries, key=lambda one: one.created)
    return [
        ("Version", str(newest.task_version)),
        ("Metric", newest.metric),
        ("Questions", f"{newest.n:,}" if newest.n else "–"),
    ]


def _section(board: Board, other: str, rows: Sequence[tuple[Standing, CellStanding]]) -> View:
    scored = sorted(
        ((row, cell) for row, cell in rows if cell.score), key=lambda one: -(one[1].score.value if one[1].score else 0)
    )
    dots = [
        Dot(
            f"{row.agent}",
            f"../agents/{slug(row.agent)}.html",
            cell.score,
            note=board_page.counted(cell.runs, "run"),
            dim=row.band is None,
        )
        for row, cell in scored[: figures.MAX_ROWS]
        if cell.score
    ]
    first = rows[0][1]
    known = (("base", first.base), ("few-shot base", first.few_shot), ("instruct", first.human))
    return {
        "title": other,
        "board": board_page.title(board),
        "link": f"../boards/{board.id}.html",
        "drawing": charts.intervals(f"Scores on {other}", dots, [(name, v) for name, v in known if v is not None]),
        "unscored": [(row.agent, cell.outcomes) for row, cell in rows if not cell.score],
    }


def _range(one: Estimate | None, shown: str) -> str:
    return f"{charts.value_words(one.low, shown)} to {charts.value_words(one.high, shown)}" if one else ""


def _share(value: float | None) -> str:
    return "–" if value is None else text.percent(value)
