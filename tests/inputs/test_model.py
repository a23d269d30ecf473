"""A base model is obtained once and whole, whatever its source, and a damaged copy is made again."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from posttrainbench.catalog import Entry, FolderModel, HubModel, Model, PackagedWeights, RandomModel, open_catalog
from posttrainbench.errors import InfrastructureError, MissingError, UsageError
from posttrainbench.inputs import build_model, model
from posttrainbench.inputs.cached import cached
from posttrainbench.strict import digest_folder, read_json

pytest.importorskip("transformers", reason="the `local` extra is not installed")
RANDOM = Model(name="tiny", source=RandomModel(seed=5))
HUB = Entry(Model(name="known", source=HubModel(repo="org/name", revision="a" * 40)), Path("known.toml"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that holds RANDOM; tests that change it take a copy."""
    folder = tmp_path_factory.mktemp("cache")
    model.obtain(RANDOM, folder, print)
    return folder


def copied(cache: Path, to: Path) -> Path:
    shutil.copytree(cache, to / "cache")  # copy2 keeps the times of change
    return to / "cache"


def test_what_is_cached_is_used_without_reading_or_making_it(cache: Path) -> None:
    said: list[str] = []
    begin = time.monotonic()
    obtained = model.obtain(RANDOM, cache, said.append)
    assert said == []
    assert time.monotonic() - begin < 2
    assert obtained.digest == digest_folder(obtained.folder)
    assert obtained.revision == "seed 5"
    assert obtained.folder.parent == cache / "models"


def test_a_file_that_was_only_touched_is_read_again_and_kept(cache: Path, tmp_path: Path) -> None:
    own, said = copied(cache, tmp_path), []
    weights = next(own.glob("models/*/model.safetensors"))
    os.utime(weights)
    before = weights.stat().st_ino
    model.obtain(RANDOM, own, said.append)
    assert said == ["a file of the cache was touched; reading all of it again"]
    assert weights.stat().st_ino == before
    said.clear()
    model.obtain(RANDOM, own, said.append)
    assert said == []


@pytest.mark.parametrize("damage", ["changed", "removed", "added", "record"])
def test_a_damaged_copy_is_made_again(tmp_path: Path, damage: str) -> None:
    folder, said = tmp_path / "models" / "key", []

    def make(place: Path) -> None:
        (place / "model.safetensors").write_bytes(b"weights")

    cached(folder, make, print)
    match damage:
        case "changed":
            (folder / "model.safetensors").write_bytes(b"weighty")
        case "removed":
            (folder / "model.safetensors").unlink()
        case "added":
            (folder / "extra.safetensors").write_bytes(b"more")
        case "record":
            folder.with_name("key.json").write_text("{")
    made = cached(folder, make, said.append)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"model.safetensors": b"weights"}
    assert list(made.files) == ["model.safetensors"]
    assert ("the cached copy is damaged; making it again" in said) == (damage != "record")


def test_what_a_killed_process_left_half_made_does_not_stand_in_the_way(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; sys.path[:0] = [sys.argv[2]]; from posttrainbench.inputs import model\n"
    )
    code += "from posttrainbench.catalog import Model, RandomModel\n"
    code += "model.obtain(Model(name='tiny', source=RandomModel(seed=5)), Path(sys.argv[1]), print)"
    root = str(Path(model.__file__).parents[2])
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), root])
    while not list(tmp_path.glob("models/.*.building")):
        assert child.poll() is None
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert [path for path in tmp_path.glob("models/*") if path.is_dir() and not path.name.startswith(".")] == []
    obtained = model.obtain(RANDOM, tmp_path, print)
    model.check(obtained.folder)
    assert list(tmp_path.glob("models/.*.building")) == []


def _obtain(cache: str) -> tuple[str, list[str]]:
    said: list[str] = []
    return model.obtain(RANDOM, Path(cache), said.append).digest, said


def test_two_processes_make_it_once(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        found = pool.map(_obtain, [str(tmp_path)] * 2, chunksize=1)
    assert found[0][0] == found[1][0]
    record = next(tmp_path.glob("models/*.json"))
    assert len(list(tmp_path.glob("models/*.json"))) == 1
    assert read_json(record, dict)["files"].keys() == {path.name for path in record.with_suffix("").iterdir()}


def test_the_maker_s_failure_is_told(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="exit code 2"):
        model._build("neither", str(tmp_path))


def test_a_folder_is_used_where_it_lies(cache: Path, tmp_path: Path) -> None:
    folder = model.obtain(RANDOM, cache, print).folder
    obtained = model.obtain(Model(name="mine", source=FolderModel(path=str(folder))), tmp_path, print)
    assert obtained == model.Obtained(folder=folder, digest=digest_folder(folder), revision="")
    assert not (tmp_path / "models").exists()


def test_a_folder_of_links_is_copied(cache: Path, tmp_path: Path) -> None:
    folder = model.obtain(RANDOM, cache, print).folder
    links = tmp_path / "links"
    links.mkdir()
    for path in folder.iterdir():
        (links / path.name).symlink_to(path)
    obtained = model.obtain(Model(name="mine", source=FolderModel(path=str(links))), tmp_path / "cache", print)
    assert obtained.digest == digest_folder(folder) == digest_folder(obtained.folder)
    assert not any(path.is_symlink() for path in obtained.folder.iterdir())


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: shutil.rmtree(folder), "There is no folder"),
        (lambda folder: (folder / "config.json").unlink(), "no readable config.json"),
        (lambda folder: (folder / "config.json").write_text("[]"), "names no model_type"),
        (lambda folder: (folder / "config.json").write_text('{"model_type": "x", "auto_map": {}}'), "auto_map"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no \\*.safetensors"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "no tokenizer"),
    ],
)
def test_a_folder_that_is_no_model_is_refused(tmp_path: Path, spoil: object, words: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen3"}))
    for name in ("model.safetensors", "tokenizer.json"):
        (folder / name).write_text("")
    model.check(folder)
    spoil(folder)  # type: ignore[operator]
    with pytest.raises(MissingError, match=words):
        model.obtain(Model(name="mine", source=FolderModel(path=str(folder))), tmp_path / "cache", print)


def test_a_name_is_one_of_the_catalog_a_folder_or_a_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"known": HUB}
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    assert model.resolve("known", known) == HUB.value
    assert model.resolve("org/name", known) == HUB.value
    assert model.resolve("org/name@" + "a" * 40, known) == HUB.value
    assert model.resolve("org/name@v2", known).source == HubModel(repo="org/name", revision="v2")
    assert model.resolve("org/other", known).source == HubModel(repo="org/other", revision="main")
    assert model.resolve("./mine", known).source == FolderModel(path=str(tmp_path / "mine"))
    assert model.resolve(str(tmp_path / "mine"), known).name == "mine"


@pytest.mark.parametrize(
    ("name", "words"), [("nope", "Known: known"), ("./none", "none at"), ("mine", r"write \./mine"), ("a/b/c", "Known")]
)
def test_any_other_name_is_refused(name: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    with pytest.raises(UsageError, match=words):
        model.resolve(name, {"known": HUB})


def test_a_folder_in_a_toml_file_is_meant_from_that_file(tmp_path: Path) -> None:
    entry = Entry(Model(name="near", source=FolderModel(path="weights")), tmp_path / "near.toml")
    assert model.resolve("near", {"near": entry}).source == FolderModel(path=str(tmp_path / "weights"))


def test_the_bundled_models_are_pinned() -> None:
    for entry in open_catalog({}).models().values():
        for source in (entry.value.source, entry.value.instruct):
            match source:
                case HubModel():
                    assert len(source.revision) == 40
                case PackagedWeights():
                    assert len(source.sha256) == 64


def test_the_hub_out_of_reach_is_a_sentence(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; sys.path[:0] = [sys.argv[2]]\n"
    code += "from posttrainbench.inputs import model; from posttrainbench.errors import MissingError\n"
    code += "try: model.obtain(model.resolve('org/name', {}), Path(sys.argv[1]), print)\n"
    code += "except MissingError as error: print(error)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(Path(model.__file__).parents[2])],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert "org/name@main is not on this machine, and the hub cannot be reached" in done.stdout


def test_the_random_model_is_small_and_decided_by_its_seed(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        build_model.random_model(tmp_path / name, seed)
    digests = [digest_folder(tmp_path / name) for name in "abc"]
    assert digests[0] == digests[1] != digests[2]
    weights = AutoModelForCausalLM.from_pretrained(tmp_path / "a")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "a")
    assert (weights.num_parameters(), len(tokenizer), tokenizer.eos_token_id) == (138112, 1000, 0)
    text = "Question: naïve 😀 42?\n"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
