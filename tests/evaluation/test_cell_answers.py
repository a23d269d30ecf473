"""What a kill leaves of the answers, and what is taken from it."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from posttrainbench.evaluation.cell_answers import Asked, Journal, Progress, seed_of


def asked(id_: str, sample: int = 0) -> Asked:
    return Asked(id_, sample, SimpleNamespace(args=("prompt", {})))


def written(path: Path) -> Journal:
    """Three answers in two batches of a try that was interrupted."""
    journal = Journal(path, "k")
    journal.begin(2, None)
    journal.engine({"device": "cpu"})
    journal.add([(asked("a"), "one"), (asked("b"), "\ud800 two\n")])
    journal.add([(asked("a", 1), "three")])
    return journal


def test_what_was_written_is_taken_up(tmp_path: Path) -> None:
    first, again = written(tmp_path / "j"), Journal(tmp_path / "j", "k")
    assert again.answers == first.answers == {("a", 0): "one", ("b", 0): "\ud800 two\n", ("a", 1): "three"}
    assert again.facts == {"device": "cpu"}
    (one,) = again.tries
    assert (one["batch_size"], one["memory"], one["outcome"], one["answered"]) == (2, None, "interrupted", 3)


def test_another_key_takes_nothing_and_begins_anew(tmp_path: Path) -> None:
    written(tmp_path / "j")
    assert Journal(tmp_path / "j", "other").answers == {}
    assert Journal(tmp_path / "j", "k").answers == {}


def test_a_file_torn_at_any_byte_gives_a_prefix_of_the_answers_and_can_be_written_on(tmp_path: Path) -> None:
    whole = list(written(tmp_path / "j").answers.items())
    content = (tmp_path / "j").read_bytes()
    counts = set()
    for length in range(len(content) + 1):
        (tmp_path / "torn").write_bytes(content[:length])
        torn = Journal(tmp_path / "torn", "k")
        assert list(torn.answers.items()) == whole[: len(torn.answers)]
        counts.add(len(torn.answers))
        torn.begin(1, None)
        torn.add([(asked("z"), "last")])
        assert Journal(tmp_path / "torn", "k").answers == torn.answers
    assert counts == {0, 2, 3}


@pytest.mark.parametrize(
    "line",
    ["[]", "null", "5", '{"answers": [["a"]]}', '{"answers": 3, "t": 1}', "[" * 100_000, '{"begin": {}}', "\xff"],
)
def test_nothing_is_taken_from_behind_a_line_that_makes_no_sense(tmp_path: Path, line: str) -> None:
    kept = written(tmp_path / "j").answers
    with (tmp_path / "j").open("a") as file:
        file.write(line + "\n" + json.dumps({"answers": [["c", 0, "four"]], "t": 1}) + "\n")
    assert Journal(tmp_path / "j", "k").answers == kept


def test_each_try_is_remembered_with_what_it_gave(tmp_path: Path) -> None:
    written(tmp_path / "j").end("out of memory")
    again = Journal(tmp_path / "j", "k")
    again.begin(1, 0.5)
    again.add([(asked("c"), "four")])
    again.end("done")
    tries = [(one["batch_size"], one["outcome"], one["answered"]) for one in Journal(tmp_path / "j", "k").tries]
    assert tries == [(2, "out of memory", 3), (1, "done", 1)]


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "j").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError):
        Journal(tmp_path / "j", "k")


def test_a_seed_depends_on_what_is_asked_alone() -> None:
    assert seed_of(0, [("a", 0)]) == seed_of(0, [("a", 0)]) < 2**63
    others = {seed_of(0, [("a", 1)]), seed_of(0, [("b", 0)]), seed_of(1, [("a", 0)]), seed_of(0, [("a", 0), ("b", 0)])}
    assert len(others | {seed_of(0, [("a", 0)])}) == 5


def test_the_time_left_is_told_from_this_process_own_speed(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(1000, 990)
    progress._begun -= 60.0
    progress.add(5)
    assert capsys.readouterr().err == "scored 995/1000, 60 s left\n"
    progress.add(0)
    progress.add(5)
    assert capsys.readouterr().err == "scored 1000/1000, 0 s left\n"
