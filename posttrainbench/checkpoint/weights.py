"""Are the weights those of a model of the base's form? Names, shapes and types are compared; values are not.

Two freedoms: rows of the embeddings (and of the output layer) may differ from the base's, if config.json's vocab_size
says so, because training often adds tokens or cuts padding rows; and an output layer that is tied to the embeddings may
be stored or left out. Prefixes of names (`model.`, `language_model.`, `transformer.`) are not compared, since the same
model is stored with different ones by different versions of transformers.
"""

import re
from pathlib import Path
from typing import Any

from posttrainbench.checkpoint import bounded_json, safetensors
from posttrainbench.checkpoint.intake import INDEX, SAVE, WEIGHTS
from posttrainbench.checkpoint.objection import Objection, shown
from posttrainbench.checkpoint.safetensors import Tensor

PREFIXES = frozenset({"gpt_neox", "language_model", "model", "transformer"})
BUFFERS = re.compile(r"(^|\.)(rotary_emb\.inv_freq|attn\.bias|attn\.masked_bias)$")
"""Computed, not learned; older files store them."""
VOCABULARY = re.compile(r"(^|\.)(embed_tokens|embed_in|embed_out|lm_head|word_embeddings|wte)\.(weight|bias)$")
OUTPUT = re.compile(r"(^|\.)(embed_out|lm_head)\.weight$")
FLOATS = frozenset({"BF16", "F16", "F32", "F64"})

Tensors = dict[str, Tensor]


def read(folder: Path) -> tuple[Tensors, set[str]]:
    """The model's tensors, and the names of the files that hold them (and the index); raises Objection."""
    if (folder / WEIGHTS).is_file():
        return safetensors.tensors(folder / WEIGHTS), {WEIGHTS}
    if not (folder / INDEX).is_file():
        others = sorted(path.name for path in folder.glob("*.safetensors"))
        found = f" There is {shown(others[0])}: rename it if it is the whole model." if others else ""
        raise Objection(f"final_model/ has neither {WEIGHTS} nor {INDEX}.{found} {SAVE}")
    places = bounded_json.load(folder / INDEX).get("weight_map")
    if not isinstance(places, dict) or not places or not all(isinstance(name, str) for name in places.values()):
        raise Objection(f"{INDEX} has no weight_map of tensors and files. {SAVE}")
    tensors: Tensors = {}
    for shard in sorted(set(places.values())):
        if "/" in shard or not shard.endswith(".safetensors") or not (folder / shard).is_file():
            raise Objection(f"{INDEX} names {shown(shard)}, which is no safetensors file in final_model/. {SAVE}")
        held = safetensors.tensors(folder / shard)
        named = {name for name, place in places.items() if place == shard}
        if set(held) != named:
            example = sorted(set(held) ^ named)[0]
            raise Objection(f"{INDEX} and {shown(shard)} disagree about the tensor {shown(example)}. {SAVE}")
        tensors |= held
    return tensors, {INDEX, *places.values()}


def compare(found: Tensors, base: Tensors, config: dict[str, Any], base_config: dict[str, Any]) -> None:
    """Raises Objection where the weights are not of the base model's form."""
    if unmerged := sorted(name for name in found if "lora_" in name or name.startswith("base_model.model.")):
        raise Objection(
            f"The weights hold a LoRA adapter that is not merged ({shown(unmerged[0])}). Merge it: "
            "`model.merge_and_unload().save_pretrained('final_model')`."
        )
    ours, theirs = _plain(found), _plain(base)
    if len(ours) != len(_learned(found)) or len(theirs) != len(_learned(base)):
        ours, theirs = _learned(found), _learned(base)
    _check_names(set(ours), set(theirs), config, base_config)
    for name, tensor in sorted(ours.items()):
        expected = theirs.get(name)
        if tensor.dtype not in FLOATS and (expected is None or tensor.dtype != expected.dtype):
            raise Objection(
                f"Tensor {shown(name)} has the type {tensor.dtype}, as quantised weights have; BF16, F16 or F32 was "
                "expected. Save the model without quantisation."
            )
        if expected is not None and tensor.shape != expected.shape:
            _check_shape(name, tensor, expected)
    _check_vocabulary(ours, theirs, config, base_config)


def _learned(tensors: Tensors) -> Tensors:
    return {name: tensor for name, tensor in tensors.items() if not BUFFERS.search(name)}


def plain(name: str) -> str:
    """A tensor's name without prefixes."""
    return ".".join(part for part in name.split(".") if part not in PREFIXES)


def _plain(tensors: Tensors) -> Tensors:
    """Tensors by their names without prefixes."""
    return {plain(name): tensor for name, tensor in _learned(tensors).items()}


def _is_tied(config: dict[str, Any], base: dict[str, Any], stored: bool) -> bool:
    """Does the output layer share the embeddings' weights? A configuration that does not say so leaves it to the
    architecture; there the base model's files tell, by whether they store (`stored`) an output layer."""
    for one in (config, config.get("text_config"), base, base.get("text_config")):
        if isinstance(one, dict) and isinstance(one.get("tie_word_embeddings"), bool):
            return bool(one["tie_word_embeddings"])
    return not stored


def _check_names(found: set[str], base: set[str], config: dict[str, Any], base_config: dict[str, Any]) -> None:
    stored = any(OUTPUT.search(name) for name in base)
    if not any(OUTPUT.search(name) for name in found) and not _is_tied(config, base_config, stored):
        raise Objection(
            "The weights have no output layer (lm_head.weight), and config.json says that it is not tied to the "
            f"embeddings, so it would be made up at random. {SAVE}"
        )
    missing = sorted(name for name in base - found if not OUTPUT.search(name))
    extra = sorted(name for name in found - base if not OUTPUT.search(name))
    for names, what in ((missing, "are missing"), (extra, "are not the base model's")):
        if names:
            raise Objection(
                f"{len(names)} tensors {what}, {shown(names[0])} for one; the {len(base)} tensors of the base model "
                f"were expected. Save the whole model, and nothing else. {SAVE}"
            )


def _check_shape(name: str, tensor: Tensor, expected: Tensor) -> None:
    rows_only = VOCABULARY.search(name) and tensor.shape[1:] == expected.shape[1:] and tensor.shape
    if not rows_only:
        raise Objection(
            f"Tensor {shown(name)} has the shape {list(tensor.shape)}; the base model's {list(expected.shape)} was "
            "expected. Only the number of tokens may differ. Train the given base model."
        )


def _check_vocabulary(found: Tensors, base: Tensors, config: dict[str, Any], base_config: dict[str, Any]) -> None:
    """Every tensor with a row for each token must have as many as config.json says."""
    size, base_size = _vocabulary(config), _vocabulary(base_config)
    embeddings = {name: tensor for name, tensor in found.items() if VOCABULARY.search(name) and tensor.shape}
    for name, tensor in sorted(embeddings.items()):
        expected = base.get(name)
        unchanged = expected is not None and tensor.shape == expected.shape and size == base_size
        if not unchanged and tensor.shape[0] != size:
            raise Objection(
                f"Tensor {shown(name)} has {tensor.shape[0]} rows, but config.json has vocab_size {shown(size)}. After "
                "`model.resize_token_embeddings(n)`, save the model with `save_pretrained`, which writes both."
            )


def _vocabulary(config: dict[str, Any]) -> Any:
    inner = config.get("text_config")
    return config.get("vocab_size", inner.get("vocab_size") if isinstance(inner, dict) else None)
