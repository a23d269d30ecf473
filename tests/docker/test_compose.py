"""The services of docker-compose.yml: built from this checkout, started, asked, ended."""

import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from docking import missing, reachable, until

ROOT = Path(__file__).parents[2]
PORT = 18789
PROJECT = f"ptbtest{os.getpid()}"


def compose() -> list[str]:
    """The command, of either generation."""
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    if subprocess.run(["docker", "compose", "version"], capture_output=True).returncode != 0:
        missing("the engine has no compose")
    return ["docker", "compose"]


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Path]:
    """A copy of the checkout with the services started from it, whose hub is nowhere."""
    if reachable().is_podman():
        pytest.skip("podman gives compose's containers limits of its own, which not every machine lets it give")
    command = [*compose(), "-p", PROJECT]
    source = tmp_path / "source"
    for name in subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.splitlines():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    wheel = [sys.executable, "-m", "pip", "wheel", "-q", "-w", "wheels", "hatchling", ".[gateway]"]
    subprocess.run(wheel, cwd=source, check=True)
    environment = os.environ | {
        "PTB_SERVICE_BASE": "ptb/base:bookworm",
        "PTB_SERVICE_IMAGE": f"{PROJECT}:latest",
        "PTB_PIP_ARGS": "--no-index --find-links /src/wheels",
        "PTB_MIRROR_LISTEN": f"127.0.0.1:{PORT}",
        "PTB_HUB": "http://127.0.0.1:9",
        "DOCKER_BUILDKIT": "0",
    }
    try:
        subprocess.run([*command, "up", "-d", "--build"], cwd=source, env=environment, check=True)
        yield source
    finally:
        subprocess.run([*command, "down", "-v", "--rmi", "all"], cwd=source, env=environment, check=False)


def asked(path: str) -> tuple[int, str]:
    """Status and text of an answer of the mirror; 0 while none comes."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}{path}", timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def test_the_mirror_is_built_and_serves(services: Path) -> None:
    until(lambda: asked("/api/models/org/name")[0], 60)
    status, text = asked("/api/models/org/name")
    assert status == 504
    assert "hub" in text
