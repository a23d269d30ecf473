"""Gemma 3: its language model alone is a checkpoint, and what is missing beside the weights comes from the base.

The models are random ones of a few layers that transformers itself builds and saves, in both architectures.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from benching import lay

from posttrainbench.checkpoint import Frozen, Refused, freeze
from posttrainbench.evaluation import cell
from posttrainbench.inputs import build_model, families
from posttrainbench.strict import digest_file, manifest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

TEXT = {
    "vocab_size": 1008,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "sliding_window": 64,
    "max_position_embeddings": 2048,
    "eos_token_id": 0,
}
VISION = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
TOKENIZER = ["tokenizer.json", "tokenizer_config.json"]
PROCESSOR = ["preprocessor_config.json", "processor_config.json"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`base`, the whole model with its tokenizer and processor; `whole` and `text`, its weights alone."""
    place = tmp_path_factory.mktemp("gemma")
    build_model.random_model(place / "random", 0)
    tokenizer = transformers.AutoTokenizer.from_pretrained(place / "random")
    turns = ["<start_of_turn>", "<end_of_turn>"]
    tokenizer.add_special_tokens({"bos_token": "<bos>", "additional_special_tokens": turns})
    torch.manual_seed(0)
    config = transformers.Gemma3Config(
        text_config=TEXT, vision_config=VISION, mm_tokens_per_image=4, image_token_index=1007
    )
    model = transformers.Gemma3ForConditionalGeneration(config).to(torch.bfloat16)
    text = transformers.Gemma3ForCausalLM(config.text_config).to(torch.bfloat16)
    text.model.load_state_dict(model.model.language_model.state_dict())
    for name, saved in (("base", model), ("whole", model), ("text", text)):
        saved.save_pretrained(place / name)
    tokenizer.save_pretrained(place / "base")
    for name in PROCESSOR:
        (place / "base" / name).write_text(json.dumps({"image_processor_type": "Gemma3ImageProcessor"}))
    return place


@pytest.fixture
def place(models: Path, tmp_path: Path) -> Path:
    """A copy that may be spoilt."""
    for name in ("whole", "text"):
        shutil.copytree(models / name, tmp_path / name / "final_model")
    return tmp_path


def take(models: Path, place: Path, name: str, base: str = "base") -> Frozen | Refused:
    return freeze(place / name / "final_model", place / name / "checkpoint", models / base, max_bytes=10**8)


def frozen(models: Path, place: Path, name: str) -> Frozen:
    found = take(models, place, name)
    assert isinstance(found, Frozen), found
    assert found.files == manifest(place / name / "checkpoint")
    return found


def refused(found: Frozen | Refused) -> str:
    assert isinstance(found, Refused), found
    return found.reason


def change(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def test_the_whole_model_gets_the_processor_and_tokenizer_that_it_lacks(models: Path, place: Path) -> None:
    found = frozen(models, place, "whole")
    assert found.architecture == "Gemma3ForConditionalGeneration"
    assert found.filled == sorted([*PROCESSOR, *TOKENIZER])
    assert [found.files[name] for name in found.filled] == [
        digest_file(models / "base" / name) for name in found.filled
    ]
    folder = place / "whole" / "checkpoint"
    assert found.bytes == sum(path.stat().st_size for path in folder.iterdir())


def test_the_language_model_alone_is_a_checkpoint(models: Path, place: Path) -> None:
    found = frozen(models, place, "text")
    assert (found.architecture, found.filled) == ("Gemma3ForCausalLM", TOKENIZER)


def test_what_the_agent_saved_itself_stays_as_it_is(models: Path, place: Path) -> None:
    own = place / "whole" / "final_model"
    for name in TOKENIZER:
        (own / name).write_bytes((models / "base" / name).read_bytes())
    (own / "preprocessor_config.json").write_text('{"size": 1}')
    found = frozen(models, place, "whole")
    assert found.filled == ["processor_config.json"]
    assert (place / "whole" / "checkpoint" / "preprocessor_config.json").read_text() == '{"size": 1}'


def test_half_a_tokenizer_is_not_completed_from_another(models: Path, place: Path) -> None:
    shutil.copy(models / "base" / "tokenizer.json", place / "text" / "final_model")
    assert "no tokenizer_config.json" in refused(take(models, place, "text"))


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("text", {"architectures": ["Gemma3ForConditionalGeneration"]}, "model_type"),
        ("text", {"model_type": "gemma3"}, "architectures"),
        ("text", {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}, "architectures"),
        ("whole", {"architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text"}, "not the base model's"),
    ],
)
def test_a_configuration_that_is_neither_is_refused(
    models: Path, place: Path, name: str, changes: dict[str, Any], words: str
) -> None:
    change(place / name / "final_model", **changes)
    assert words in refused(take(models, place, name))


def test_a_whole_model_without_its_images_is_refused(models: Path, place: Path) -> None:
    shutil.copy(place / "text" / "final_model" / "model.safetensors", place / "whole" / "final_model")
    assert "tensors are missing" in refused(take(models, place, "whole"))


def test_another_language_model_is_refused(models: Path, place: Path) -> None:
    config = transformers.Gemma3TextConfig(**{**TEXT, "intermediate_size": 48})
    transformers.Gemma3ForCausalLM(config).to(torch.bfloat16).save_pretrained(place / "text" / "final_model")
    assert "shape" in refused(take(models, place, "text"))


def test_the_language_model_alone_is_no_base_s_other_way_round(models: Path, place: Path) -> None:
    assert "architectures" in refused(take(models, place, "whole", base="text"))


@pytest.fixture
def unchanged_process() -> Iterator[None]:
    """What cell.py does to the process is taken back."""
    environment, path, bytecode = dict(os.environ), list(sys.path), sys.dont_write_bytecode
    yield
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:], sys.dont_write_bytecode = path, bytecode


def test_both_are_loaded_and_give_the_same_answers(models: Path, place: Path, unchanged_process: None) -> None:
    pytest.importorskip("lm_eval")
    template = families.chat_template(models / "base")
    bench = lay("tiny", place / "bench", chat_template=template)
    answers = {}
    for name in ("whole", "text"):
        frozen(models, place, name)
        checkpoint = place / name / "checkpoint"
        assert families.chat_template(checkpoint) == template == families.template("gemma")
        words = ["--bench", bench, "--model", checkpoint, "--out", place / name / "out", "--limit", "8"]
        assert cell.main([*map(str, words)]) == 0
        lines = (place / name / "out" / "questions.jsonl").read_text().splitlines()
        answers[name] = [json.loads(line)["responses"] for line in lines]
    assert (len(answers["text"]), any(text for [text] in answers["text"])) == (8, True)
    assert answers["text"] == answers["whole"]
