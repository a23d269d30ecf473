from pathlib import Path

import msgspec
import pytest
from benching import cache, task

from posttrainbench.catalog import Wheel
from posttrainbench.errors import MissingError
from posttrainbench.inputs import wheels


def bfcl() -> Wheel:
    found = task("bfcl").library
    assert found is not None
    return found


def members(wheel: Wheel, paths: list[str], folder: Path) -> object:
    return wheels.members(wheel, paths, folder, lambda text: None)


def test_asked_for_members_are_extracted_and_no_others() -> None:
    try:
        folder = wheels.members(bfcl(), bfcl().members, cache(), lambda text: None)
    except MissingError as error:
        pytest.skip(str(error))
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert found == sorted(bfcl().members)


def test_another_digest_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    wheel = Wheel(package="iniconfig", version="2.0.0", sha256="0" * 64)
    with pytest.raises(MissingError) as caught:
        members(wheel, ["iniconfig/__init__.py"], tmp_path)
    if "could not download" in str(caught.value):
        pytest.skip(str(caught.value))
    assert "the catalog pins" in str(caught.value)
    assert not list(tmp_path.rglob("__init__.py"))


def test_without_an_index_the_sentence_names_pip_and_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(MissingError, match="pip could not download bfcl-eval==2026.3.23"):
        members(bfcl(), bfcl().members, tmp_path)


def test_a_member_that_is_not_there_is_named(tmp_path: Path) -> None:
    wheel = msgspec.structs.replace(bfcl())
    with pytest.raises(MissingError, match=r"no bfcl_eval/nothing\.py|could not download"):
        members(wheel, ["bfcl_eval/nothing.py"], tmp_path)
