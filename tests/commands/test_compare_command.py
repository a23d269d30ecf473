"""`ptb compare` finds runs by what is said of them, and ends with the verdict's exit code."""

import json
from pathlib import Path

import factory
import pytest
from boarding import seal

from posttrainbench.cli import main


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs each of two versions of `quick`, and of `other|<b>`, which scores much higher."""
    folder = tmp_path_factory.mktemp("compare") / "runs"
    for seed in range(3):
        seal(folder, f"one-{seed}", 0.4, seed=seed)
        seal(folder, f"two-{seed}", 0.4, seed=10 + seed, agent=factory.agent(folder, version="2"))
        seal(folder, f"high-{seed}", 0.8, seed=20 + seed, agent=factory.agent(folder, name="other|<b>"))
    return folder


def compare(runs: Path, *words: str) -> int:
    return main(["compare", *words, "--runs-dir", str(runs)])


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["quick@1", "agent=other|<b>"], 0),
        (["agent=other|<b>", "quick@1"], 22),
        (["quick@1", "agent=quick,version=2", "--within", "0.2"], 20),
        (["quick@1", "quick@2", "--within", "0.001"], 21),
        (["agent=quick,version=1,seed=0", "agent=quick,version=2,seed=10"], 21),
    ],
)
def test_each_verdict_has_its_exit_code(
    runs: Path, words: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare(runs, *words) == code
    verdict = {0: "better", 20: "equivalent", 21: "inconclusive", 22: "worse"}[code]
    assert f"{verdict}: " in capsys.readouterr().out


def test_globs_folders_json_and_markdown(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = tmp_path / "summary.md"
    words = [f"{runs}/one-*", f"{runs}/high-?", "--markdown", str(summary), "--json"]
    assert compare(runs, *words) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["a"]["runs"], found["b"]["runs"]) == ("better", 3, 3)
    assert found["effect"]["value"] == pytest.approx(0.4)
    text = summary.read_text()
    assert text.startswith("## Better: ")
    assert "| tiny × sums | 40.0 % | 80.0 % |" in text
    assert "<b>" not in text
    assert "other\\|&lt;b&gt;" in text


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nobody", "quick@1"], "no sealed run of nobody"),
        (["colour=red", "quick@1"], "is no term"),
        (["quick@1", "quick"], "in both sets"),
        (["quick@1", "quick@2", "--within", "0"], "no difference of scores"),
    ],
)
def test_what_cannot_be_compared_is_a_sentence(
    runs: Path, words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare(runs, *words) == 2
    assert told in capsys.readouterr().err


def test_a_changed_outcome_is_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seal(tmp_path, "a", 0.4)
    seal(tmp_path, "b", 0.4, agent=factory.agent(tmp_path, name="other"))
    path = tmp_path / "b/evaluation/final/questions.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"score":0.0', b'"score":1.0', 1))
    assert compare(tmp_path, "quick", "other") == 7
    assert "not the file that the run's record names" in capsys.readouterr().err
