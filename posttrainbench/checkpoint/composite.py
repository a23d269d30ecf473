"""Base models that are made of a language model and an image encoder, and what may be left out of their checkpoints.

Only text is trained and scored here, so a checkpoint may hold the language model alone, saved under the architecture
that transformers has for it. And whoever saves the whole model often forgets what belongs to it but is no weight: the
image processor's settings, which vLLM will not load it without, and the tokenizer, which is a part of the processor.
Both are taken from the base model then; the record names them.
"""

import shutil
from pathlib import Path
from typing import Any, NamedTuple

from posttrainbench.checkpoint.safetensors import Tensor
from posttrainbench.checkpoint.weights import plain
from posttrainbench.strict import digest_file, disk

PROCESSOR = ("preprocessor_config.json", "processor_config.json")
TOKENIZER = (
    *("added_tokens.json", "merges.txt", "special_tokens_map.json", "tokenizer.json", "tokenizer.model"),
    *("tokenizer_config.json", "vocab.json"),
)


class Composite(NamedTuple):
    """An architecture of several parts."""

    text: str
    """Architecture of its language model alone."""
    text_type: str
    """That one's `model_type`."""
    others: tuple[str, ...]
    """First words of the names of all other tensors."""


COMPOSITES = {
    "Gemma3ForConditionalGeneration": Composite(
        "Gemma3ForCausalLM", "gemma3_text", ("vision_tower", "multi_modal_projector")
    )
}


def of(config: dict[str, Any]) -> Composite | None:
    """What a configuration's architecture is made of; None where it is of one part."""
    named = config.get("architectures")
    first = named[0] if isinstance(named, list) and len(named) == 1 else None
    return COMPOSITES.get(first) if isinstance(first, str) else None


def is_text_alone(found: dict[str, Any], base: dict[str, Any]) -> bool:
    """Whether a checkpoint is the language model of a base of several parts."""
    composite = of(base)
    return composite is not None and (found.get("architectures"), found.get("model_type")) == (
        [composite.text],
        composite.text_type,
    )


def text_tensors(tensors: dict[str, Tensor], base: dict[str, Any]) -> dict[str, Tensor]:
    """The tensors of the base's language model."""
    composite = of(base)
    others = composite.others if composite else ()
    return {name: tensor for name, tensor in tensors.items() if plain(name).split(".", 1)[0] not in others}


def fill(folder: Path, base: Path, config: dict[str, Any], base_config: dict[str, Any]) -> dict[str, str]:
    """Copy what is missing beside the weights from the base model's folder; digests of what was copied, by name. A
    tokenizer is taken whole or not at all, since two halves of different ones make none."""
    if of(base_config) is None:
        return {}
    have = {path.name for path in folder.iterdir()}
    wanted = [] if is_text_alone(config, base_config) else [name for name in PROCESSOR if name not in have]
    if not have & set(TOKENIZER):
        wanted += TOKENIZER
    copied = {}
    with disk("complete the checkpoint with files of the base model"):
        for name in sorted(wanted):
            if (base / name).is_file():
                shutil.copyfile(base / name, folder / name)
                copied[name] = digest_file(folder / name)
    return copied
