"""The chat template of a model family, by the architecture that config.json names.

The templates are plain ones of our own (`models/families/*.jinja`): roles and turns, no system prompt slipped in, no
thinking, no tools. The checkpoint's own template is never used, since the agent could write anything into it.
"""

import json
from pathlib import Path

from posttrainbench.catalog import bundled

FAMILIES = {
    "gemma3": "gemma",
    "gemma3_text": "gemma",
    "llama": "chatml",
    "qwen2": "chatml",
    "qwen3": "chatml",
    "smollm3": "chatml",
}
"""Template by `model_type`. `llama` stands for the SmolLM2 models, whose instruct versions speak ChatML."""


def chat_template(model_folder: Path) -> str | None:
    """The template's text; None where the architecture has none."""
    try:
        config = json.loads((model_folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    family = FAMILIES.get(str(config.get("model_type"))) if isinstance(config, dict) else None
    return template(family) if family else None


def template(family: str) -> str:
    """The text of `models/families/<family>.jinja`."""
    return (bundled() / "models" / "families" / f"{family}.jinja").read_text(encoding="utf-8")
