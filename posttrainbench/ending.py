"""How a run ended: its outcome and why, and what befell it on the way."""

from collections.abc import Sequence
from pathlib import Path

from posttrainbench.agent import incidents as observed
from posttrainbench.agent.result import SessionResult
from posttrainbench.checkpoint import Frozen, Refused
from posttrainbench.evaluation import CheckpointUnusable, Measurement
from posttrainbench.folder import RunFolder
from posttrainbench.gateway.ledger import Usage
from posttrainbench.integrity import Audit
from posttrainbench.journal import Journal
from posttrainbench.plan import Plan, code_digest
from posttrainbench.record import Incident, Outcome
from posttrainbench.sandbox import Happening
from posttrainbench.strict import digest_folder
from posttrainbench.transcript import Summary


def judge(
    result: SessionResult,
    frozen: Frozen | Refused | None,
    verdict: Audit,
    final: Measurement | CheckpointUnusable | None,
    usage: Usage | None = None,
    gateway_lost: bool = False,
) -> tuple[Outcome, str]:
    """How the run ended, and why, from what its stages found. `usage`: of an agent that calls a model; `gateway_lost`:
    whether its gateway was gone when the session ended. An agent whose model could have answered is judged by what it
    left, even if it never asked: else a run that it does not like would be repeated for the asking."""
    unserved = usage is not None and (usage.unserved or (gateway_lost and not usage.answered))
    if usage is not None and unserved and result.reason not in ("lost", "stopped"):
        causes = ", ".join(f"{count} × {cause}" for cause, count in usage.causes.items()) or "its gateway was gone"
        return "infrastructure", f"No model ever answered the agent ({causes}). Mend that and run it again."
    match result.reason, frozen, final:
        case "lost", _, _:
            return (
                "infrastructure",
                "The session was lost: its supervisor ended without a result. Repeat it: `ptb retry`.",
            )
        case "stopped", _, _:
            return (
                "infrastructure",
                "The session was stopped from outside before it was over. Repeat it: `ptb retry`.",
            )
        case _, Refused(code="no_checkpoint", reason=reason), _:
            return "no_checkpoint", reason
        case _, Refused(reason=reason), _:
            return "invalid_checkpoint", reason
        case _ if verdict.verdict == "disqualified":
            return "disqualified", "; ".join(one.detail for one in verdict.findings if one.status == "flag")
        case _, _, CheckpointUnusable(reason=reason):
            return "invalid_checkpoint", reason
        case _, _, Measurement():
            return "scored", "The checkpoint was scored on the sealed test split."
        case _:
            return "infrastructure", "The checkpoint was not scored. Repeat it: `ptb retry`."


def incidents(
    plan: Plan,
    folder: RunFolder,
    told: Sequence[tuple[Happening, str]],
    result: SessionResult,
    usage: Usage | None,
    summary: Summary | None,
) -> list[Incident]:
    """What befell the run. `told`: what its sandbox knows of the session; `usage` and `summary`: of an agent that calls
    a model, and of what it did."""
    journal = Journal(folder.journal)
    found = [Incident(kind=kind, detail=detail) for kind, detail in told]
    found += [Incident(kind=kind, detail=detail) for kind, detail in observed.incidents(folder.session)]
    if result.reason == "lost":
        found.append(Incident(kind="session_lost", detail=result.detail))
    if result.reason == "stopped" and (folder.session / "stop").exists():
        found.append(Incident(kind="stopped", detail="ptb stop"))
    if result.reason == "disk_limit":
        found.append(Incident(kind="disk_limit", detail=result.detail))
    if result.output_bytes > result.kept_bytes:
        found.append(
            Incident(kind="output_truncated", detail=f"{result.output_bytes} bytes written, {result.kept_bytes} kept")
        )
    if result.killed:
        found.append(
            Incident(kind="processes_killed", detail=f"{result.killed} processes outlived the agent's command")
        )
    if plan.code != code_digest() or plan.task_digest != digest_folder(Path(plan.task_folder)):
        found.append(Incident(kind="upgraded", detail="ptb or the task changed between the plan and the seal"))
    if any("adopted" in note for note in journal.notes("session")):
        found.append(Incident(kind="resumed", detail="ptb died during the session and took it up again"))
    again = sum(note.get("started") == "again" for note in journal.notes("gateway"))
    if again:
        found.append(Incident(kind="gateway_restarted", detail=f"{again} times"))
    if any(note.get("ended") == "early" for note in journal.notes("gateway")):
        found.append(Incident(kind="gateway_lost", detail="it was gone when the session ended"))
    if usage and usage.throttled_seconds >= 1:
        found.append(
            Incident(kind="throttled", detail=f"the provider kept the agent waiting {usage.throttled_seconds:.0f} s")
        )
    if usage and usage.causes.get("budget"):
        found.append(Incident(kind="budget_spent", detail=f"{usage.causes['budget']} requests were refused"))
    found += [
        Incident(
            kind="usage_disagrees",
            detail=f"{one.what}: the agent's program says {one.reported:g}, the gateway counted {one.ledger:g}",
        )
        for one in (summary.disagreements if summary else [])
    ]
    return found
