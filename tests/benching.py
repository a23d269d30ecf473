"""Benches, models and caches for tests of the evaluation."""

import importlib.util
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import platformdirs
import pytest

from posttrainbench import catalog
from posttrainbench.catalog import Hub, Task
from posttrainbench.errors import MissingError
from posttrainbench.evaluation import bench
from posttrainbench.inputs import data
from posttrainbench.strict import read_toml

TASKS = catalog.bundled() / "tasks"


def cache() -> Path:
    """Where tests keep what they download, from one run of the tests to the next."""
    return Path(os.environ.get("PTB_TEST_CACHE") or platformdirs.user_cache_path("ptb-tests"))


def shared_data() -> Path:
    """The folder with published data sets; the test is skipped where there is none."""
    folder = Path(os.environ.get("PTB_TEST_DATA") or catalog.bundled().parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no benchmark data at {folder}; set PTB_TEST_DATA")
    return folder


def task(name: str) -> Task:
    """A bundled task."""
    return read_toml(TASKS / name / "task.toml", Task)


def splits(name: str) -> dict[str, list[dict[str, Any]]]:
    """A bundled task's rows; the test is skipped where they cannot be had."""
    folder = shared_data() if any(isinstance(source, Hub) for source in task(name).data.values()) else None
    try:
        return data.fetch(task(name), TASKS / name, folder, cache())
    except MissingError as error:
        pytest.skip(str(error))


def library(name: str) -> Path | None:
    """A bundled task's library; the test is skipped where it cannot be had."""
    try:
        return data.library(task(name), cache())
    except MissingError as error:
        pytest.skip(str(error))


def lay(name: str, folder: Path, **changes: Any) -> Path:
    """The bench of a bundled task, in `folder`."""
    values: dict[str, Any] = {"split": "dev", "limit": None, "chat_template": None, "library": library(name)}
    bench.lay(changes.pop("task", task(name)), TASKS / name, splits(name), folder, **values | changes)
    return folder


def module(path: Path, name: str) -> ModuleType:
    """The Python file at `path`, imported under `name`."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


# What an honest evaluator does, without a model: every answer is right, once `write()` is called.
HONEST = """
import hashlib, json, os, sys
from pathlib import Path
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
bench, out = Path(options["--bench"]), Path(options["--out"])
told = json.loads((bench / "bench.json").read_text())
ids = [json.loads(line)["id"] for line in (bench / "questions.jsonl").open()]
ids.sort(key=lambda one: hashlib.sha256(f"{told['seed']}:{one}".encode()).hexdigest())
rows = [{"id": one, "score": 1.0, "samples": [1.0], "responses": ["a"], "prompt_digest": "sha256:0"} for one in ids]
rows = rows[: told["limit"]]
result = {key: told[key] for key in ("task", "version", "split", "metric", "decoding", "chat_template")}
result |= {"few_shot": int(options["--few-shot"]), "n": len(rows), "score": 1.0, "backend": options["--backend"]}
result |= {"device": "cpu", "dtype": "float32", "batch_size": 32, "tries": [], "versions": {}, "seconds": 1.5}
if "--last-try" in options:
    result["tries"].append({"batch_size": 32, "outcome": options["--last-try"]})
def write():
    lines = "".join(json.dumps(row) + "\\n" for row in rows).encode()
    (out / "questions.jsonl").write_bytes(lines)
    result.setdefault("questions_digest", "sha256:" + hashlib.sha256(lines).hexdigest())
    (out / "result.json").write_text(json.dumps(result))
"""


def pretend(bench: Path, script: str) -> None:
    """Put an honest stand-in of cell.py into the bench, followed by `script`."""
    (bench / "cell.py").write_text(HONEST + script + "\n")
