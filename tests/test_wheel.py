"""The built wheel, installed without extras on its own: what is bundled is found, and a missing extra is a sentence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TINY = ["--agent", "base", "--task", "tiny", "--model", "tiny-random", "--protocol", "smoke"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel and the core's dependencies alone; gives its bin folder."""
    folder = tmp_path_factory.mktemp("wheel")
    clean = {**os.environ, "PYTHONPATH": ""}
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, env=clean, capture_output=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True, env=clean)
    (wheel,) = folder.glob("*.whl")
    pip = [
        str(folder / "venv/bin/python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        str(wheel),
    ]
    subprocess.run(pip, check=True, env=clean, capture_output=True)
    return folder / "venv" / "bin"


def ptb(installed: Path, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {"PATH": "/usr/bin:/bin", "HOME": str(cwd)}
    return subprocess.run(
        [str(installed / "ptb"), *words], cwd=cwd, env=env, capture_output=True, text=True, timeout=60
    )


@pytest.mark.slow
def test_bundled_folders_are_found_in_a_built_install(installed: Path, tmp_path: Path) -> None:
    answer = ptb(installed, "check", cwd=tmp_path)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "bfcl" in ptb(installed, "list", "tasks", cwd=tmp_path).stdout


@pytest.mark.slow
def test_hidden_settings_of_agents_are_in_the_wheel(installed: Path) -> None:
    (agents,) = installed.parent.glob("lib/python*/site-packages/posttrainbench/bundled/agents")
    found = {path.relative_to(agents).as_posix() for path in agents.glob("*/home/.*/**/*") if path.is_file()}
    assert {"gemini/home/.gemini/settings.json", "codex/home/.codex/config.toml"} <= found


@pytest.mark.slow
def test_a_missing_extra_is_named_with_the_command_that_installs_it(installed: Path, tmp_path: Path) -> None:
    answer = ptb(installed, "run", *TINY, cwd=tmp_path)
    assert answer.returncode == 4, answer.stderr
    assert "pip install 'posttrainbench[local]'" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_doctor_says_the_same_and_ends_with_4(installed: Path, tmp_path: Path) -> None:
    answer = ptb(installed, "doctor", cwd=tmp_path)
    assert answer.returncode == 4
    assert "posttrainbench[local]" in answer.stdout
