"""Questions per second of our evaluation against lm-eval's own command line: same model, questions and batch size.

    python benchmarks/evaluation.py [--questions 32] [--max-tokens 96] [--batch-size 16]

Both are whole processes, from start to score: what `ptb evaluate` runs, in the local sandbox, and `lm_eval`. The task
is bfcl-simple, the model smollm2-135m. Prints the wall time, which counts, and the processors' time, which other work
on the machine disturbs less.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from posttrainbench import catalog, settings
from posttrainbench.catalog import Model, Task
from posttrainbench.evaluation import Measurement, bench, cell, cell_engine, measure
from posttrainbench.inputs import data, model
from posttrainbench.sandbox.local import Local
from posttrainbench.strict import read_toml


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=32)
    parser.add_argument("--max-tokens", type=int, default=96)
    parser.add_argument("--batch-size", type=int, default=16)
    args = parser.parse_args()
    cache = settings.load({}, Path.cwd()).cache
    folder = catalog.bundled() / "tasks" / "bfcl-simple"
    task = read_toml(folder / "task.toml", Task)
    decoding = msgspec.structs.replace(task.decoding, max_tokens=args.max_tokens)
    task = msgspec.structs.replace(task, decoding=decoding)
    weights = model.obtain(read_toml(catalog.bundled() / "models" / "smollm2-135m.toml", Model), cache, print).folder
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        laid = place / "bench"
        bench.lay(
            task,
            folder,
            data.fetch(task, folder, None, cache),
            laid,
            split="test",
            limit=args.questions,
            chat_template=None,
            library=data.library(task, cache),
            shots=0,
            decoding_from="task",
        )
        measure.SIZES["hf"][0] = ["--batch-size", str(args.batch_size)]
        found: list[measure.Measured] = []
        ours = timed(lambda: found.append(measure.measure(Local(), bench=laid, model=weights, out=place / "out")))
        (measured,) = found
        if not isinstance(measured, Measurement):
            raise SystemExit(measured.reason)
        env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(place / "hf"), "TOKENIZERS_PARALLELISM": "false"}
        command = lm_eval(laid, place, weights, args.batch_size, measured.dtype)
        theirs = timed(lambda: subprocess.run(command, cwd=place, env=env, check=True))
        (result,) = (place / "lm_eval").rglob("results_*.json")
        score = json.loads(result.read_text())["results"][cell.TASK][f"{task.metric},none"]
    print(
        f"{args.questions} questions, at most {args.max_tokens} tokens, batches of {args.batch_size}, {measured.dtype}"
    )
    for what, (wall, used), scored in (("ptb", ours, measured.score), ("lm_eval", theirs, score)):
        rate = args.questions / wall
        print(f"{what:8} {wall:6.1f} s, {rate:.3f} questions/s, processors {used:6.1f} s, score {scored:.4f}")
    print(f"ratio    {theirs[0] / ours[0]:.2f} by wall time, {theirs[1] / ours[1]:.2f} by the processors'; at least 1")


def lm_eval(laid: Path, place: Path, weights: Path, batch: int, dtype: str) -> list[str]:
    """lm-eval's own command line for the questions that the bench leaves, with the bench's decoding."""
    declared = json.loads((laid / "bench.json").read_text())
    rows = cell.choose(cell.read_rows(laid / "questions.jsonl"), declared["limit"], declared["seed"])
    (place / "task").mkdir()
    wanted = cell_engine.Wanted(
        model=weights,
        tokenizer=None,
        config=None,
        ends=[],
        decoding=declared["decoding"],
        stop=declared["decoding"]["stop"],
        seed=declared["seed"],
    )
    cell.compose(laid, place / "task", rows, [], wanted)
    words = ["--model", "hf", "--model_args", f"pretrained={weights},dtype={dtype}", "--tasks", cell.TASK]
    words += [
        "--include_path",
        str(place / "task"),
        "--batch_size",
        str(batch),
        "--output_path",
        str(place / "lm_eval"),
    ]
    # The bench's library has to be found by its scorer, as cell.py sees to.
    start = f"import sys; sys.path.insert(0, {str(laid / 'lib')!r}); from lm_eval.__main__ import cli_evaluate"
    start += "; cli_evaluate()"
    return [sys.executable, "-c", start, *words]


def timed(act: Callable[[], object]) -> tuple[float, float]:
    """Wall time and the children's time on the processors, in seconds."""
    begin, before = time.perf_counter(), used()
    act()
    return time.perf_counter() - begin, used() - before


def used() -> float:
    """Processors' time of all children that have ended."""
    told = resource.getrusage(resource.RUSAGE_CHILDREN)
    return told.ru_utime + told.ru_stime


if __name__ == "__main__":
    main()
