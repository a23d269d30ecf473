"""The tamper check sees every way to change a protected file, and is not hurt by what lies there now."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from posttrainbench.integrity import tamper
from posttrainbench.integrity.finding import MAX_EVIDENCE
from posttrainbench.strict import manifest

FILE = "evaluate.py"


def lay(root: Path) -> dict[str, str]:
    """A workspace with three files, one of them in a folder; returns what is protected."""
    (root / "lib").mkdir(parents=True)
    for name in (FILE, "timer.py", "lib/scorer.py"):
        (root / name).write_text(f"# {name}\n")
    return {f"workspace/{name}": digest for name, digest in manifest(root).items()}


def swap_for_socket(root: Path) -> None:
    (root / FILE).unlink()
    os.chdir(root)  # A socket's path is short.
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(FILE)


def replace(make: Callable[[Path], object]) -> Callable[[Path], None]:
    """Take the file away and put something else in its place."""

    def change(root: Path) -> None:
        (root / FILE).unlink()
        make(root / FILE)

    return change


def same_content_elsewhere(path: Path) -> None:
    (path.parent / "copy.py").write_text(f"# {FILE}\n")
    path.symlink_to("copy.py")


def folder_for_link(root: Path) -> None:
    (root / "lib").rename(root / "real")
    (root / "lib").symlink_to("real")


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**42)


CASES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "edited": (lambda root: (root / FILE).write_text("print(1.0)"), FILE, "changed"),
    "removed": (lambda root: (root / FILE).unlink(), FILE, "missing"),
    "link to the same content": (replace(same_content_elsewhere), FILE, "link"),
    "link out": (replace(lambda path: path.symlink_to("/etc/passwd")), FILE, "link"),
    "dangling link": (replace(lambda path: path.symlink_to("nowhere")), FILE, "link"),
    "link to itself": (replace(lambda path: path.symlink_to(FILE)), FILE, "link"),
    "pipe": (replace(os.mkfifo), FILE, "not a file"),
    "socket": (swap_for_socket, FILE, "not a file"),
    "folder": (replace(Path.mkdir), FILE, "not a file"),
    "huge": (replace(huge), FILE, "4398046511104 bytes"),
    "parent became a link": (folder_for_link, "lib/scorer.py", "link"),
    "parent became a file": (
        lambda root: ((root / "lib").rename(root / "x"), (root / "lib").write_text("")),
        "lib/scorer.py",
        "not a file",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_change_is_flagged(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    change, name, word = CASES[case]
    root = tmp_path / "w"
    protected = lay(root)
    change(root)
    finding = tamper.check(protected, {"workspace": root})
    assert (finding.check, finding.status, finding.severity) == ("tamper", "flag", "suspect")
    assert f"workspace/{name}" in finding.detail
    assert "1 of 3" in finding.detail
    assert word in finding.evidence


def test_untouched_files_pass_and_new_ones_do_not_matter(tmp_path: Path) -> None:
    protected = lay(tmp_path)
    (tmp_path / "train.py").write_text("")
    finding = tamper.check(protected, {"workspace": tmp_path})
    assert (finding.status, finding.severity, finding.evidence) == ("pass", "none", "")
    assert "All 3" in finding.detail


def test_a_whole_root_that_is_gone_is_flagged(tmp_path: Path) -> None:
    protected = lay(tmp_path / "w")
    (tmp_path / "w").rename(tmp_path / "elsewhere")
    finding = tamper.check(protected, {"workspace": tmp_path / "w"})
    assert finding.status == "flag"
    assert finding.evidence.count("missing") == 3


def test_evidence_is_bounded(tmp_path: Path) -> None:
    protected = {f"workspace/{number:04}.py": "sha256:0" for number in range(2000)}
    finding = tamper.check(protected, {"workspace": tmp_path})
    assert len(finding.evidence) <= MAX_EVIDENCE
    assert "1995 more" in finding.detail


def test_nothing_protected_is_nothing_checked(tmp_path: Path) -> None:
    assert tamper.check({}, {"workspace": tmp_path}).status == "unchecked"
