"""What is written for people is true: verbs, flags, links, bundled names."""

import argparse
import importlib
import re
from pathlib import Path

import pytest

from posttrainbench.cli import VERBS
from posttrainbench.errors import PtbError

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_and_a_section_that_names_its_flags(verb: str) -> None:
    module = importlib.import_module(f"posttrainbench.commands.{verb}")
    parser = argparse.ArgumentParser()
    module.arguments(parser)
    text = (ROOT / "docs/commands.md").read_text()
    assert f"## `ptb {verb}`" in text
    flags = {flag for action in parser._actions for flag in action.option_strings if flag.startswith("--")}
    common = {"--help", "--json", "--protocol", "--limit", "--backend", "--task"}
    assert [flag for flag in sorted(flags - common) if f"`{flag}" not in text and flag not in text] == []


def test_every_exit_code_is_documented() -> None:
    text = (ROOT / "docs/commands.md").read_text()
    codes = {error.exit_code for error in PtbError.__subclasses__()}
    assert len(codes) == len(PtbError.__subclasses__())
    assert [code for code in sorted(codes) if f"| {code} |" not in text] == []


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name
)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_the_readme_s_two_commands_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert [name for name in ("demo", "test") if not re.search(rf"^{name}:", makefile, re.M)] == []
