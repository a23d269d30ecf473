"""The images that sessions and evaluations run in: what is pinned, how they are built, and which ones are here."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from posttrainbench import catalog
from posttrainbench.errors import InfrastructureError, MissingError, UsageError
from posttrainbench.sandbox.engine import Engine, Image
from posttrainbench.strict import Value, digest_bytes, digest_value, disk, read_toml

KINDS: tuple[Literal["eval", "train"], ...] = ("eval", "train")
PYTHON = "/opt/venv/bin/python"
PINS_LABEL = "ptb.pins"


class Variant(Value, frozen=True, kw_only=True):
    """One kind of machine to build for."""

    base: str
    extra: list[str]
    instead: list[str] = []
    """Pins that take the place of those of the same package, where something in `extra` asks for another version."""
    apt: list[str]
    host_python: str = ""
    """Wheels are gathered on the host, with its own pip configuration, if its Python is this one."""


class Pins(Value, frozen=True, kw_only=True):
    """`sandboxes/pins.toml`."""

    python: list[str]
    tools: list[str]
    eval: list[str]
    train: list[str]
    variants: dict[str, Variant]


def folder() -> Path:
    """Where Dockerfile and pins lie."""
    return catalog.bundled() / "sandboxes"


def pins() -> Pins:
    """The pins."""
    return read_toml(folder() / "pins.toml", Pins)


def chosen_variant(given: str | None = None) -> str:
    """The variant that was named, or PTB_IMAGES, or the one for this machine."""
    name = given or os.environ.get("PTB_IMAGES") or ("cuda" if shutil.which("nvidia-smi") else "cpu")
    known = pins().variants
    if name not in known:
        raise UsageError(f"There is no image variant {name!r}. Known: {', '.join(sorted(known))}.")
    return name


def tag(kind: str, variant: str) -> str:
    """`ptb/eval:cpu`."""
    return f"ptb/{kind}:{variant}"


def requirements(variant: str) -> dict[str, list[str]]:
    """What pip installs in each image beyond the one that it stands on."""
    found = pins()
    chosen = found.variants[variant]
    other = {package(line): line for line in chosen.instead}
    return {
        "eval": [other.get(package(line), line) for line in [*found.eval, *chosen.extra]],
        "train": [other.get(package(line), line) for line in found.train],
    }


def package(line: str) -> str:
    """`lm-eval` of `lm-eval[hf]==0.4.13`."""
    return line.partition("==")[0].partition("[")[0]


def source_digest(variant: str) -> str:
    """What an image of this variant is made from: its Dockerfile and pins."""
    found = pins()
    return digest_value(
        {
            "dockerfile": digest_bytes((folder() / "Dockerfile").read_bytes()),
            "python": found.python,
            "tools": found.tools,
            "eval": found.eval,
            "train": found.train,
            "variant": found.variants[variant],
        }
    )


def present(engine: Engine, variant: str) -> dict[str, Image]:
    """The images of a variant that are on this host, by kind."""
    found = {kind: engine.image(tag(kind, variant)) for kind in KINDS}
    return {kind: image for kind, image in found.items() if image is not None}


def digests(engine: Engine, variant: str) -> dict[str, str]:
    """The digest of each image, for a plan; raises MissingError if one is not here."""
    found = present(engine, variant)
    lacking = [tag(kind, variant) for kind in KINDS if kind not in found]
    if lacking:
        raise MissingError(
            f"{' and '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} not on this host. Build with "
            f"`ptb images build --variant {variant}`."
        )
    return {kind: image.digest for kind, image in sorted(found.items())}


def planned(engine: Engine, kind: str, images: Mapping[str, str]) -> str:
    """The image to run, by its digest, so that a tag which moved cannot matter. Raises InfrastructureError if the one
    in the plan is not here; without a plan it is the tagged one."""
    if kind not in images:
        return digests(engine, chosen_variant())[kind]
    wanted = images[kind]
    if engine.image(wanted) is None:
        now = ", ".join(
            f"{tag(k, v)} is {i.digest[:19]}" for v in pins().variants for k, i in present(engine, v).items()
        )
        raise InfrastructureError(
            f"The plan's {kind} image {wanted[:19]} is not on this host ({now or 'no ptb image is'}). Bring that image "
            "back, or start a new run, which will plan with the image that is here."
        )
    return wanted


def build(engine: Engine, variant: str, base: str | None, cache: Path, say: Callable[[str], None]) -> dict[str, Image]:
    """Build both images of a variant; returns them by kind."""
    found = pins()
    chosen = found.variants[variant]
    stands_on = base or chosen.base
    if "@sha256:" not in stands_on:
        say(
            f"The base {stands_on} is named by a tag, which may move: for runs that are published, name it by its "
            "digest (IMAGE@sha256:…)."
        )
    arguments = {"BASE_IMAGE": stands_on, "APT_PACKAGES": " ".join([*found.python, *chosen.apt])}
    arguments["TOOLS"] = " ".join(found.tools)
    with disk("lay out the build"), tempfile.TemporaryDirectory(prefix="ptb-build-") as name:
        context = Path(name)
        shutil.copy(folder() / "Dockerfile", context)
        wanted = requirements(variant)
        for kind, words in wanted.items():
            (context / "wheels" / kind).mkdir(parents=True)
            (context / f"{kind}.txt").write_text("\n".join(words) + "\n")
        if chosen.host_python == f"{sys.version_info.major}.{sys.version_info.minor}":
            _gather(wanted, cache / "wheels" / digest_value(wanted)[7:23], context / "wheels", say)
            arguments["PIP_ARGS"] = "--no-index"
        else:
            for kind in wanted:
                (context / "wheels" / kind / "none").touch()
            arguments["PIP_ARGS"] = "--disable-pip-version-check"
        for kind in KINDS:
            engine.build(
                context,
                target=kind,
                tag=tag(kind, variant),
                arguments=arguments,
                labels={PINS_LABEL: source_digest(variant), "ptb.variant": variant},
                network="host",
                say=say,
            )
    return present(engine, variant)


def _gather(required: Mapping[str, list[str]], store: Path, into: Path, say: Callable[[str], None]) -> None:
    """Fetch every wheel with the host's pip, which knows this machine's indexes and certificates, and lay those that
    the eval image needs apart from the few that only the train image does."""
    for kind in KINDS:
        wanted = required["eval"] + (required["train"] if kind == "train" else [])
        folder = store / kind
        if not (folder / "complete").exists():
            say(f"fetching wheels for {kind}")
            folder.mkdir(parents=True, exist_ok=True)
            command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
            command += ["--wheel-dir", str(folder), "--find-links", str(store / "eval"), *wanted]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise InfrastructureError(f"pip could not fetch what the images need: {done.stderr.strip()[-600:]}")
            (folder / "complete").touch()
    of_eval = {path.name for path in (store / "eval").glob("*.whl")}
    for kind in KINDS:
        for path in (store / kind).glob("*.whl"):
            if kind == "eval" or path.name not in of_eval:
                shutil.copy(path, into / kind / path.name)
