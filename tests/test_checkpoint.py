"""A checkpoint is frozen whole and byte for byte, or refused with a reason that says what to do."""

import io
import json
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from posttrainbench.checkpoint import Frozen, Refused, freeze, intake, safetensors
from posttrainbench.checkpoint.objection import Objection
from posttrainbench.errors import InfrastructureError
from posttrainbench.strict import digest_file, digest_value, manifest

SIZES = {"F32": 4, "BF16": 2, "F16": 2, "F64": 8, "I8": 1, "U8": 1, "I64": 8}
CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 6,
    "tie_word_embeddings": True,
}
SHAPES: dict[str, list[int]] = {
    "model.embed_tokens.weight": [6, 4],
    "model.layers.0.mlp.weight": [4, 3],
    "model.norm.weight": [4],
}
GIGABYTE = 10**9


def packed(shapes: dict[str, list[int]], dtype: str = "F32") -> bytes:
    """A safetensors file of zeros."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    position = 0
    for name, shape in shapes.items():
        size = SIZES[dtype]
        for rows in shape:
            size *= rows
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [position, position + size]}
        position += size
    return raw(json.dumps(header).encode(), position)


def raw(header: bytes, data: int = 0) -> bytes:
    """A file with exactly this header."""
    return struct.pack("<Q", len(header)) + header + bytes(data)


def write(folder: Path, name: str, content: Any) -> None:
    """Bytes as they are, anything else as JSON."""
    (folder / name).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())


def lay(folder: Path) -> Path:
    """A small, valid model."""
    folder.mkdir(parents=True)
    write(folder, "config.json", CONFIG)
    write(folder, "generation_config.json", {"temperature": 0.1})
    write(folder, "model.safetensors", packed(SHAPES))
    write(folder, "tokenizer.json", {"model": {"vocab": {"auto_map": 0}}})
    write(folder, "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"})
    return folder


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A base model, and a workspace with a valid final_model in it."""
    lay(tmp_path / "base")
    lay(tmp_path / "workspace" / "final_model")
    return tmp_path


def take(place: Path, max_bytes: int = GIGABYTE) -> Frozen | Refused:
    return freeze(place / "workspace" / "final_model", place / "checkpoint", place / "base", max_bytes=max_bytes)


def frozen(place: Path) -> Frozen:
    found = take(place)
    assert isinstance(found, Frozen), found
    return found


def config(**changes: Any) -> Callable[[Path], None]:
    """Write config.json with changes; None removes a key."""
    values = {key: value for key, value in {**CONFIG, **changes}.items() if value is not None}
    return lambda model: write(model, "config.json", values)


def has(name: str, content: Any = b"") -> Callable[[Path], None]:
    return lambda model: write(model, name, content)


def lacks(*names: str) -> Callable[[Path], None]:
    return lambda model: [(model / name).unlink() for name in names] and None


def weights(shapes: dict[str, list[int]], dtype: str = "F32") -> Callable[[Path], None]:
    return has("model.safetensors", packed(shapes, dtype))


def header(text: str, data: int = 0) -> Callable[[Path], None]:
    return has("model.safetensors", raw(text.encode(), data))


def one(offsets: str, *, dtype: str = '"F32"', shape: str = "[2]", data: int = 8) -> Callable[[Path], None]:
    """A file with one tensor of these terms."""
    return header(f'{{"a": {{"dtype": {dtype}, "shape": {shape}, "data_offsets": {offsets}}}}}', data)


def only(name: str, content: bytes) -> Callable[[Path], None]:
    """The weights lie in a file of this name and nowhere else."""

    def change(model: Path) -> None:
        (model / "model.safetensors").unlink()
        write(model, name, content)

    return change


def sharded(
    places: dict[str, str] | None = None, shards: dict[str, bytes] | None = None, index: Any = None
) -> Callable[[Path], None]:
    """Two shards and their index, or others."""
    first, *rest = SHAPES
    made = shards or {
        "model-1.safetensors": packed({first: SHAPES[first]}),
        "model-2.safetensors": packed({name: SHAPES[name] for name in rest}),
    }
    where = places or {first: "model-1.safetensors", **dict.fromkeys(rest, "model-2.safetensors")}

    def change(model: Path) -> None:
        (model / "model.safetensors").unlink()
        for name, content in made.items():
            write(model, name, content)
        write(model, "model.safetensors.index.json", {"metadata": {}, "weight_map": where} if index is None else index)

    return change


def link(name: str, goal: str) -> Callable[[Path], None]:
    def change(model: Path) -> None:
        (model / name).unlink(missing_ok=True)
        (model / name).symlink_to(goal)

    return change


def whole(make: Callable[[Path], object]) -> Callable[[Path], None]:
    """Put something else in the place of the folder."""

    def change(model: Path) -> None:
        model.rename(model.with_name("elsewhere"))
        make(model)

    return change


def bound(model: Path) -> None:
    here = os.getcwd()
    os.chdir(model)  # A socket's path is short.
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("s")
    os.chdir(here)


def sparse(name: str, size: int) -> Callable[[Path], None]:
    def change(model: Path) -> None:
        with (model / name).open("wb") as file:
            file.truncate(size)

    return change


def crowded(model: Path) -> None:
    for number in range(600):
        (model / f"{number}.txt").touch()


def bytes_name(model: Path) -> None:
    Path(os.fsdecode(os.fsencode(model) + b"/\xff\xfe")).touch()


def moved_down(model: Path) -> None:
    (model / "checkpoint-100").mkdir()
    for path in list(model.iterdir()):
        if path.is_file():
            path.rename(model / "checkpoint-100" / path.name)


def emptied(model: Path) -> None:
    for path in model.iterdir():
        path.unlink()


DEEP = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
WIDE = {**SHAPES, "model.embed_tokens.weight": [9, 4]}
GROWN = {**SHAPES, "model.layers.0.mlp.weight": [5, 3]}
FEWER = {name: shape for name, shape in SHAPES.items() if "norm" not in name}
MORE = {**SHAPES, "model.layers.1.mlp.weight": [4, 3]}
LORA = {**SHAPES, "model.layers.0.mlp.lora_A.weight": [4, 3]}
TINY = packed({"x": [1]})

NONE, INVALID = "no_checkpoint", "invalid_checkpoint"
CASES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "nothing there": (whole(lambda path: None), NONE, "no final_model/"),
    "empty folder": (emptied, NONE, "empty"),
    "a file in its place": (whole(Path.touch), INVALID, "is a file"),
    "a pipe in its place": (whole(os.mkfifo), INVALID, "is a pipe"),
    "folder linked out": (whole(lambda path: path.symlink_to("/etc")), INVALID, "out of the workspace"),
    "folder linked to nowhere": (whole(lambda path: path.symlink_to("gone")), INVALID, "nowhere"),
    "folder linked to itself": (whole(lambda path: path.symlink_to("final_model")), INVALID, "nowhere"),
    "folder linked to a file": (
        whole(lambda path: (path.with_name("f").touch(), path.symlink_to("f"))),
        INVALID,
        "is a file",
    ),
    "everything one folder too deep": (moved_down, INVALID, "checkpoint-100"),
    "no config": (lacks("config.json"), INVALID, "no config.json"),
    "config is not JSON": (has("config.json", b"{"), INVALID, "not well-formed JSON"),
    "config is a list": (has("config.json", []), INVALID, "not a JSON object"),
    "config is nested": (has("config.json", DEEP), INVALID, "nested"),
    "config is a little nested": (has("config.json", b'{"a":' + b"[" * 99 + b"]" * 99 + b"}"), INVALID, "64 deep"),
    "config is huge": (sparse("config.json", 2**21), INVALID, "2097152 bytes"),
    "config is UTF-16": (has("config.json", json.dumps(CONFIG).encode("utf-16")), INVALID, "UTF-8"),
    "config has a key twice": (has("config.json", b'{"a": 1, "a": 2}'), INVALID, "twice"),
    "config has an endless number": (has("config.json", b'{"a": ' + b"9" * 9999 + b"}"), INVALID, "JSON"),
    "another architecture": (config(architectures=["GPT2LMHeadModel"]), INVALID, "'LlamaForCausalLM'"),
    "another model type": (config(model_type="mistral"), INVALID, "model_type 'mistral'"),
    "no architecture": (config(architectures=None), INVALID, "architectures None"),
    "code by auto_map": (config(auto_map={"AutoModel": "m.M"}), INVALID, "auto_map"),
    "code deep in the config": (config(text_config={"x": [{"auto_map": "a"}]}), INVALID, "auto_map"),
    "code by the tokenizer": (has("tokenizer_config.json", {"auto_map": {"x": "y"}}), INVALID, "auto_map"),
    "code by a processor": (has("preprocessor_config.json", {"auto_map": {"x": "y"}}), INVALID, "auto_map"),
    "code by a kernel": (config(_attn_implementation="evil/kernel"), INVALID, "evil/kernel"),
    "code in a file": (has("modeling_mine.py"), INVALID, "is code"),
    "compiled code": (has("fast.SO"), INVALID, "is code"),
    "weights elsewhere": (config(transformers_weights="other.safetensors"), INVALID, "transformers_weights"),
    "quantised": (config(quantization_config={"bits": 4}), INVALID, "quantization_config"),
    "quantised within": (config(text_config={"quantization_config": {"bits": 4}}), INVALID, "quantization_config"),
    "quantised weights": (weights(SHAPES, "I8"), INVALID, "type I8"),
    "LoRA beside": (has("adapter_config.json", {}), INVALID, "merge_and_unload"),
    "LoRA alone": (only("adapter_model.safetensors", TINY), INVALID, "merge_and_unload"),
    "LoRA within": (weights(LORA), INVALID, "merge_and_unload"),
    "pickled weights": (only("pytorch_model.bin", b"\x80\x04."), INVALID, "pickle"),
    "a torch file": (only("model.PT", b"\x80\x04."), INVALID, "pickle"),
    "no weights": (lacks("model.safetensors"), INVALID, "neither model.safetensors"),
    "weights by another name": (only("weights.safetensors", TINY), INVALID, "'weights.safetensors': rename it"),
    "no tokenizer": (lacks("tokenizer.json", "tokenizer_config.json"), INVALID, "no tokenizer;"),
    "half a tokenizer": (lambda model: (model / "tokenizer.json").rename(model / "vocab.json"), INVALID, "merges.txt"),
    "no tokenizer_config": (lacks("tokenizer_config.json"), INVALID, "tokenizer_config.json"),
    "a tokenizer from elsewhere": (
        has("tokenizer_config.json", {"tokenizer_file": "/etc/passwd"}),
        INVALID,
        "tokenizer_file",
    ),
    "a huge tokenizer": (sparse("tokenizer.json", 2**30), INVALID, "1073741824 bytes"),
    "a tensor missing": (weights(FEWER), INVALID, "'norm.weight'"),
    "a tensor too many": (weights(MORE), INVALID, "not the base model's"),
    "another shape": (weights(GROWN), INVALID, "[5, 3]"),
    "more rows than tokens": (weights(WIDE), INVALID, "9 rows"),
    "more tokens than rows": (config(vocab_size=9), INVALID, "vocab_size 9"),
    "no output layer though untied": (config(tie_word_embeddings=False), INVALID, "lm_head.weight"),
    "an output layer of another size": (weights({**SHAPES, "lm_head.weight": [7, 4]}), INVALID, "7 rows"),
    "too large": (sparse("model.safetensors", 2**40), INVALID, "GB"),
    "empty weights": (has("model.safetensors"), INVALID, "not a whole safetensors"),
    "weights cut off": (has("model.safetensors", packed(SHAPES)[:-1]), INVALID, "the file has"),
    "weights too long": (has("model.safetensors", packed(SHAPES) + b"x"), INVALID, "the file has"),
    "header longer than the file": (has("model.safetensors", struct.pack("<Q", 2**63) + b"{}"), INVALID, "header"),
    "header is no JSON": (header("{nope"), INVALID, "not well-formed"),
    "header is a list": (header("[]"), INVALID, "'{'"),
    "header with a tensor twice": (header('{"a": 1, "a": 2}'), INVALID, "twice"),
    "metadata is no map": (header('{"__metadata__": {"a": 1}}'), INVALID, "__metadata__"),
    "tensor without a place": (header('{"a": {"dtype": "F32"}}'), INVALID, "data_offsets"),
    "unknown dtype": (one("[0, 8]", dtype='"F33"'), INVALID, "unknown dtype"),
    "dtype is a list": (one("[0, 8]", dtype='["F32"]'), INVALID, "unknown dtype"),
    "negative shape": (one("[0, 8]", shape="[-2]"), INVALID, "shape"),
    "shape of booleans": (one("[0, 4]", shape="[true]", data=4), INVALID, "shape"),
    "shape of a million dimensions": (one("[0, 4]", shape=str([1] * 1000), data=4), INVALID, "shape"),
    "offsets backwards": (one("[8, 0]"), INVALID, "data_offsets"),
    "offsets past the end": (one("[0, 8]", data=4), INVALID, "the file has"),
    "a gap before": (one("[4, 12]", data=12), INVALID, "begins at byte 4"),
    "bytes that the shape does not fill": (one("[0, 7]", data=7), INVALID, "does not fill"),
    "overlapping tensors": (
        header(
            '{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},'
            ' "b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}',
            12,
        ),
        INVALID,
        "begins at byte 4",
    ),
    "index without a map": (sharded(index={}), INVALID, "weight_map"),
    "index names a path": (sharded(dict.fromkeys(SHAPES, "../base/model.safetensors")), INVALID, "../base"),
    "index names a missing shard": (sharded(dict.fromkeys(SHAPES, "gone.safetensors")), INVALID, "gone.safetensors"),
    "index and shards disagree": (sharded(dict.fromkeys(SHAPES, "model-2.safetensors")), INVALID, "disagree"),
    "a file linked out": (link("tokenizer.json", "/etc/passwd"), INVALID, "link out of the workspace"),
    "a file linked out by dots": (link("config.json", "../../base/config.json"), INVALID, "link out"),
    "a file linked to nowhere": (link("README.md", "gone"), INVALID, "nowhere"),
    "a file linked to itself": (link("config.json", "config.json"), INVALID, "nowhere"),
    "a folder linked out": (link("more", "/proc"), INVALID, "link out"),
    "a pipe": (lambda model: os.mkfifo(model / "pipe"), INVALID, "'pipe' is a pipe"),
    "a pipe for a config": (
        lambda model: ((model / "config.json").unlink(), os.mkfifo(model / "config.json")),
        INVALID,
        "is a pipe",
    ),
    "a socket": (bound, INVALID, "is a socket"),
    "a device by a link": (link("x", "/dev/zero"), INVALID, "link out"),
    "too many files": (crowded, INVALID, "500"),
    "a name with a newline": (has("a\nb.txt"), INVALID, "'a\\nb.txt'"),
    "a name that ends a terminal's line": (has("a\x1b[2J.json"), INVALID, "printable"),
    "a name that is no text": (bytes_name, INVALID, "printable"),
    "a name that reads backwards": (has("a\u202egpj.json"), INVALID, "printable"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_refused_and_why(case: str, place: Path) -> None:
    change, code, word = CASES[case]
    change(place / "workspace" / "final_model")
    found = take(place)
    assert isinstance(found, Refused)
    assert (found.code, word in found.reason) == (code, True), found.reason
    assert found.reason.isascii()
    assert found.reason.isprintable()
    assert len(found.reason) < 600
    assert sorted(path.name for path in place.iterdir()) == ["base", "workspace"]


def test_a_valid_checkpoint_is_frozen_byte_for_byte(place: Path) -> None:
    found = frozen(place)
    assert found.files == manifest(place / "base") == manifest(place / "checkpoint")
    assert found.digest == digest_value(found.files)
    assert found.config == digest_file(place / "base" / "config.json")
    assert found.bytes == sum(path.stat().st_size for path in (place / "checkpoint").iterdir())
    assert (found.architecture, found.dropped) == ("LlamaForCausalLM", [])
    assert sorted(path.name for path in place.iterdir()) == ["base", "checkpoint", "workspace"]


def test_what_the_agent_changes_afterwards_does_not_reach_the_copy(place: Path) -> None:
    found = frozen(place)
    for path in (place / "workspace" / "final_model").iterdir():
        with path.open("r+b") as file:
            file.write(b"changed")
    assert manifest(place / "checkpoint") == found.files


ACCEPTED: dict[str, Callable[[Path], object]] = {
    "half precision": weights(SHAPES, "BF16"),
    "shards": sharded(),
    "other names for the same parts": weights({name.removeprefix("model."): shape for name, shape in SHAPES.items()}),
    "a stored output layer": weights({**SHAPES, "lm_head.weight": [6, 4]}),
    "more tokens": lambda model: (weights(WIDE)(model), config(vocab_size=9)(model)),
    "untied with its output layer": lambda model: (
        weights({**SHAPES, "lm_head.weight": [6, 4]})(model),
        config(tie_word_embeddings=False)(model),
    ),
    "a buffer of an older version": weights({**SHAPES, "model.layers.0.self_attn.rotary_emb.inv_freq": [3]}),
    "a number that is none": config(limit=float("inf")),
    "sentencepiece": lambda model: (model / "tokenizer.json").rename(model / "tokenizer.model"),
    "no eager code": config(auto_map=None, quantization_config={}, _attn_implementation="sdpa"),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_what_honest_training_leaves_is_accepted(case: str, place: Path) -> None:
    ACCEPTED[case](place / "workspace" / "final_model")
    assert frozen(place).dropped == []


def test_a_folder_linked_inside_the_workspace_is_accepted(place: Path) -> None:
    workspace = place / "workspace"
    (workspace / "final_model").rename(workspace / "runs-7")
    (workspace / "final_model").symlink_to("runs-7")
    assert frozen(place).files == manifest(place / "base")


def test_files_linked_inside_the_workspace_are_copied(place: Path) -> None:
    workspace = place / "workspace"
    (workspace / "best").mkdir()
    for path in list((workspace / "final_model").iterdir()):
        path.rename(workspace / "best" / path.name)
        path.symlink_to(workspace / "best" / path.name)
    assert frozen(place).files == manifest(place / "base")
    assert not any(path.is_symlink() for path in (place / "checkpoint").iterdir())


def test_what_is_not_needed_is_left_behind_and_listed(place: Path) -> None:
    model = place / "workspace" / "final_model"
    for name in ("README.md", "training_args.bin", "optimizer.pt", "trainer_state.json", "é.json", "old.safetensors"):
        (model / name).write_bytes(b"junk")
    (model / "model.safetensors.index.json").write_text("stale")
    (model / "checkpoint-5").mkdir()
    (model / "checkpoint-5" / "train.py").touch()
    (model / "again").symlink_to(".")
    found = frozen(place)
    assert found.files == manifest(place / "checkpoint") == manifest(place / "base")
    assert found.dropped == [
        "README.md",
        "again/",
        "checkpoint-5/",
        "model.safetensors.index.json",
        "old.safetensors",
        "optimizer.pt",
        "trainer_state.json",
        "training_args.bin",
        "é.json",
    ]


def test_a_shard_that_no_index_names_is_left_behind(place: Path) -> None:
    model = place / "workspace" / "final_model"
    sharded()(model)
    write(model, "model-3.safetensors", TINY)
    found = frozen(place)
    assert found.dropped == ["model-3.safetensors"]
    assert found.files == manifest(place / "checkpoint")
    assert found.bytes == sum(path.stat().st_size for path in (place / "checkpoint").iterdir())


def test_the_bound_is_exact(place: Path) -> None:
    size = frozen(place).bytes
    assert isinstance(take(place, size), Frozen)
    assert isinstance(take(place, size - 1), Refused)


def test_freezing_again_replaces_what_a_killed_one_left(place: Path) -> None:
    for name in ("checkpoint", "checkpoint.partial"):
        (place / name).mkdir()
        (place / name / "config.json").write_text("half")
    assert frozen(place).files == manifest(place / "checkpoint")
    assert not (place / "checkpoint.partial").exists()
    (place / "workspace" / "final_model" / "config.json").unlink()
    assert isinstance(take(place), Refused)
    assert not (place / "checkpoint").exists()


def test_a_tied_base_model_may_store_its_output_layer(place: Path) -> None:
    weights({**SHAPES, "lm_head.weight": [6, 4]})(place / "base")
    assert frozen(place).dropped == []


def test_a_broken_base_model_is_our_fault(place: Path) -> None:
    (place / "base" / "model.safetensors").write_bytes(b"x")
    with pytest.raises(InfrastructureError, match="base model"):
        take(place)


def test_both_results_survive_their_file(place: Path) -> None:
    results = [frozen(place), Refused(code="no_checkpoint", reason="None.")]
    for result in results:
        assert msgspec.json.decode(msgspec.json.encode(result), type=Frozen | Refused) == result


@pytest.mark.parametrize(
    "swap",
    [
        link("tokenizer.json", "/etc/passwd"),
        link("tokenizer.json", "config.json"),
        lacks("tokenizer.json"),
        has("tokenizer.json", b"another size"),
        lambda model: ((model / "tokenizer.json").unlink(), os.mkfifo(model / "tokenizer.json")),
        whole(lambda path: path.symlink_to("elsewhere")),
    ],
)
def test_what_is_swapped_between_listing_and_copying_is_refused(swap: Callable[[Path], None], place: Path) -> None:
    model = place / "workspace" / "final_model"
    size = (model / "tokenizer.json").stat().st_size
    listed = intake.File("tokenizer.json", ("final_model", "tokenizer.json"), size)
    swap(model)
    root = os.open(place / "workspace", os.O_RDONLY)
    try:
        with pytest.raises(Objection, match="changed while it was copied"):
            intake._take(root, listed, place)
    finally:
        os.close(root)


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read every file")
def test_an_unreadable_file_is_refused(place: Path) -> None:
    (place / "workspace" / "final_model" / "config.json").chmod(0)
    found = take(place)
    assert isinstance(found, Refused)
    assert "chmod" in found.reason


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(sorted(SIZES)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
ENTRIES = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(sorted(SIZES)) | VALUES,
        "shape": st.lists(st.integers(-1, 2**64), max_size=4) | VALUES,
        "data_offsets": st.lists(st.integers(-1, 2**64), min_size=2, max_size=2) | VALUES,
    }
)
HEADERS = st.dictionaries(st.text(max_size=8) | st.just("__metadata__"), ENTRIES | VALUES, max_size=4)


def parsed(content: bytes) -> dict[str, safetensors.Tensor] | None:
    """The tensors, or None where the parser objects; anything else fails the test."""
    try:
        return safetensors.read(io.BytesIO(content), len(content), "x.safetensors")
    except Objection as objection:
        assert objection.reason.isascii()
        assert len(objection.reason) < 600
        return None


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
@example(b"")
@example(raw(b"{}"))
@example(raw(DEEP))
@example(raw(b'{"a": {"dtype": "F32", "shape": [9223372036854775807, 9223372036854775807], "data_offsets": [0, 0]}}'))
def test_any_bytes_are_parsed_or_refused(content: bytes) -> None:
    parsed(content)
    parsed(raw(content))


@settings(max_examples=200, deadline=None)
@given(HEADERS, st.integers(0, 64))
def test_any_header_is_parsed_or_refused(value: dict[str, Any], data: int) -> None:
    found = parsed(raw(json.dumps(value).encode(), data))
    if found is not None:
        used = 0
        for dtype, shape in found.values():
            size = safetensors.BITS[dtype]
            for rows in shape:
                size *= rows
            used += size
        assert used == 8 * data


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8).filter(lambda name: name != "__metadata__"),
        st.lists(st.integers(0, 4), max_size=3),
        max_size=5,
    )
)
def test_every_well_formed_file_is_read(shapes: dict[str, list[int]]) -> None:
    found = parsed(packed(shapes))
    assert found == {name: ("F32", tuple(shape)) for name, shape in shapes.items()}
