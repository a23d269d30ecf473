"""How a run ends, from what its stages found: our fault before the agent's, the agent's before a score."""

from typing import Any

import msgspec
import pytest

from posttrainbench.agent.result import SessionResult
from posttrainbench.catalog import Decoding
from posttrainbench.checkpoint import Frozen, Refused
from posttrainbench.ending import judge as judge_run
from posttrainbench.evaluation import CheckpointUnusable, Measurement, Try
from posttrainbench.gateway.ledger import Usage
from posttrainbench.integrity import Audit, Finding, judge

FROZEN = Frozen(files={}, bytes=1, config="sha256:0", architecture="X", digest="sha256:0", dropped=[])
ABSENT = Refused(code="no_checkpoint", reason="There is none.")
INVALID = Refused(code="invalid_checkpoint", reason="It is a pickle.")
UNUSABLE = CheckpointUnusable(reason="It has no weights.")
MEASURED = Measurement(
    task="t",
    version=1,
    split="test",
    metric="m",
    few_shot=0,
    n=1,
    score=1.0,
    questions="sha256:0",
    bench="sha256:0",
    decoding=Decoding(max_tokens=1),
    chat_template=False,
    backend="hf",
    device="cpu",
    dtype="float32",
    batch_size=1,
    tries=[Try(batch_size=1, outcome="done")],
    versions={},
    seconds=1.0,
)


def audit(severity: Any = "none") -> Audit:
    status: Any = "pass" if severity == "none" else "flag"
    findings = [Finding(check="lineage", status=status, severity=severity, detail="Other weights.")]
    return Audit(findings=findings, verdict=judge(findings))


@pytest.mark.parametrize(
    ("reason", "frozen", "severity", "final", "outcome", "word"),
    [
        ("exited", FROZEN, "none", MEASURED, "scored", "scored"),
        ("deadline", FROZEN, "none", MEASURED, "scored", "scored"),
        ("disk_limit", FROZEN, "none", MEASURED, "scored", "scored"),
        ("failed_to_start", ABSENT, "none", None, "no_checkpoint", "There is none."),
        ("exited", INVALID, "none", None, "invalid_checkpoint", "pickle"),
        ("exited", FROZEN, "none", UNUSABLE, "invalid_checkpoint", "no weights"),
        ("exited", FROZEN, "suspect", MEASURED, "scored", "scored"),
        ("exited", FROZEN, "disqualify", None, "disqualified", "Other weights."),
        # A measurement that lies there by an earlier try does not undo a disqualification.
        ("exited", FROZEN, "disqualify", MEASURED, "disqualified", "Other weights."),
        ("lost", None, "none", None, "infrastructure", "lost"),
        ("stopped", None, "none", None, "infrastructure", "stopped"),
        # What lay there by chance when our side broke is no result of the agent's.
        ("lost", FROZEN, "none", MEASURED, "infrastructure", "lost"),
        ("exited", FROZEN, "none", None, "infrastructure", "not scored"),
    ],
)
def test_outcomes(reason: Any, frozen: Any, severity: str, final: Any, outcome: str, word: str) -> None:
    found, said = judge_run(SessionResult(reason=reason, seconds=1.0), frozen, audit(severity), final)
    assert found == outcome
    assert word in said


USED = Usage(exchanges=0, answered=0, models=[], cost_usd=0.0, throttled_seconds=0.0, causes={}, unfinished=0)


@pytest.mark.parametrize(
    ("reason", "frozen", "changes", "gone", "outcome", "word"),
    [
        ("exited", ABSENT, {"unserved": True, "causes": {"auth": 3}}, False, "infrastructure", "3 × auth"),
        ("exited", ABSENT, {}, True, "infrastructure", "gateway was gone"),
        ("exited", ABSENT, {"answered": 1}, True, "no_checkpoint", "There is none."),
        ("stopped", None, {"unserved": True}, False, "infrastructure", "stopped"),
        # Nobody gets another run by not asking, or by asking nonsense.
        ("exited", ABSENT, {}, False, "no_checkpoint", "There is none."),
        ("exited", ABSENT, {"causes": {"invalid_request": 9}}, False, "no_checkpoint", "There is none."),
        ("exited", FROZEN, {}, False, "scored", "scored"),
    ],
)
def test_outcomes_of_an_agent_that_calls_a_model(
    reason: Any, frozen: Any, changes: dict[str, Any], gone: bool, outcome: str, word: str
) -> None:
    final = MEASURED if frozen is FROZEN else None
    usage = msgspec.structs.replace(USED, **changes)
    found, said = judge_run(SessionResult(reason=reason, seconds=1.0), frozen, audit(), final, usage, gone)
    assert found == outcome
    assert word in said
