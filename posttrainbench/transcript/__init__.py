"""What an agent did, step by step: every CLI's own stream as one ATIF v1.7 document.

`write` is the one call: from the files of an ended session and the gateway's ledger it makes `trajectory.json`, keeps
the program's own session files, and tells what the totals, the disagreements and the cause of the end are.

What this does not protect against: the stream is what the agent's program printed into a pipe that the agent could
write to as well. Steps can be made up; numbers of tokens and money cannot, since they are the gateway's.
"""

import datetime
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from posttrainbench.catalog import Pattern
from posttrainbench.folder import RunFolder
from posttrainbench.gateway.ledger import Begin, End
from posttrainbench.plan import Plan
from posttrainbench.strict import Value, read_regular, write_bytes
from posttrainbench.transcript import atif, causes, compose, exchanges, native, output, reconcile, steps, supplement

__all__ = ["Incident", "Sample", "Summary", "write"]

Incident = compose.Incident
Sample = compose.Sample
NAME = "trajectory.json"
MAX_CLOCK_BYTES = 65536


class Summary(Value, frozen=True, kw_only=True):
    """What a trajectory comes to."""

    steps: int
    agent_steps: int
    tool_calls: int
    subagents: int
    turns: int
    retries: int
    """Failures of the model interface that the program overcame, or tried to."""
    other_events: int
    """Events of the stream without a meaning here."""
    steps_with_exchange: int
    """Steps whose exchange with the model interface is certain, so that they have numbers."""
    cause: causes.Cause
    reported: reconcile.Totals | None
    """Totals by the program's own count."""
    disagreements: list[reconcile.Disagreement]
    native: native.Kept


class Clock(msgspec.Struct, frozen=True):
    """What the supervisor wrote when it began."""

    monotonic: float
    utc: str


def write(
    folder: RunFolder,
    plan: Plan,
    *,
    model: str = "",
    patterns: Sequence[Pattern] = (),
    ledger: Iterable[Begin | End] | None = None,
    turns: Sequence[float] = (),
    samples: Sequence[Sample] = (),
    incidents: Sequence[Incident] = (),
    prompt: str = "",
) -> Summary:
    """Write `trajectory.json` (atomically) and `transcript/native/` of a session that has ended.

    `model`: what the agent's model is called; `patterns`: the agent's `errors`; `ledger`: lines of the gateway's, None
    where there was no gateway; `turns`: when each start of the agent's command was, in seconds since the session's
    start; `prompt`: what the agent was told. Raises StorageError when the disk refuses."""
    clock = read_clock(folder.session / "started.json")
    start = datetime.datetime.fromisoformat(clock.utc) if clock else None
    known = exchanges.exchanges(ledger or (), clock.monotonic) if clock else []
    format_ = plan.agent.transcript
    index = output.read_index(folder.session / "output.index")
    gathered = steps.gather(output.lines(folder.session / "output.log", index), format_, start=start, turns=turns)
    kept = native.keep(folder.home, format_, folder.path / "transcript" / "native")
    supplement.add(gathered, format_, folder.path / "transcript" / "native")
    around = compose.Surroundings(
        start=start,
        seconds=plan.hours * 3600,
        turns=turns,
        exchanges=known,
        has_ledger=ledger is not None,
        samples=samples,
        incidents=incidents,
        prompt=prompt,
    )
    agent = atif.Agent(name=plan.agent.label, version=plan.agent.version, model_name=model or None)
    made = compose.compose(gathered, agent, plan.run, around)
    write_bytes(folder.path / NAME, atif.to_json(made))
    totals = reconcile.reported(gathered)
    agents = [step for step in made.steps if step.source == "agent"]
    return Summary(
        steps=len(made.steps),
        agent_steps=len(agents),
        tool_calls=sum(len(step.tool_calls or ()) for step in agents),
        subagents=len(made.subagent_trajectories or ()),
        turns=gathered.turns,
        retries=gathered.retries,
        other_events=gathered.kinds.total(),
        steps_with_exchange=sum(step.metrics is not None for step in agents),
        cause=causes.cause(gathered.ending, known, patterns),
        reported=totals,
        disagreements=reconcile.disagreements(format_, totals, known) if ledger is not None else [],
        native=kept,
    )


def read_clock(path: Path) -> Clock | None:
    """The supervisor's clock; None where the session never began."""
    try:
        clock = msgspec.json.decode(read_regular(path, MAX_CLOCK_BYTES), type=Clock)
        return clock if datetime.datetime.fromisoformat(clock.utc).tzinfo else None
    except (OSError, msgspec.DecodeError, ValueError):
        return None
