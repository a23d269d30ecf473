"""The engines that answer: `hf` (transformers) and `vllm`. A part of cell.py.

Both load weights as data alone, put the checkpoint's own generation settings out of force, check it in the same way,
and decode as they are told. An engine yields answers in groups, as they come.
"""

import importlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __package__:
    from posttrainbench.evaluation import cell_generate
    from posttrainbench.evaluation.cell_answers import Asked, say, seed_of
else:
    import cell_generate  # type: ignore[import-not-found, no-redef]
    from cell_answers import Asked, say, seed_of  # type: ignore[import-not-found, no-redef]

TINY_PARAMETERS, SMALL_PARAMETERS = 20_000_000, 1_000_000_000
BATCH = {"hf": 32, "vllm": 256}
"""Questions at a time unless a caller says otherwise."""
MEMORY = 0.9
"""Share of a GPU's memory that vLLM takes unless a caller says otherwise."""
USED_UP = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")

Answers = Iterator[list[tuple[Asked, str]]]


class UnusableError(Exception):
    """The checkpoint itself cannot be used: its author's fault, not the machine's."""


class HostError(Exception):
    """The engine failed: the machine's fault, not the checkpoint's. Another process with less memory may succeed."""


@dataclass(frozen=True)
class Wanted:
    """What to load, and how it is to answer."""

    model: Path
    tokenizer: Any
    config: Any
    ends: list[int]
    """Tokens that end an answer."""
    decoding: dict[str, Any]
    stop: list[str]
    seed: int
    device: str | None = None
    memory: float | None = None

    @property
    def context(self) -> int:
        """The most tokens that prompt and answer may have together."""
        lengths = importlib.import_module("lm_eval.models.utils")
        return int(lengths.resolve_max_length(self.config, self.tokenizer, default=lengths.DEFAULT_MAX_LENGTH))

    @property
    def sampling(self) -> dict[str, Any]:
        """How a token is drawn; without a temperature the likeliest is taken. `top_k` is named since transformers would
        take 50."""
        told = self.decoding
        penalty = told.get("repetition_penalty", 1.0)
        always = {} if penalty == 1.0 else {"repetition_penalty": penalty}
        if not told["temperature"]:
            return always
        always |= {"min_p": told["min_p"]} if told.get("min_p") else {}
        return {"temperature": told["temperature"], "top_p": told["top_p"], "top_k": told.get("top_k", 0), **always}


def used_up(error: BaseException) -> bool:
    """Whether an error says that memory is used up."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in USED_UP)


def tokenizer_and_config(model: Path) -> tuple[Any, Any]:
    """Both without any code of the checkpoint's."""
    transformers = importlib.import_module("transformers")
    transformers.utils.logging.disable_progress_bar()
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(model, trust_remote_code=False, local_files_only=True)
        config = transformers.AutoConfig.from_pretrained(model, trust_remote_code=False, local_files_only=True)
    except Exception as error:
        raise UnusableError(f"its config or tokenizer cannot be loaded: {error!r}") from error
    if tokenizer.eos_token_id is None:
        raise UnusableError("its tokenizer names no end-of-text token (eos_token)")
    return tokenizer, config


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


def ends(tokenizer: Any, config: Any, chat: str | None) -> list[int]:
    """All tokens that end an answer."""
    own = config.get_text_config().eos_token_id
    own = own if isinstance(own, list) else [own]
    return sorted({tokenizer.eos_token_id, *end_of_turn(tokenizer, chat)[1], *own} - {None})


def computes_in_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor has instructions for bfloat16. Without them it is emulated, many times slower than
    float32."""
    try:
        words = cpuinfo.read_text(errors="replace").split()
    except OSError:
        return False
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(words)


def encode(wanted: Wanted, prompts: list[str]) -> list[list[int]]:
    """The prompts' tokens, as lm-eval makes them: with the model's own first token, once, and cut on the left where an
    answer would find no room."""
    room = wanted.context - int(wanted.decoding["max_tokens"])
    if room <= 0:
        raise UnusableError(f"its context of {wanted.context} tokens leaves no room for an answer and a prompt")
    first = wanted.tokenizer.bos_token
    found = []
    for prompt in prompts:
        special = not (first and prompt.startswith(first))
        found.append(wanted.tokenizer(prompt, add_special_tokens=special)["input_ids"][-room:])
    return found


def load_weights(wanted: Wanted, device: str) -> Any:
    """The checkpoint's weights in transformers, found to be whole and to give finite numbers."""
    torch, transformers = importlib.import_module("torch"), importlib.import_module("transformers")
    plain = transformers.GenerationConfig(eos_token_id=wanted.ends, pad_token_id=wanted.tokenizer.pad_token_id)
    try:
        model, info = transformers.AutoModelForCausalLM.from_pretrained(
            wanted.model,
            config=wanted.config,
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
    probe = torch.tensor([[wanted.tokenizer.eos_token_id]], device=device)
    try:
        with torch.inference_mode():
            finite = bool(torch.isfinite(model(probe).logits).all())
    except IndexError as error:
        raise UnusableError(f"its tokenizer has tokens that the weights do not know: {error}") from error
    if not finite:
        raise UnusableError("its logits are not finite numbers, so it cannot answer anything")
    return model


def check_tokens(prompts: list[list[int]], model: Any) -> None:
    """A token without a row in the weights would crash a GPU in a way that looks like the machine's fault."""
    known, most = int(model.get_input_embeddings().weight.shape[0]), max(map(max, filter(None, prompts)), default=0)
    if most >= known:
        raise UnusableError(f"its tokenizer has tokens that the weights do not know: {most}, of {known} rows")


def bare(model: Path, folder: Path) -> None:
    """The model in links, without its generation settings: vLLM parses them before it puts them out of force, and fails
    at such as make no sense."""
    settings = set(importlib.import_module("transformers").GenerationConfig().to_dict())
    kept = {"bos_token_id", "eos_token_id", "pad_token_id", "transformers_version", "use_cache"}
    for path in model.iterdir():
        if path.is_file() and path.name not in ("generation_config.json", "config.json", "chat_template.jinja"):
            (folder / path.name).symlink_to(path.resolve())
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    config = {name: value for name, value in config.items() if name in kept or name not in settings}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


class Hf:
    """transformers, a batch at a time, the longest prompts first. Under greedy decoding an answer depends on its batch
    by rounding alone; a batch of sampled answers is seeded by what is in it. So the same batches give the same answers,
    whenever the process was killed between them."""

    in_place = True
    """Whether a batch can be made smaller without another process."""

    def __init__(self, wanted: Wanted, asked: list[Asked], batch: int) -> None:
        torch = importlib.import_module("torch")
        device = wanted.device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.wanted, self.torch = wanted, torch
        lengths = [(len(tokens), tokens) for tokens in encode(wanted, [one.prompt for one in asked])]
        model = load_weights(wanted, device)
        check_tokens([tokens for _, tokens in lengths], model)
        self.order = {one.key: (-length, one.prompt) for one, (length, _) in zip(asked, lengths, strict=True)}
        self.lm = cell_generate.sparing(importlib.import_module("lm_eval.models.huggingface").HFLM)(
            pretrained=model, tokenizer=wanted.tokenizer, batch_size=batch, trust_remote_code=False
        )
        self.facts = {"device": str(self.lm.device), "dtype": str(model.dtype).removeprefix("torch.")}

    def answer(self, asked: list[Asked], batch: int) -> Answers:
        """Answer all, `batch` at a time."""
        asked = sorted(asked, key=lambda one: (*self.order[one.key], *one.key))
        self.lm.batch_size_per_gpu = batch
        for start in range(0, len(asked), batch):
            some = asked[start : start + batch]
            self.torch.manual_seed(seed_of(self.wanted.seed, [one.key for one in some]))
            texts = self.lm.generate_until([one.request for one in some], disable_tqdm=True)
            yield list(zip(some, map(str, texts), strict=True))


class Vllm:
    """vLLM, in this process and one engine for all questions and samples. Each request has a seed of its own. Which
    requests are computed together depends on when they come, and with it the rounding: under greedy decoding too, two
    runs may differ where two tokens are as good as equally likely."""

    in_place = False

    def __init__(self, wanted: Wanted, asked: list[Asked], batch: int) -> None:
        self.wanted, self.prompts = wanted, {}
        tokens = encode(wanted, [one.prompt for one in asked])
        dtype = self._check(tokens)
        vllm = importlib.import_module("vllm")
        on_cpu = importlib.import_module("vllm.platforms").current_platform.is_cpu()
        self.vllm = vllm
        self.prompts = {one.key: tokens for one, tokens in zip(asked, tokens, strict=True)}
        self.folder = tempfile.TemporaryDirectory(prefix="ptb-vllm-")
        bare(wanted.model, Path(self.folder.name))
        self.llm = vllm.LLM(
            model=self.folder.name,
            dtype=dtype if on_cpu else "bfloat16",
            seed=wanted.seed,
            generation_config="vllm",  # vLLM's own defaults instead of the checkpoint's generation_config.json.
            trust_remote_code=False,
            load_format="safetensors",
            # No longer than needed, since vLLM refuses a context that its memory could not hold.
            max_model_len=max(map(len, tokens)) + int(wanted.decoding["max_tokens"]),
            max_num_seqs=batch,
            disable_log_stats=True,
            # A machine without a GPU needs half of its memory for other things.
            gpu_memory_utilization=(wanted.memory or MEMORY) * (0.5 if on_cpu else 1.0),
            # Compiling takes longer than the small models of such a machine would gain.
            enforce_eager=on_cpu,
        )
        config = self.llm.llm_engine.model_config
        self.facts = {"device": "cpu" if on_cpu else "cuda", "dtype": str(config.dtype).removeprefix("torch.")}

    def _check(self, tokens: list[list[int]]) -> str:
        """The same checks as for `hf`, on the processor, so that what vLLM fails at is not the checkpoint's fault;
        returns the precision that a processor computes it in."""
        model = load_weights(self.wanted, "cpu")
        check_tokens(tokens, model)
        return str(model.dtype).removeprefix("torch.")

    def answer(self, asked: list[Asked], batch: int) -> Answers:
        """Answer all; the engine was loaded for `batch` at a time."""
        engine, wanted = self.llm.llm_engine, self.wanted
        postprocess = importlib.import_module("lm_eval.models.utils").postprocess_generated_text
        for number, one in enumerate(asked):
            params = self.vllm.SamplingParams(
                max_tokens=int(wanted.decoding["max_tokens"]),
                stop=wanted.stop,
                stop_token_ids=wanted.ends,
                seed=seed_of(wanted.seed, [one.key]),
                output_kind=importlib.import_module("vllm.sampling_params").RequestOutputKind.FINAL_ONLY,
                **({"temperature": 0.0} | wanted.sampling),
            )
            engine.add_request(str(number), self.vllm.TokensPrompt(prompt_token_ids=self.prompts[one.key]), params)
        while engine.has_unfinished_requests():
            done = []
            for output in engine.step():
                if output.finished:
                    # Decoded as for `hf`, which leaves special tokens out.
                    text = wanted.tokenizer.decode(output.outputs[0].token_ids, skip_special_tokens=True)
                    done.append((asked[int(output.request_id)], postprocess(text, wanted.stop, None)))
            if done:
                yield done


ENGINES: dict[str, Any] = {"hf": Hf, "vllm": Vllm}


def load(backend: str, wanted: Wanted, asked: list[Asked], batch: int) -> Any:
    """The engine, ready to answer."""
    say(f"loading the model for {backend}")
    return ENGINES[backend](wanted, asked, batch)
