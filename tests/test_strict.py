"""Strict reading, atomic writing, digests."""

import os
from pathlib import Path

import pytest

from posttrainbench.errors import ConfigError, DigestError, StorageError
from posttrainbench.strict import (
    Value,
    digest_bytes,
    digest_value,
    manifest,
    read_json,
    read_regular,
    read_toml,
    write_bytes,
    write_json,
)


class Pair(Value, frozen=True, kw_only=True):
    """Something to read."""

    left: int
    right: str = "r"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("left = 1\nextra = 2", "extra"),
        ("right = 'x'", "left"),
        ("left = 'one'", "left"),
        ("left = ", "not valid TOML"),
        ("left = 1\nright = 3", "right"),
    ],
)
def test_a_wrong_toml_names_file_and_key(tmp_path: Path, text: str, word: str) -> None:
    path = tmp_path / "pair.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        read_toml(path, Pair)
    assert str(path) in str(error.value)
    assert word in str(error.value)


def test_a_right_toml_is_read(tmp_path: Path) -> None:
    path = tmp_path / "pair.toml"
    path.write_text("left = 3")
    assert read_toml(path, Pair) == Pair(left=3, right="r")


def test_bytes_that_are_no_text_are_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "pair.toml"
    path.write_bytes(b"left = 1 # \xff")
    with pytest.raises(ConfigError, match="could not be read"):
        read_toml(path, Pair)


def test_json_goes_out_and_back(tmp_path: Path) -> None:
    write_json(tmp_path / "pair.json", Pair(left=1))
    assert read_json(tmp_path / "pair.json", Pair) == Pair(left=1)


def test_a_damaged_json_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "pair.json").write_text('{"left": 1')
    with pytest.raises(DigestError, match="not what ptb wrote"):
        read_json(tmp_path / "pair.json", Pair)


def test_a_failed_write_leaves_the_old_content_and_no_leftovers(tmp_path: Path) -> None:
    target = tmp_path / "value.json"
    write_bytes(target, b"old")
    with pytest.raises(TypeError):
        write_bytes(target, "not bytes")  # type: ignore[arg-type]
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["value.json"]


def test_a_folder_in_the_way_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(StorageError, match="Could not write taken"):
        write_bytes(tmp_path / "taken", b"content")


def test_digests_are_those_of_sha256_and_ignore_the_order_of_keys() -> None:
    assert digest_bytes(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert digest_value({"a": 1, "b": [2]}) == digest_value({"b": [2], "a": 1})
    assert digest_value({"a": 1}) != digest_value({"a": 2})


def test_a_manifest_leaves_out_links_and_caches(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to("sub/file")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "x.pyc").write_bytes(b"x")
    assert list(manifest(tmp_path)) == ["sub/file"]


def test_a_stranger_s_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert read_regular(tmp_path / "file", 5) == b"12345"
    with pytest.raises(ValueError, match="larger than 4 bytes"):
        read_regular(tmp_path / "file", 4)


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_file_is_neither_followed_nor_waited_for(kind: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    path = tmp_path / "it"
    {"link": lambda: path.symlink_to("file"), "pipe": lambda: os.mkfifo(path), "folder": path.mkdir}[kind]()
    with pytest.raises((OSError, ValueError)):
        read_regular(path, 5)
