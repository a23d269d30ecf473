"""Where things lie: the catalog's folders, runs, and the cache; from flags, the environment, and ptb.toml.

A flag wins over the environment, which wins over ptb.toml in the working folder, which wins over the default.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from posttrainbench.catalog import KINDS, Catalog, open_catalog
from posttrainbench.strict import Value, read_toml


class File(Value, frozen=True, kw_only=True):
    """`ptb.toml`. Relative paths are relative to the file."""

    runs_dir: str | None = None
    cache_dir: str | None = None
    data_dir: str | None = None
    agents_dirs: list[str] = []
    tasks_dirs: list[str] = []
    models_dirs: list[str] = []
    protocols_dirs: list[str] = []


@dataclass(frozen=True)
class Settings:
    """Resolved folders."""

    runs: Path
    cache: Path
    data: Path | None
    catalog: Catalog


def load(flags: Mapping[str, str | list[str] | None], working: Path) -> Settings:
    """Settings for a command started in `working`. `flags` may hold runs_dir, cache_dir, data_dir, and for each kind of
    the catalog `<kind>_dir` with a list of folders."""
    path = working / "ptb.toml"
    file = read_toml(path, File) if path.exists() else File()

    def choose(name: str, variable: str) -> Path | None:
        flag = flags.get(name)
        if isinstance(flag, str):
            return (working / flag).resolve()
        if os.environ.get(variable):
            return (working / os.environ[variable]).resolve()
        written = getattr(file, name)
        return (working / written).resolve() if written else None

    extra: dict[str, tuple[Path, ...]] = {}
    for kind in KINDS:
        named = [*getattr(file, f"{kind}_dirs"), *(flags.get(f"{kind}_dir") or [])]
        extra[kind] = tuple((working / name).resolve() for name in named)
    return Settings(
        runs=choose("runs_dir", "PTB_RUNS") or (working / "runs").resolve(),
        cache=choose("cache_dir", "PTB_CACHE") or Path(platformdirs.user_cache_dir("ptb")),
        data=choose("data_dir", "PTB_DATA"),
        catalog=open_catalog(extra),
    )
