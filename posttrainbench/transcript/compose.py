"""Drafts, ledger and telemetry to one ATIF document.

Numbers of tokens and money are the gateway's. A step has them only where its exchange is certain; totals always do.
"""

import bisect
import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from posttrainbench.gateway.ledger import Tokens
from posttrainbench.transcript import atif
from posttrainbench.transcript.drafts import Call, Draft
from posttrainbench.transcript.events import Answered
from posttrainbench.transcript.exchanges import Exchange, match
from posttrainbench.transcript.foreign import moment
from posttrainbench.transcript.steps import Gathered

SAMPLE_SECONDS = 30.0
"""A sample tells nothing about a step that is further away."""


class Sample(Protocol):
    """A telemetry sample."""

    @property
    def t(self) -> float: ...
    @property
    def gpus(self) -> Sequence[Mapping[str, float]]: ...


@dataclass(frozen=True)
class Incident:
    """Something that befell the session. Seconds since its start."""

    begin: float
    end: float
    kind: str


@dataclass(frozen=True)
class Surroundings:
    """What is known of the session beside the agent's own output. Times in seconds since its start."""

    start: datetime.datetime | None = None
    seconds: float | None = None
    """How long it was allowed to last."""
    turns: Sequence[float] = ()
    exchanges: Sequence[Exchange] = ()
    has_ledger: bool = False
    samples: Sequence[Sample] = ()
    incidents: Sequence[Incident] = ()
    prompt: str = ""
    """What the agent was told at its start, where its output does not say."""


def compose(gathered: Gathered, agent: atif.Agent, session: str, around: Surroundings) -> atif.Trajectory:
    """The document."""
    composing = _Composing(agent, around)
    threads = {name: list(shelf) for name, shelf in gathered.threads.items()}
    main = _with_prompt(threads.pop("", []), around.prompt)
    refs = set(threads)
    numbers = match(main, around.exchanges, around.turns)
    steps = composing.steps(main, numbers, refs) or [
        atif.Step(step_id=1, source="system", message="The agent's output is empty.")
    ]
    subagents = [
        atif.Trajectory(agent=agent, trajectory_id=name, steps=composing.steps(drafts, {}, set()))
        for name, drafts in threads.items()
        if drafts
    ]
    return atif.Trajectory(
        agent=agent,
        session_id=session,
        trajectory_id=session,
        steps=steps,
        final_metrics=_totals(around, len(steps)),
        subagent_trajectories=subagents or None,
        extra={"ptb": _facts(gathered, numbers)},
    )


def _with_prompt(drafts: list[Draft], prompt: str) -> list[Draft]:
    """The drafts, with what the agent was told before them unless they tell it."""
    if not prompt or any(draft.source == "user" and draft.turn == 0 for draft in drafts[:20]):
        return drafts
    first = Draft(source="user", t=0.0, at=None, turn=0)
    first.text.add(prompt, piece=False)
    return [first, *drafts]


def _facts(gathered: Gathered, numbers: Mapping[int, Exchange]) -> dict[str, Any]:
    began = gathered.began
    return {
        "turns": gathered.turns,
        "retries": gathered.retries,
        "steps_with_exchange": len(numbers),
        "other_events": dict(sorted(gathered.kinds.items())),
        **({"cli_session": began.session, "cli_model": began.model, "cli_version": began.version} if began else {}),
    }


def _totals(around: Surroundings, steps: int) -> atif.FinalMetrics:
    if not around.has_ledger:
        return atif.FinalMetrics(total_steps=steps)
    facts = [one.facts for one in around.exchanges]
    total = summed([one.tokens for one in facts])
    billed = [one for one in facts if one.tokens.total]
    costs = [one.cost_usd for one in billed]
    models = {
        one.facts.answered_model or one.model: one.background for one in around.exchanges if one.facts.tokens.total
    }
    return atif.FinalMetrics(
        total_prompt_tokens=total.input + total.cached + total.cache_write,
        total_completion_tokens=total.output,
        total_cached_tokens=total.cached,
        total_cost_usd=None if None in costs else round(sum(cost or 0.0 for cost in costs), 9),
        total_steps=steps,
        extra={
            "cache_write_tokens": total.cache_write,
            "reasoning_tokens": total.reasoning,
            "exchanges": len(facts),
            "background_models": sorted(name for name, background in models.items() if background),
            "throttled_seconds": round(sum(one.throttled_seconds for one in facts), 3),
        },
    )


def summed(tokens: Sequence[Tokens]) -> Tokens:
    """The sum of each kind."""
    return Tokens(
        input=sum(one.input for one in tokens),
        cached=sum(one.cached for one in tokens),
        cache_write=sum(one.cache_write for one in tokens),
        output=sum(one.output for one in tokens),
        reasoning=sum(one.reasoning for one in tokens),
    )


class _Composing:
    def __init__(self, agent: atif.Agent, around: Surroundings) -> None:
        self.agent, self.around = agent, around
        self.sample_times = [sample.t for sample in around.samples]

    def steps(self, drafts: Sequence[Draft], numbers: Mapping[int, Exchange], refs: set[str]) -> list[atif.Step]:
        """Drafts as steps. `refs`: calls that started a subagent whose trajectory is embedded."""
        return [self.step(n, draft, numbers.get(n), refs) for n, draft in enumerate(drafts)]

    def step(self, n: int, draft: Draft, exchange: Exchange | None, refs: set[str]) -> atif.Step:
        """One step."""
        agents = draft.source == "agent"
        results = [_result(call.result, call.id, refs) for call in draft.calls.values() if call.result]
        results += [_result(one, None, refs) for one in draft.results]
        extra = {**self.surroundings(draft, exchange), **({"kind": draft.kind} if draft.kind else {})}
        return atif.Step(
            step_id=n + 1,
            source=draft.source,
            message=str(draft.text),
            timestamp=self.timestamp(draft),
            model_name=(draft.model if draft.model != self.agent.model_name else None) or None if agents else None,
            reasoning_content=str(draft.reasoning) or None if agents else None,
            tool_calls=[_call(call) for call in draft.calls.values()] or None,
            observation=atif.Observation(results=results) if results else None,
            metrics=_metrics(exchange) if exchange else None,
            llm_call_count=1 if exchange else None,
            extra={"ptb": extra} if extra else None,
        )

    def timestamp(self, draft: Draft) -> str | None:
        """When, in UTC."""
        if self.around.start is not None and draft.t is not None:
            found = self.around.start + datetime.timedelta(seconds=draft.t)
        else:
            own = moment(draft.at)
            if own is None:
                return None
            found = own
        return found.astimezone(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def surroundings(self, draft: Draft, exchange: Exchange | None) -> dict[str, Any]:
        """What was the case then."""
        found: dict[str, Any] = {}
        if exchange and exchange.facts.throttled_seconds:
            found["throttled_seconds"] = round(exchange.facts.throttled_seconds, 3)
        if (t := draft.t) is None:
            return found
        if self.around.seconds is not None:
            found["seconds_left"] = round(max(self.around.seconds - t, 0.0), 1)
        if (use := self.gpu_percent(t)) is not None:
            found["gpu_percent"] = use
        if kinds := sorted({one.kind for one in self.around.incidents if one.begin <= t <= one.end}):
            found["incidents"] = kinds
        return found

    def gpu_percent(self, t: float) -> list[float] | None:
        """How busy each GPU was in the last sample before."""
        position = bisect.bisect_right(self.sample_times, t) - 1
        if position < 0 or t - self.sample_times[position] > SAMPLE_SECONDS:
            return None
        use = [gpu["utilization.gpu"] for gpu in self.around.samples[position].gpus if "utilization.gpu" in gpu]
        return use or None


def _call(call: Call) -> atif.ToolCall:
    return atif.ToolCall(tool_call_id=call.id, function_name=call.name, arguments=call.arguments)


def _result(result: Answered, call: str | None, refs: set[str]) -> atif.Result:
    facts: dict[str, Any] = {}
    if result.error:
        facts["is_error"] = True
    if result.exit_code is not None:
        facts["exit_code"] = result.exit_code
    return atif.Result(
        source_call_id=call,
        content=result.text,
        subagent_trajectory_ref=[atif.SubagentRef(trajectory_id=call)] if call is not None and call in refs else None,
        extra={"ptb": facts} if facts else None,
    )


def _metrics(exchange: Exchange) -> atif.Metrics:
    tokens = exchange.facts.tokens
    extra = {
        key: value
        for key, value in (("cache_write_tokens", tokens.cache_write), ("reasoning_tokens", tokens.reasoning))
        if value
    }
    return atif.Metrics(
        prompt_tokens=tokens.input + tokens.cached + tokens.cache_write,
        completion_tokens=tokens.output,
        cached_tokens=tokens.cached,
        cost_usd=exchange.facts.cost_usd,
        extra=extra or None,
    )
