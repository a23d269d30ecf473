"""Small values for tests: a plan, and what it is made of, with any part replaced."""

from pathlib import Path
from typing import Any

from posttrainbench.catalog import Decoding, Model, RandomModel, Split, Task
from posttrainbench.plan import AgentPlan, Plan
from posttrainbench.protocol import Protocol


def agent(folder: Path, **changes: Any) -> AgentPlan:
    """An agent that ends at once."""
    values: dict[str, Any] = {
        "name": "quick",
        "variant": "",
        "version": "1",
        "folder": str(folder),
        "digest": "sha256:0",
        "command": ["true"],
        "resume_command": [],
        "env": {},
        "needs": [],
        "transcript": "text",
    }
    return AgentPlan(**values | changes)


def task(**changes: Any) -> Task:
    """A task whose questions exist on paper only."""
    values: dict[str, Any] = {
        "name": "sums",
        "title": "Sums",
        "version": 1,
        "description": "Adding two small numbers.",
        "licence": "CC0",
        "source": "made up",
        "metric": "exact",
        "decoding": Decoding(max_tokens=8),
        "few_shot": 2,
        "splits": {"dev": Split(size=4, digest="sha256:0"), "test": Split(size=4, digest="sha256:0")},
    }
    return Task(**values | changes)


def protocol(**changes: Any) -> Protocol:
    """A protocol of seconds."""
    values: dict[str, Any] = {"name": "quick", "version": 1, "title": "Quick", "hours": 0.001, "grace_seconds": 1.0}
    return Protocol(**values | changes)


def plan(folder: Path, **changes: Any) -> Plan:
    """A plan whose agent, task and data lie below `folder`; changes may be given for any field."""
    values: dict[str, Any] = {
        "run": "quick-run",
        "created": "2026-01-01T00:00:00Z",
        "ptb": "0",
        "agent": agent(folder / "agent"),
        "task": task(),
        "task_folder": str(folder / "task"),
        "task_digest": "sha256:0",
        "data_dir": None,
        "model": Model(name="tiny", title="Tiny", source=RandomModel()),
        "protocol": protocol(),
        "hours": 0.001,
        "seed": 7,
        "limit": None,
        "sandbox": "local",
        "backend": "hf",
        "packages": {},
        "code": "sha256:0",
    }
    return Plan(**values | changes)
