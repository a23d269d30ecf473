import json
from pathlib import Path

import msgspec
import pytest
from benching import TASKS, lay, splits, task

from posttrainbench.errors import ConfigError
from posttrainbench.evaluation import bench
from posttrainbench.evaluation import cell as shipped
from posttrainbench.evaluation.bench import Bench


def test_the_agents_bench_holds_exactly_these_files(tmp_path: Path) -> None:
    folder = lay("tiny", tmp_path / "bench", chat_template="T")
    assert sorted(path.name for path in folder.iterdir()) == [
        "bench.json",
        "cell.py",
        "cell_answers.py",
        "cell_decoding.py",
        "cell_engine.py",
        "cell_generate.py",
        "chat_template.jinja",
        "lm_eval.yaml",
        "questions.jsonl",
        "scorer.py",
        "shots.jsonl",
        "train.jsonl",
    ]


def test_the_dev_bench_holds_no_test_question(tmp_path: Path) -> None:
    folder = lay("tiny", tmp_path / "bench")
    text = "".join(path.read_text() for path in folder.rglob("*") if path.is_file())
    assert [row["id"] for row in splits("tiny")["test"] if row["id"] in text or f'"{row["question"]}"' in text] == []


def test_the_test_bench_holds_no_training_data(tmp_path: Path) -> None:
    folder = lay("tiny", tmp_path / "bench", split="test")
    assert not (folder / "train.jsonl").exists()
    assert [json.loads(line) for line in (folder / "questions.jsonl").open()] == splits("tiny")["test"]


def test_bench_json_says_how_answers_are_generated(tmp_path: Path) -> None:
    folder = lay("tiny", tmp_path / "bench", limit=5)
    assert msgspec.json.decode((folder / "bench.json").read_bytes(), type=Bench) == Bench(
        task="tiny",
        version=1,
        metric="exact",
        decoding=task("tiny").decoding,
        few_shot=2,
        shots=0,
        decoding_from="task",
        split="dev",
        limit=5,
        chat_template=False,
        seed=0,
    )


@pytest.mark.parametrize(("shots", "beside"), [(0, 0), (1, 0), (2, 0), (5, 3)])
def test_worked_examples_beyond_those_set_aside_are_the_first_of_the_training_data(
    shots: int, beside: int, tmp_path: Path
) -> None:
    folder, rows = lay("tiny", tmp_path / "bench", split="test", shots=shots), splits("tiny")
    found = [json.loads(line) for line in (folder / "shots.jsonl").open()]
    assert found == rows["shots"] + rows["train"][:beside]
    assert msgspec.json.decode((folder / "bench.json").read_bytes(), type=Bench).shots == shots


def test_more_worked_examples_than_there_are_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"403 worked examples of tiny are asked for; it has 402 in all"):
        lay("tiny", tmp_path / "bench", shots=403)


def test_the_evaluator_in_the_bench_is_the_one_of_the_package(tmp_path: Path) -> None:
    folder = lay("tiny", tmp_path / "bench")
    for name in bench.EVALUATOR:
        assert (folder / name).read_bytes() == Path(str(shipped.__file__)).with_name(name).read_bytes()


def test_it_is_laid_anew(tmp_path: Path) -> None:
    folder = lay("tiny", tmp_path / "bench", chat_template="T")
    (folder / "left.txt").write_text("old")
    lay("tiny", folder)
    assert not (folder / "left.txt").exists()
    assert not (folder / "chat_template.jinja").exists()


def test_a_task_without_a_scorer_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "task" / "bench").mkdir(parents=True)
    (tmp_path / "task" / "bench" / "lm_eval.yaml").write_bytes((TASKS / "tiny/bench/lm_eval.yaml").read_bytes())
    with pytest.raises(ConfigError, match=r"no bench/scorer\.py"):
        bench.lay(
            task("tiny"),
            tmp_path / "task",
            splits("tiny"),
            tmp_path / "bench",
            split="dev",
            limit=None,
            chat_template=None,
            library=None,
            shots=0,
            decoding_from="task",
        )
