"""Boards rank like with like, by bands, and no failure or cheat gains by it."""

import msgspec
import pytest
from boarding import World, boards

from posttrainbench.board.standings import Board, Standing


def one(world: World) -> Board:
    (made,) = boards(world.entries, world.load)
    return made


def row(board: Board, agent: str) -> Standing:
    (found,) = [standing for standing in board.standings if standing.agent == agent]
    return found


def test_clear_differences_are_ranks_and_unclear_ones_bands() -> None:
    world = World()
    for seed in range(3):
        world.add("strong", 0.65, seed=seed)
        world.add("also", 0.64, seed=10 + seed)
        world.add("weak", 0.25, seed=20 + seed)
    board = one(world)
    assert (board.measure, board.human_score, board.base_score) == ("uplift", pytest.approx(1.0), pytest.approx(0.0))
    bands = {standing.agent: standing.band for standing in board.standings}
    assert bands == {"strong": (1, 2), "also": (1, 2), "weak": (3, 3)}
    score = row(board, "strong").score
    assert score is not None
    assert score.value == pytest.approx((0.65 - 0.2) / 0.5)
    assert score.low < score.value < score.high


def test_failures_and_cheats_count_no_uplift_and_broken_runs_nothing() -> None:
    world = World()
    world.add("mixed", 0.6)
    world.add("mixed", None, seed=1)
    world.add("mixed", None, seed=2, outcome="disqualified", verdict="disqualified")
    world.add("mixed", None, seed=3, outcome="infrastructure")
    standing = row(one(world), "mixed")
    assert standing.score is not None
    assert standing.score.value == pytest.approx(0.8 / 3)
    assert standing.outcomes == {"disqualified": 1, "infrastructure": 1, "no_checkpoint": 1, "scored": 1}
    assert standing.verdicts == {"clean": 3, "disqualified": 1}
    (cell,) = standing.cells
    assert cell.score is not None
    assert (cell.runs, cell.score.value) == (4, pytest.approx(0.6))


def test_a_regression_is_shown_and_counts_zero_but_stands_before_a_failure() -> None:
    world = World()
    world.add("fails", None)
    world.add("honest", 0.1)
    board = one(world)
    assert [standing.agent for standing in board.standings] == ["honest", "fails"]
    honest = row(board, "honest")
    assert honest.score is not None
    assert honest.score.value == 0
    assert honest.cells[0].gain is not None
    assert honest.cells[0].gain.value == pytest.approx(-0.1)


def test_an_agent_without_all_cells_is_not_ranked() -> None:
    world = World()
    for agent in ("a", "b"):
        for task in ("sums", "words"):
            world.add(agent, 0.5, task=task)
    world.add("lucky", 0.69, task="sums")
    world.add("broken", 0.69, task="sums")
    world.add("broken", None, task="words", outcome="infrastructure")
    board = one(world)
    assert [standing.agent for standing in board.standings[:2]] == ["a", "b"]
    for agent in ("lucky", "broken"):
        found = row(board, agent)
        assert (found.band, found.complete) == (None, False)
        assert "tiny × words" in found.note


def test_the_protocol_s_weights_weigh_tasks() -> None:
    world = World()
    rules = {"weights": {"sums": 0.75, "words": 0.25}, "models": ["tiny"]}
    world.add("a", 0.7, task="sums", protocol=rules)
    world.add("a", 0.2, task="words", protocol=rules)
    board = one(world)
    score = row(board, "a").score
    assert board.weights == {"sums": 0.75, "words": 0.25}
    assert score is not None
    assert score.value == pytest.approx(0.75)


def test_the_sandbox_local_is_marked_and_not_ranked_officially() -> None:
    world = World()
    world.add("free", 0.6, sandbox="local")
    world.add("held", 0.5)
    board = one(world)
    assert [standing.agent for standing in board.standings] == ["held", "free"]
    assert not row(board, "free").sandboxed
    assert "does not isolate" in row(board, "free").note


def test_a_protocol_for_trying_out_gives_a_board_that_says_so() -> None:
    world = World()
    world.add("free", 0.6, sandbox="local", protocol={"scored": False})
    board = one(world)
    assert not board.scored
    assert "nothing is ranked officially" in board.note
    assert row(board, "free").band == (1, 1)


def test_other_rules_are_another_board() -> None:
    world = World()
    world.add("a", 0.6)
    world.add("a", 0.6, hours_allowed=5.0)
    world.add("a", 0.6, limit=10)
    made = boards(world.entries, world.load)
    assert [len(board.standings[0].cells[0].names) for board in made] == [1, 1, 1]
    assert [board.scored for board in made] == [True, False, False]
    assert len({board.id for board in made}) == 3
    assert any("5 instead of 0.001 hours" in board.note for board in made)


def test_without_an_instruct_model_gains_are_ranked() -> None:
    world = World()
    world.add("a", 0.6, human=None)
    world.add("b", 0.3, human=None)
    board = one(world)
    assert (board.measure, board.human_score) == ("gain", None)
    score = row(board, "a").score
    assert score is not None
    assert score.value == pytest.approx(0.4)


def test_a_baseline_record_gives_the_scale_and_is_no_agent() -> None:
    world = World()
    world.add("a", 0.45, human=None)
    world.add("instruct", 0.7, human=None, baseline="instruct")
    board = one(world)
    assert [standing.agent for standing in board.standings] == ["a"]
    score = row(board, "a").score
    assert board.measure == "uplift"
    assert score is not None
    assert score.value == pytest.approx(0.5)


def test_runs_on_other_questions_are_left_out_by_name() -> None:
    world = World()
    old = world.add("a", 0.6, questions="sha256:older")
    world.add("a", 0.6)
    board = one(world)
    assert [left.run for left in board.left_out] == [old.run]
    assert row(board, "a").runs == 1


def test_substitution_by_the_base_score_ranks_scores_as_they_are() -> None:
    world = World()
    rules = {"substitution": "base_score"}
    world.add("a", 0.6, protocol=rules)
    world.add("a", None, protocol=rules)
    board = one(world)
    score = row(board, "a").score
    assert (board.measure, board.base_score, board.human_score) == (
        "metric",
        pytest.approx(0.2),
        pytest.approx(0.7),
    )
    assert score is not None
    assert score.value == pytest.approx(0.4)


def test_without_outcomes_intervals_come_from_those_on_the_record() -> None:
    world = World()
    world.add("a", 0.6)
    with_outcomes = row(one(world), "a").score
    (board,) = boards(world.entries)
    without = row(board, "a").score
    assert with_outcomes is not None
    assert without is not None
    assert without.value == pytest.approx(with_outcomes.value)
    assert 0.5 < (without.high - without.low) / (with_outcomes.high - with_outcomes.low) < 2


def test_more_runs_and_more_cells_make_an_interval_narrower_only_as_runs_differ() -> None:
    steady, wild = World(), World()
    for seed in range(6):
        steady.add("a", 0.5, seed=seed)
        wild.add("a", 0.5 + 0.18 * (-1) ** seed, seed=seed)
    calm, rough = row(one(steady), "a").score, row(one(wild), "a").score
    assert calm is not None
    assert rough is not None
    assert rough.high - rough.low > 1.5 * (calm.high - calm.low)
    assert (calm.method, rough.method) == ("runs and questions", "runs and questions")


def test_a_board_is_json_and_back() -> None:
    world = World()
    world.add("a", 0.6)
    board = one(world)
    assert msgspec.json.decode(msgspec.json.encode(board), type=Board) == board
    assert msgspec.json.decode(msgspec.json.encode(world.entries), type=list[type(world.entries[0])]) == world.entries


def test_no_runs_are_no_boards() -> None:
    assert boards([]) == []
