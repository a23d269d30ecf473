"""The catalog reads folders strictly, and a name stands in one place."""

from pathlib import Path

import pytest

from posttrainbench import catalog
from posttrainbench.catalog import find, open_catalog, split_variant
from posttrainbench.errors import ConfigError, UsageError

AGENT = """
name = "mine"
version = "1"
description = "Mine."
command = ["{python}", "{agent}/main.py"]
[variants.fast]
arguments = ["--fast"]
"""


def agent_folder(root: Path, name: str = "mine", text: str = AGENT) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "agent.toml").write_text(text)
    return root


def test_the_bundled_catalog_is_well_formed() -> None:
    known = open_catalog({})
    assert {"base", "sft", "command"} <= set(known.agents())
    assert {"aime2025", "bfcl", "bfcl-simple", "gpqa", "gsm8k", "humaneval", "tiny"} <= set(known.tasks())
    assert {"smollm2-135m", "tiny-random"} <= set(known.models())
    assert {"smoke", "sealed-v1"} <= set(known.protocols())


def test_a_user_folder_adds_an_agent(tmp_path: Path) -> None:
    known = open_catalog({"agents": (agent_folder(tmp_path),)})
    assert known.agents()["mine"].value.variants["fast"].arguments == ["--fast"]
    assert known.agents()["mine"].path == tmp_path / "mine"


def test_the_same_name_twice_is_an_error_that_names_both_places(tmp_path: Path) -> None:
    agent_folder(tmp_path, "base", AGENT.replace("mine", "base"))
    with pytest.raises(ConfigError, match="stands in two places") as error:
        open_catalog({"agents": (tmp_path,)}).agents()
    assert str(tmp_path) in str(error.value)


def test_a_name_that_is_not_the_folder_s_is_an_error(tmp_path: Path) -> None:
    agent_folder(tmp_path, "other")
    with pytest.raises(ConfigError, match="'mine'.*'other'"):
        open_catalog({"agents": (tmp_path,)}).agents()


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (AGENT + "colour = 'red'\n", "colour"),
        (AGENT.replace('version = "1"', "version = 1"), "version"),
        (AGENT.replace('description = "Mine."', ""), "description"),
        (AGENT + "needs = ['money']\n", "money"),
        ("name = ", "TOML"),
    ],
)
def test_a_wrong_agent_file_names_what_is_wrong(tmp_path: Path, text: str, word: str) -> None:
    text = text.replace('[variants.fast]\narguments = ["--fast"]\n', "")
    with pytest.raises(ConfigError, match=word):
        open_catalog({"agents": (agent_folder(tmp_path, text=text),)}).agents()


def test_a_folder_without_its_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"agent\.toml does not exist"):
        open_catalog({"agents": (tmp_path,)}).agents()


def test_a_missing_extra_folder_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a folder"):
        open_catalog({"tasks": (tmp_path / "absent",)})


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="no agent named 'clod'. Known: claude, codex"):
        find({"codex": 1, "claude": 2}, "clod", "agent")


def test_variants_are_split_at_the_colon() -> None:
    assert split_variant("claude:opus") == ("claude", "opus")
    assert split_variant("base") == ("base", "")


def test_an_installed_plug_in_adds_its_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    package = site / "ptb_extra"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    agent_folder(package / "agents")
    info = site / "ptb_extra-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ptb-extra\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[posttrainbench.catalog]\nextra = ptb_extra\n")
    monkeypatch.syspath_prepend(str(site))
    assert "mine" in catalog.open_catalog({}).agents()
