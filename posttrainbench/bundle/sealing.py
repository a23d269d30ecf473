"""Makes a bundle from a run's folder."""

import os
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from posttrainbench import record
from posttrainbench.agent import access
from posttrainbench.bundle import archive, keys
from posttrainbench.checkpoint import Frozen
from posttrainbench.errors import DigestError, UsageError
from posttrainbench.folder import RunFolder
from posttrainbench.gateway import GatewaySpec
from posttrainbench.gateway.process import HUB_VARIABLE
from posttrainbench.record import Record
from posttrainbench.strict import Value, digest_file, read_json, to_json, write_bytes

CONTENTS = "bundle.json"
RECORD = "record.json"
WEIGHTS = "weights/"
SHOWN = 5


class Contents(Value, frozen=True, kw_only=True):
    """`bundle.json`: what the bundle holds."""

    format: int = 1
    run: str
    record: str
    """The record's digest."""
    files: dict[str, str]
    """Digest of each other file, by its name."""
    checkpoint: str
    """Digest of the checkpoint's manifest, by which weights that are kept elsewhere are known; empty without one."""


def seal(folder: RunFolder, out: Path, *, weights: bool = False, environment: Mapping[str, str] | None = None) -> str:
    """Write a sealed run's bundle to `out`; returns its digest. With `weights` the frozen checkpoint is in it.

    Raises DigestError where the folder is not as it was sealed or a file holds a key, UsageError where there is no
    checkpoint for `weights`."""
    sealed = record.verify(folder.path)
    files = {name: folder.path / name for name in sealed.artefacts} | {RECORD: folder.record}
    _check_keys(files, _secrets(folder, sealed, os.environ if environment is None else environment))
    if weights:
        files |= _weights(folder, sealed)
    contents = Contents(
        run=sealed.run,
        record=sealed.digest,
        files={name: digest_file(path) for name, path in files.items()},
        checkpoint=sealed.freeze.digest if isinstance(sealed.freeze, Frozen) else "",
    )
    if {name: contents.files[name] for name in sealed.artefacts} != sealed.artefacts:
        raise DigestError(f"A file in {folder.path} changed while it was bundled. Let nothing write there; try again.")
    beside = out.with_name(f".{out.name}.{CONTENTS}")
    write_bytes(beside, to_json(contents))
    try:
        return archive.pack(files | {CONTENTS: beside}, out)
    finally:
        beside.unlink(missing_ok=True)


def _weights(folder: RunFolder, sealed: Record) -> dict[str, Path]:
    if not isinstance(sealed.freeze, Frozen):
        raise UsageError(
            f"Run {sealed.run} left no checkpoint, so there are no weights to include; leave --weights out."
        )
    found = {name: folder.checkpoint / name for name in sealed.freeze.files}
    for name, path in found.items():
        if not path.is_file() or digest_file(path) != sealed.freeze.files[name]:
            raise DigestError(
                f"{path} is missing or not what was frozen, so these are not the weights that were scored."
            )
    return {WEIGHTS + name: path for name, path in found.items()}


def _secrets(folder: RunFolder, sealed: Record, environment: Mapping[str, str]) -> list[str]:
    """The run's own secret, and the keys that this machine holds."""
    names = {HUB_VARIABLE, *(name for _, every in access.PROVIDERS.values() for name in every)}
    if sealed.plan.agent.api and sealed.plan.agent.api.key:
        names.add(sealed.plan.agent.api.key)
    found = [environment.get(name, "").strip() for name in sorted(names)]
    told = folder.gateway / "gateway.json"
    return [*found, read_json(told, GatewaySpec).secret] if told.exists() else found


def _check_keys(files: Mapping[str, Path], secrets: list[str]) -> None:
    leaks = list(islice(keys.scan(files, secrets), SHOWN + 1))
    if leaks:
        more = " There are more." if len(leaks) > SHOWN else ""
        raise DigestError(
            f"No bundle was written: {'; '.join(map(str, leaks[:SHOWN]))}.{more} A sealed file cannot be edited; if it "
            "is a key, revoke it, and run again."
        )
