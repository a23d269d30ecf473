"""The bench: a folder with all that cell.py needs to score a model on one split.

The agent is shown one with the dev split; the evaluator gets another with the test split. Only the rows differ.
"""

import shutil
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from posttrainbench.catalog import Decoding, Task
from posttrainbench.errors import ConfigError
from posttrainbench.strict import Value, disk, write_bytes, write_json, write_lines

SEED = 0
"""Orders the questions for limits, and seeds sampling: the same for every run, so that runs share questions."""

EVALUATOR = ("cell.py", "cell_answers.py", "cell_decoding.py", "cell_engine.py", "cell_generate.py")
"""The program that scores, and its parts."""

Rows = Mapping[str, Sequence[Mapping[str, Any]]]


class Bench(Value, frozen=True, kw_only=True):
    """`bench.json`."""

    task: str
    version: int
    metric: str
    decoding: Decoding
    few_shot: int
    """Worked examples that the few-shot baseline takes."""
    shots: int
    """Worked examples in the prompts unless a caller says otherwise."""
    decoding_from: Literal["task", "checkpoint"]
    """As the protocol has it."""
    split: Literal["dev", "test"]
    limit: int | None
    """How many questions are scored unless a caller says otherwise; None: all."""
    chat_template: bool
    seed: int


def lay(
    task: Task,
    task_folder: Path,
    rows: Rows,
    folder: Path,
    *,
    split: Literal["dev", "test"],
    limit: int | None,
    chat_template: str | None,
    library: Path | None,
    shots: int,
    decoding_from: Literal["task", "checkpoint"],
    with_train: bool = False,
) -> Bench:
    """Make the bench's folder anew. `rows` are those of every split; `library` is a folder with code for the scorer,
    which becomes `lib/`; `with_train` lays out the training data beside a test split too. Where the scored prompts have
    more worked examples (`shots`) than the task has set aside, the others are the first of its training data."""
    examples = [*rows.get("shots", []), *rows.get("train", [])[: max(0, shots - len(rows.get("shots", [])))]]
    if len(examples) < shots:
        raise ConfigError(f"{shots} worked examples of {task.name} are asked for; it has {len(examples)} in all.")
    bench = Bench(
        task=task.name,
        version=task.version,
        metric=task.metric,
        decoding=task.decoding,
        few_shot=task.few_shot,
        shots=shots,
        decoding_from=decoding_from,
        split=split,
        limit=limit,
        chat_template=chat_template is not None,
        seed=SEED,
    )
    for name in ("lm_eval.yaml", "scorer.py"):
        if not (task_folder / "bench" / name).is_file():
            raise ConfigError(f"The task {task.name} has no bench/{name} in {task_folder}; every task needs one.")
    unneeded = shutil.ignore_patterns("__pycache__", ".*")
    with disk(f"lay out the bench of {task.name}"):
        if folder.exists():
            shutil.rmtree(folder)
        shutil.copytree(task_folder / "bench", folder, ignore=unneeded)
        if library is not None:
            shutil.copytree(library, folder / "lib", ignore=unneeded)
    for name in EVALUATOR:
        write_bytes(folder / name, resources.files("posttrainbench.evaluation").joinpath(name).read_bytes())
    write_lines(folder / "questions.jsonl", rows[split])
    write_lines(folder / "shots.jsonl", examples)
    if (split == "dev" or with_train) and "train" in rows:
        write_lines(folder / "train.jsonl", rows["train"])
    if chat_template is not None:
        write_bytes(folder / "chat_template.jinja", chat_template.encode())
    write_json(folder / "bench.json", bench)
    return bench
