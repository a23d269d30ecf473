"""The original's figures: whole or refused, marked as published, and with no interval that they do not allow."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from benching import shared_data

from posttrainbench.board import published
from posttrainbench.errors import ConfigError, MissingError

MODELS = {"Qwen3-4B-Base": "Qwen3-4B", "gemma-3-4b-pt": "gemma-3-4b-it"}


def told() -> dict[str, Any]:
    """A small file of figures that nobody published."""

    def cells(value: float, models: Any = MODELS) -> dict[str, dict[str, float]]:
        return {model: {"aime2025": value, "gsm8k": value} for model in models}

    single = {model: {"aime2025": {"counted": 0.1, "status": "scored"}} for model in MODELS}
    for row in single.values():
        row["gsm8k"] = {"counted": 0.1, "status": "disqualified", "raw": 0.9}
    row = {"weighted": 0.2, "std": 0.01, "runs": 3, "mean_time": "4:30:00", "std_time": "0:10:00"}
    return {
        "source": "made up",
        "weights": {"aime2025": 0.75, "gsm8k": 0.25},
        "base_and_instruct_zero_shot": cells(0.1) | cells(0.6, MODELS.values()),
        "base_few_shot": cells(0.2),
        "agents_mean_over_runs": {
            "A": {"mean": cells(0.2), "std": cells(0.02)},
            "B": {"mean": cells(0.5), "std": cells(0.02)},
            "C": {"mean": cells(0.5), "std": cells(0.02)},
        },
        "single_runs": {"once": single},
        "leaderboard": [{"agent": name, **row} for name in ("A", "B", "A fast")],
    }


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_the_board_is_marked_and_ranks_only_what_has_intervals(tmp_path: Path) -> None:
    board = published.board(write(tmp_path / "p.json", told()))
    assert (board.published, board.protocol, board.measure) == (True, "ptb-v1", "metric")
    assert "not measured here: made up" in board.note
    assert (board.base_score, board.few_shot_score, board.human_score) == pytest.approx((0.1, 0.2, 0.6))
    rows = {row.agent: row for row in board.standings}
    assert [row.agent for row in board.standings][:3] == ["B", "A", "A fast"]
    assert rows["B"].band == (1, 1)
    assert rows["A"].band == rows["A fast"].band == (2, 3)
    assert (rows["C"].band, rows["once"].band) == (None, None)
    assert "how many runs" in rows["C"].note
    assert rows["B"].hours == pytest.approx(4.5)
    assert rows["A fast"].cells == []


def test_a_single_run_shows_its_outcomes_and_no_invented_interval(tmp_path: Path) -> None:
    board = published.board(write(tmp_path / "p.json", told()))
    (row,) = [row for row in board.standings if row.agent == "once"]
    assert row.outcomes == {"disqualified": 2, "scored": 2}
    assert row.score is not None
    assert (row.score.low, row.score.high, row.score.method) == (row.score.value, row.score.value, published.NONE)
    cells = {cell.task: cell for cell in row.cells}
    assert cells["gsm8k"].score is None
    score = cells["aime2025"].score
    assert score is not None
    assert (score.method, score.low < 0.1 < score.high) == ("wilson", True)


def spoil(change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    content = told()
    change(content)
    return content


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it.pop("weights"),
        lambda it: it.update(extra=1),
        lambda it: it["weights"].update(gsm8k=0.5),
        lambda it: it["base_few_shot"].update(Unknown={"aime2025": 0.1, "gsm8k": 0.1}),
        lambda it: it["base_few_shot"]["Qwen3-4B-Base"].update(gsm8k=1.5),
        lambda it: it["agents_mean_over_runs"]["A"]["std"].pop("gemma-3-4b-pt"),
        lambda it: it["single_runs"]["once"]["gemma-3-4b-pt"].pop("gsm8k"),
        lambda it: it["single_runs"]["once"]["gemma-3-4b-pt"]["gsm8k"].update(status="fine"),
        lambda it: it["leaderboard"][0].update(mean_time="<b>"),
        lambda it: it["base_and_instruct_zero_shot"].pop("gemma-3-4b-it"),
    ],
)
def test_what_is_not_whole_is_refused_by_name(tmp_path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = write(tmp_path / "p.json", spoil(change))
    with pytest.raises(ConfigError, match=r"p\.json"):
        published.board(path)


def test_a_file_that_is_not_there_or_no_json(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="nothing.json cannot be read"):
        published.board(tmp_path / "nothing.json")
    path = tmp_path / "p.json"
    path.write_text("[")
    with pytest.raises(ConfigError, match="not a file of published figures"):
        published.board(path)


def test_the_real_figures_come_out_as_they_were_published() -> None:
    real = shared_data() / "published" / "posttrainbench.json"
    board = published.board(real)
    assert (board.base_score, board.few_shot_score, board.human_score) == pytest.approx(
        (0.0753, 0.1808, 0.5114), abs=1e-4
    )
    rows = {row.agent: row for row in board.standings}
    assert len(rows) == 12 + 2 + 13
    for row in published.read(real).leaderboard:
        score = rows[row.agent].score
        assert score is not None
        assert score.value == pytest.approx(row.weighted, abs=1e-9)
    # Its best, with three runs, stands above only some of the others.
    assert board.standings[0].agent == "Opus-4.6-1M"
    band = board.standings[0].band
    assert band is not None
    assert band[0] == 1
