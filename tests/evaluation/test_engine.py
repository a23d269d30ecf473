"""What a batch's prompts begin with is computed once, and changes no answer."""

from typing import Any

import pytest

from posttrainbench.evaluation import cell_engine

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SIZES = {"vocab_size": 97, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3}
CONFIGS = {"Llama": "LlamaConfig", "Qwen3": "Qwen3Config", "Gemma3": "Gemma3TextConfig"}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "pad_token_id": 0, "eos_token_id": 1}


def random_model(kind: str, **changes: Any) -> Any:
    """A model of that architecture with weights so large that its answers depend on every token."""
    torch.manual_seed(5)
    config = getattr(transformers, CONFIGS[kind])(**SIZES, **HEADS, initializer_range=0.4, **changes)
    return getattr(transformers, f"{kind}ForCausalLM")(config).eval()


def batch(lengths: list[int], shared: int) -> tuple[Any, Any]:
    """Prompts of these lengths with so many first tokens in common, padded on the left."""
    torch.manual_seed(7)
    first = torch.randint(2, 97, (shared,))
    prompts = [torch.cat([first, torch.randint(2, 97, (length - shared,))]) for length in lengths]
    tokens, mask = torch.zeros(len(lengths), max(lengths), dtype=torch.long), torch.zeros(len(lengths), max(lengths))
    for row, seen, prompt in zip(tokens, mask, prompts, strict=True):
        row[-len(prompt) :], seen[-len(prompt) :] = prompt, 1
    return tokens, mask.long()


def answers(model: Any, tokens: Any, **given: Any) -> Any:
    """The next twelve tokens of each row."""
    settings = transformers.GenerationConfig(do_sample=False, pad_token_id=0, eos_token_id=None, max_new_tokens=12)
    with torch.inference_mode():
        return model.generate(tokens, generation_config=settings, **given)[:, tokens.shape[1] :]


@pytest.mark.parametrize("kind", ["Llama", "Qwen3"])
@pytest.mark.parametrize("lengths", [[60, 33, 41], [40, 40], [20, 50]])
def test_answers_are_those_of_whole_prompts(kind: str, lengths: list[int]) -> None:
    model = random_model(kind)
    tokens, mask = batch(lengths, 20)
    arranged, given = cell_engine.begun(model, tokens, mask)
    assert given["past_key_values"].get_seq_length() == min(20, min(lengths) - 1)
    assert arranged.shape == tokens.shape
    found = answers(model, arranged, **given)
    assert torch.equal(found, answers(model, tokens, attention_mask=mask))
    assert len({tuple(row.tolist()) for row in found}) == len(lengths)


@pytest.mark.parametrize(("lengths", "shared"), [([40], 40), ([40, 30], 15), ([16, 16], 16)])
def test_nothing_is_shared_where_it_is_too_little(lengths: list[int], shared: int) -> None:
    tokens, mask = batch(lengths, shared)
    arranged, given = cell_engine.begun(random_model("Llama"), tokens, mask)
    assert torch.equal(arranged, tokens) and set(given) == {"attention_mask"}


def test_nothing_is_shared_by_a_model_that_looks_back_over_a_window() -> None:
    """The padding between the shared tokens and the others would push some of them out of the window."""
    tokens, mask = batch([60, 33], 20)
    arranged, given = cell_engine.begun(random_model("Gemma3", sliding_window=16), tokens, mask)
    assert torch.equal(arranged, tokens) and set(given) == {"attention_mask"}


def test_lm_evals_model_generates_from_what_is_shared() -> None:
    seen = []

    class Lm:
        model = random_model("Llama")

        def _model_generate(self, context: Any, **given: Any) -> Any:
            seen.append(given)
            return answers(self.model, context, **{name: given[name] for name in given if name != "stop"})

    tokens, mask = batch([60, 33, 41], 20)
    found = cell_engine.sharing(Lm)()._model_generate(context=tokens, attention_mask=mask, stop=["x"])
    assert seen[0]["stop"] == ["x"] and "past_key_values" in seen[0]
    assert torch.equal(found, answers(Lm.model, tokens, attention_mask=mask))
