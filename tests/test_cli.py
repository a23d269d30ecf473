"""The command as a user meets it: help, exit codes, sentences, no traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from posttrainbench.cli import VERBS

TINY = ["--agent", "base", "--task", "tiny", "--model", "tiny-random", "--protocol", "smoke"]


def ptb(*words: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the real command."""
    return subprocess.run(
        [sys.executable, "-m", "posttrainbench.cli", *words],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "100", **env},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_help_teaches(tmp_path: Path) -> None:
    answer = ptb("--help", cwd=tmp_path)
    assert answer.returncode == 0
    told = {line.split()[0] for line in answer.stdout.splitlines() if line.startswith("    ") and line.strip()}
    assert [verb for verb in VERBS if verb not in told] == []
    assert "exit codes:" in answer.stdout
    assert "ptb run --agent sft" in answer.stdout


def test_no_words_show_help(tmp_path: Path) -> None:
    assert ptb(cwd=tmp_path).stdout == ptb("--help", cwd=tmp_path).stdout


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom posttrainbench import cli\n"
        "try: cli.main(['--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'numpy', 'rich', 'msgspec', 'jinja2', 'lm_eval'} & set(sys.modules)), file=sys.stderr)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr == "[]\n"


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_help(verb: str, tmp_path: Path) -> None:
    answer = ptb(verb, "--help", cwd=tmp_path)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert len(answer.stdout.splitlines()) > 5


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["fly"], 2, "invalid choice"),
        (["run", "--agent", "base"], 2, "--task"),
        (["run", *TINY, "--agent", "clod"], 2, "There is no agent named 'clod'. Known: base, claude, codex, command"),
        (["run", *TINY, "--agent", "base:big"], 2, "no variant 'big'"),
        (["run", *TINY, "--task", "chess"], 2, "There is no task named 'chess'. Known: "),
        (["run", *TINY, "--protocol", "lax"], 2, "There is no protocol named 'lax'"),
        (["run", *TINY, "--sandbox", "cage"], 2, "sandbox"),
        (["run", *TINY, "--hours", "0"], 2, "--hours 0"),
        (["run", *TINY, "--hours", "nan"], 2, "--hours nan"),
        (["run", *TINY, "--limit", "0"], 2, "--limit 0"),
        (["run", *TINY, "--seed", "-1"], 2, "--seed -1"),
        (["run", *TINY, "--agent", "command"], 2, "after `--`"),
        (["run", *TINY, "--", "true"], 2, "has its own command"),
        (["run", *TINY, "--model", "no-such-model"], 2, "no-such-model"),
        (["run", *TINY, "--model", "./no-such-folder"], 2, "no-such-folder"),
        (["resume", "nothing"], 2, "There is no run 'nothing'"),
        (["show", "last"], 2, "There is no run 'last'"),
        (["verify", "x"], 2, "There is no run"),
        (["stop", "x"], 2, "There is no run"),
        (["evaluate", "x"], 2, "There is no run"),
        (["evaluate", ".", "--task", "tiny"], 2, "no checkpoint folder"),
        (["list", "runs", "--agents-dir", "absent"], 2, "not a folder"),
    ],
)
def test_what_is_typed_wrong_gets_a_sentence_and_2(words: list[str], code: int, sentence: str, tmp_path: Path) -> None:
    answer = ptb(*words, cwd=tmp_path)
    assert sentence in answer.stderr
    assert "Traceback" not in answer.stderr
    assert answer.returncode == code
    assert not (tmp_path / "runs").exists()


def test_a_wrong_file_gets_a_sentence_and_3(tmp_path: Path) -> None:
    (tmp_path / "ptb.toml").write_text("colour = 'red'\n")
    answer = ptb("list", "agents", cwd=tmp_path)
    assert answer.returncode == 3
    assert "ptb.toml" in answer.stderr
    assert "colour" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_check_says_every_kind_and_finds_what_is_missing(tmp_path: Path) -> None:
    answer = ptb("check", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert [line.split(":")[0] for line in answer.stdout.splitlines()] == ["agents", "tasks", "models", "protocols"]
    folder = tmp_path / "mine" / "half"
    folder.mkdir(parents=True)
    (folder / "agent.toml").write_text(
        'name = "half"\nversion = "1"\ndescription = "d"\ncommand = ["{python}", "{agent}/main.py"]\n'
    )
    answer = ptb("check", "--agents-dir", "mine", cwd=tmp_path)
    assert answer.returncode == 3
    assert "main.py, which is not in the folder" in answer.stderr
    assert "tasks: " in answer.stdout


def test_a_protocol_that_needs_a_gpu_says_so_where_there_is_none(tmp_path: Path) -> None:
    words = [*TINY[:-1], "sealed-v1"]
    answer = ptb("run", *words, cwd=tmp_path, PATH="/usr/bin:/bin", CUDA_VISIBLE_DEVICES="")
    assert answer.returncode == 4
    assert "asks for 1 GPU" in answer.stderr


def test_a_dry_run_prints_the_plan_and_starts_nothing(tmp_path: Path) -> None:
    answer = ptb("run", *TINY, "--seed", "7", "--dry-run", "--json", cwd=tmp_path)
    plan = json.loads(answer.stdout)
    assert (plan["seed"], plan["agent"]["name"], plan["protocol"]["name"]) == (7, "base", "smoke")
    assert plan["task_digest"].startswith("sha256:")
    assert not (tmp_path / "runs").exists()


def test_cards_and_what_generates_follow_from_the_protocol_unless_said(tmp_path: Path) -> None:
    for words, found in (
        ([*TINY[:-1], "sealed-v1"], (None, "vllm")),
        (TINY, (None, "hf")),
        ([*TINY, "--gpus", "2"], (2, "vllm")),
        ([*TINY, "--gpus", "2", "--backend", "hf"], (2, "hf")),
    ):
        plan = json.loads(ptb("run", *words, "--dry-run", "--json", cwd=tmp_path).stdout)
        assert (plan["gpus"], plan["backend"]) == found
    assert "2 GPUs instead of 0" in ptb("run", *TINY, "--gpus", "2", "--dry-run", cwd=tmp_path).stdout
    assert ptb("run", *TINY, "--gpus", "-1", "--dry-run", cwd=tmp_path).returncode == 2


def test_a_dry_run_promises_no_more_questions_than_there_are(tmp_path: Path) -> None:
    words = ptb("run", *TINY, "--limit", "400", "--dry-run", cwd=tmp_path).stdout
    assert "32 of 32 test questions" in words


def test_lists_are_json_where_asked(tmp_path: Path) -> None:
    for kind in ("agents", "tasks", "models", "protocols"):
        assert len(json.loads(ptb("list", kind, "--json", cwd=tmp_path).stdout)) >= 2
    assert json.loads(ptb("list", "runs", "--json", cwd=tmp_path).stdout) == []


def test_doctor_tells_what_is_there(tmp_path: Path) -> None:
    answer = ptb("doctor", "--json", cwd=tmp_path)
    rows = {row["what"]: row for row in json.loads(answer.stdout)}
    assert {"local extra", "disk", "clock", "sandbox local", "engine", "GPU", "hub", "keys"} <= set(rows)
    assert answer.returncode == (4 if any(row["state"] == "missing" for row in rows.values()) else 0)


def test_list_runs_survives_a_closed_pipe(tmp_path: Path) -> None:
    command = f"{sys.executable} -m posttrainbench.cli list agents | true"
    answer = subprocess.run(["bash", "-o", "pipefail", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert "Traceback" not in answer.stderr
