"""Installing an agent's program: what npm refuses becomes a sentence; what it installs is checked and kept."""

import json
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from posttrainbench import catalog
from posttrainbench.catalog import Npm
from posttrainbench.errors import (
    ConfigError,
    DigestError,
    InfrastructureError,
    MissingError,
    PtbError,
    StorageError,
)
from posttrainbench.inputs import clis

INSTALL = Npm(package="tool", version="1.2.3", program="node_modules/tool-linux/tool")
PACKAGE = {"version": "1.2.3", "integrity": "sha512-AAAA"}
INSTALLS = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/calls"
mkdir -p node_modules/tool-linux
printf '#!/bin/sh\\necho hello\\n' > node_modules/tool-linux/tool
chmod 700 node_modules/tool-linux node_modules/tool-linux/tool
echo registry > node_modules/.package-lock.json
"""


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    folder = tmp_path / "agents" / "mine"
    folder.mkdir(parents=True)
    (folder / "package.json").write_text("{}")
    lock(folder, {"": {}, "node_modules/tool-linux": PACKAGE})
    return folder


def lock(folder: Path, packages: object) -> None:
    (folder / "package-lock.json").write_text(json.dumps({"lockfileVersion": 3, "packages": packages}))


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script in npm's place, which stands first on PATH."""
    script = tmp_path / "bin" / "npm"
    script.parent.mkdir()
    monkeypatch.setenv("PATH", f"{script.parent}:/usr/bin:/bin")
    return script


def plays(script: Path, text: str) -> None:
    script.write_text(text)
    script.chmod(0o755)


def fails(script: Path, code: str, reason: str = "the reason") -> None:
    plays(script, f"#!/bin/sh\necho 'npm error code {code}' >&2\necho 'npm error {reason}' >&2\nexit 1\n")


def obtain(agent: Path, tmp_path: Path, install: Npm = INSTALL) -> clis.Installed:
    return clis.obtain(agent, install, tmp_path / "cache", lambda text: None)


def test_a_program_is_installed_once_without_scripts_and_links(agent: Path, npm: Path, tmp_path: Path) -> None:
    plays(npm, INSTALLS)
    first, second = obtain(agent, tmp_path), obtain(agent, tmp_path)
    assert first == second
    (call,) = (npm.parent / "calls").read_text().splitlines()
    assert {"ci", "--ignore-scripts", "--no-bin-links"} <= set(call.split())


def test_what_is_installed_can_be_read_and_run_by_anybody(agent: Path, npm: Path, tmp_path: Path) -> None:
    plays(npm, INSTALLS)
    folder = obtain(agent, tmp_path).folder
    program = folder / INSTALL.program
    assert [oct(path.stat().st_mode & 0o777) for path in (program.parent, program, folder / "package.json")] == [
        "0o755",
        "0o755",
        "0o644",
    ]


def test_the_digest_does_not_depend_on_where_it_came_from(agent: Path, npm: Path, tmp_path: Path) -> None:
    plays(npm, INSTALLS)
    first = obtain(agent, tmp_path)
    plays(npm, INSTALLS.replace("echo registry", "echo another"))
    second = clis.obtain(agent, INSTALL, tmp_path / "elsewhere", lambda text: None)
    assert first.digest == second.digest


def test_a_program_that_was_changed_in_the_cache_is_installed_again(agent: Path, npm: Path, tmp_path: Path) -> None:
    plays(npm, INSTALLS)
    program = obtain(agent, tmp_path).folder / INSTALL.program
    program.write_text("something else")
    obtain(agent, tmp_path)
    assert "hello" in program.read_text()


def test_without_npm_the_sentence_says_what_to_install(
    agent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        MissingError, match=r"npm is not installed, and tool comes from the npm registry\. Install Node"
    ):
        obtain(agent, tmp_path)


@pytest.mark.parametrize(
    ("code", "kind", "sentence"),
    [
        ("EINTEGRITY", DigestError, "another file than tool pins: the reason"),
        ("ENOTFOUND", MissingError, "cannot be reached .ENOTFOUND., and tool comes from there"),
        ("EAI_AGAIN", MissingError, "cannot be reached"),
        ("E404", MissingError, "does not have all that tool needs: the reason"),
        ("EBADPLATFORM", MissingError, "tool is pinned for other machines than this one"),
        ("EUSAGE", ConfigError, "package.json and package-lock.json of tool contradict"),
        ("ENOSPC", StorageError, "could not write what tool needs"),
        ("EWHATEVER", InfrastructureError, "npm failed for tool .EWHATEVER.: the reason"),
    ],
)
def test_what_npm_says_becomes_a_sentence(
    agent: Path, npm: Path, tmp_path: Path, code: str, kind: type[PtbError], sentence: str
) -> None:
    fails(npm, code)
    with pytest.raises(kind, match=sentence):
        obtain(agent, tmp_path)
    assert [path.name for path in (tmp_path / "cache" / "clis").iterdir() if path.is_dir()] == []


def test_a_program_that_the_packages_do_not_hold_is_named(agent: Path, npm: Path, tmp_path: Path) -> None:
    plays(npm, INSTALLS.replace("tool-linux/tool", "tool-linux/other"))
    with pytest.raises(MissingError, match="hold no program node_modules/tool-linux/tool for this machine"):
        obtain(agent, tmp_path)


@pytest.mark.parametrize(
    ("packages", "problem"),
    [
        ({"node_modules/tool-linux": {"version": "1.2.3"}}, "without a sha512 integrity hash"),
        ({"node_modules/tool-linux": PACKAGE | {"version": "1.2.4"}}, "says version 1.2.3, and .* pins 1.2.4"),
        ({"node_modules/other": PACKAGE}, "pins none for node_modules/tool-linux/tool"),
        ([], "is not a lock file"),
    ],
)
def test_a_lock_that_does_not_pin_the_program_is_refused(
    agent: Path, npm: Path, tmp_path: Path, packages: object, problem: str
) -> None:
    plays(npm, INSTALLS)
    lock(agent, packages)
    with pytest.raises(ConfigError, match=problem):
        obtain(agent, tmp_path)


def test_a_package_under_another_name_has_the_platform_in_its_version(agent: Path) -> None:
    lock(agent, {"node_modules/tool-linux": PACKAGE | {"version": "1.2.3-linux-x64"}})
    assert list(clis.problems(agent, INSTALL)) == []


def test_an_agent_without_a_lock_is_refused(agent: Path, tmp_path: Path) -> None:
    (agent / "package-lock.json").unlink()
    with pytest.raises(ConfigError, match="needs a package-lock.json beside agent.toml"):
        obtain(agent, tmp_path)


@pytest.mark.parametrize("name", ["claude", "codex", "gemini", "opencode", "qwen"])
def test_a_bundled_lock_names_no_registry_and_pins_all(name: str) -> None:
    entry = catalog.open_catalog({}).agents()[name]
    assert entry.value.install
    assert list(clis.problems(entry.path, entry.value.install)) == []
    assert "resolved" not in (entry.path / "package-lock.json").read_text()
    assert entry.value.version == entry.value.install.version


@pytest.mark.slow
def test_a_real_program_is_installed_and_says_its_version(tmp_path: Path) -> None:
    if not shutil.which("npm"):
        pytest.skip("npm is not installed")
    entry = catalog.open_catalog({}).agents()["opencode"]
    install = entry.value.install
    assert install
    folder = clis.obtain(entry.path, install, tmp_path, lambda text: None).folder
    moved = folder.rename(tmp_path / "moved")
    answer = subprocess.run(
        [moved / install.program, "--version"], env={"HOME": str(tmp_path)}, capture_output=True, text=True, timeout=60
    )
    assert answer.stdout.strip() == install.version


@pytest.mark.slow
def test_a_real_npm_refuses_a_package_with_another_digest(tmp_path: Path) -> None:
    if not shutil.which("npm"):
        pytest.skip("npm is not installed")
    entry = catalog.open_catalog({}).agents()["opencode"]
    install = entry.value.install
    assert install
    folder = tmp_path / "agents" / "opencode"
    shutil.copytree(entry.path, folder)
    pinned = msgspec.json.decode((folder / "package-lock.json").read_bytes())
    pinned["packages"]["node_modules/opencode-linux-x64"]["integrity"] = "sha512-" + "A" * 86 + "=="
    (folder / "package-lock.json").write_text(json.dumps(pinned))
    with pytest.raises(DigestError, match="another file than opencode-ai pins"):
        clis.obtain(folder, install, tmp_path / "cache", lambda text: None)
