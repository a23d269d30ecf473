"""A program's own session files are kept, and nothing else of the agent's folder."""

import os
from pathlib import Path

import pytest

from posttrainbench.transcript import native
from posttrainbench.transcript.native import Kept


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A HOME with one session of Claude Code."""
    sessions = tmp_path / "home" / ".claude" / "projects" / "-workspace"
    sessions.mkdir(parents=True)
    (sessions / "one.jsonl").write_text("{}\n")
    return tmp_path / "home"


def kept(home: Path) -> tuple[Kept, list[str]]:
    """What is kept of Claude Code's sessions, and the names of the copies."""
    target = home.parent / "kept"
    result = native.keep(home, "claude", target)
    return result, sorted(str(path.relative_to(target)) for path in target.rglob("*") if not path.is_dir())


def test_session_files_are_copied_with_their_places(home: Path) -> None:
    (home / ".claude" / "projects" / "secret.txt").write_text("x")
    (home / ".claude" / "settings.jsonl").write_text("x")
    assert kept(home) == (Kept(files=1, bytes=3), [".claude/projects/-workspace/one.jsonl"])


def test_no_link_is_followed_at_any_level(home: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.jsonl").write_text("secret")
    (home / ".claude" / "projects" / "linked").symlink_to(outside)
    (home / ".claude" / "projects" / "linked.jsonl").symlink_to(outside / "secret.jsonl")
    assert kept(home)[1] == [".claude/projects/-workspace/one.jsonl"]
    (home / ".claude" / "projects").rename(outside / "projects")
    (home / ".claude" / "projects").symlink_to(outside / "projects")
    assert native.keep(home, "claude", tmp_path / "again") == Kept()


def test_what_is_no_regular_file_is_not_waited_for(home: Path) -> None:
    os.mkfifo(home / ".claude" / "projects" / "pipe.jsonl")
    (home / ".claude" / "projects" / "folder.jsonl").mkdir()
    assert kept(home)[0] == Kept(files=1, bytes=3)


def test_a_file_that_is_too_large_is_left_out(home: Path) -> None:
    large = home / ".claude" / "projects" / "large.jsonl"
    with large.open("wb") as file:
        file.truncate(native.MAX_FILE_BYTES + 1)
    assert kept(home) == (Kept(files=1, bytes=3, left_out=1), [".claude/projects/-workspace/one.jsonl"])


def test_of_too_many_files_some_are_left_out(home: Path) -> None:
    for n in range(native.MAX_FILES + 5):
        (home / ".claude" / "projects" / f"{n}.jsonl").write_text("")
    assert (kept(home)[0].files, kept(home)[0].left_out) == (native.MAX_FILES, 6)


def test_a_name_that_is_no_utf8_is_kept_under_one_that_is(home: Path) -> None:
    name = os.fsencode(home / ".claude" / "projects") + b"/\xff.jsonl"
    with open(name, "w") as file:
        file.write("{}")
    assert ".claude/projects/\ufffd.jsonl" in kept(home)[1]


@pytest.mark.parametrize("name", [b"\xff" * 240 + b".jsonl", b"\xff" * 100 + b"/one.jsonl"])
def test_a_name_that_cannot_stand_here_costs_only_its_file(home: Path, name: bytes) -> None:
    path = os.fsencode(home / ".claude" / "projects") + b"/" + name
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write("{}")
    assert kept(home) == (Kept(files=1, bytes=3, left_out=1), [".claude/projects/-workspace/one.jsonl"])


def test_names_that_become_one_cost_only_their_file(home: Path) -> None:
    projects = os.fsencode(home / ".claude" / "projects")
    os.makedirs(projects + "/\ufffd.jsonl".encode())
    for name in (b"/\xff.jsonl", "/\ufffd.jsonl/one.jsonl".encode()):
        with open(projects + name, "w") as file:
            file.write("{}")
    assert kept(home)[0] == Kept(files=2, bytes=5, left_out=1)


def test_a_home_without_sessions_or_no_home_gives_nothing(tmp_path: Path) -> None:
    assert native.keep(tmp_path / "none", "claude", tmp_path / "kept") == Kept()
    assert native.keep(tmp_path, "text", tmp_path / "kept") == Kept()
    assert not (tmp_path / "kept").exists()
