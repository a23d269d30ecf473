"""Benches, models and caches for tests of the evaluation."""

import functools
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import platformdirs
import pytest

from posttrainbench import catalog
from posttrainbench.catalog import Hub, Task
from posttrainbench.errors import MissingError
from posttrainbench.evaluation import Measurement, bench, measure
from posttrainbench.inputs import data, model
from posttrainbench.sandbox import Sandbox
from posttrainbench.strict import digest_value, read_toml

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
    return {split: [dict(row) for row in rows] for split, rows in _splits(name).items()}


@contextmanager
def in_memory() -> Iterator[Path]:
    """A folder on a tmpfs that is gone afterwards."""
    if not os.path.ismount("/dev/shm"):
        pytest.skip("no tmpfs at /dev/shm; as root it could be mounted")
    place = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="ptb-test-"))
    place.chmod(0o755)
    try:
        yield place
    finally:
        shutil.rmtree(place)


@functools.cache
def _splits(name: str) -> dict[str, list[dict[str, Any]]]:
    folder = shared_data() if any(isinstance(source, Hub) for source in task(name).data.values()) else None
    try:
        return data.fetch(task(name), TASKS / name, folder, cache())
    except MissingError as error:
        pytest.skip(str(error))


def sealed(name: str, place: Path) -> dict[str, list[dict[str, Any]]]:
    """A bundled task's published test split alone, checked by digest; `place` is a folder for a file that is no data.
    HumanEval's can so be had where MBPP, its dev split, is wanting."""
    if name != "humaneval":
        return {"test": splits(name)["test"]}
    none = place / "no-mbpp.json"
    none.write_text("[]")
    sources: dict[str, Path | int] = {"test": shared_data() / "humaneval" / "HumanEval.jsonl.gz"}
    rows = data.read(task(name), TASKS / name, {"dev": none, "shots": none, **sources})["test"]
    assert digest_value(rows) == task(name).splits["test"].digest
    return {"test": rows}


def library(name: str) -> Path | None:
    """A bundled task's library; the test is skipped where it cannot be had."""
    try:
        return data.library(task(name), cache())
    except MissingError as error:
        pytest.skip(str(error))


def lay(name: str, folder: Path, **changes: Any) -> Path:
    """The bench of a bundled task, in `folder`."""
    values: dict[str, Any] = {"split": "dev", "limit": None, "chat_template": None, "library": library(name)}
    values |= {"shots": 0, "decoding_from": "task"}
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


def lay_sealed(name: str, folder: Path, place: Path, **changes: Any) -> Path:
    """The bench of a bundled task's published test split, in `folder`; `place` as for `sealed`."""
    values: dict[str, Any] = {"limit": None, "chat_template": None, "library": library(name)}
    values |= {"shots": 0, "decoding_from": "task"}
    told = changes.pop("task", task(name))
    bench.lay(told, TASKS / name, sealed(name, place), folder, split="test", **values | changes)
    return folder


def first_questions(sandbox: Sandbox, name: str, place: Path) -> Measurement:
    """What SmolLM2 scores in that sandbox on the first two questions of a task's published test split, with short
    answers; `place` is a folder in memory, since GPQA's questions must not lie on a disk."""
    weights = model.obtain(catalog.open_catalog({}).models()["smollm2-135m"].value, cache(), str)
    decoding = msgspec.structs.replace(task(name).decoding, max_tokens=32, samples=1)
    told = msgspec.structs.replace(task(name), decoding=decoding)
    laid = lay_sealed(name, place / "bench", place, task=told, limit=2)
    found = measure.measure(sandbox, bench=laid, model=weights.folder, out=place / "out")
    assert isinstance(found, Measurement), found
    return found
