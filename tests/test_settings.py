"""A flag wins over the environment, which wins over ptb.toml."""

from pathlib import Path

import pytest

from posttrainbench import settings
from posttrainbench.errors import ConfigError


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PTB_RUNS", "PTB_CACHE", "PTB_DATA"):
        monkeypatch.delenv(name, raising=False)


def test_the_default_is_a_folder_here(tmp_path: Path) -> None:
    assert settings.load({}, tmp_path).runs == tmp_path / "runs"
    assert settings.load({}, tmp_path).data is None


def test_who_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ptb.toml").write_text('runs_dir = "from-file"\n')
    assert settings.load({}, tmp_path).runs == tmp_path / "from-file"
    monkeypatch.setenv("PTB_RUNS", str(tmp_path / "from-environment"))
    assert settings.load({}, tmp_path).runs == tmp_path / "from-environment"
    assert settings.load({"runs_dir": "from-flag"}, tmp_path).runs == tmp_path / "from-flag"


def test_folders_of_the_file_join_the_catalog(tmp_path: Path) -> None:
    folder = tmp_path / "agents" / "mine"
    folder.mkdir(parents=True)
    (folder / "agent.toml").write_text('name = "mine"\nversion = "1"\ndescription = "d"\ncommand = ["true"]\n')
    (tmp_path / "ptb.toml").write_text('agents_dirs = ["agents"]\n')
    assert "mine" in settings.load({}, tmp_path).catalog.agents()


def test_an_unknown_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "ptb.toml").write_text('run_dir = "x"\n')
    with pytest.raises(ConfigError, match="run_dir"):
        settings.load({}, tmp_path)
