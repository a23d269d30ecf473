"""The chat template of an architecture: plain turns, the same for every checkpoint of the family."""

import json
from pathlib import Path

import jinja2.sandbox
import pytest

from posttrainbench.inputs import families

TURNS = [
    {"role": "user", "content": " Hi "},
    {"role": "assistant", "content": "Yes?"},
    {"role": "user", "content": "B"},
]


def rendered(family: str, messages: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
    # As transformers sets Jinja up.
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(families.template(family))
    return template.render(messages=messages, bos_token="<bos>", add_generation_prompt=add_generation_prompt)


def test_chatml() -> None:
    assert rendered("chatml", TURNS) == (
        "<|im_start|>user\n Hi <|im_end|>\n<|im_start|>assistant\nYes?<|im_end|>\n"
        "<|im_start|>user\nB<|im_end|>\n<|im_start|>assistant\n"
    )
    assert rendered("chatml", TURNS[:2], False) == (
        "<|im_start|>user\n Hi <|im_end|>\n<|im_start|>assistant\nYes?<|im_end|>\n"
    )


def test_gemma_has_no_system_turn_so_its_text_opens_the_first_turn() -> None:
    assert rendered("gemma", [{"role": "system", "content": "S"}, *TURNS]) == (
        "<bos><start_of_turn>user\nS\n\n Hi <end_of_turn>\n<start_of_turn>model\nYes?<end_of_turn>\n"
        "<start_of_turn>user\nB<end_of_turn>\n<start_of_turn>model\n"
    )


@pytest.mark.parametrize(
    ("kind", "family"),
    [("qwen3", "chatml"), ("llama", "chatml"), ("smollm3", "chatml"), ("gemma3", "gemma"), ("gemma3_text", "gemma")],
)
def test_the_architecture_decides(tmp_path: Path, kind: str, family: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    (tmp_path / "chat_template.jinja").write_text("the checkpoint's own")
    assert families.chat_template(tmp_path) == families.template(family)


@pytest.mark.parametrize("config", ['{"model_type": "unheard"}', "{}", "[]", "no json", '{"model_type": ["qwen3"]}'])
def test_an_unknown_architecture_has_none(tmp_path: Path, config: str) -> None:
    (tmp_path / "config.json").write_text(config)
    assert families.chat_template(tmp_path) is None
