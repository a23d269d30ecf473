"""`ptb agents`: what there is, what it needs, what is behind."""

import json
from pathlib import Path
from typing import Any

import driving
import pytest

REAL = ["claude", "codex", "gemini", "opencode", "qwen"]


def ask(*words: str, cwd: Path, **env: str) -> Any:
    answer = driving.ptb("agents", *words, "--json", cwd=cwd, **env)
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


def npm(folder: Path, text: str) -> str:
    """A PATH on which that script is npm."""
    script = folder / "bin" / "npm"
    script.parent.mkdir()
    script.write_text(text)
    script.chmod(0o755)
    return f"{script.parent}:/usr/bin:/bin"


def test_the_real_agents_are_listed_with_model_and_key(tmp_path: Path) -> None:
    rows = {row["name"]: row for row in ask("list", cwd=tmp_path, ANTHROPIC_API_KEY="k", OPENAI_API_KEY="")}
    assert set(REAL) <= set(rows)
    assert rows["claude"]["key"] == "ANTHROPIC_API_KEY is set"
    assert rows["codex"]["key"] == "OPENAI_API_KEY is not set"


def test_a_variant_is_shown_with_its_own_model_and_command(tmp_path: Path) -> None:
    plain, low = (ask("show", name, cwd=tmp_path) for name in ("claude", "claude:low"))
    assert low["command"] == [*plain["command"], "--effort", "low"]
    assert ask("show", "claude:sonnet", cwd=tmp_path)["model"] == "claude-sonnet-5-5"
    assert ask("show", "opencode:gpt", cwd=tmp_path)["provider"] == "https://api.openai.com"


def test_an_agent_is_shown_in_words(tmp_path: Path) -> None:
    answer = driving.ptb("agents", "show", "qwen", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "OPENROUTER_API_KEY is not set" in answer.stdout
    assert "qwen:max = Qwen3.8 Max" in answer.stdout


def test_a_secret_of_the_host_is_never_shown(tmp_path: Path) -> None:
    for name in REAL:
        answer = driving.ptb("agents", "show", name, cwd=tmp_path, ANTHROPIC_API_KEY="canary", OPENAI_API_KEY="canary")
        assert answer.returncode == 0, answer.stderr
        assert "canary" not in answer.stdout + answer.stderr


def test_outdated_compares_with_the_registry(tmp_path: Path) -> None:
    path = npm(tmp_path, "#!/bin/sh\n[ \"$1 $3\" = 'view version' ] || exit 9\necho 99.0.0\n")
    (row,) = ask("outdated", "codex", cwd=tmp_path, PATH=path)
    assert row == {**row, "name": "codex", "package": "@openai/codex", "latest": "99.0.0", "state": "outdated"}


def test_outdated_takes_all_programs_without_a_name(tmp_path: Path) -> None:
    rows = ask("outdated", cwd=tmp_path, PATH=npm(tmp_path, "#!/bin/sh\necho 0.61.0\n"))
    assert set(REAL) <= {row["name"] for row in rows}
    assert {row["name"]: row["state"] for row in rows}["gemini"] == "current"


def test_outdated_says_offline_in_a_sentence(tmp_path: Path) -> None:
    path = npm(tmp_path, "#!/bin/sh\necho 'npm error code ENOTFOUND' >&2\nexit 1\n")
    answer = driving.ptb("agents", "outdated", "claude", cwd=tmp_path, PATH=path)
    assert (answer.returncode, answer.stderr) == (
        4,
        "ptb agents: The npm registry cannot be reached (ENOTFOUND), and @anthropic-ai/claude-code comes from there. "
        "Check the network.\n",
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["show"], "Name one agent"),
        (["show", "nobody"], "no agent named 'nobody'"),
        (["show", "claude:tiny"], "no variant 'tiny'"),
        (["install", "sft"], "'sft' brings no program"),
    ],
)
def test_what_cannot_be_is_said(tmp_path: Path, words: list[str], sentence: str) -> None:
    answer = driving.ptb("agents", *words, cwd=tmp_path)
    assert answer.returncode == 2
    assert sentence in answer.stderr
