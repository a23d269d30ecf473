"""The plan of a run: everything that was decided before it starts, frozen, with every digest known by then.

Reads the catalog and its folders; touches no network, model or sandbox.
"""

import contextlib
import datetime
import platform
import re
import secrets
from importlib import metadata
from pathlib import Path
from typing import Literal

import msgspec

from posttrainbench.catalog import Agent, Api, Entry, Model, Npm, Pattern, Task, Variant
from posttrainbench.errors import UsageError
from posttrainbench.protocol import Protocol
from posttrainbench.strict import Value, digest_file, digest_folder, digest_value

FORMAT = 1


class AgentPlan(Value, frozen=True, kw_only=True):
    """The agent, its variant merged in."""

    name: str
    variant: str
    version: str
    folder: str
    digest: str
    command: list[str]
    resume_command: list[str]
    env: dict[str, str]
    needs: list[str]
    transcript: str
    api: Api | None = None
    install: Npm | None = None
    errors: list[Pattern] = []

    @property
    def label(self) -> str:
        """`claude` or `claude:opus`."""
        return f"{self.name}:{self.variant}" if self.variant else self.name


class Plan(Value, frozen=True, kw_only=True):
    """Everything decided before the start. `plan.json`."""

    format: int = FORMAT
    run: str
    created: str
    """UTC, ISO 8601."""
    ptb: str
    """Version of this program."""
    agent: AgentPlan
    task: Task
    task_folder: str
    task_digest: str
    data_dir: str | None
    model: Model
    protocol: Protocol
    hours: float
    seed: int
    limit: int | None
    """How many test questions are scored; None: all."""
    sandbox: str
    backend: str
    """Which engine generates answers: `hf` or `vllm`."""
    packages: dict[str, str]
    """Versions of the installed packages that can change a score."""
    code: str
    """Digest of our code that runs inside sandboxes."""
    max_usd: float | None = None
    """What the agent may spend at its model provider; the gateway ends the session's calls there."""
    max_tokens: int | None = None
    images: dict[str, str] = {}
    """Digest of each container image, by what it is for; none in a sandbox without images."""
    gpus: int | None = None
    """How many cards the session and each measurement get, where that is not the protocol's number."""
    baseline: Literal["", "base", "instruct"] = ""
    """Not an agent's run but `ptb baseline`'s measurement of that model."""
    retry_of: str = ""
    """The run that broke by no fault of the agent's and that this one repeats."""

    @property
    def cell(self) -> str:
        """Base model × task."""
        return f"{self.model.name} × {self.task.name}"

    @property
    def cards(self) -> int:
        """How many GPUs the session and each measurement get."""
        return self.protocol.gpus if self.gpus is None else self.gpus

    @property
    def shots(self) -> int:
        """Worked examples in the scored prompts."""
        return self.protocol.shots.get(self.task.name, 0)

    @property
    def few_shot(self) -> int:
        """Worked examples in the prompts of the few-shot baseline; 0: there is none."""
        return max(self.task.few_shot, self.shots) if self.protocol.few_shot_baseline else 0

    @property
    def deviations(self) -> list[str]:
        """Where the run departs from its protocol, in words. A board does not rank such a run among those that keep
        it."""
        kept = {
            "hours": (self.hours, self.protocol.hours),
            "GPUs": (self.cards, self.protocol.gpus),
            "test questions": (self.limit, self.protocol.limit),
        }
        words = {what: ["all" if one is None else f"{one:g}" for one in pair] for what, pair in kept.items()}
        return [f"{own} {what} instead of {rule}" for what, (own, rule) in words.items() if own != rule]


PACKAGES = (
    "accelerate",
    "datasets",
    "lm-eval",
    "numpy",
    "peft",
    "safetensors",
    "tokenizers",
    "torch",
    "transformers",
    "trl",
    "vllm",
)
"""Installed packages that can change a score."""

INSIDE = ("supervisor/*.py", "evaluation/cell*.py")
"""Code of ours that runs inside sandboxes."""


def merge(entry: Entry[Agent], variant: str, command: list[str]) -> AgentPlan:
    """An agent with its variant merged in; `command` replaces the command line of an agent that needs one."""
    agent = entry.value
    if variant and variant not in agent.variants:
        known = ", ".join(f"{agent.name}:{name}" for name in sorted(agent.variants)) or "none"
        raise UsageError(f"Agent {agent.name!r} has no variant {variant!r}. Known: {known}.")
    if "command" in agent.needs and not command:
        raise UsageError(
            f"Agent {agent.name!r} runs your command line: add it after `--`, as in `ptb run … -- ./train.sh`."
        )
    if command and "command" not in agent.needs:
        raise UsageError(f"Agent {agent.name!r} has its own command; a command line after `--` is for --agent command.")
    chosen = agent.variants.get(variant, Variant())
    return AgentPlan(
        name=agent.name,
        variant=variant,
        version=agent.version,
        folder=str(entry.path),
        digest=digest_folder(entry.path),
        command=command or [*agent.command, *chosen.arguments],
        resume_command=[*agent.resume_command, *chosen.arguments] if agent.resume_command else [],
        env={**agent.env, **chosen.env},
        needs=list(agent.needs),
        transcript=agent.transcript,
        api=_api(agent, chosen),
        install=agent.install,
        errors=agent.errors,
    )


def _api(agent: Agent, chosen: Variant) -> Api | None:
    api = chosen.api or agent.api
    return msgspec.structs.replace(api, model=chosen.model) if api and chosen.model else api


def usual_backend(cards: int) -> str:
    """What generates answers unless somebody says otherwise; runs and baselines must agree, or they do not compare."""
    return "vllm" if cards else "hf"


def bounded(task: Task, protocol: Protocol) -> Task:
    """The task with what the protocol bounds of its decoding."""
    decoding = task.decoding
    tokens = min(decoding.max_tokens, protocol.max_tokens or decoding.max_tokens)
    samples = min(decoding.samples, protocol.samples or decoding.samples)
    bounds = msgspec.structs.replace(decoding, max_tokens=tokens, samples=samples)
    return msgspec.structs.replace(task, decoding=bounds)


def name_run(moment: datetime.datetime, agent: str, task: str, model: str) -> str:
    """A run's name: sorts by time, tells its cell, and does not meet another's."""
    words = [moment.strftime("%Y%m%d-%H%M%S"), agent, task, model, secrets.token_hex(2)]
    return re.sub(r"[^A-Za-z0-9._-]+", "_", "-".join(words)).strip("._")


def versions() -> dict[str, str]:
    """Versions of the installed PACKAGES, and of Python."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def code_digest() -> str:
    """Digest of the code of ours that runs inside sandboxes."""
    package = Path(__file__).parent
    paths = [path for pattern in INSIDE for path in package.glob(pattern)]
    return digest_value({path.relative_to(package).as_posix(): digest_file(path) for path in paths})
