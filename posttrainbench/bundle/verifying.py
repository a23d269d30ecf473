"""Verifies a bundle: unpacks it into a folder that is removed again, and does every check."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from posttrainbench.board import report
from posttrainbench.bundle import archive, checks
from posttrainbench.bundle.archive import ArchiveError
from posttrainbench.bundle.checks import Failure, Unpacked
from posttrainbench.catalog import Catalog
from posttrainbench.checkpoint import Frozen
from posttrainbench.errors import DigestError, UsageError
from posttrainbench.record import Record
from posttrainbench.strict import Value, digest_folder, disk, manifest, write_bytes


class Report(Value, frozen=True, kw_only=True):
    """What verifying a bundle found."""

    bundle: str
    """The file's name."""
    digest: str
    """Of the whole file; empty where it is no bundle."""
    run: str
    """Run, record and outcome as the record names them; empty where it could not be read."""
    record: str
    outcome: str
    checks: list[str]
    """Those that were done."""
    failures: list[Failure]
    notes: list[str]
    """What a reader should know, and no reason to refuse it."""


@contextmanager
def opened(bundle: Path, max_bytes: int = archive.MAX_BYTES) -> Iterator[tuple[Path, str, dict[str, str]]]:
    """The bundle's folder, its digest, and the digest of each file; the folder is gone afterwards."""
    with disk("make a folder to unpack to"):
        folder = Path(tempfile.mkdtemp(prefix="ptb-bundle-"))
    try:
        yield (folder, *archive.unpack(bundle, folder, max_bytes))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def verify(
    bundle: Path,
    catalog: Catalog,
    *,
    digest: str = "",
    weights: Path | None = None,
    page: Path | None = None,
    max_bytes: int = archive.MAX_BYTES,
) -> Report:
    """Do every check. `digest`: the one that the bundle must have; `weights`: a folder to compare with its manifest;
    `page`: where to draw the run's report, if nothing is wrong."""
    try:
        with opened(bundle, max_bytes) as (folder, found, files):
            made = _report(bundle, folder, found, files, catalog, digest, weights)
            if page is not None and not made.failures:
                write_bytes(page, report.render(checks.read_record(folder), folder).encode())
            return made
    except ArchiveError as error:
        return Report(
            bundle=bundle.name,
            digest="",
            run="",
            record="",
            outcome="",
            checks=["archive"],
            failures=[Failure(check="archive", reason=str(error))],
            notes=[],
        )


def _report(
    bundle: Path,
    folder: Path,
    found: str,
    files: dict[str, str],
    catalog: Catalog,
    digest: str,
    weights: Path | None,
) -> Report:
    done, failures, notes = ["archive"], list[Failure](), list[str]()
    if digest:
        done.append("digest")
        if found != digest:
            failures.append(Failure(check="digest", reason=f"The bundle's digest is {found}, not {digest}."))
    done += ["contents", "redaction", "record"]
    failures += checks.guarded("contents", checks.contents, folder, files)
    failures += checks.guarded("redaction", checks.redaction, folder, files)
    read: list[Record] = []
    failures += checks.guarded("record", _read, folder, read)
    for sealed in read:
        unpacked = Unpacked(folder, files, catalog, sealed)
        for name, check in checks.CHECKS.items():
            done.append(name)
            failures += checks.guarded(name, check, unpacked)
        if weights is not None:
            done.append("weights")
            failures += checks.guarded("weights", check_weights, sealed, weights)
        notes += _notes(bundle, sealed, files, catalog)
    return Report(
        bundle=bundle.name,
        digest=found,
        run=read[0].run if read else "",
        record=read[0].digest if read else "",
        outcome=read[0].outcome if read else "",
        checks=done,
        failures=failures,
        notes=notes,
    )


def _read(folder: Path, into: list[Record]) -> Iterator[str]:
    into.append(checks.read_record(folder))
    yield from ()


def check_weights(sealed: Record, folder: Path) -> list[str]:
    """What is wrong with a folder that is said to hold the run's checkpoint."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder; give the one that holds the checkpoint's files.")
    if not isinstance(sealed.freeze, Frozen):
        raise DigestError(f"The run ended as {sealed.outcome} and left no checkpoint that weights could belong to.")
    found = manifest(folder)
    wrong = [name for name, digest in sorted(sealed.freeze.files.items()) if found.get(name) != digest]
    extra = sorted(set(found) - set(sealed.freeze.files))
    said = [f"{name} is missing or not the file that was scored." for name in wrong]
    return said + ([f"{ascii(extra[0])[:120]} was not scored; {len(extra)} such files lie there."] if extra else [])


def _notes(bundle: Path, sealed: Record, files: dict[str, str], catalog: Catalog) -> list[str]:
    drawn, found = sealed.plan, []
    agent, model = catalog.agents().get(drawn.agent.name), catalog.models().get(drawn.model.name)
    if agent is None or digest_folder(agent.path) != drawn.agent.digest:
        found.append(f"The agent {ascii(drawn.agent.label)[:80]} is not as this ptb has it, so ask what it is.")
    if model is None:
        found.append(f"The model {ascii(drawn.model.name)[:80]} is none that this ptb has.")
    task = catalog.tasks().get(drawn.task.name)
    if task is not None and digest_folder(task.path) != drawn.task_digest:
        found.append(f"The files of task {drawn.task.name} (its scorer, for one) are not those of this ptb.")
    if not bundle.name.startswith(sealed.run):
        found.append(f"The file is not named after its run, {ascii(sealed.run)[:120]}.")
    if not drawn.protocol.scored:
        found.append(f"Protocol {ascii(drawn.protocol.name)[:80]} is for trying things out; no board ranks it.")
    if sealed.prepared.isolation:
        found.append("The sandbox did not isolate: " + ascii("; ".join(sealed.prepared.isolation))[1:-1][:500])
    if sealed.audit is None or sealed.audit.verdict != "clean":
        found.append(f"The verdict is {sealed.audit.verdict if sealed.audit else 'unchecked'}.")
    if isinstance(sealed.freeze, Frozen) and not any(name.startswith("weights/") for name in files):
        found.append(f"The weights are not in it; they are known by their manifest, {sealed.freeze.digest[:80]}.")
    return found
