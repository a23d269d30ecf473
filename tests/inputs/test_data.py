import json
from pathlib import Path

import msgspec
import pytest
from benching import TASKS, shared_data, task

from posttrainbench.catalog import Generated, Hub, Split
from posttrainbench.errors import ConfigError, DigestError, MissingError
from posttrainbench.inputs import data

TINY = TASKS / "tiny"


def test_a_generated_task_gives_the_declared_rows(tmp_path: Path) -> None:
    rows = data.fetch(task("tiny"), TINY, None, tmp_path)
    assert {name: len(split) for name, split in rows.items()} == {"dev": 24, "test": 32, "shots": 2, "train": 400}


def test_the_same_seed_gives_the_same_rows_and_another_gives_others(tmp_path: Path) -> None:
    first, second, other = (data.read(task("tiny"), TINY, {"pairs": seed}) for seed in (0, 0, 1))
    assert first == second != other


def test_another_seed_is_a_digest_error(tmp_path: Path) -> None:
    changed = msgspec.structs.replace(task("tiny"), data={"pairs": Generated(seed=1)})
    with pytest.raises(DigestError, match="split of tiny has"):
        data.fetch(changed, TINY, None, tmp_path)


def test_another_size_is_a_digest_error(tmp_path: Path) -> None:
    splits = task("tiny").splits
    changed = splits | {"dev": Split(size=25, digest=splits["dev"].digest)}
    with pytest.raises(DigestError, match="declares 25"):
        data.fetch(msgspec.structs.replace(task("tiny"), splits=changed), TINY, None, tmp_path)


@pytest.mark.parametrize("split", ["train", "test"])
def test_one_changed_row_of_a_file_is_a_digest_error(tmp_path: Path, split: str) -> None:
    copy_gsm8k(tmp_path / "gsm8k")
    path = tmp_path / "gsm8k" / f"{split}.jsonl"
    path.write_text(path.read_text().replace("72", "73", 1))
    with pytest.raises(DigestError):
        data.fetch(task("gsm8k"), TASKS / "gsm8k", tmp_path, tmp_path)


def test_the_order_of_a_file_does_not_matter(tmp_path: Path) -> None:
    copy_gsm8k(tmp_path / "gsm8k")
    path = tmp_path / "gsm8k" / "train.jsonl"
    path.write_text("".join(reversed(path.read_text().splitlines(keepends=True))))
    rows = data.fetch(task("gsm8k"), TASKS / "gsm8k", tmp_path, tmp_path)
    assert rows == data.fetch(task("gsm8k"), TASKS / "gsm8k", shared_data(), tmp_path)


def test_the_folder_that_holds_the_files_itself_will_do(tmp_path: Path) -> None:
    rows = data.fetch(task("gsm8k"), TASKS / "gsm8k", shared_data() / "gsm8k", tmp_path)
    assert len(rows["test"]) == 1319


def test_parquet_files_give_the_same_rows(tmp_path: Path) -> None:
    parquet, table = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow").Table
    sources = {}
    for name in ("train", "test"):
        text = (shared_data() / "gsm8k" / f"{name}.jsonl").read_text()
        sources[name] = tmp_path / f"{name}.parquet"
        parquet.write_table(table.from_pylist([json.loads(line) for line in text.splitlines()]), sources[name])
    rows = data.read(task("gsm8k"), TASKS / "gsm8k", sources)
    assert rows == data.fetch(task("gsm8k"), TASKS / "gsm8k", shared_data(), tmp_path)


def test_a_data_dir_without_the_file_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(MissingError) as caught:
        data.fetch(task("gsm8k"), TASKS / "gsm8k", tmp_path, tmp_path)
    assert str(tmp_path / "gsm8k" / "train.jsonl") in str(caught.value)
    assert "--data-dir" in str(caught.value)


def test_a_hub_that_cannot_be_reached_says_how_to_give_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    source = Hub(repo="nobody/nothing", revision="0" * 40, path="main/no.parquet", local="gsm8k/train.jsonl")
    changed = msgspec.structs.replace(task("gsm8k"), data={"train": source})
    with pytest.raises(MissingError, match="could not be fetched from the hub.*--data-dir"):
        data.fetch(changed, TASKS / "gsm8k", None, tmp_path)
    assert not list((tmp_path / "data").rglob("*.parquet"))


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("def rows(sources):\n    return {'dev': []}\n", "do not name the same splits"),
        ("def rows(sources):\n    return {'dev': [{'id': 'a'}], 'test': [{'id': 'a'}], 'shots': []}\n", "text `id`"),
        ("def rows(sources):\n    return {'dev': [{'id': 1}], 'test': [], 'shots': []}\n", "text `id`"),
    ],
)
def test_a_data_script_that_breaks_the_rules_is_a_config_error(tmp_path: Path, script: str, message: str) -> None:
    (tmp_path / "data.py").write_text(script)
    splits = {name: split for name, split in task("tiny").splits.items() if name in ("dev", "test", "shots")}
    with pytest.raises(ConfigError, match=message):
        data.fetch(msgspec.structs.replace(task("tiny"), splits=splits), tmp_path, None, tmp_path)


def test_a_task_without_a_data_script_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no data.py"):
        data.fetch(task("tiny"), tmp_path, None, tmp_path)


def copy_gsm8k(folder: Path) -> None:
    folder.mkdir()
    for name in ("train.jsonl", "test.jsonl"):
        (folder / name).write_bytes((shared_data() / "gsm8k" / name).read_bytes())
