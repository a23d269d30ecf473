"""Takes the checkpoint that an agent left: copied out of its reach, validated, hashed.

What is not a whole model of the base's architecture (or its whole language model, composite.py), as plain data, is
refused with a reason that the agent's author can act on. Validation reads the copy, so nothing can change between the
look and the use. Not checked here: the values of the weights (NaN shows when the model is scored), and where they come
from.
"""

import shutil
from pathlib import Path

from posttrainbench.checkpoint import composite, content, intake, weights
from posttrainbench.checkpoint.objection import Code, Objection
from posttrainbench.errors import InfrastructureError
from posttrainbench.strict import Value, digest_value, disk

__all__ = ["Frozen", "Refused", "freeze"]


class Frozen(Value, frozen=True, kw_only=True, tag="frozen", tag_field="result"):
    """A checkpoint that can be scored."""

    files: dict[str, str]
    """Digest of each file by its name."""
    bytes: int
    config: str
    """Digest of config.json."""
    architecture: str
    digest: str
    """Digest of `files`: the checkpoint's name."""
    dropped: list[str]
    """What lay in final_model/ and was left behind; folders end in a slash."""
    filled: list[str] = []
    """What was missing beside the weights of a model of several parts, and was taken from the base model."""


class Refused(Value, frozen=True, kw_only=True, tag="refused", tag_field="result"):
    """No checkpoint, or one that cannot be scored."""

    code: Code
    reason: str
    """What was found, what was expected, what the agent's author should do."""


def freeze(source: Path, target: Path, base: Path, *, max_bytes: int) -> Frozen | Refused:
    """Copy the checkpoint in `source`, a folder in the agent's workspace, to `target`, whole or not at all. `base` is
    the base model's folder. What an earlier call left at `target` is replaced."""
    partial = target.with_name(target.name + ".partial")
    with disk(f"make room for the checkpoint in {target.parent.name}"):
        for path in (partial, target):
            if path.exists():
                shutil.rmtree(path)
        partial.mkdir(parents=True)
    try:
        frozen = _frozen(intake.copy(source, partial, max_bytes), partial, base)
        with disk("put the checkpoint in its place"):
            partial.rename(target)
    except Objection as objection:
        return Refused(code=objection.code, reason=objection.reason)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return frozen


def _frozen(copied: intake.Copied, folder: Path, base: Path) -> Frozen:
    config = content.config(folder, copied.dropped)
    base_config, base_tensors = _base(base)
    content.check_no_code(folder)
    architecture = content.check_config(config, base_config)
    tensors, used = weights.read(folder)
    if composite.is_text_alone(config, base_config):
        base_tensors = composite.text_tensors(base_tensors, base_config)
    weights.compare(tensors, base_tensors, config, base_config)
    filled = composite.fill(folder, base, config, base_config)
    content.check_tokenizer(folder)
    unused = {path.name for path in folder.glob("*.safetensors")} - used
    left_behind = sum((folder / name).stat().st_size for name in unused)
    for name in unused:
        (folder / name).unlink()
    files = {name: digest for name, digest in copied.digests.items() if name not in unused} | filled
    added = sum((folder / name).stat().st_size for name in filled)
    return Frozen(
        files=files,
        bytes=copied.bytes - left_behind + added,
        config=files["config.json"],
        architecture=architecture,
        digest=digest_value(files),
        dropped=sorted([*copied.dropped, *unused]),
        filled=sorted(filled),
    )


def _base(base: Path) -> tuple[dict[str, object], weights.Tensors]:
    try:
        return content.config(base, []), weights.read(base)[0]
    except (Objection, OSError) as error:
        raise InfrastructureError(
            f"The base model in {base} cannot be read: {error} Remove it from the cache and run it again."
        ) from error
