"""Where each part of a run lies in its folder. Every stage writes its own part and reads those of earlier stages."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run.

    plan.json        what was asked for, with every digest known before the start
    journal.jsonl    each stage, before it acts and after
    prepared.json    what prepare resolved: the model's folder, digests
    bench/           what the agent may see of the task: dev split, scorer, cell.py; read-only for it
    workspace/       the agent's own folder: prompt, evaluate.py, timer; final_model/ is left here
    home/            the agent's HOME; tmp/ its TMPDIR
    session/         supervisor's files: spec, lock, log, telemetry, result
    installed/       the agent's program, where it is ours to lay out; others lie in the cache
    gateway/         the gateway's files: what it was told, ledger, bodies; its sockets/ alone is shown to the agent
    trajectory.json  what the agent did, step by step (ATIF)
    checkpoint/      the frozen final_model/ and its manifest
    sealed/          the test split, laid out for the evaluator alone; never mounted for the agent
    evaluation/      what the evaluator wrote: result.json, questions.jsonl
    record.json      the sealed record; report.html is drawn from it
    """

    path: Path

    @property
    def run(self) -> str:
        return self.path.name

    @property
    def plan(self) -> Path:
        return self.path / "plan.json"

    @property
    def journal(self) -> Path:
        return self.path / "journal.jsonl"

    @property
    def lock(self) -> Path:
        return self.path / ".lock"

    @property
    def prepared(self) -> Path:
        return self.path / "prepared.json"

    @property
    def bench(self) -> Path:
        return self.path / "bench"

    @property
    def workspace(self) -> Path:
        return self.path / "workspace"

    @property
    def home(self) -> Path:
        return self.path / "home"

    @property
    def tmp(self) -> Path:
        return self.path / "tmp"

    @property
    def session(self) -> Path:
        return self.path / "session"

    @property
    def installed(self) -> Path:
        return self.path / "installed"

    @property
    def gateway(self) -> Path:
        return self.path / "gateway"

    @property
    def trajectory(self) -> Path:
        return self.path / "trajectory.json"

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint"

    @property
    def freeze(self) -> Path:
        return self.path / "freeze.json"

    @property
    def audit(self) -> Path:
        return self.path / "audit.json"

    @property
    def sealed(self) -> Path:
        return self.path / "sealed"

    @property
    def evaluation(self) -> Path:
        return self.path / "evaluation"

    @property
    def scores(self) -> Path:
        return self.path / "scores.json"

    @property
    def record(self) -> Path:
        return self.path / "record.json"

    @property
    def report(self) -> Path:
        return self.path / "report.html"
