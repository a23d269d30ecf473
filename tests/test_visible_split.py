"""Only a protocol that says so shows the agent the questions that are scored."""

from pathlib import Path
from typing import Literal

import factory
import pytest
from driving import CACHE

from posttrainbench import pipeline
from posttrainbench.agent.workspace import PROMPT
from posttrainbench.catalog import open_catalog
from posttrainbench.evaluation import bench
from posttrainbench.folder import RunFolder
from posttrainbench.inputs import data
from posttrainbench.reporter import Silent
from posttrainbench.sandbox.local import Local
from posttrainbench.strict import digest_folder, read_json


def prepared(tmp_path: Path, split: Literal["dev", "test"]) -> tuple[RunFolder, set[str], set[str]]:
    """A prepared run, and the ids of the dev and the test questions."""
    task = open_catalog({}).tasks()["tiny"]
    plan = factory.plan(
        tmp_path,
        task=task.value,
        task_folder=str(task.path),
        task_digest=digest_folder(task.path),
        protocol=factory.protocol(visible_split=split, chat_template="none", min_free_gb=0.0),
    )
    run = pipeline.Run(plan, RunFolder(tmp_path / "run"), CACHE, Local(), Silent())
    run.folder.path.mkdir()
    pipeline.prepare(run)
    rows = data.fetch(task.value, task.path, None, CACHE, print)
    return run.folder, {row["id"] for row in rows["dev"]}, {row["id"] for row in rows["test"]}


@pytest.mark.parametrize("split", ["dev", "test"])
def test_the_agent_sees_the_split_that_the_protocol_names(tmp_path: Path, split: Literal["dev", "test"]) -> None:
    folder, dev, test = prepared(tmp_path, split)
    content = folder.bench.joinpath("questions.jsonl").read_text()
    seen, hidden = (dev, test) if split == "dev" else (test, dev)
    assert all(f'"{one}"' in content for one in seen)
    assert not any(f'"{one}"' in content for one in hidden)
    assert read_json(folder.bench / "bench.json", bench.Bench).split == split
    assert (folder.bench / "train.jsonl").exists()
    prompt = " ".join((folder.workspace / PROMPT).read_text().split())
    assert ("over questions that you do not have" in prompt) == (split == "dev")
    assert ("the very questions in `questions.jsonl`" in prompt) == (split == "test")
