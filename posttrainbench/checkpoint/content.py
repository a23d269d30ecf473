"""What a checkpoint's configuration and tokenizer must be."""

from pathlib import Path
from typing import Any

from posttrainbench.checkpoint import bounded_json, composite
from posttrainbench.checkpoint.intake import SAVE
from posttrainbench.checkpoint.objection import Objection, shown

MAX_CONFIG = 2**20
CODE_KEYS = frozenset({"auto_map", "custom_pipelines", "trust_remote_code"})
QUANTISED_KEYS = frozenset({"quantization_config", "compression_config"})
KERNEL_KEYS = frozenset({"attn_implementation", "_attn_implementation", "experts_implementation"})
FILE_KEYS = ("merges_file", "spm_file", "tokenizer_file", "vocab_file")
UNREAD = frozenset({"tokenizer.json", "vocab.json", "added_tokens.json"})
"""Their keys are tokens, any of which is allowed."""


def config(folder: Path, dropped: list[str]) -> dict[str, Any]:
    """The object in config.json; raises Objection. `dropped` names what was left behind, to say where it may lie."""
    if not (folder / "config.json").is_file():
        folders = [name for name in dropped if name.endswith("/")]
        hint = f" There is a folder {shown(folders[0])}: if the model is in it, move its files up." if folders else ""
        raise Objection(f"final_model/ has no config.json.{hint} {SAVE}")
    return bounded_json.load(folder / "config.json", max_bytes=MAX_CONFIG)


def check_config(found: dict[str, Any], base: dict[str, Any]) -> str:
    """Is it the configuration of a model of the base's architecture, or of its language model, as plain data? Returns
    the architecture."""
    for key in ("architectures", "model_type"):
        if found.get(key) != base.get(key) and not composite.is_text_alone(found, base):
            raise Objection(
                f"config.json has {key} {shown(found.get(key))}; the base model's {shown(base.get(key))} was expected. "
                "Train the given base model and save it with `save_pretrained`."
            )
    if any(value for _, value in bounded_json.find(found, QUANTISED_KEYS)) and not bounded_json.find(
        base, QUANTISED_KEYS
    ):
        raise Objection(
            "config.json has a quantization_config; weights like the base model's were expected. Load it without "
            "quantisation, merge your training into it, and save that."
        )
    if "transformers_weights" in found:
        raise Objection("config.json names its weights with transformers_weights; remove it and use model.safetensors.")
    for key, value in bounded_json.find(found, KERNEL_KEYS):
        # transformers fetches a kernel, which is code, where this names a repository.
        if isinstance(value, str) and "/" in value:
            raise Objection(f"config.json asks for code in {key} {shown(value)}; remove that key.")
    architectures = found.get("architectures")
    return str(architectures[0]) if isinstance(architectures, list) and architectures else ""


def check_no_code(folder: Path) -> None:
    """No file of configuration may name code to run."""
    for path in sorted(folder.glob("*.json")):
        if path.name in UNREAD or path.name.endswith(".index.json"):
            continue
        for key, value in bounded_json.find(bounded_json.load(path), CODE_KEYS):
            if value:
                raise Objection(
                    f"{shown(path.name)} has {key}, which loads code with the model; an architecture that transformers "
                    "knows was expected. Remove that key and everything that needs it."
                )


def check_tokenizer(folder: Path) -> None:
    """Is a tokenizer there, whole, in files of the folder?"""
    have = {path.name for path in folder.iterdir()}
    if not have & {"tokenizer.json", "tokenizer.model"} and not {"vocab.json", "merges.txt"} <= have:
        raise Objection(
            "final_model/ has no tokenizer; tokenizer.json (or tokenizer.model, or vocab.json and merges.txt) was "
            "expected. Save it too: `tokenizer.save_pretrained('final_model')`."
        )
    if "tokenizer_config.json" not in have:
        raise Objection(
            "final_model/ has no tokenizer_config.json. Save the tokenizer: `tokenizer.save_pretrained('final_model')`."
        )
    settings = bounded_json.load(folder / "tokenizer_config.json")
    for key in FILE_KEYS:
        value = settings.get(key)
        if isinstance(value, str) and value not in have:
            raise Objection(
                f"tokenizer_config.json takes its {key} from {shown(value)}, which is not in final_model/. Save the "
                "tokenizer with `tokenizer.save_pretrained('final_model')`."
            )
