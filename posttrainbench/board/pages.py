"""The pages of one board: the board itself, its plots, its comparison of agents, and its downloads."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from posttrainbench.board import board_page, compare_page, figures, keeping, pairing, shell, table
from posttrainbench.board.entry import Entry
from posttrainbench.board.standings import Board

Put = Callable[[str, str, Callable[[], bytes | None]], None]
"""Takes a file's path, a digest of what it is made from, and what makes it."""


@dataclass(frozen=True)
class Shown:
    """A board among others, and what its pages show besides standings."""

    board: Board
    boards: Sequence[Board]
    runs: Sequence[Entry]
    """Those on its rows."""
    courses: Sequence[figures.Course]
    metric: pairing.Metric
    problems: Sequence[str]
    """Records that are on no board of the site."""
    link: Callable[[str], str | None]
    """A run's page, from the site's root."""

    @property
    def is_first(self) -> bool:
        """Whether it is what a reader sees who asks for no board."""
        return self.board is self.boards[0]

    @functools.cached_property
    def source(self) -> str:
        """Digest of the board and of the tabs over it."""
        return keeping.digest(self.board, [(one.id, board_page.title(one)) for one in self.boards])

    @property
    def heading(self) -> str:
        """Its name."""
        return self.board.title or self.board.protocol

    def page(self, template: str, place: str, root: str, folder: str, **values: Any) -> bytes:
        """One of its pages, with tabs that lead to the same page of the other boards."""
        front = "index" if place == "board" else place
        tabs = [
            {
                "id": one.id,
                "title": board_page.title(one),
                "link": f"{root}{folder}/{one.id}.html" if n else f"{root}{front}.html",
            }
            for n, one in enumerate(self.boards)
        ]
        return shell.page(template, place, root, board=self.board, tabs=tabs, **values)


def make(put: Put, shown: Shown) -> None:
    """All of them."""
    _board(put, shown)
    _plots(put, shown)
    _compare(put, shown)
    _downloads(put, shown)


def _board(put: Put, shown: Shown) -> None:
    board = shown.board
    size = board_page.rows_a_page(board)
    chunks = [board.standings[start : start + size] for start in range(0, max(1, len(board.standings)), size)]

    def draw(root: str, number: int) -> bytes:
        def at(n: int) -> str:
            return f"{root}boards/{board.id}{f'.{n + 1}' if n else ''}.html"

        rows = board_page.rows(board, chunks[number], root, shown.link)
        return shown.page(
            "board.html.j2",
            "board",
            root,
            "boards",
            heading=shown.heading,
            lead=board_page.lead(board),
            caption=board_page.caption(board),
            measure=board_page.MEASURES[board.measure],
            shown=board_page.SHOWN[board.measure],
            columns=board_page.heads(board),
            grouped=board_page.grouped(board),
            several_models=len(board.models) != 1,
            rows=board_page.with_lines(board, rows),
            verdicts=sorted({one for row in board.standings for one in row.verdicts}),
            pages=[
                {"link": at(n), "current": n == number, "rows": f"{n * size + 1}–{n * size + len(chunk)}"}
                for n, chunk in enumerate(chunks)
            ],
            downloads=[(name, f"{root}data/{board.id}.{ending}") for name, ending in table.formats()],
            parquet=table.has_parquet(),
            problems=shown.problems,
        )

    source = keeping.digest(shown.source, list(shown.problems))
    if shown.is_first:
        put("index.html", source, lambda: draw("", 0))
    for n in range(len(chunks)):
        put(f"boards/{board.id}{f'.{n + 1}' if n else ''}.html", source, functools.partial(draw, "../", n))


def _plots(put: Put, shown: Shown) -> None:
    board = shown.board

    def draw(root: str) -> bytes:
        courses = [(name, f"{root}{page}", points) for name, page, points in shown.courses]
        rows = board_page.rows(board, board.standings[: board_page.rows_a_page(board)], root, lambda run: None)
        for row in rows:
            row["cells"] = [cell for cell in row["cells"] if cell["model"]]
        return shown.page(
            "plots.html.j2",
            "plots",
            root,
            "plots",
            heading=f"{shown.heading}. {board_page.caption(board)}",
            figures=figures.of_board(board, courses, root),
            columns=[{"task": task, "model": model} for task, model in board_page.columns(board)],
            rows=rows,
        )

    source = keeping.digest(shown.source, shown.courses)
    if shown.is_first:
        put("plots.html", source, lambda: draw(""))
    put(f"plots/{board.id}.html", source, lambda: draw("../"))


def _compare(put: Put, shown: Shown) -> None:
    sides = pairing.sides(shown.board, shown.metric)

    def draw(root: str) -> bytes:
        pairs = pairing.pairs(sides)
        return shown.page(
            "compare.html.j2",
            "compare",
            root,
            "compare",
            heading=shown.heading,
            lead=compare_page.lead(shown.board, pairs),
            names=compare_page.names(pairs),
            pairs=[compare_page.view(one) for one in pairs],
        )

    path, root = ("compare.html", "") if shown.is_first else (f"compare/{shown.board.id}.html", "../")
    put(path, keeping.digest(shown.source, sides), lambda: draw(root))


def _downloads(put: Put, shown: Shown) -> None:
    @functools.cache
    def rows() -> list[dict[str, Any]]:
        return [table.row(one) for one in shown.runs]

    place, source = f"data/{shown.board.id}", keeping.digest(shown.source, list(shown.runs))
    put(f"{place}.json", source, lambda: table.board_json(shown.board))
    put(f"{place}.csv", source, lambda: table.to_csv(table.standing_rows(shown.board)))
    put(f"{place}.runs.csv", source, lambda: table.to_csv(rows()))
    put(f"{place}.runs.json", source, lambda: msgspec.json.encode(rows()))
    put(f"{place}.runs.parquet", source, lambda: table.to_parquet(rows()))
