"""Build, list or verify the container images of --sandbox docker.

ptb images build                              the variant for this machine, from the base that pins.toml names
ptb images build --base ptb/base:bookworm     from another base: Debian or Ubuntu with Python 3.11 or newer
ptb images verify                             run each image and compare what is in it with the pins
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from posttrainbench.commands import options
from posttrainbench.errors import InfrastructureError
from posttrainbench.sandbox import JobSpec, Mounts, images
from posttrainbench.sandbox.docker import Docker
from posttrainbench.sandbox.engine import Engine

VERSIONS = """
import json, sys
from importlib.metadata import version
print(json.dumps({name: version(name) for name in sys.argv[1:]}))
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's flags."""
    parser.add_argument("what", choices=["build", "list", "verify"])
    parser.add_argument("--variant", metavar="V", help="cpu or cuda (default: PTB_IMAGES, or what this machine has)")
    parser.add_argument("--base", metavar="IMAGE", help="with build: the base image instead of the pinned one")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options.places(parser)


def main(args: argparse.Namespace) -> int:
    """Do one of the three."""
    engine, variant = Engine(), images.chosen_variant(args.variant)
    if args.what == "build":
        return _build(engine, variant, args)
    if args.what == "verify":
        return _verify(engine, variant)
    rows = [
        {"current": image.labels.get(images.PINS_LABEL) == images.source_digest(name), **msgspec.to_builtins(image)}
        for name in sorted(images.pins().variants)
        for image in images.present(engine, name).values()
    ]
    if args.json:
        print(json.dumps(rows, indent=2))
    for row in rows if not args.json else []:
        stale = "" if row["current"] else "  made from other pins"
        print(f"{row['name']}  {row['digest'][:19]}  {row['megabytes']:.0f} MB  {row['created'][:19]}{stale}")
    if not rows:
        print("No image of ptb is on this host. Build with `ptb images build`.", file=sys.stderr)
    return 0


def _build(engine: Engine, variant: str, args: argparse.Namespace) -> int:
    begin = time.monotonic()
    say = (lambda line: None) if args.json else (lambda line: print(line, file=sys.stderr))
    made = images.build(engine, variant, args.base, options.load(args).cache, say)
    if args.json:
        print(json.dumps({kind: msgspec.to_builtins(image) for kind, image in made.items()}, indent=2))
    else:
        for image in made.values():
            print(f"{image.name}  {image.digest}  {image.megabytes:.0f} MB")
        print(f"built in {time.monotonic() - begin:.0f} s", file=sys.stderr)
    return 0


def _verify(engine: Engine, variant: str) -> int:
    """Versions are asked of each image itself, in the container that a job would get."""
    pins = images.requirements(variant)
    found = images.digests(engine, variant)
    for kind in images.KINDS:
        lines = [*pins["eval"], *(pins["train"] if kind == "train" else [])]
        wanted = {images.package(line): line.partition("==")[2] for line in lines}
        with tempfile.TemporaryDirectory() as folder:
            job = JobSpec(
                command=[images.PYTHON, "-c", VERSIONS, *wanted],
                cwd="/",
                env={},
                mounts=Mounts(read=[], write=[]),
                log=str(Path(folder) / "log"),
                seconds=120,
            )
            result = Docker({"eval": found[kind]}, engine).run(job)
        try:
            inside = json.loads(result.tail) if result.exit_code == 0 else {}
        except ValueError:
            inside = {}
        wrong = [f"{n} is {inside.get(n, 'absent')}, pinned {v}" for n, v in wanted.items() if _plain(inside, n) != v]
        if wrong:
            said = "" if inside else f" It said: {result.tail.strip()[-300:]}"
            raise InfrastructureError(
                f"{images.tag(kind, variant)} differs from the pins: {'; '.join(wrong)}.{said} Build it again with "
                f"`ptb images build --variant {variant}`."
            )
        print(f"{images.tag(kind, variant)}  {found[kind]}  as pinned")
    return 0


def _plain(inside: dict[str, str], name: str) -> str:
    """A version without the local part that says which build it is (`+cpu`)."""
    return str(inside.get(name, "")).partition("+")[0]
