"""Pages of agents, tasks, base models and the lists of them; and what compare pages and downloads say of standings."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from posttrainbench.board import board_page, charts, figures, keeping, pairing, shell, text
from posttrainbench.board.charts import Dot
from posttrainbench.board.entry import Entry
from posttrainbench.board.slug import slug
from posttrainbench.board.standings import Board, CellStanding, Standing
from posttrainbench.statistics import Estimate

MAX_RUNS = 100
"""Of an agent, a task or a model that its page lists, the newest first."""
RUNS_A_PAGE = 200

Put = Callable[[str, str, Callable[[], bytes]], None]
View = dict[str, Any]


def make(put: Put, boards: Sequence[Board], entries: Sequence[Entry], pages: Mapping[str, str]) -> None:
    """All of them. `pages`: each run's page, from the site's root."""
    agents = sorted({row.agent for board in boards for row in board.standings} | {one.agent for one in entries})
    by: dict[tuple[str, str], list[Entry]] = {}
    for one in entries:
        for kind, name in (("agent", one.agent), ("task", one.task), ("model", one.model)):
            by.setdefault((kind, name), []).append(one)
    for name in agents:
        _agent(put, name, boards, by.get(("agent", name), []), pages)
    cells = [cell for board in boards for row in board.standings for cell in row.cells]
    for kind, names in (("task", {cell.task for cell in cells}), ("model", {cell.model for cell in cells})):
        for name in sorted(names | {known for key, known in by if key == kind}):
            _cells(put, kind, name, boards, by.get((kind, name), []), pages)
    _lists(put, boards, agents, by)
    _runs(put, entries, pages)


def run_rows(entries: Sequence[Entry], pages: Mapping[str, str]) -> list[View]:
    """Rows of a table of runs."""
    return [
        {
            "run": one.run,
            "short": one.run if len(one.run) <= 48 else f"{one.run[:46]}…",
            "link": f"../{pages[one.run]}" if one.run in pages else "",
            "agent": one.agent,
            "task": one.task,
            "model": one.model,
            "seed": one.seed,
            "outcome": one.outcome,
            "verdict": one.verdict,
            "score": text.percent(one.final.value) if one.final else "–",
            "score_v": board_page.number(one.final.value) if one.final else "",
            "gain": text.percent(one.gain.value, sign=True) if one.gain else "–",
            "gain_v": board_page.number(one.gain.value) if one.gain else "",
            "usd": text.usd(one.usd),
            "usd_v": "" if one.usd is None else board_page.number(one.usd),
            "time": text.duration(one.hours * 3600),
            "hours_v": board_page.number(one.hours),
        }
        for one in entries
    ]


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
        versions = sorted({row.version for _, row in mine})
        lead = board_page.counted(len(entries), "run") + (f" in version {', '.join(versions)}" if versions else "")
        return shell.page(
            "agent.html.j2",
            "agents",
            "../",
            agent=name,
            lead=f"{lead}, driven by {', '.join(llms)}." if llms else f"{lead}. No model in the loop.",
            command=next((row.command for _, row in mine if row.command), ""),
            history=history,
            standings=[_standing(board, row) for board, row in mine],
            runs=run_rows(shown, pages),
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
    source = keeping.digest(kind, name, [(board.id, one, rows) for board, one, rows in found], shown, words)

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
            runs=run_rows(shown, pages),
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


def _lists(
    put: Put, boards: Sequence[Board], agents: Sequence[str], by: Mapping[tuple[str, str], Sequence[Entry]]
) -> None:
    first: dict[str, tuple[Board, Standing]] = {}
    for board in boards:
        for row in board.standings:
            first.setdefault(row.agent, (board, row))
    rows: dict[str, list[View]] = {"agents": [], "tasks": [], "models": []}
    for name in agents:
        values: list[object] = ["–"] * 5
        if name in first:
            board, row = first[name]
            values = [row.version, row.llm or "–", board_page.title(board), board_page.band(row) or "–", row.runs]
        rows["agents"].append({"name": name, "link": f"{slug(name)}.html", "values": values})
    cells = [cell for board in boards for row in board.standings for cell in row.cells]
    for kind in ("task", "model"):
        for name in sorted({getattr(cell, kind) for cell in cells} | {known for key, known in by if key == kind}):
            many = len(
                {
                    row.agent
                    for board in boards
                    for row in board.standings
                    for cell in row.cells
                    if getattr(cell, kind) == name
                }
            )
            values = [f"{many:,}", f"{len(by.get((kind, name), [])):,}"]
            rows[f"{kind}s"].append({"name": name, "link": f"{slug(name)}.html", "values": values})
    heads = {
        "agents": ("Version", "Model behind it", "Board", "Rank band", "Runs"),
        "tasks": ("Agents", "Runs"),
        "models": ("Agents", "Runs"),
    }
    titles = {"agents": ("Agents", "Agent"), "tasks": ("Tasks", "Task"), "models": ("Base models", "Base model")}
    for place, (title, kind) in titles.items():
        put(
            f"{place}/index.html",
            keeping.digest(rows[place]),
            lambda place=place, title=title, kind=kind: shell.page(  # type: ignore[misc]
                "index.html.j2",
                place,
                "../",
                title=title,
                lead=f"{len(rows[place])} in all.",
                kind=kind,
                items=".run",
                heads=heads[place],
                rows=rows[place],
            ),
        )


def _runs(put: Put, entries: Sequence[Entry], pages: Mapping[str, str]) -> None:
    """All runs, the newest first. Pages are numbered from the oldest, so that a new run changes few of them."""
    ordered = sorted(entries, key=lambda one: (one.created, one.run))
    chunks = [ordered[start : start + RUNS_A_PAGE] for start in range(0, max(1, len(ordered)), RUNS_A_PAGE)]
    names = [f"page-{n + 1}.html" for n in range(len(chunks))]
    names[-1] = "index.html"
    for n, chunk in enumerate(chunks):
        turning = [
            {
                "link": name,
                "current": k == n,
                "name": f"{chunks[k][0].created[:10]} to {chunks[k][-1].created[:10]}" if chunks[k] else "",
            }
            for k, name in enumerate(names)
        ][::-1]
        put(
            f"runs/{names[n]}",
            keeping.digest(chunk, len(chunks) if n >= len(chunks) - 2 else 0),
            lambda n=n, chunk=chunk, turning=turning: shell.page(  # type: ignore[misc]
                "index.html.j2",
                "runs",
                "../",
                title="Runs",
                lead=f"{len(ordered):,} in all." if n == len(chunks) - 1 else f"Page {n + 1}.",
                items="tbody .run",
                runs=run_rows(chunk[::-1], pages),
                caption=f"{len(chunk)} runs, the newest first.",
                pages=turning
                if n == len(chunks) - 1
                else [{"link": "index.html", "current": False, "name": "all pages"}, turning[len(chunks) - 1 - n]],
            ),
        )


def compare_lead(board: Board, pairs: Sequence[pairing.Pair]) -> str:
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


def compare_names(pairs: Sequence[pairing.Pair]) -> list[str]:
    """Agents to choose from, in the board's order."""
    return list(dict.fromkeys([*(_label(pair.left) for pair in pairs), *(_label(pair.right) for pair in pairs)]))


def pair_view(pair: pairing.Pair) -> View:
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


def standing_rows(board: Board) -> list[View]:
    """Rows of a board's CSV."""
    return [
        {
            "band_best": row.band[0] if row.band else None,
            "band_worst": row.band[1] if row.band else None,
            "agent": row.agent,
            "version": row.version,
            "llm": row.llm,
            "measure": board.measure,
            "score": row.score.value if row.score else None,
            "low": row.score.low if row.score else None,
            "high": row.score.high if row.score else None,
            "runs": row.runs,
            "outcomes": " ".join(f"{name}:{count}" for name, count in sorted(row.outcomes.items())),
            "verdicts": " ".join(f"{name}:{count}" for name, count in sorted(row.verdicts.items())),
            "usd": row.usd,
            "hours": row.hours,
            "note": row.note,
        }
        for row in board.standings
    ]


def _label(row: Standing) -> str:
    return f"{row.agent} {row.version}"


def _range(one: Estimate | None, shown: str) -> str:
    return f"{charts.value_words(one.low, shown)} to {charts.value_words(one.high, shown)}" if one else ""


def _share(value: float | None) -> str:
    return "–" if value is None else text.percent(value)
