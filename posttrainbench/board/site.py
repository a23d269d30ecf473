"""The whole site, from folders of runs: `build`. Deterministic, incremental, and of files that any server can serve.

A run's pages depend on its folder alone and are made in several processes; all other pages come from what was kept of
all runs. Nothing but records and the files beside them is read.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from posttrainbench.board import (
    entity_pages,
    figures,
    gathering,
    keeping,
    lists,
    pages,
    prose,
    run_page,
    shell,
    tallying,
)
from posttrainbench.board.boards import boards as boards_of
from posttrainbench.board.entry import Entry
from posttrainbench.board.keeping import Kept, Manifest
from posttrainbench.board.slug import slug
from posttrainbench.board.standings import Board
from posttrainbench.board.tallying import Tallies
from posttrainbench.errors import UsageError
from posttrainbench.strict import Value

MANY_RUNS = 500
"""From so many runs on, other pages than theirs are made in several processes too."""


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
    known, before = keeping.read(out, shell.code()), keeping.files(out)
    if not keeping.place(out).is_file():
        keeping.write(out, known)  # So that a build which is interrupted can be taken up.
    with keeping.uncollected():
        folders = gathering.find(sources)
    say(f"{len(folders)} records")
    kept = gathering.runs(folders, known.runs, out, processes)
    with keeping.uncollected():
        return _finish(out, known, before, kept, folders, published, say, processes)


def _finish(
    out: Path,
    known: Manifest,
    before: set[str],
    kept: dict[str, Kept],
    folders: Mapping[str, Path],
    published: Sequence[Board],
    say: Callable[[str], None],
    processes: int | None,
) -> Built:
    """All but the runs' own pages."""
    making = _Making(out, known)
    for path in shell.assets():
        making.put(f"assets/{path.name}", keeping.digest(shell.code()), path.read_bytes)
    unique, problems = gathering.unique(kept)
    entries = {one.entry.run: one.entry for one in unique.values() if one.entry}
    say(f"{len(entries)} runs; computing boards")
    tallies = Tallies(known.tallies, kept, folders, processes)
    boards = _named([*boards_of(entries.values(), tallies), *published], entries)
    _make(making, boards, unique, entries, problems, tallies)
    making.make(processes if len(entries) >= MANY_RUNS else 1)
    manifest = Manifest(code=known.code, runs=kept, pages=making.pages, tallies=tallies.used)
    for name in before - manifest.files:
        (out / name).unlink(missing_ok=True)
    keeping.write(out, manifest)
    made = [one for key, one in kept.items() if known.runs.get(key) is not one]
    return Built(
        runs=len(entries),
        boards=len(boards),
        made=len(made),
        written=making.written + sum(len(one.files) for one in made),
        problems=problems,
    )


def _check_place(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; name a folder for the site.")
    if out.is_dir() and any(out.iterdir()) and not keeping.place(out).is_file():
        raise UsageError(
            f"{out} holds files that are not of a site which ptb built (or {keeping.place(out)} was removed). Name an "
            "empty folder with --out."
        )


class _Making:
    """Pages that are not one run's; those whose sources did not change stay as they are."""

    def __init__(self, out: Path, known: Manifest) -> None:
        self.out, self.known = out, known
        self.pages: dict[str, str] = {}
        self.jobs: list[tuple[str, str, Callable[[], bytes | None]]] = []
        self.written = 0

    def put(self, path: str, source: str, make: Callable[[], bytes | None]) -> None:
        """A file to be made from what `source` is a digest of."""
        source = keeping.digest(source, self.known.code)
        if self.known.pages.get(path) != source or not (self.out / path).is_file():
            self.jobs.append((path, source, make))
        else:
            self.pages[path] = source

    def make(self, processes: int | None) -> None:
        """Make all that was put."""
        made = tallying.each(self._write, self.jobs, processes, chunk=1, many=2)
        for (path, source, _), is_made in zip(self.jobs, made, strict=True):
            if is_made:
                self.pages[path] = source
                self.written += 1

    def _write(self, job: tuple[str, str, Callable[[], bytes | None]]) -> bool:
        path, _, make = job
        content = make()
        if content is not None:
            keeping.put(self.out, path, content)
        return content is not None


def _named(boards: Sequence[Board], runs: Mapping[str, Entry]) -> list[Board]:
    """Boards with names that stay when others come: protocol, version, and a part of the digest of the rules."""
    found = []
    for one in boards:
        first = next((name for row in one.standings for cell in row.cells for name in cell.names if name in runs), None)
        name = run_page.board_name(runs[first]) if first else slug(one.id)
        found.append(msgspec.structs.replace(one, id=name))
    return found


def _make(
    making: _Making,
    boards: Sequence[Board],
    kept: Mapping[str, Kept],
    entries: Mapping[str, Entry],
    problems: Sequence[str],
    tallies: Tallies,
) -> None:
    """All pages that are not one run's."""
    links = {one.entry.run: f"runs/{one.name}.html" for one in kept.values() if one.entry}
    metric = tallies.metric()
    for board in boards:
        names = [name for row in board.standings for cell in row.cells for name in cell.names]
        timed = [one for one in kept.values() if one.entry and one.dev and one.board == board.id]
        pages.make(
            making.put,
            pages.Shown(
                board=board,
                boards=boards,
                runs=[entries[name] for name in names if name in entries],
                courses=[
                    (one.entry.agent, links[one.entry.run], one.dev)
                    for one in timed[: figures.MAX_COURSES]
                    if one.entry
                ],
                metric=metric,
                problems=problems,
                link=links.get,
            ),
        )
    if not boards:
        for name in ("index", "plots", "compare"):
            making.put(f"{name}.html", "none", _nothing)
    runs = list(entries.values())
    entity_pages.make(making.put, boards, runs, links)
    lists.make(making.put, boards, runs, links)
    for page in prose.PAGES:
        making.put(f"{page}.html", page, functools.partial(_document, page))


def _nothing() -> bytes:
    return shell.page("prose.html.j2", "board", "", title="No runs yet", content="No runs yet.")


def _document(page: str) -> bytes:
    return shell.page("prose.html.j2", page, "", title=prose.PAGES[page][0], content=prose.render(page))
