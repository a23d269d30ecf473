"""Scores one model on one bench with lm-eval: a process of its own, the same code for dev and for the final score.

    python cell.py --bench DIR --model DIR --out DIR [--limit N] [--few-shot N] [--backend hf|vllm] [--batch-size N]

Copied into each bench and run by its path, so it imports nothing of the package. Writes OUT/questions.jsonl (a line a
question) and, last, OUT/result.json; progress goes to stderr. Exit codes: 0 with a result; 65 when the checkpoint
itself cannot be used (last line `checkpoint: <reason>`); anything else is a fault of the machine or of this program.

How answers are generated stands in bench.json alone. The checkpoint's generation_config.json and its chat template are
never read; code in the checkpoint is never run. What it does not protect against: a tokenizer may rewrite prompts and
answers within what tokenizer.json can say, which is a part of the model.
"""

import argparse
import hashlib
import importlib
import importlib.util
import json
import os
import platform
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

MAX_RESPONSE = 20_000
TINY_PARAMETERS, SMALL_PARAMETERS = 20_000_000, 1_000_000_000
HF_BATCH, VLLM_BATCH = 32, 256
PACKAGES = ("accelerate", "datasets", "lm-eval", "numpy", "tokenizers", "torch", "transformers", "vllm")
USED_UP = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")
UNUSABLE = 65
TASK = "cell"

Rows = list[dict[str, Any]]


class UnusableError(Exception):
    """The checkpoint itself cannot be used: its author's fault, not the machine's."""


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("bench", "model", "out"):
        parser.add_argument(f"--{name}", type=lambda text: Path(text).resolve(), required=True, metavar="DIR")
    parser.add_argument("--limit", type=int, help="how many questions; the same random subset every time")
    parser.add_argument("--few-shot", type=int, default=0, help="worked examples in the prompt (default: 0)")
    parser.add_argument("--backend", choices=["hf", "vllm"], default="hf")
    parser.add_argument("--batch-size", type=int, help="questions at a time")
    parser.add_argument("--device", help="default: the first GPU, or the processor")
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.out, prefix=".cell-") as place:
        os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HOME": place, "HF_DATASETS_CACHE": f"{place}/datasets"}
        os.environ |= {"TOKENIZERS_PARALLELISM": "false", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
        # On processors that others use too, threads that spin while they wait make everything many times slower.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        sys.dont_write_bytecode = True
        sys.path[:0] = [str(args.bench / "lib")]
        try:
            measure(args, Path(place))
        except UnusableError as error:
            print(f"checkpoint: {' '.join(str(error).split())[:1000]}", file=sys.stderr, flush=True)
            return UNUSABLE
    return 0


def measure(args: argparse.Namespace, place: Path) -> None:
    """Generate, judge, and write both files."""
    begun = time.monotonic()
    bench = json.loads((args.bench / "bench.json").read_text(encoding="utf-8"))
    limit = bench["limit"] if args.limit is None else args.limit
    rows = choose(read_rows(args.bench / "questions.jsonl"), limit, bench["seed"])
    shots = read_rows(args.bench / "shots.jsonl")[: args.few_shot] if args.few_shot else []
    if len(shots) != args.few_shot:
        raise SystemExit(f"{args.few_shot} worked examples were asked for; the bench has {len(shots)}.")
    template = args.bench / "chat_template.jinja"
    chat = template.read_text(encoding="utf-8") if bench["chat_template"] else None
    samples, facts = attempt(args, place, bench, rows, shots, chat)
    judged = judge(args.bench, bench["metric"], rows, samples)
    lines = "".join(json.dumps(row) + "\n" for row in judged).encode()
    (args.out / "questions.jsonl").write_bytes(lines)
    result = {
        **{key: bench[key] for key in ("task", "version", "split", "metric", "decoding", "chat_template")},
        **facts,
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


def attempt(
    args: argparse.Namespace, place: Path, bench: dict[str, Any], rows: Rows, shots: Rows, chat: str | None
) -> tuple[Rows, dict[str, Any]]:
    """lm-eval's samples, and how they were made. When memory is used up, the batch is halved and nothing else."""
    batch: int = args.batch_size or (HF_BATCH if args.backend == "hf" else VLLM_BATCH)
    tries: Rows = []
    while True:
        tries.append({"batch_size": batch, "outcome": "done"})
        try:
            model = load(args, bench, chat, batch)
            samples = generate(model, args.bench, place, bench, rows, shots, chat)
        except (MemoryError, RuntimeError) as error:
            if batch == 1 or not used_up(error):
                raise
        else:
            dtype = str(getattr(model.model, "dtype", "bfloat16")).removeprefix("torch.")
            return samples, {"batch_size": batch, "tries": tries, "device": str(model.device), "dtype": dtype}
        model = None
        tries[-1]["outcome"] = "out of memory"
        batch = max(1, batch // 2)
        say(f"out of memory; trying again with {batch} questions at a time")


def used_up(error: BaseException) -> bool:
    """Whether an error says that memory is used up."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in USED_UP)


def choose(rows: Rows, limit: int | None, seed: int) -> Rows:
    """The first `limit` rows by SHA-256 of seed and id: always the same random subset, whatever the file's order."""
    ordered = sorted(rows, key=lambda row: hashlib.sha256(f"{seed}:{row['id']}".encode()).hexdigest())
    if limit is not None and limit < 1:
        raise SystemExit(f"A limit of {limit} leaves no question to score.")
    return ordered[:limit]


def read_rows(path: Path) -> Rows:
    """The rows of a JSON lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def load(args: argparse.Namespace, bench: dict[str, Any], chat: str | None, batch: int) -> Any:
    """The model as an lm-eval LM, with its own generation settings and chat template put out of force."""
    say(f"loading the model for {args.backend}")
    transformers = importlib.import_module("transformers")
    transformers.utils.logging.disable_progress_bar()
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            args.model, trust_remote_code=False, local_files_only=True
        )
        config = transformers.AutoConfig.from_pretrained(args.model, trust_remote_code=False, local_files_only=True)
    except Exception as error:
        raise UnusableError(f"its config or tokenizer cannot be loaded: {error!r}") from error
    if tokenizer.eos_token_id is None:
        raise UnusableError("its tokenizer names no end-of-text token (eos_token)")
    tokenizer.chat_template = chat
    if args.backend == "vllm":
        return _load_vllm(args, bench, chat, batch)
    model = _load_weights(args, tokenizer, config, chat)
    lm = importlib.import_module("lm_eval.models.huggingface").HFLM(
        pretrained=model, tokenizer=tokenizer, batch_size=batch, trust_remote_code=False
    )
    if lm.max_length <= bench["decoding"]["max_tokens"]:
        raise UnusableError(f"its context of {lm.max_length} tokens leaves no room for an answer and a prompt")
    return lm


def _load_weights(args: argparse.Namespace, tokenizer: Any, config: Any, chat: str | None) -> Any:
    torch, transformers = importlib.import_module("torch"), importlib.import_module("transformers")
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    ends = {tokenizer.eos_token_id, *end_of_turn(tokenizer, chat)[1]}
    own = config.get_text_config().eos_token_id
    ends |= set(own if isinstance(own, list) else [own]) - {None}
    plain = transformers.GenerationConfig(eos_token_id=sorted(ends), pad_token_id=tokenizer.pad_token_id)
    try:
        model, info = transformers.AutoModelForCausalLM.from_pretrained(
            args.model,
            config=config,
            dtype=torch.bfloat16,
            generation_config=plain,
            trust_remote_code=False,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
        )
    except Exception as error:
        if used_up(error):
            raise
        raise UnusableError(f"its weights cannot be loaded: {error!r}") from error
    for kind in ("missing_keys", "mismatched_keys"):
        if info.get(kind):
            raise UnusableError(f"its weights have {kind.replace('_', ' ')}: {sorted(map(str, info[kind]))[:5]}")
    if device == "cpu":
        most = SMALL_PARAMETERS if not computes_in_bfloat16() else TINY_PARAMETERS
        model = model.float() if sum(one.numel() for one in model.parameters()) < most else model
    model = model.to(device).eval()
    model.generation_config = plain
    probe = torch.tensor([[tokenizer.eos_token_id]], device=device)
    try:
        with torch.inference_mode():
            finite = bool(torch.isfinite(model(probe).logits).all())
    except IndexError as error:
        raise UnusableError(f"its tokenizer has tokens that the weights do not know: {error}") from error
    if not finite:
        raise UnusableError("its logits are not finite numbers, so it cannot answer anything")
    return model


def computes_in_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor has instructions for bfloat16. Without them it is emulated, many times slower than
    float32."""
    try:
        words = cpuinfo.read_text(errors="replace").split()
    except OSError:
        return False
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(words)


def _load_vllm(args: argparse.Namespace, bench: dict[str, Any], chat: str | None, batch: int) -> Any:
    lm = importlib.import_module("lm_eval.models.vllm_causallms").VLLM(
        pretrained=str(args.model),
        dtype="bfloat16",
        trust_remote_code=False,
        batch_size=batch,
        seed=bench["seed"],
        generation_config="vllm",  # vLLM's own defaults instead of the checkpoint's generation_config.json.
    )
    lm.tokenizer.chat_template = lm.hf_chat_template = chat
    return lm


def end_of_turn(tokenizer: Any, chat: str | None) -> tuple[list[str], list[int]]:
    """What ends an answer under the chat template, as text and as token; nothing without a template."""
    if chat is None:
        return [], []
    turns = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "ANSWER"}]
    words = tokenizer.apply_chat_template(turns, chat_template=chat, tokenize=False).rpartition("ANSWER")[2].split()
    if not words:
        return [], []
    token = tokenizer.convert_tokens_to_ids(words[0])
    return words[:1], [token] if isinstance(token, int) and token != tokenizer.unk_token_id else []


class Progress:
    """Stands in the place of lm-eval's cache of answers, to count them."""

    def __init__(self, total: int, batch: int) -> None:
        self.total, self.batch, self.done, self.begun = total, batch, 0, time.monotonic()

    def add_partial(self, *_: object) -> None:
        """One more answer."""
        self.done += 1
        # Answers come a batch at a time: between batches the rate means nothing.
        if self.done % self.batch == 0 or self.done == self.total:
            used = time.monotonic() - self.begun
            say(f"scored {self.done}/{self.total}, {used / self.done * (self.total - self.done):.0f} s left")


def generate(
    lm: Any,
    folder: Path,
    place: Path,
    bench: dict[str, Any],
    rows: Rows,
    shots: Rows,
    chat: str | None,
) -> Rows:
    """What lm-eval logged for each row, in the rows' order."""
    composed = place / "task"
    composed.mkdir(exist_ok=True)
    compose(folder, composed, bench, rows, shots, end_of_turn(lm.tokenizer, chat)[0])
    evaluator = importlib.import_module("lm_eval.evaluator")
    tasks = importlib.import_module("lm_eval.tasks").TaskManager(include_path=str(composed), include_defaults=False)
    lm.cache_hook = Progress(len(rows) * bench["decoding"]["samples"], lm.batch_size)
    whole = type(lm).generate_until
    lm.generate_until = lambda requests, **_: whole(lm, requests, disable_tqdm=True)
    try:
        found = evaluator.simple_evaluate(
            lm,
            tasks=[TASK],
            task_manager=tasks,
            apply_chat_template=chat is not None,
            log_samples=True,
            bootstrap_iters=0,
            random_seed=bench["seed"],
            numpy_random_seed=bench["seed"],
            torch_random_seed=bench["seed"],
            fewshot_random_seed=bench["seed"],
        )
    except IndexError as error:
        if "out of range in self" in str(error):
            raise UnusableError(f"its tokenizer has tokens that the weights do not know: {error}") from error
        raise
    return sorted(found["samples"][TASK], key=lambda sample: sample["doc_id"])


def compose(
    folder: Path,
    place: Path,
    bench: dict[str, Any],
    rows: Rows,
    shots: Rows,
    ends: list[str],
) -> None:
    """Write the task that lm-eval reads: the bench's YAML with the chosen rows and the bench's decoding in it."""
    files = {"test": rows} | ({"shots": shots} if shots else {})
    for name, content in files.items():
        (place / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")
    decoding = bench["decoding"]
    sampling = {"temperature": decoding["temperature"], "top_p": decoding["top_p"]} if decoding["temperature"] else {}
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
            "until": [*decoding["stop"], *ends],
            "max_gen_toks": decoding["max_tokens"],
            "do_sample": bool(sampling),
            **sampling,
        },
    }
    if shots:
        task |= {"fewshot_split": "shots", "fewshot_config": {"sampler": "first_n", "split": "shots"}}
    (place / "cell.yaml").write_text(json.dumps(task, indent=2), encoding="utf-8")  # JSON is YAML too.


def judge(folder: Path, metric: str, rows: Rows, samples: Rows) -> Rows:
    """Each question's line: every sampled answer judged by the bench's scorer.process_results, and their mean."""
    spec = importlib.util.spec_from_file_location("bench_scorer", folder / "scorer.py")
    if spec is None or spec.loader is None:
        raise SystemExit(f"{folder / 'scorer.py'} cannot be imported.")
    scorer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(scorer)
    judged = []
    for row, sample in zip(rows, samples, strict=True):
        responses = [str(text) for text in sample["resps"][0]]
        scores = [float(scorer.process_results(row, [text])[metric]) for text in responses]
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


def say(text: str) -> None:
    """A line of progress."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
