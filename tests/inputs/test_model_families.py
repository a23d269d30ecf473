"""The chat template of an architecture: plain turns, the same for every checkpoint of the family."""

import json
import re
from pathlib import Path

import jinja2.sandbox
import pytest

from posttrainbench import catalog
from posttrainbench.catalog import HubModel
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


def test_the_docs_name_every_architecture_with_its_template() -> None:
    text = (catalog.bundled() / "docs" / "models.md").read_text()
    rows = re.findall(r"^\| `(\w+)`[^|]*\| (chatml|gemma) \|", text, re.MULTILINE)
    assert dict(rows) == families.FAMILIES


def test_each_bundled_base_model_has_a_pinned_instruct_model_and_is_in_the_docs() -> None:
    text = (catalog.bundled() / "docs" / "models.md").read_text()
    found = 0
    for name, entry in catalog.open_catalog({}).models().items():
        source, instruct = entry.value.source, entry.value.instruct
        if isinstance(source, HubModel):
            assert instruct is not None
            assert len(instruct.revision) == len(source.revision) == 40
            assert f"| `{name}` | {source.repo} | {instruct.repo} |" in text
            found += 1
    assert found == 4
