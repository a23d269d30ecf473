"""The sealed record of a run: everything that can change its score, with digests. `record.json`.

Boards, comparisons and reports are computed from records alone. The record's own digest covers all its other fields in
canonical JSON; `verify` recomputes it, and the digest of each artefact.
"""

from pathlib import Path
from typing import Any, Literal

import msgspec

from posttrainbench.agent.result import SessionResult
from posttrainbench.checkpoint import Frozen, Refused
from posttrainbench.errors import DigestError
from posttrainbench.evaluation import CheckpointUnusable, Measurement
from posttrainbench.gateway.ledger import Usage
from posttrainbench.integrity import Audit
from posttrainbench.plan import Plan
from posttrainbench.sandbox.preflight import Preflight
from posttrainbench.scores import Scores
from posttrainbench.strict import Value, digest_file, digest_value, parse_json, read_written, write_json
from posttrainbench.transcript import Summary

FORMAT = 1

Outcome = Literal["scored", "no_checkpoint", "invalid_checkpoint", "disqualified", "infrastructure"]


class Prepared(Value, frozen=True, kw_only=True):
    """What prepare resolved. `prepared.json`."""

    model_folder: str
    model_digest: str
    """Digest of the manifest of the base model's folder."""
    model_revision: str
    bench_digest: str
    test_digest: str
    """Digest of the test split's rows."""
    protected: dict[str, str]
    """Digest of each file that the agent was told not to change."""
    isolation: list[str]
    """What the sandbox did not isolate."""
    installed: str = ""
    """Where the agent's program lies; empty if it brings none."""
    installed_digest: str = ""


class Incident(Value, frozen=True, kw_only=True):
    """Something that happened to the run, as a fact."""

    kind: Literal[
        "session_lost",
        "resumed",
        "upgraded",
        "stopped",
        "disk_full",
        "disk_limit",
        "stall",
        "output_truncated",
        "processes_killed",
        "out_of_memory",
        "supervisor_lost",
        "engine_stopped",
        "gateway_restarted",
        "gateway_lost",
        "throttled",
        "budget_spent",
        "usage_disagrees",
        "gpu_lost",
    ]
    detail: str


class Times(Value, frozen=True, kw_only=True):
    """When things happened. UTC ISO 8601, and seconds a stage; the only fields that differ between equal runs."""

    created: str
    sealed: str
    stages: dict[str, float]


class Record(Value, frozen=True, kw_only=True):
    """The sealed record."""

    format: int = FORMAT
    run: str
    plan: Plan
    prepared: Prepared
    preflight: Preflight | None = None
    """What the session's GPUs were like before it; None without any."""
    outcome: Outcome
    reason: str
    """Why, in a sentence that the agent's author understands."""
    session: SessionResult
    freeze: Frozen | Refused | None
    audit: Audit | None
    base: Measurement | None
    few_shot: Measurement | None
    final: Measurement | CheckpointUnusable | None
    human: Measurement | None = None
    """The model maker's own instruct model, where `ptb baseline` had measured it."""
    scores: Scores | None
    usage: Usage | None = None
    """What the agent used of its model, as the gateway counted it."""
    transcript: Summary | None = None
    """What trajectory.json holds, in numbers."""
    incidents: list[Incident]
    artefacts: dict[str, str]
    """Digest of each file that backs this record, by its path in the run's folder."""
    times: Times
    digest: str = ""


def seal(record: Record) -> Record:
    """The record with its digest set."""
    return msgspec.structs.replace(record, digest=_digest(msgspec.to_builtins(record)))


def _digest(plain: dict[str, Any]) -> str:
    return digest_value({**plain, "digest": ""})


def write(path: Path, record: Record) -> None:
    """Write a sealed record."""
    write_json(path, record)


def read(path: Path) -> Record:
    """Read a record and check its digest, on the JSON as it lies there, so that records of older programs still verify;
    raises DigestError."""
    return parse(read_written(path), path)


def parse(content: bytes, path: Path) -> Record:
    """As `read`, from what lies at `path`."""
    plain = parse_json(content, dict[str, Any], path)
    if plain.get("digest") != _digest(plain):
        raise DigestError(
            f"{path} is not as it was sealed: its digest is {plain.get('digest')!r}, its content has "
            f"{_digest(plain)!r}. Somebody changed it; do not use its numbers."
        )
    return parse_json(content, Record, path)


def verify(folder: Path) -> Record:
    """Read a run's record and check every artefact that it names; raises DigestError."""
    record = read(folder / "record.json")
    for name, digest in record.artefacts.items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise DigestError(f"{folder}/record.json names an artefact outside its folder: {name!r}.")
        if not path.is_file():
            raise DigestError(f"{path} is missing, but the record of {record.run} names it.")
        if digest_file(path) != digest:
            raise DigestError(f"{path} was changed after the run was sealed.")
    return record


def schema() -> bytes:
    """The JSON schema of record.json, as published in docs/record.schema.json."""
    return msgspec.json.format(msgspec.json.encode(msgspec.json.schema(Record), order="sorted"), indent=2) + b"\n"
