"""The base model's score, and its instruct sibling's: measured like any checkpoint's, once, and kept in the cache by
digest.

The key covers all that can change the score: the model's files, the bench (questions, scorer, decoding, evaluator,
chat template), the backend, the versions of the packages, the number of worked examples, and the kind of machine.
"""

import platform
import shutil
import tempfile
from pathlib import Path

from posttrainbench.catalog import FolderModel, HubModel, RandomModel
from posttrainbench.errors import DigestError, InfrastructureError
from posttrainbench.evaluation import CheckpointUnusable, Measurement, unfinished
from posttrainbench.evaluation import measure as measuring
from posttrainbench.evaluation.cell_engine import computes_in_bfloat16
from posttrainbench.plan import versions
from posttrainbench.sandbox import Sandbox
from posttrainbench.strict import Value, digest_folder, digest_value, disk, read_json, write_json

Source = HubModel | FolderModel | RandomModel


def base_measurement(
    sandbox: Sandbox,
    *,
    bench: Path,
    model: Path,
    model_digest: str,
    out: Path,
    cache: Path,
    few_shot: int = 0,
    backend: str = "hf",
    gpus: int = 0,
) -> Measurement:
    """The base model's measurement, from the cache where it is there, also laid into `out`. One that was killed, in
    this run or another, is gone on with; one that another process is taking is waited for.

    `model_digest` is that of the model folder's manifest. Raises InfrastructureError where the base model itself cannot
    be used: it is ours to provide.
    """
    where = f"{sandbox.name} {sandbox.evaluator()}".strip()
    key = _key(bench, model_digest, few_shot, backend, gpus, where)
    place = cache / "baselines" / key
    with disk("make a place in the cache"):
        place.parent.mkdir(parents=True, exist_ok=True)
    with unfinished.held(cache, key, wait=True) as job:
        if not _is_whole(place):
            found = measuring.measure(
                sandbox,
                bench=bench,
                model=model,
                model_digest=model_digest,
                out=out,
                few_shot=few_shot,
                backend=backend,
                gpus=gpus,
                job=job,
            )
            if isinstance(found, CheckpointUnusable):
                raise InfrastructureError(f"The base model in {model} cannot be scored. {found.reason}")
            _keep(out, place)
        with disk("copy a cached measurement"):
            if out.exists():
                shutil.rmtree(out)
            shutil.copytree(place, out)
    return measuring.read(out)


def remember_human(source: Source, digest: str, cache: Path) -> None:
    """Note which files an instruct model has, so that runs find its measurement without fetching it."""
    write_json(_note(source, cache), Known(digest=digest))


def lay_human(
    sandbox: Sandbox,
    source: Source | None,
    *,
    bench: Path,
    out: Path,
    cache: Path,
    backend: str,
    gpus: int,
    few_shot: int = 0,
) -> bool:
    """Lay the instruct model's measurement on this bench into `out`, where `ptb baseline` has taken it on this machine;
    whether it has."""
    if source is None or not _note(source, cache).is_file():
        return False
    digest = read_json(_note(source, cache), Known).digest
    where = f"{sandbox.name} {sandbox.evaluator()}".strip()
    place = cache / "baselines" / _key(bench, digest, few_shot, backend, gpus, where)
    if not _is_whole(place):
        return False
    with disk("copy a cached measurement"):
        if out.exists():
            shutil.rmtree(out)
        shutil.copytree(place, out)
    return True


class Known(Value, frozen=True, kw_only=True):
    """`<cache>/instruct/<digest of the source>.json`."""

    digest: str
    """Of the manifest of the instruct model's folder."""


def _note(source: Source, cache: Path) -> Path:
    return cache / "instruct" / f"{digest_value(source).removeprefix('sha256:')[:32]}.json"


def _keep(out: Path, place: Path) -> None:
    """Copy a measurement into the cache whole. It is taken in `out`, where its progress can be read."""
    with disk("keep a measurement in the cache"):
        copy = Path(tempfile.mkdtemp(dir=place.parent, prefix=".unfinished-"))
        try:
            for name in ("questions.jsonl", "cell.log", "result.json"):
                shutil.copyfile(out / name, copy / name)
            copy.chmod(0o755)
            if place.exists():
                shutil.rmtree(place)
            copy.rename(place)
        except BaseException:
            shutil.rmtree(copy, ignore_errors=True)
            raise


def _key(bench: Path, model_digest: str, few_shot: int, backend: str, gpus: int, sandbox: str) -> str:
    parts = {
        "model": model_digest,
        "bench": digest_folder(bench),
        "backend": backend,
        "few_shot": few_shot,
        "gpus": gpus,
        # In what precision a processor computes, see cell_engine.py.
        "machine": f"{platform.machine()} {'bfloat16' if computes_in_bfloat16() else 'float32'}",
        "sandbox": sandbox,
        "versions": versions(),
    }
    return digest_value(parts).removeprefix("sha256:")


def _is_whole(place: Path) -> bool:
    """Whether a measurement lies there that can still be trusted; a damaged one is taken again."""
    try:
        measuring.outcomes(place)
    except DigestError:
        return False
    return True
