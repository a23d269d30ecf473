import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from benching import lay, pretend

from posttrainbench.errors import InfrastructureError
from posttrainbench.evaluation import Measurement, baseline, measure
from posttrainbench.sandbox.local import Local

# Each call of the evaluator tells another time, so a measurement that comes back unchanged was not taken again.
TIMED = "result['versions'] = {'measured at': str(__import__('time').time_ns())}\nwrite()"


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    folder = lay("tiny", tmp_path / "bench")
    pretend(folder, TIMED)
    return folder


def base(bench: Path, folder: Path, name: str, **changes: Any) -> Measurement:
    """A baseline of an empty model, laid into `folder/name`."""
    (folder / "model").mkdir(exist_ok=True)
    values: dict[str, Any] = {
        "bench": bench,
        "model": folder / "model",
        "model_digest": "sha256:1",
        "out": folder / name,
        "cache": folder / "cache",
    }
    return baseline.base_measurement(Local(), **values | changes)


def test_it_is_measured_once(bench: Path, tmp_path: Path) -> None:
    assert base(bench, tmp_path, "a") == base(bench, tmp_path, "b")


def test_every_caller_gets_the_questions_too(bench: Path, tmp_path: Path) -> None:
    base(bench, tmp_path, "a")
    base(bench, tmp_path, "b")
    assert measure.outcomes(tmp_path / "a") == measure.outcomes(tmp_path / "b")
    assert measure.log(tmp_path / "b").is_file()


@pytest.mark.parametrize("changes", [{"model_digest": "sha256:2"}, {"few_shot": 2}, {"backend": "vllm"}])
def test_another_model_number_of_examples_or_backend_is_another_baseline(
    bench: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    assert base(bench, tmp_path, "a").versions != base(bench, tmp_path, "b", **changes).versions


@pytest.mark.parametrize("name", ["scorer.py", "shots.jsonl", "bench.json", "cell.py", "new.txt"])
def test_any_change_of_the_bench_is_another_baseline(bench: Path, tmp_path: Path, name: str) -> None:
    first = base(bench, tmp_path, "a")
    with (bench / name).open("a") as file:
        file.write("\n")
    assert base(bench, tmp_path, "b").versions != first.versions


def test_a_damaged_one_is_measured_again(bench: Path, tmp_path: Path) -> None:
    first = base(bench, tmp_path, "a")
    (kept,) = (tmp_path / "cache" / "baselines").glob("*/questions.jsonl")
    kept.write_text("{}\n")
    assert base(bench, tmp_path, "b").versions != first.versions
    assert len(measure.outcomes(tmp_path / "b")) == 24


def test_two_at_once_measure_it_once(bench: Path, tmp_path: Path) -> None:
    found: list[Measurement] = []
    threads = [threading.Thread(target=lambda name=name: found.append(base(bench, tmp_path, name))) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [found[0]] * 3


def test_a_base_model_that_cannot_be_used_is_our_fault_and_not_kept(bench: Path, tmp_path: Path) -> None:
    pretend(bench, "sys.exit(65)")
    with pytest.raises(InfrastructureError, match="base model"):
        base(bench, tmp_path, "a")
    assert not list((tmp_path / "cache" / "baselines").glob("*/result.json"))


def test_what_a_killed_one_left_does_not_stand_in_the_way(bench: Path, tmp_path: Path) -> None:
    first = base(bench, tmp_path, "a")
    (kept,) = (tmp_path / "cache" / "baselines").glob("*/result.json")
    shutil.copytree(kept.parent, kept.parent.with_name(".unfinished-1"))
    kept.unlink()
    assert base(bench, tmp_path, "b").versions != first.versions
