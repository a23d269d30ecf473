"""Make a model folder, in a process of its own: from a GGUF file, or a tiny random one from a seed.

    python -m posttrainbench.inputs.build_model random FOLDER --seed N
    python -m posttrainbench.inputs.build_model gguf FILE FOLDER

`inputs/model.py` starts it as a program, so that torch is never loaded into the process that watches runs; it imports
nothing of the package. Tests import `random_model` directly.
"""

import argparse
import functools
import json
import os
import random
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

VOCABULARY = 1000
END, OPEN, CLOSE = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SYLLABLES = "ba ce di fo gu ha je ki lo mu na pe qui ro su ta ve wi xo yu za bri cla dro fle gra plu sto tri"
WORDS = (
    "the a of and to in is it you that he was for on are with as his they at be this have from or one had by word but "
    "not what all were we when your can said there use an each which she do how their if will up other about out many "
    "then them these so some her would make like him into time has look two more write go see number no way could "
    "people my than first water been call who oil its now find long down day did get come made may part question "
    "answer copy repeat sum plus minus add letters last next before after equal please user assistant system "
    "function name arguments return value list apple stone river green seven bread cloud horse light"
)


def _text() -> Iterator[str]:
    """A fixed text to learn the tokens from: words, made-up words, numbers and a little punctuation."""
    source, syllables, words = random.Random(0), SYLLABLES.split(), WORDS.split()
    for _ in range(3000):
        made_up = "".join(source.choices(syllables, k=source.randint(1, 3)))
        line = [*source.choices(words, k=7), made_up, str(source.randint(0, 999))]
        source.shuffle(line)
        sentence = " ".join(line)
        yield f"Question: {sentence}?\nAnswer: {source.choice(words)}\n" if source.random() < 0.3 else f"{sentence}.\n"


def random_model(folder: Path, seed: int) -> None:
    """Save a random Qwen3 of about 138,000 parameters with a tokenizer of its own into `folder`.

    The same seed gives the same weights; the tokenizer is the same for every seed. It says nothing sensible
    before it is trained, but loads, trains and generates in less than a second, which is what tests need.
    """
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer()
    identity = tokenizer.convert_tokens_to_ids(END)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=identity,
        pad_token_id=identity,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen3ForCausalLM(config)
    model.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)


def _tokenizer() -> Any:
    """The random model's tokenizer: byte-level BPE, digits apart, learnt from `_text`."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokens = Tokenizer(models.BPE())
    tokens.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\p{N}| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+"), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokens.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END, OPEN, CLOSE],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokens.train_from_iterator(_text(), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokens, eos_token=END, pad_token=END, model_max_length=4096, clean_up_tokenization_spaces=False
    )


def from_gguf(file: Path, folder: Path) -> None:
    """Save the model in a GGUF file into `folder` as safetensors, in bfloat16.

    bfloat16 rather than float32 halves the disk and the time to hash and load; what its rounding changes is far below
    what the quantisation to 4 bits had already changed.
    """
    import gguf
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.quantization_config import GgufConfig

    # transformers parses the file three times, and makes the table of all names anew for each of the model's modules.
    gguf.GGUFReader = functools.cache(gguf.GGUFReader)
    gguf.get_tensor_name_map = functools.cache(gguf.get_tensor_name_map)
    folder.mkdir(parents=True, exist_ok=True)
    place = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name, "local_files_only": True}
    tokenizer = AutoTokenizer.from_pretrained(**place)
    model = AutoModelForCausalLM.from_pretrained(**place, quantization_config=GgufConfig(dequantize=True))
    model.to(torch.bfloat16).save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    _clean(folder)


def _clean(folder: Path) -> None:
    """Take out of the saved files what tells only how they were read: quantisation, and options of the loading."""
    for name, keys in (
        ("config.json", ("quantization_config",)),
        ("tokenizer_config.json", ("local_files_only", "is_local")),
    ):
        path = folder / name
        values = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(
            json.dumps({key: value for key, value in values.items() if key not in keys}, indent=2) + "\n",
            encoding="utf-8",
        )


def _end_with_parent() -> None:
    """The parent holds the other end of stdin; its end closes it, whatever ended it."""

    def wait() -> None:
        os.read(0, 1)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m posttrainbench.inputs.build_model", description=__doc__)
    parser.add_argument("--with-parent", action="store_true", help="end when stdin is closed")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("random")
    verb.add_argument("folder", type=Path)
    verb.add_argument("--seed", type=int, default=0)
    verb = verbs.add_parser("gguf")
    verb.add_argument("file", type=Path)
    verb.add_argument("folder", type=Path)
    chosen = parser.parse_args(arguments)
    if chosen.with_parent:
        _end_with_parent()
    if chosen.verb == "random":
        random_model(chosen.folder, chosen.seed)
    else:
        from_gguf(chosen.file, chosen.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
