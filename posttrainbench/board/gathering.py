"""The runs of a site: found in folders, each one's pages made, in several processes, unless they are kept.

Nothing that lies in a run's folder ends a build: what cannot be shown is a problem that the board's page names.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from posttrainbench import record
from posttrainbench.board import keeping, outcomes, run_page
from posttrainbench.board.entry import entry
from posttrainbench.board.keeping import Kept
from posttrainbench.board.reading import marks, signature, used
from posttrainbench.board.slug import slug
from posttrainbench.board.tallying import each
from posttrainbench.errors import PtbError, UsageError
from posttrainbench.strict import read_written

MAX_RECORD_BYTES = 32 * 2**20


def find(sources: Sequence[Path]) -> dict[str, Path]:
    """Folders with a record, by their path: the sources themselves, and what lies in them."""
    found: dict[str, Path] = {}
    for source in sources:
        if not source.is_dir():
            raise UsageError(
                f"{source} is not a folder; name a folder of runs, as --runs-dir does, or one run's folder."
            )
        root = str(source.resolve())
        with os.scandir(source) as listed:
            names = sorted(one.name for one in listed if one.is_dir(follow_symlinks=False))
        for folder, key in [(source, root), *((source / name, os.path.join(root, name)) for name in names)]:
            if os.path.isfile(f"{key}/record.json"):
                found[key] = folder
    return found


def runs(
    folders: Mapping[str, Path], known: Mapping[str, Kept], out: Path, processes: int | None = None
) -> dict[str, Kept]:
    """Every run's pages, made or kept."""
    with keeping.uncollected():
        kept = {
            key: one
            for key, one in known.items()
            if key in folders and signature(marks(key, one.signed)) == one.signature
        }
    new = [(key, folder, out) for key, folder in folders.items() if key not in kept]
    kept.update(each(_make, new, processes))
    return {key: kept[key] for key in folders}


def _make(job: tuple[str, Path, Path]) -> tuple[str, Kept]:
    """Make one run's pages. Nothing that lies in its folder ends the build."""
    key, folder, out = job
    seen = marks(key)  # Before anything is read, so that the next build sees what changes meanwhile.
    try:
        path = folder / "record.json"
        if path.stat().st_size > MAX_RECORD_BYTES:
            raise UsageError(f"{path.name} is larger than any record.")
        content = read_written(path)
        sealed = record.parse(content, path)
        shown = entry(sealed)
        name = slug(sealed.run)
        pages, dev = run_page.draw(sealed, shown, folder, name)
        pages[f"runs/{name}.json"] = content
    except Exception as error:
        # Whoever submitted the folder may have found a failure that nobody thought of: it costs its own page alone.
        known = isinstance(error, PtbError | OSError)
        words = (
            str(error).replace(str(folder), folder.name)
            if known
            else f"its pages cannot be made ({type(error).__name__})"
        )
        problem = f"{folder.name}: {words}"[:500]
        return key, Kept(signature=signature(seen), signed=list(seen), name="", digest="", entry=None, problem=problem)
    for path_, page in pages.items():
        keeping.put(out, path_, page)
    board, signed = run_page.board_name(shown), used(sealed)
    return key, Kept(
        signature=signature({name: seen[name] for name in signed}),
        signed=signed,
        name=name,
        digest=sealed.digest,
        entry=shown,
        board=board,
        dev=dev,
        files=list(pages),
        questions=outcomes.named(sealed),
    )


def unique(kept: dict[str, Kept]) -> tuple[dict[str, Kept], list[str]]:
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
