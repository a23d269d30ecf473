"""Plans merge variants, name runs, and hold digests."""

import datetime
from pathlib import Path

import factory
import pytest

from posttrainbench.catalog import Agent, Api, Decoding, Entry, Variant, open_catalog
from posttrainbench.errors import ConfigError, UsageError
from posttrainbench.plan import bounded, merge, name_run, versions
from posttrainbench.protocol import Protocol
from posttrainbench.strict import read_toml

WHEN = datetime.datetime(2026, 11, 24, 1, 2, 3, tzinfo=datetime.UTC)


def entry(folder: Path, **changes: object) -> Entry[Agent]:
    (folder / "agent.toml").write_text("x")
    values = {
        "name": "mine",
        "version": "2",
        "description": "d",
        "command": ["go"],
        "resume_command": ["again"],
        "env": {"A": "1", "B": "1"},
        "variants": {"fast": Variant(env={"B": "2"}, arguments=["--fast"])},
    }
    return Entry(Agent(**(values | changes)), folder)  # type: ignore[arg-type]


def test_a_variant_adds_arguments_and_wins_in_the_environment(tmp_path: Path) -> None:
    plan = merge(entry(tmp_path), "fast", [])
    assert plan.command == ["go", "--fast"]
    assert plan.resume_command == ["again", "--fast"]
    assert plan.env == {"A": "1", "B": "2"}
    assert plan.label == "mine:fast"


def test_without_a_variant_nothing_is_added(tmp_path: Path) -> None:
    plan = merge(entry(tmp_path), "", [])
    assert (plan.command, plan.env, plan.label) == (["go"], {"A": "1", "B": "1"}, "mine")


def test_the_digest_is_that_of_the_folder(tmp_path: Path) -> None:
    before = merge(entry(tmp_path), "", []).digest
    (tmp_path / "helper.py").write_text("x")
    assert merge(entry(tmp_path), "", []).digest != before


def test_a_command_line_goes_to_the_agent_that_asks_for_one_only(tmp_path: Path) -> None:
    assert merge(entry(tmp_path, needs=["command"], command=[]), "", ["./x"]).command == ["./x"]
    with pytest.raises(UsageError, match="its own command"):
        merge(entry(tmp_path), "", ["./x"])
    with pytest.raises(UsageError, match="after `--`"):
        merge(entry(tmp_path, needs=["command"]), "", [])


def test_names_of_runs_sort_by_time_and_hold_no_odd_characters() -> None:
    name = name_run(WHEN, "command", "bfcl", "org/name@main\n../x")
    assert name.startswith("20261124-010203-command-bfcl-org_name_main_.._x-")
    assert name_run(WHEN, "a", "b", "c") != name_run(WHEN, "a", "b", "c")


def test_versions_name_python_and_what_is_installed() -> None:
    found = versions()
    assert "python" in found
    assert "numpy" in found


@pytest.mark.parametrize(
    ("bounds", "left"),
    [({}, (100, 4)), ({"max_tokens": 10}, (10, 4)), ({"max_tokens": 1000, "samples": 1}, (100, 1))],
)
def test_a_protocol_bounds_what_a_task_generates_and_changes_nothing_else(
    bounds: dict[str, int], left: tuple[int, int]
) -> None:
    task = factory.task(decoding=Decoding(max_tokens=100, samples=4, temperature=0.5))
    found = bounded(task, factory.protocol(**bounds))
    assert found == factory.task(decoding=Decoding(max_tokens=left[0], samples=left[1], temperature=0.5))


def test_a_variant_may_name_another_model_or_another_interface(tmp_path: Path) -> None:
    api, other = Api(dialect="anthropic", model="big"), Api(dialect="gemini", model="g")
    variants = {"small": Variant(model="small"), "other": Variant(api=other)}
    one = entry(tmp_path, api=api, variants=variants)
    assert merge(one, "", []).api == api
    assert merge(one, "small", []).api == Api(dialect="anthropic", model="small")
    assert merge(one, "other", []).api == other


def test_a_run_says_where_it_departs_from_its_protocol(tmp_path: Path) -> None:
    kept = factory.plan(tmp_path)
    assert (kept.deviations, kept.cards) == ([], 0)
    other = factory.plan(tmp_path, hours=2.5, limit=3, gpus=2)
    assert other.cards == 2
    assert other.deviations == [
        "2.5 hours instead of 0.001",
        "2 GPUs instead of 0",
        "3 test questions instead of all",
    ]
    assert factory.plan(tmp_path, gpus=0).deviations == []


def test_a_protocol_says_how_many_worked_examples_a_prompt_has(tmp_path: Path) -> None:
    def numbers(**rules: object) -> tuple[int, int]:
        drawn = factory.plan(tmp_path, protocol=factory.protocol(**rules))
        return drawn.shots, drawn.few_shot

    assert numbers() == (0, 2)
    assert numbers(shots={"words": 5}) == (0, 2)
    assert numbers(shots={"sums": 1}) == (1, 2)
    # The few-shot baseline has not fewer of them than what is scored.
    assert numbers(shots={"sums": 10}) == (10, 10)
    assert numbers(shots={"sums": 10}, few_shot_baseline=False) == (10, 0)


@pytest.mark.parametrize(
    "line",
    [
        *('decoding = "model"', "shots = { sums = 0 }", "shots = { sums = 101 }", "shots = 3"),
        *("overtime_seconds = -1", "overtime_seconds = 3601", "overtime_seconds = nan"),
    ],
)
def test_rules_that_make_no_sense_are_refused(line: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.toml"
    path.write_text("\n".join(['name = "odd"', "version = 1", 'title = "Odd"', "hours = 1", line]))
    with pytest.raises(ConfigError, match=line.partition(" ")[0]):
        read_toml(path, Protocol)


@pytest.mark.parametrize("weights", [{"sums": 0.5}, {"sums": 1.5, "words": -0.5}])
def test_weights_come_to_one(weights: dict[str, float], tmp_path: Path) -> None:
    path = tmp_path / "odd.toml"
    lines = ["[weights]", *(f"{task} = {share}" for task, share in weights.items())]
    path.write_text("\n".join(['name = "odd"', "version = 1", 'title = "Odd"', "hours = 1", *lines]))
    with pytest.raises(ConfigError, match="weights must be above 0 and come to 1"):
        read_toml(path, Protocol)


def test_bundled_protocols_weigh_known_tasks_and_models() -> None:
    known = open_catalog({})
    for protocol, _ in known.protocols().values():
        assert set(protocol.weights) <= set(known.tasks())
        assert set(protocol.models) <= set(known.models())
        for name, number in protocol.shots.items():
            sizes = known.tasks()[name].value.splits
            assert number <= sum(sizes[split].size for split in ("shots", "train") if split in sizes)
