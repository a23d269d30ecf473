"""Baselines are measured once, sealed like runs, and give later runs and boards their human baseline."""

import json
import shutil
from pathlib import Path
from typing import Any

import boarding
import pytest
from driving import CACHE

from posttrainbench import record
from posttrainbench.board import outcomes
from posttrainbench.board.entry import entry
from posttrainbench.catalog import Model, RandomModel
from posttrainbench.cli import main
from posttrainbench.inputs import model
from posttrainbench.strict import write_json

MODEL = """
name = "small"
title = "Small"
[source]
from = "random"
seed = 0
[instruct]
from = "folder"
path = "sibling"
"""
CELL = ["--task", "tiny", "--protocol", "smoke", "--limit", "8"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a base model whose instruct sibling lies in a folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PTB_CACHE", str(CACHE))
    made = model.obtain(Model(name="r", title="r", source=RandomModel(seed=1)), CACHE, print)
    shutil.copytree(made.folder, tmp_path / "models/sibling")
    (tmp_path / "models/small.toml").write_text(MODEL)
    return tmp_path


def ptb(*words: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main([*words, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.slow
def test_a_run_after_a_baseline_has_a_human_baseline(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--model", "small", "--models-dir", "models", *CELL]
    before = ptb("run", "--agent", "base", *words, capsys=capsys)
    assert before["human"] is None
    first = ptb("baseline", *words, capsys=capsys)
    assert (first["outcome"], first["plan"]["baseline"], first["freeze"]) == ("scored", "instruct", None)
    assert first["final"]["n"] == first["base"]["n"] == first["few_shot"]["n"] == 8
    assert first["final"] == first["human"]
    again = ptb("baseline", *words, capsys=capsys)
    assert again["final"] == first["final"]
    after = ptb("run", "--agent", "base", *words, capsys=capsys)
    assert after["human"] == first["final"]
    assert after["scores"]["human"]["value"] == first["scores"]["final"]["value"]
    assert "not measured" not in after["scores"]["uplift_note"]

    found = [record.read(path) for path in sorted(place.glob("runs/*/record.json"))]
    assert len(found) == 4
    entries = [entry(one) for one in found]
    loaded = {one.run: outcomes.load(one, place / "runs" / one.run) for one in found}
    (board,) = boarding.boards(entries, lambda one: loaded[one.run])
    assert [(row.agent, row.runs) for row in board.standings] == [("base", 2)]
    assert main(["verify", first["run"]]) == 0


@pytest.mark.slow
def test_without_a_sibling_it_says_so_and_goes_on_after_an_interrupt(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["baseline", "--model", "tiny-random", *CELL]) == 0
    said = capsys.readouterr()
    assert "names no instruct sibling" in " ".join(said.err.split())
    (path,) = place.glob("runs/*/record.json")
    found = record.read(path)
    assert (found.plan.baseline, found.human) == ("base", None)
    assert found.final == found.base
    # Interrupted after its plan was written, it goes on.
    plan = json.loads((path.parent / "plan.json").read_text())
    write_json(place / "runs/later/plan.json", {**plan, "run": "later"})
    resumed = ptb("resume", "later", capsys=capsys)
    assert (resumed["run"], resumed["final"]["questions"]) == ("later", found.base.questions if found.base else "")


@pytest.mark.parametrize("words", [["--limit", "0"], ["--instruct", "./nowhere"], ["--instruct", "smollm2-135m"]])
def test_what_cannot_be_done_is_a_sentence(place: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["baseline", "--model", "tiny-random", *CELL, *words]) == 2
    assert capsys.readouterr().err.startswith("ptb baseline: ")
    assert not (place / "runs").exists()
