"""What transformers computes for a batch without what nobody reads: the answers are those of the whole block."""

from typing import Any

import pytest

from posttrainbench.evaluation import cell_generate

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
torch.set_num_threads(1)  # Beside other tests, threads would wait for each other.

SIZES = {"vocab_size": 97, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3}
CONFIGS = {"Llama": "LlamaConfig", "Qwen3": "Qwen3Config", "Gemma3": "Gemma3TextConfig"}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "pad_token_id": 0, "eos_token_id": 1}
NEW = 30
END = 1


def random_model(kind: str, **changes: Any) -> Any:
    """A model of that architecture with weights so large that its answers depend on every token."""
    torch.manual_seed(5)
    config = getattr(transformers, CONFIGS[kind])(
        **SIZES, **HEADS, initializer_range=0.4, tie_word_embeddings=False, **changes
    )
    model = getattr(transformers, f"{kind}ForCausalLM")(config).eval()
    model.generation_config = transformers.GenerationConfig(eos_token_id=[END], pad_token_id=0)
    return model


def batch(lengths: list[int], shared: int) -> tuple[Any, Any]:
    """Prompts of these lengths with so many first tokens in common, padded on the left."""
    torch.manual_seed(7)
    first = torch.randint(2, 97, (shared,))
    prompts = [torch.cat([first, torch.randint(2, 97, (length - shared,))]) for length in lengths]
    tokens, mask = torch.zeros(len(lengths), max(lengths), dtype=torch.long), torch.zeros(len(lengths), max(lengths))
    for row, seen, prompt in zip(tokens, mask, prompts, strict=True):
        row[-len(prompt) :], seen[-len(prompt) :] = prompt, 1
    return tokens, mask.long()


class Tokenizer:
    """Each token is a word: its number."""

    pad_token_id = 0

    def batch_decode(self, rows: Any) -> list[str]:
        return ["".join(f"<{token}>" for token in row) for row in rows.tolist()]


class Lm:
    """What lm-eval's own class does, with notes of what its model computes: (rows, tokens) of each call."""

    def __init__(self, model: Any) -> None:
        self.model, self.tokenizer, self.calls = model, Tokenizer(), []
        self.hook = model.register_forward_pre_hook(self.note, with_kwargs=True)

    def note(self, _: Any, args: Any, given: Any) -> None:
        self.calls.append(tuple((args[0] if args else given["input_ids"]).shape))

    def _model_generate(self, context: Any, max_length: int, stop: list[str], **given: Any) -> Any:
        with torch.inference_mode():
            return self.model.generate(context, max_length=max_length, pad_token_id=0, use_cache=True, **given)


def read(found: Any, width: int, stop: list[str]) -> list[str]:
    """What is read of each row's answer: up to its end or its first stop string."""
    texts = Tokenizer().batch_decode(found[:, width:])
    for words in (f"<{END}>", *stop):
        texts = [text.split(words)[0] for text in texts]
    return texts


def answered(kind: type[Lm], model: Any, tokens: Any, mask: Any, stop: list[str], **given: Any) -> tuple[list[str], Lm]:
    """The answers of a batch, and the model that gave them."""
    lm, width = kind(model), tokens.shape[1]
    given = {"do_sample": False, "attention_mask": mask, "max_length": width + NEW} | given
    found = read(lm._model_generate(context=tokens, stop=stop, **given), width, stop)
    lm.hook.remove()
    return found, lm


def same(model: Any, tokens: Any, mask: Any, stop: list[str]) -> tuple[list[str], Lm]:
    """The sparing model's answers, which must be the plain one's."""
    found, lm = answered(cell_generate.sparing(Lm), model, tokens, mask, stop)
    assert found == answered(Lm, model, tokens, mask, stop)[0]
    return found, lm


LENGTHS = [[60, 33, 41], [40, 40], [20, 50], [25 + 3 * (7 * n % 11) for n in range(11)], [9, 30, *range(10, 19)], [40]]


@pytest.mark.parametrize("kind", ["Llama", "Qwen3", "Gemma3"])
@pytest.mark.parametrize("shared", [0, 20])
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_answers_are_those_of_the_whole_block(kind: str, shared: int, lengths: list[int]) -> None:
    changes = {"sliding_window": 16} if kind == "Gemma3" else {}
    tokens, mask = batch(lengths, min(shared, *lengths))
    found, _ = same(random_model(kind, **changes), tokens, mask, [])
    assert len(set(found)) == len(lengths) and max(map(len, found)) > NEW


def test_what_all_begin_with_is_computed_once() -> None:
    tokens, mask = batch([60, 33, 41], 20)
    _, lm = same(random_model("Llama"), tokens, mask, [])
    assert lm.calls[:3] == [(1, 20), (3, 39), (3, 1)]


def test_prompts_are_computed_with_those_of_about_their_length() -> None:
    lengths = [25 + 3 * (7 * n % 11) for n in range(11)]
    tokens, mask = batch(lengths, 0)
    _, lm = same(random_model("Qwen3"), tokens, mask, [])
    longest = sorted(lengths, reverse=True)
    assert lm.calls[:3] == [(8, longest[0] - 1), (3, longest[8] - 1), (11, 1)]


@pytest.mark.parametrize(("lengths", "shared"), [([40], 40), ([40, 30], 15), ([16, 16], 16)])
def test_nothing_is_computed_apart_where_it_gains_little(lengths: list[int], shared: int) -> None:
    tokens, mask = batch(lengths, shared)
    _, lm = same(random_model("Llama"), tokens, mask, [])
    assert lm.calls[0] == tuple(tokens.shape)


@pytest.mark.parametrize("kind", ["Llama", "Gemma3"])
def test_a_row_that_is_over_is_left_out(kind: str) -> None:
    """By a stop string of its own, while plain generation goes on until all rows have met the same one."""
    changes = {"sliding_window": 16} if kind == "Gemma3" else {}
    model = random_model(kind, **changes)
    tokens, mask = batch([60, 33, 41, 50], 20)
    whole, _ = answered(Lm, model, tokens, mask, [])
    words = [[f"<{one}>" for one in text.strip("<>").split("><")] for text in whole]
    seen = [set(row) for row in words]
    stop = [next(one for one in words[0][:6] if not any(one in row for row in seen[1:]))]
    stop.append(
        next(one for one in words[2][9:16] if one not in words[2][:9] and not any(one in seen[n] for n in (0, 1, 3)))
    )
    found, lm = same(model, tokens, mask, stop)
    assert len(found[0]) < len(whole[0]) and len(found[2]) < len(whole[2]) and found[1] == whole[1]
    rows = [rows for rows, new in lm.calls if new == 1]
    assert rows.count(4) <= cell_generate.STRIDE and rows == sorted(rows, reverse=True) and rows[-1] <= 2


def test_nothing_is_computed_once_all_rows_are_over() -> None:
    model = random_model("Llama")
    tokens, mask = batch([60, 33], 20)
    whole, _ = answered(Lm, model, tokens, mask, [])
    stop = [f"<{text.strip('<>').split('><')[1]}>" for text in whole]
    _, lm = same(model, tokens, mask, stop)
    assert sum(1 for _, new in lm.calls if new == 1) <= cell_generate.STRIDE


def test_a_row_ends_with_its_end_token() -> None:
    model = random_model("Qwen3")
    tokens, mask = batch([60, 33, 41], 20)
    whole, _ = answered(Lm, model, tokens, mask, [])
    model.generation_config.eos_token_id = [END, int(whole[1].strip("<>").split("><")[3])]
    _, lm = answered(cell_generate.sparing(Lm), model, tokens, mask, [])
    assert [rows for rows, new in lm.calls if new == 1][-1] < 3


def test_sampled_answers_follow_from_the_seed() -> None:
    model = random_model("Llama")
    tokens, mask = batch([60, 33, 41], 20)
    found = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        drawn = {"do_sample": True, "temperature": 1.5, "top_k": 0}
        found.append(answered(cell_generate.sparing(Lm), model, tokens, mask, [], **drawn)[0])
    assert found[0] == found[1] != found[2]


def test_a_cache_of_an_unknown_kind_is_generated_as_lm_eval_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cell_generate, "KNOWN", set())
    seen: list[Any] = []

    class Plain(Lm):
        def _model_generate(self, context: Any, max_length: int, stop: list[str], **given: Any) -> Any:
            seen.append((max_length, stop, sorted(given)))
            return super()._model_generate(context, max_length, stop, **given)

    tokens, mask = batch([60, 33, 41], 20)
    answered(cell_generate.sparing(Plain), random_model("Llama"), tokens, mask, ["x"])
    assert seen == [(60 + NEW, ["x"], ["attention_mask", "do_sample"])]
