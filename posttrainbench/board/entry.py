"""What a board needs to know of a run, taken from its sealed record."""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from posttrainbench.evaluation import Measurement
from posttrainbench.gateway.ledger import added
from posttrainbench.integrity import Verdict
from posttrainbench.protocol import Protocol
from posttrainbench.record import Outcome, Record
from posttrainbench.statistics import Estimate
from posttrainbench.strict import Value, digest_value


class Entry(Value, frozen=True, kw_only=True):
    """One run, as boards see it."""

    run: str
    agent: str
    """`claude:opus`; of agent `command`, with four digits of its command's digest, since each command is an agent."""
    version: str
    command: str = ""
    """The command line of agent `command`."""
    llm: str = ""
    """The model behind the agent; empty where there is none."""
    task: str
    task_version: int
    model: str
    """The base model."""
    protocol: Protocol
    hours_allowed: float
    limit: int | None
    questions: str
    """Digest of all that says what is asked and how it is scored; runs with other questions are not compared."""
    seed: int
    sandbox: str
    outcome: Outcome
    reason: str
    verdict: Verdict
    metric: str = ""
    n: int = 0
    """Questions."""
    final: Estimate | None = None
    base: Estimate | None = None
    few_shot: Estimate | None = None
    human: Estimate | None = None
    gain: Estimate | None = None
    hours: float
    """Wall time of the agent's session."""
    usd: float | None = None
    """What its model calls cost; 0 for an agent without any, None where no price is known."""
    tokens: int = 0
    incidents: list[str] = []
    """Their kinds."""
    gpus: int | None = None
    """Cards that its plan asked for, where that is not the protocol's number."""
    baseline: str = ""
    """`base` or `instruct`: not an agent's run but a measurement to compare with."""
    created: str
    """UTC, ISO 8601."""
    published: bool = False
    """Taken from somebody's publication, not measured here."""

    @property
    def rules(self) -> str:
        """Digest of all that a board stands on: the protocol with what this run's plan changed of it."""
        return _rules(msgspec.msgpack.encode((self.protocol, self.hours_allowed, self.limit, self.gpus)))

    @property
    def changed(self) -> list[str]:
        """What this run's plan changed of its protocol, in words."""
        words = []
        if self.hours_allowed != self.protocol.hours:
            words.append(f"{self.hours_allowed:g} instead of {self.protocol.hours:g} hours")
        if self.gpus not in (None, self.protocol.gpus):
            words.append(f"{self.gpus} instead of {self.protocol.gpus} GPUs")
        if self.limit != self.protocol.limit:
            words.append(f"{_all(self.limit)} instead of {_all(self.protocol.limit)} test questions")
        return words


@dataclass(frozen=True)
class Outcomes:
    """Score of each question, by its id, in a run's measurements."""

    base: Mapping[str, float]
    final: Mapping[str, float]
    few_shot: Mapping[str, float] | None = None
    human: Mapping[str, float] | None = None


Load = Callable[[Entry], Outcomes | None]
"""Finds a run's outcomes; None where they are not at hand."""


def entry(record: Record) -> Entry:
    """What boards need of a record."""
    plan, scores = record.plan, record.scores
    measured = record.base or (record.final if isinstance(record.final, Measurement) else None)
    is_command = "command" in plan.agent.needs
    mark = f"#{digest_value(plan.agent.command).removeprefix('sha256:')[:4]}" if is_command else ""
    return Entry(
        run=record.run,
        agent=plan.agent.label + mark,
        version=plan.agent.version,
        command=shlex.join(plan.agent.command) if is_command else "",
        llm=plan.agent.api.model if plan.agent.api else "",
        task=plan.task.name,
        task_version=plan.task.version,
        model=plan.model.name,
        protocol=plan.protocol,
        hours_allowed=plan.hours,
        gpus=None if plan.cards == plan.protocol.gpus else plan.gpus,
        limit=plan.limit,
        questions=_questions(record),
        seed=plan.seed,
        sandbox=plan.sandbox,
        outcome=record.outcome,
        reason=record.reason,
        verdict=record.audit.verdict if record.audit else "unchecked",
        metric=plan.task.metric,
        n=measured.n if measured else 0,
        final=scores.final if scores else None,
        base=scores.base if scores else None,
        few_shot=scores.few_shot if scores else None,
        human=scores.human if scores else None,
        gain=scores.gain if scores else None,
        hours=record.session.seconds / 3600,
        usd=_usd(record),
        tokens=sum(added([one.tokens]).total for one in record.usage.models) if record.usage else 0,
        incidents=sorted({one.kind for one in record.incidents}),
        baseline=plan.baseline,
        created=record.times.created,
    )


@lru_cache(maxsize=256)
def _rules(encoded: bytes) -> str:
    """Thousands of runs share a few protocols, and canonical JSON is slow to make."""
    protocol, hours, limit, gpus = msgspec.msgpack.decode(encoded)
    return digest_value({"protocol": protocol, "hours": hours, "limit": limit, "gpus": gpus})


def _questions(record: Record) -> str:
    """The base model's folder is no part of it, nor is the evaluator's code: what is asked and what is right are."""
    plan = record.plan
    return digest_value(
        {
            "rows": record.prepared.test_digest,
            "limit": plan.limit,
            "metric": plan.task.metric,
            "version": plan.task.version,
            "decoding": plan.task.decoding,
            "chat_template": plan.protocol.chat_template,
        }
    )


def _usd(record: Record) -> float | None:
    if record.plan.agent.api is None:
        return 0.0
    return record.usage.cost_usd if record.usage else None


def _all(limit: int | None) -> str:
    return "all" if limit is None else str(limit)
