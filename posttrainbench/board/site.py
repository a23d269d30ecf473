"""The whole site, from folders of runs: `build`. Deterministic, incremental, and of files that any server can serve.

A run's pages depend on its folder alone and are made in several processes; all other pages come from what was kept of
all runs. Nothing but records and the files beside them is read.
"""

import functools
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from posttrainbench import record
from posttrainbench.board import (
    board_page,
    entity_pages,
    figures,
    keeping,
    outcomes,
    pairing,
    prose,
    run_page,
    shell,
    standings,
    table,
)
from posttrainbench.board.entry import Entry, Load, Outcomes
from posttrainbench.board.keeping import Kept, Manifest
from posttrainbench.board.reading import signature
from posttrainbench.board.slug import slug
from posttrainbench.board.standings import Board
from posttrainbench.errors import PtbError, UsageError
from posttrainbench.record import Record
from posttrainbench.strict import Value, read_json

MANY = 48
"""From so many new runs on, several processes make their pages."""
MOST_LOADED = 2000
"""Runs up to which intervals come from each question's outcome; of more, from the intervals on the records, which takes
the questions of two runs for independent and is never narrower for it."""
MAX_RECORD_BYTES = 32 * 2**20


class Built(Value, frozen=True, kw_only=True):
    """What a build did."""

    runs: int
    boards: int
    made: int
    """Runs whose pages were made anew."""
    written: int
    """Files that were written."""
    problems: list[str]


def build(
    sources: Sequence[Path],
    out: Path,
    published: Sequence[Board] = (),
    say: Callable[[str], None] = lambda words: None,
    processes: int | None = None,
) -> Built:
    """Make the site at `out` of every run below `sources`, and of boards that others published."""
    _check_place(out)
    known = keeping.read(out, shell.code())
    if not keeping.place(out).is_file():
        keeping.write(out, known)  # So that a build which is interrupted can be taken up.
    folders = find(sources)
    say(f"{len(folders)} records")
    kept = _runs(folders, known, out, processes)
    making = _Making(out, known)
    for path in shell.assets():
        making.put(f"assets/{path.name}", keeping.digest(shell.code()), path.read_bytes)
    unique, problems = _unique(kept)
    entries = [one.entry for one in unique.values() if one.entry]
    say(f"{len(entries)} runs; computing boards")
    boards = [*standings.boards(entries, _loader(folders, kept)), *published]
    _aggregate(making, boards, unique, problems, _loader(folders, kept))
    files = {name for one in kept.values() for name in one.files} | making.paths
    stale = ({name for one in known.runs.values() for name in one.files} | set(known.pages)) - files
    for name in stale:
        (out / name).unlink(missing_ok=True)
    keeping.write(out, Manifest(code=known.code, runs={str(key): one for key, one in kept.items()}, pages=making.pages))
    made = [one for key, one in kept.items() if known.runs.get(key) is not one]
    return Built(
        runs=len(entries),
        boards=len(boards),
        made=len(made),
        written=making.written + sum(len(one.files) for one in made),
        problems=problems,
    )


def find(sources: Sequence[Path]) -> dict[str, Path]:
    """Folders with a record, by their path: the sources themselves, and what lies in them."""
    found: dict[str, Path] = {}
    for source in sources:
        if not source.is_dir():
            raise UsageError(
                f"{source} is not a folder; name a folder of runs, as --runs-dir does, or one run's folder."
            )
        root = str(source.resolve())
        here = [source, *sorted(one for one in source.iterdir() if one.is_dir() and not one.is_symlink())]
        for folder in here:
            if (folder / "record.json").is_file():
                found[os.path.join(root, folder.name) if folder is not source else root] = folder
    return found


def _check_place(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; name a folder for the site.")
    if out.is_dir() and any(out.iterdir()) and not keeping.place(out).is_file():
        raise UsageError(
            f"{out} holds files that are not of a site which ptb built (or {keeping.place(out)} was removed). Name an "
            "empty folder with --out."
        )


def _runs(folders: dict[str, Path], known: Manifest, out: Path, processes: int | None) -> dict[str, Kept]:
    marks = {key: signature(folder) for key, folder in folders.items()}
    kept = {key: one for key, one in known.runs.items() if marks.get(key) == one.signature}
    new = [(key, folders[key], marks[key], out) for key in folders if key not in kept]
    cores = processes or len(os.sched_getaffinity(0))
    if len(new) < MANY or cores < 2:
        made: Iterable[tuple[str, Kept]] = map(_make, new)
        kept.update(made)
    else:
        with ProcessPoolExecutor(cores) as pool:
            kept.update(pool.map(_make, new, chunksize=16))
    return {key: kept[key] for key in folders}


def _make(job: tuple[str, Path, str, Path]) -> tuple[str, Kept]:
    """Make one run's pages. Nothing that lies in its folder ends the build."""
    key, folder, mark, out = job
    try:
        path = folder / "record.json"
        if path.stat().st_size > MAX_RECORD_BYTES:
            raise UsageError(f"{path.name} is larger than any record.")
        sealed = record.read(path)
        entry = standings.entry(sealed)
        name = slug(sealed.run)
        pages, dev = run_page.draw(sealed, entry, folder, name)
        pages[f"runs/{name}.json"] = path.read_bytes()
    except Exception as error:
        # Whoever submitted the folder may have found a failure that nobody thought of: it costs its own page alone.
        known = isinstance(error, PtbError | OSError)
        words = (
            str(error).replace(str(folder), folder.name)
            if known
            else f"its pages cannot be made ({type(error).__name__})"
        )
        return key, Kept(signature=mark, name="", digest="", entry=None, problem=f"{folder.name}: {words}"[:500])
    for path_, content in pages.items():
        keeping.put(out, path_, content)
    board = run_page.board_name(entry)
    return key, Kept(
        signature=mark, name=name, digest=sealed.digest, entry=entry, board=board, dev=dev, files=list(pages)
    )


def _unique(kept: dict[str, Kept]) -> tuple[dict[str, Kept], list[str]]:
    """Runs by the names of their pages, and what cannot be shown. The same record in two places is one run."""
    found: dict[str, Kept] = {}
    problems = [one.problem for one in kept.values() if one.problem]
    for one in kept.values():
        if one.entry is None:
            continue
        known = found.setdefault(one.name, one)
        if known.digest != one.digest:
            problems.append(f"{one.entry.run}: two different records have this name; one of them is shown.")
    return found, problems


def _loader(folders: dict[str, Path], kept: dict[str, Kept]) -> Load:
    """Outcomes of a run's questions. Kept for the time of one build."""
    where = {one.entry.run: folders[key] for key, one in kept.items() if one.entry}
    loaded: dict[str, Outcomes | None] = {}
    if len(where) > MOST_LOADED:
        return lambda entry: None

    def load(entry: Entry) -> Outcomes | None:
        if entry.run not in loaded:
            folder = where.get(entry.run)
            try:
                # The record was checked when its pages were made, and this reads what it was made from.
                sealed = read_json(folder / "record.json", Record) if folder else None
                loaded[entry.run] = outcomes.load(sealed, folder) if sealed and folder else None
            except (PtbError, OSError, ValueError):
                loaded[entry.run] = None
        return loaded[entry.run]

    return load


class _Making:
    """Pages that are not one run's; those whose sources did not change stay as they are."""

    def __init__(self, out: Path, known: Manifest) -> None:
        self.out, self.known = out, known
        self.pages: dict[str, str] = {}
        self.written = 0

    @property
    def paths(self) -> set[str]:
        return set(self.pages)

    def put(self, path: str, source: str, make: Callable[[], bytes | None]) -> None:
        """A file made from what `source` is a digest of."""
        source = keeping.digest(source, self.known.code)
        if self.known.pages.get(path) != source or not (self.out / path).is_file():
            content = make()
            if content is None:
                return
            keeping.put(self.out, path, content)
            self.written += 1
        self.pages[path] = source


def name_boards(boards: Sequence[Board], runs: dict[str, Entry]) -> list[Board]:
    """Boards with names that stay when others come: protocol, version, and a part of the digest of the rules."""
    found = []
    for one in boards:
        first = next((name for row in one.standings for cell in row.cells for name in cell.names if name in runs), None)
        name = run_page.board_name(runs[first]) if first else slug(one.id)
        found.append(msgspec.structs.replace(one, id=name))
    return found


def _aggregate(
    making: _Making, boards: Sequence[Board], kept: dict[str, Kept], problems: Sequence[str], load: Load
) -> None:
    entries = {one.entry.run: one.entry for one in kept.values() if one.entry}
    boards = name_boards(boards, entries)
    pages = {one.entry.run: f"runs/{one.name}.html" for one in kept.values() if one.entry}
    for number, board in enumerate(boards):
        mine = [
            entries[name] for row in board.standings for cell in row.cells for name in cell.names if name in entries
        ]
        courses = [
            (one.entry.agent, f"../{pages[one.entry.run]}", one.dev)
            for one in kept.values()
            if one.entry and one.dev and one.board == board.id
        ]
        source = keeping.digest(board, [(one.id, board_page.title(one)) for one in boards], list(problems), courses)
        _board(making, board, boards, number == 0, source, problems, pages.get)
        _plots(making, board, boards, number == 0, source, courses)
        whole = keeping.digest(source, mine)
        _compare(making, board, boards, number == 0, whole, mine, load)
        _downloads(making, board, mine, whole)
    if not boards:
        making.put(
            "index.html",
            "none",
            lambda: shell.page("prose.html.j2", "board", "", title="No runs yet", content="No runs yet."),
        )
        for name in ("plots", "compare"):
            making.put(
                f"{name}.html",
                "none",
                lambda: shell.page("prose.html.j2", "board", "", title="No runs yet", content="No runs yet."),
            )
    entity_pages.make(making.put, boards, list(entries.values()), pages)
    for page, (title, _) in prose.PAGES.items():
        making.put(f"{page}.html", page, functools.partial(_document, page, title))


def _document(page: str, title: str) -> bytes:
    return shell.page("prose.html.j2", page, "", title=title, content=prose.render(page))


def _tabs(boards: Sequence[Board], root: str, page: str, folder: str) -> list[dict[str, str]]:
    return [
        {
            "id": one.id,
            "title": board_page.title(one),
            "link": f"{root}{page}" if not n else f"{root}{folder}/{one.id}.html",
        }
        for n, one in enumerate(boards)
    ]


def _board(
    making: _Making,
    board: Board,
    boards: Sequence[Board],
    is_first: bool,
    source: str,
    problems: Sequence[str],
    link: Callable[[str], str | None],
) -> None:
    size = board_page.rows_a_page(board)
    chunks = [board.standings[start : start + size] for start in range(0, max(1, len(board.standings)), size)]

    def draw(root: str, number: int) -> bytes:
        def at(n: int) -> str:
            return f"{root}boards/{board.id}{f'.{n + 1}' if n else ''}.html"

        found = board_page.rows(board, chunks[number], root, link)
        formats = [
            ("Standings (CSV)", "csv"),
            ("Board (JSON)", "json"),
            ("Runs (CSV)", "runs.csv"),
            ("Runs (JSON)", "runs.json"),
        ]
        formats += [("Runs (Parquet)", "runs.parquet")] if table.has_parquet() else []
        return shell.page(
            "board.html.j2",
            "board",
            root,
            board=board,
            tabs=_tabs(boards, root, "index.html", "boards"),
            heading=board.title or board.protocol,
            lead=board_page.lead(board),
            caption=board_page.caption(board),
            measure=board_page.MEASURES[board.measure],
            shown=board_page.SHOWN[board.measure],
            columns=board_page.heads(board),
            grouped=board_page.grouped(board),
            several_models=len(board.models) != 1,
            rows=board_page.with_lines(board, found),
            verdicts=sorted({one for row in board.standings for one in row.verdicts}),
            pages=[
                {"link": at(n), "current": n == number, "rows": f"{n * size + 1}–{n * size + len(chunk)}"}
                for n, chunk in enumerate(chunks)
            ],
            downloads=[(name, f"{root}data/{board.id}.{ending}") for name, ending in formats],
            parquet=table.has_parquet(),
            problems=problems,
        )

    if is_first:
        making.put("index.html", source, lambda: draw("", 0))
    for n in range(len(chunks)):
        making.put(f"boards/{board.id}{f'.{n + 1}' if n else ''}.html", source, lambda n=n: draw("../", n))  # type: ignore[misc]


def _plots(
    making: _Making,
    board: Board,
    boards: Sequence[Board],
    is_first: bool,
    source: str,
    courses: Sequence[figures.Course],
) -> None:
    def draw(root: str) -> bytes:
        placed = [(name, link if root else link.removeprefix("../"), points) for name, link, points in courses]
        rows = board_page.rows(board, board.standings[: board_page.rows_a_page(board)], root, lambda run: None)
        for row in rows:
            row["cells"] = [cell for cell in row["cells"] if cell["model"]]
        return shell.page(
            "plots.html.j2",
            "plots",
            root,
            board=board,
            tabs=_tabs(boards, root, "plots.html", "plots"),
            heading=f"{board.title or board.protocol}. {board_page.caption(board)}",
            figures=figures.of_board(board, placed, root),
            columns=[{"task": task, "model": model} for task, model in board_page.columns(board)],
            rows=rows,
        )

    if is_first:
        making.put("plots.html", source, lambda: draw(""))
    making.put(f"plots/{board.id}.html", source, lambda: draw("../"))


def _compare(
    making: _Making,
    board: Board,
    boards: Sequence[Board],
    is_first: bool,
    source: str,
    mine: Sequence[Entry],
    load: Load,
) -> None:
    by_cell: dict[tuple[str, str, str, str, str], list[Entry]] = {}
    for one in mine:
        by_cell.setdefault((one.agent, one.version, one.command, one.task, one.model), []).append(one)

    @functools.cache
    def compared() -> tuple[str, list[str], list[entity_pages.View]]:
        pairs = pairing.pairs(board, by_cell, load)
        views = [entity_pages.pair_view(one) for one in pairs]
        return entity_pages.compare_lead(board, pairs), entity_pages.compare_names(pairs), views

    def draw(root: str) -> bytes:
        lead, names, views = compared()
        return shell.page(
            "compare.html.j2",
            "compare",
            root,
            board=board,
            tabs=_tabs(boards, root, "compare.html", "compare"),
            heading=f"{board.title or board.protocol}",
            lead=lead,
            names=names,
            pairs=views,
        )

    making.put(
        "compare.html" if is_first else f"compare/{board.id}.html", source, lambda: draw("" if is_first else "../")
    )


def _downloads(making: _Making, board: Board, mine: Sequence[Entry], source: str) -> None:
    def rows() -> list[dict[str, Any]]:
        return [table.row(one) for one in mine]

    making.put(f"data/{board.id}.json", source, lambda: table.board_json(board))
    making.put(f"data/{board.id}.csv", source, lambda: table.to_csv(entity_pages.standing_rows(board)))
    making.put(f"data/{board.id}.runs.csv", source, lambda: table.to_csv(rows()))
    making.put(f"data/{board.id}.runs.json", source, lambda: msgspec.json.encode(rows()))
    making.put(f"data/{board.id}.runs.parquet", source, lambda: table.to_parquet(rows()))
