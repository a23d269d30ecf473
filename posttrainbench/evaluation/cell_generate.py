"""What transformers computes for a batch, without what nobody reads. A part of cell.py.

lm-eval hands a batch to generate() as one block: padded to its longest prompt, and computed until the last row is over,
where one that has met a stop string is over only when all have met the same one. Here what all prompts begin with is
computed once, the rest of them in groups of about one length, and rows that are over are left out. Under greedy
decoding the answers differ from the block's by rounding alone.
"""

import copy
import importlib
from typing import Any

LEAST_SHARED = 16
"""Tokens that a batch's prompts must have in common to be worth computing apart."""
GROUP = 8
"""Prompts that are computed together before the answers begin."""
STRIDE = 8
"""Tokens of an answer after which is looked which rows are over."""
WHOLE = "DynamicLayer"
"""Kind of a cache's layer that looks back at everything. The padding that is put between tokens here does not count for
it; a layer that looks back over a window counts it."""
KNOWN = {WHOLE, "DynamicSlidingWindowLayer"}
"""Kinds of layers whose rows can be left out."""


def sparing(lm: Any) -> Any:
    """lm-eval's own class of model, that generates in this way."""
    torch = importlib.import_module("torch")

    def generate(
        self: Any, context: Any, max_length: int, stop: list[str], attention_mask: Any, **settings: Any
    ) -> Any:
        kinds = _kinds(self.model)
        if not kinds <= KNOWN:
            return lm._model_generate(self, context, max_length, stop, attention_mask=attention_mask, **settings)
        plain = (torch.arange(len(context)), context, attention_mask, None)
        rows, tokens, mask, cache = _computed(self.model, context, attention_mask) if kinds == {WHOLE} else plain
        answers = context.new_full((len(context), max_length), self.tokenizer.pad_token_id)
        ends = torch.tensor(self.model.generation_config.eos_token_id, device=context.device)
        begin = context.shape[1]
        while len(rows):
            settings["past_key_values"] = cache
            found = lm._model_generate(
                self,
                tokens,
                min(max_length, tokens.shape[1] + STRIDE),
                [],
                attention_mask=mask,
                return_dict_in_generate=True,
                **settings,
            )
            tokens, cache = found.sequences, found.past_key_values
            answers[rows, : tokens.shape[1]] = tokens
            over = torch.isin(tokens[:, begin:], ends).any(1) | (tokens.shape[1] >= max_length)
            for number, text in enumerate(self.tokenizer.batch_decode(tokens[:, begin:])):
                over[number] |= any(words in text for words in stop)
            left = (~over).nonzero()[:, 0]
            mask = torch.cat([mask, mask.new_ones(len(mask), tokens.shape[1] - mask.shape[1])], 1)
            rows, tokens, mask = rows[left.to(rows.device)], tokens[left], mask[left]
            if len(left) < len(over):
                cache.batch_select_indices(left)
        return answers

    return type("Sparing", (lm,), {"_model_generate": generate})


def _kinds(model: Any) -> set[str]:
    """Kinds of the layers of a cache for that model."""
    layers = importlib.import_module("transformers").DynamicCache(config=model.config).layers
    return {type(layer).__name__ for layer in layers}


def _computed(model: Any, context: Any, attention_mask: Any) -> tuple[Any, Any, Any, Any]:
    """A batch with all but each prompt's last token computed: the numbers of its rows, the longest first, their tokens,
    which of them count, and the cache, as generate() goes on from it; no cache where nothing is gained.

    The padding stands after what all begin with: attention leaves it out and positions do not count it."""
    torch = importlib.import_module("torch")
    prompts = [row[mask.bool()] for row, mask in zip(context, attention_mask, strict=True)]
    shared = _shared(prompts)
    if not shared and len(prompts) <= GROUP:
        return torch.arange(len(prompts)), context, attention_mask, None
    rows = torch.tensor(sorted(range(len(prompts)), key=lambda number: -len(prompts[number])))
    tokens, mask = context[rows], torch.ones_like(attention_mask)
    for number, row in enumerate(rows):
        prompt, gap = prompts[row], context.shape[1] - len(prompts[row])
        # What stands where nothing counts is no matter, so long as it is a token.
        tokens[number, shared : shared + gap] = context[row, 0]
        tokens[number, :shared] = prompt[:shared]
        tokens[number, shared + gap :] = prompt[shared:]
        mask[number, shared : shared + gap] = 0
    with torch.inference_mode():
        first = _forward(model, tokens[:1, :shared], mask[:1, :shared], None) if shared else None
        groups = []
        for start in range(0, len(rows), GROUP):
            some = slice(start, start + GROUP)
            # The longest of a group stands first.
            gap = int((mask[start] == 0).sum())
            kept = torch.cat([tokens[some, :shared], tokens[some, shared + gap : -1]], 1)
            seen = torch.cat([mask[some, :shared], mask[some, shared + gap : -1]], 1)
            begun = copy.deepcopy(first)
            if begun is not None:
                begun.batch_repeat_interleave(len(kept))
            groups.append(_forward(model, kept, seen, begun) if kept.shape[1] > shared else begun)
    return rows, tokens, mask, _joined(groups, shared, context.shape[1] - 1)


def _shared(prompts: list[Any]) -> int:
    """How many tokens all prompts begin with; none where that is not worth computing apart."""
    torch = importlib.import_module("torch")
    # Of each prompt at least one token is left: its logits give the first word of the answer.
    most = min(map(len, prompts)) - 1
    heads = torch.stack([one[:most] for one in prompts])
    found = int((heads == heads[0]).all(0).cumprod(0).sum())
    return found if len(prompts) > 1 and found >= LEAST_SHARED else 0


def _forward(model: Any, tokens: Any, mask: Any, cache: Any) -> Any:
    """The cache after these tokens, of which it may hold the first already."""
    known = cache.get_seq_length() if cache is not None else 0
    positions = (mask.cumsum(1) - 1).clamp(min=0)[:, known:]
    return model(
        tokens[:, known:],
        attention_mask=mask,
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    ).past_key_values


def _joined(groups: list[Any], shared: int, length: int) -> Any:
    """One cache of all groups' rows, each with padding after the shared tokens up to that length."""
    torch = importlib.import_module("torch")

    def spread(values: Any) -> Any:
        gap = values.new_zeros(*values.shape[:2], length - values.shape[2], values.shape[3])
        return torch.cat([values[:, :, :shared], gap, values[:, :, shared:]], 2)

    whole = groups[0]
    for number, layer in enumerate(whole.layers):
        parts = [group.layers[number] for group in groups]
        layer.keys = torch.cat([spread(part.keys) for part in parts])
        layer.values = torch.cat([spread(part.values) for part in parts])
        for part in parts[1:]:
            part.keys = part.values = None  # Else both would be held until all layers are joined.
    return whole
