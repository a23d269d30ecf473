"""Lists of all agents, tasks, base models and runs; and the table of runs that other pages show too."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from posttrainbench.board import board_page, keeping, shell, text
from posttrainbench.board.entry import Entry
from posttrainbench.board.slug import slug
from posttrainbench.board.standings import Board, Standing

RUNS_A_PAGE = 200

Put = Callable[[str, str, Callable[[], bytes]], None]
View = dict[str, Any]


def make(put: Put, boards: Sequence[Board], entries: Sequence[Entry], pages: Mapping[str, str]) -> None:
    """All of them. `pages`: each run's page, from the site's root."""
    _agents(put, boards, entries)
    for kind, title in (("task", "Tasks"), ("model", "Base models")):
        _cells(put, kind, title, boards, entries)
    _runs(put, entries, pages)


def agents(boards: Sequence[Board], entries: Sequence[Entry]) -> list[str]:
    """Names of all agents."""
    return sorted({row.agent for board in boards for row in board.standings} | {one.agent for one in entries})


def named(kind: str, boards: Sequence[Board], entries: Sequence[Entry]) -> dict[str, set[str]]:
    """All tasks or base models, and the agents that have a cell of each on a board."""
    found: dict[str, set[str]] = {getattr(one, kind): set() for one in entries}
    for board in boards:
        for row in board.standings:
            for cell in row.cells:
                found.setdefault(getattr(cell, kind), set()).add(row.agent)
    return dict(sorted(found.items()))


def _agents(put: Put, boards: Sequence[Board], entries: Sequence[Entry]) -> None:
    first: dict[str, tuple[Board, Standing]] = {}
    for board in boards:
        for row in board.standings:
            first.setdefault(row.agent, (board, row))
    rows = []
    for name in agents(boards, entries):
        values: list[object] = ["–"] * 5
        if name in first:
            board, row = first[name]
            values = [row.version, row.llm or "–", board_page.title(board), board_page.band(row) or "–", row.runs]
        rows.append({"name": name, "link": f"{slug(name)}.html", "values": values})
    _list(put, "agents", "Agents", "Agent", ("Version", "Model behind it", "Board", "Rank band", "Runs"), rows)


def _cells(put: Put, kind: str, title: str, boards: Sequence[Board], entries: Sequence[Entry]) -> None:
    runs = Counter(str(getattr(one, kind)) for one in entries)
    rows = [
        {"name": name, "link": f"{slug(name)}.html", "values": [f"{len(having):,}", f"{runs[name]:,}"]}
        for name, having in named(kind, boards, entries).items()
    ]
    _list(put, f"{kind}s", title, title.removesuffix("s"), ("Agents", "Runs"), rows)


def _list(put: Put, place: str, title: str, kind: str, heads: Sequence[str], rows: Sequence[View]) -> None:
    def draw() -> bytes:
        return shell.page(
            "index.html.j2",
            place,
            "../",
            title=title,
            lead=f"{len(rows)} in all.",
            kind=kind,
            items=".run",
            heads=heads,
            rows=rows,
        )

    put(f"{place}/index.html", keeping.digest(rows), draw)


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
