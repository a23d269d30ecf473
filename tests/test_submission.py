"""Submission by pull request: the workflow's file, and the script that it runs, in a real repository."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import bundling
import pytest
import yaml

from posttrainbench import bundle

ROOT = Path(__file__).parent.parent
WORKFLOW = ROOT / ".github" / "workflows" / "submission.yml"


def test_the_workflow_reads_strangers_data_without_leave_to_write() -> None:
    told: dict[Any, Any] = yaml.safe_load(WORKFLOW.read_text())
    assert told[True] == {"pull_request_target": {"paths": ["submissions/**"]}}  # YAML takes `on` for a truth value.
    assert told["permissions"] == {}
    verify, comment = told["jobs"]["verify"], told["jobs"]["comment"]
    assert verify["permissions"] == {"contents": "read"}
    assert comment["permissions"] == {"pull-requests": "write"}
    assert not any("checkout" in step.get("uses", "") for step in comment["steps"])
    (checkout,) = [step for step in verify["steps"] if "checkout" in step.get("uses", "")]
    assert checkout["with"]["persist-credentials"] is False
    assert "ref" not in checkout["with"]  # The base branch: a pull request's code is never laid out.


def test_no_word_of_a_pull_request_is_put_into_a_command() -> None:
    jobs = yaml.safe_load(WORKFLOW.read_text())["jobs"].values()
    commands = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    assert [command for command in commands if "${{" in command] == []
    assert any(".ci/submission" in command for command in commands)
    assert os.access(ROOT / ".ci" / "submission", os.X_OK)


class Repository:
    """A repository with a base commit, and a branch that a stranger adds to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "-q", "-b", "main")
        self.git("config", "user.email", "a@b.c")
        self.git("config", "user.name", "A")
        (folder / "README.md").write_text("words")
        self.commit()
        self.git("checkout", "-q", "-b", "theirs")

    def git(self, *words: str) -> None:
        subprocess.run(["git", *words], cwd=self.folder, check=True, capture_output=True)

    def commit(self) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "x")

    def checked(self) -> tuple[int, str]:
        """Exit code and report, as the workflow gets them on the base branch."""
        self.git("checkout", "-q", "main")
        ptb = self.folder.parent / "ptb"
        ptb.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m posttrainbench.cli "$@"\n')
        ptb.chmod(0o755)
        report = self.folder.parent / "report.md"
        done = subprocess.run(
            [str(ROOT / ".ci" / "submission"), "main", "theirs", str(report)],
            cwd=self.folder,
            env={**os.environ, "PTB": str(ptb)},
            capture_output=True,
            text=True,
        )
        assert not done.stderr, done.stderr
        return done.returncode, report.read_text()


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "repository")
    (made.folder / "submissions").mkdir()
    bundle.seal(bundling.sealed(tmp_path / "run"), made.folder / "submissions" / "made-run.ptb.tar.gz", environment={})
    return made


def test_a_good_bundle_is_taken(repository: Repository) -> None:
    repository.commit()
    code, report = repository.checked()
    assert code == 0, report
    assert "**taken** `made-run.ptb.tar.gz`" in report
    assert "made-run: scored; 12 checks found nothing wrong." in report


def test_a_bad_one_beside_it_is_refused_with_the_reason(repository: Repository) -> None:
    good = (repository.folder / "submissions" / "made-run.ptb.tar.gz").read_bytes()
    (repository.folder / "submissions" / "other.ptb.tar.gz").write_bytes(good[:-1])
    repository.commit()
    code, report = repository.checked()
    assert code == 1
    assert "**refused** `other.ptb.tar.gz`" in report
    assert "    refused  archive: other.ptb.tar.gz is not as it was packed" in report
    assert "**taken** `made-run.ptb.tar.gz`" in report


@pytest.mark.parametrize(
    "path",
    [
        "README.md",
        "posttrainbench/evil.py",
        "submissions/notes.txt",
        "submissions/a/b.ptb.tar.gz",
        "submissions/<img src=x>`@all`\n# Title.ptb.tar.gz",
        "submissions/$(touch pwned).ptb.tar.gz",
        "submissions/-rf.ptb.tar.gz",
    ],
)
def test_any_other_change_is_refused(path: str, repository: Repository) -> None:
    (repository.folder / "submissions" / "made-run.ptb.tar.gz").unlink()
    place = repository.folder / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("changed")
    repository.commit()
    code, report = repository.checked()
    assert code == 1
    assert "this is another change" in report
    assert "No bundle was added." in report
    assert not list(repository.folder.parent.rglob("pwned"))
    strangers = [line for line in report.splitlines() if "img" in line or "@all" in line or "Title" in line]
    assert all(line.startswith("    ") for line in strangers)


def test_a_link_is_not_followed(repository: Repository) -> None:
    bundle_ = repository.folder / "submissions" / "made-run.ptb.tar.gz"
    bundle_.unlink()
    bundle_.symlink_to("/etc/passwd")
    repository.commit()
    code, report = repository.checked()
    assert code == 1
    assert "a plain file" in report
    assert "root:" not in report
