"""ATIF v1.7, the Agent Trajectory Interchange Format of Harbor's RFC 0001: what we write, and what is wrong with a
document.

`validate` holds every rule of the format for any document, also for parts that we never write (images, token ids).
It reads no file that a document names.
"""

import datetime
import math
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from posttrainbench.strict import Value

VERSION = "ATIF-v1.7"
Extra = dict[str, Any]


class ToolCall(Value, frozen=True, kw_only=True, omit_defaults=True):
    """What the agent did."""

    tool_call_id: str
    function_name: str
    arguments: dict[str, Any]
    extra: Extra | None = None


class SubagentRef(Value, frozen=True, kw_only=True, omit_defaults=True):
    """A trajectory in `subagent_trajectories`."""

    trajectory_id: str


class Result(Value, frozen=True, kw_only=True, omit_defaults=True):
    """What came of it."""

    source_call_id: str | None = None
    """A tool call of the same step."""
    content: str | None = None
    subagent_trajectory_ref: list[SubagentRef] | None = None
    extra: Extra | None = None


class Observation(Value, frozen=True, kw_only=True):
    """Results of a step."""

    results: list[Result]


class Metrics(Value, frozen=True, kw_only=True, omit_defaults=True):
    """What a step took. Prompt tokens include the cached ones."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    cost_usd: float | None = None
    extra: Extra | None = None


class Step(Value, frozen=True, kw_only=True, omit_defaults=True):
    """One answer of the model with what came of it, or something that it was told."""

    step_id: int
    source: Literal["system", "user", "agent"]
    message: str
    timestamp: str | None = None
    model_name: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None
    observation: Observation | None = None
    metrics: Metrics | None = None
    llm_call_count: int | None = None
    extra: Extra | None = None


class Agent(Value, frozen=True, kw_only=True, omit_defaults=True):
    """Whose doing it is."""

    name: str
    version: str
    model_name: str | None = None
    extra: Extra | None = None


class FinalMetrics(Value, frozen=True, kw_only=True, omit_defaults=True):
    """Totals. Prompt tokens include the cached ones."""

    total_prompt_tokens: int | None = None
    total_completion_tokens: int | None = None
    total_cached_tokens: int | None = None
    total_cost_usd: float | None = None
    total_steps: int | None = None
    extra: Extra | None = None


class Trajectory(Value, frozen=True, kw_only=True, omit_defaults=True):
    """A whole document."""

    schema_version: str = msgspec.field(default_factory=lambda: VERSION)
    agent: Agent
    steps: list[Step]
    session_id: str | None = None
    trajectory_id: str | None = None
    notes: str | None = None
    final_metrics: FinalMetrics | None = None
    subagent_trajectories: list["Trajectory"] | None = None
    extra: Extra | None = None


def to_json(trajectory: Trajectory) -> bytes:
    """The document, in the order of the format's own fields."""
    return msgspec.json.format(msgspec.json.encode(trajectory), indent=1) + b"\n"


TEXT = (str,)
INTEGER = (int,)
NUMBER = (int, float)
OBJECT = (dict,)
ARRAY = (list,)
MESSAGE = (str, list)

Kind = dict[str, tuple[type, ...]]
"""Members of an object, with the types that they may have."""

TRAJECTORY: Kind = {
    "schema_version": TEXT,
    "session_id": TEXT,
    "trajectory_id": TEXT,
    "agent": OBJECT,
    "steps": ARRAY,
    "notes": TEXT,
    "final_metrics": OBJECT,
    "continued_trajectory_ref": TEXT,
    "subagent_trajectories": ARRAY,
    "extra": OBJECT,
}
AGENT: Kind = {
    "name": TEXT,
    "version": TEXT,
    "model_name": TEXT,
    "tool_definitions": ARRAY,
    "extra": OBJECT,
}
STEP: Kind = {
    "step_id": INTEGER,
    "timestamp": TEXT,
    "source": TEXT,
    "model_name": TEXT,
    "reasoning_effort": (str, int, float),
    "message": MESSAGE,
    "reasoning_content": TEXT,
    "tool_calls": ARRAY,
    "observation": OBJECT,
    "metrics": OBJECT,
    "is_copied_context": (bool,),
    "llm_call_count": INTEGER,
    "extra": OBJECT,
}
TOOL_CALL: Kind = {"tool_call_id": TEXT, "function_name": TEXT, "arguments": OBJECT, "extra": OBJECT}
RESULT: Kind = {"source_call_id": TEXT, "content": MESSAGE, "subagent_trajectory_ref": ARRAY, "extra": OBJECT}
REF: Kind = {"trajectory_id": TEXT, "session_id": TEXT, "trajectory_path": TEXT, "extra": OBJECT}
METRICS: Kind = {
    "prompt_tokens": INTEGER,
    "completion_tokens": INTEGER,
    "cached_tokens": INTEGER,
    "cost_usd": NUMBER,
    "prompt_token_ids": ARRAY,
    "completion_token_ids": ARRAY,
    "logprobs": ARRAY,
    "extra": OBJECT,
}
FINAL_METRICS: Kind = {
    "total_prompt_tokens": INTEGER,
    "total_completion_tokens": INTEGER,
    "total_cached_tokens": INTEGER,
    "total_cost_usd": NUMBER,
    "total_steps": INTEGER,
    "extra": OBJECT,
}
IMAGE_TYPES = {"image/jpeg", "image/png", "image/gif", "image/webp"}
OF_AGENTS = ("model_name", "reasoning_effort", "reasoning_content", "tool_calls", "metrics")
"""Members of a step whose source is the agent."""
OF_MODELS = ("reasoning_content", "metrics")
"""Members that a step of an agent does not have where no model was called."""
MAX_OBJECTIONS = 1000


def validate(document: Any) -> list[str]:
    """Everything that is wrong with a document, as JSON gives it; none for a valid one."""
    found = _Objections()
    found.trajectory(document, "trajectory")
    return found.all[:MAX_OBJECTIONS]


class _Objections:
    def __init__(self) -> None:
        self.all: list[str] = []

    def say(self, where: str, what: str) -> None:
        self.all.append(f"{where}: {what}")

    def fields(self, value: Any, kind: Kind, needed: tuple[str, ...], where: str) -> Mapping[str, Any]:
        """Types of an object's members; gives those members whose types are right."""
        if not isinstance(value, dict):
            self.say(where, "is no object")
            return {}
        right = {}
        for key, member in value.items():
            if key not in kind:
                self.say(f"{where}.{key}", "the format has no such member")
            elif member is None:
                continue
            elif not isinstance(member, kind[key]) or (isinstance(member, bool) and bool not in kind[key]):
                self.say(f"{where}.{key}", f"is a {type(member).__name__}")
            elif isinstance(member, float) and not math.isfinite(member):
                self.say(f"{where}.{key}", "is not finite")
            else:
                right[key] = member
        for key in needed:
            if value.get(key) is None:
                self.say(f"{where}.{key}", "is missing")
        return right

    def trajectory(self, value: Any, where: str) -> None:
        root = self.fields(value, TRAJECTORY, ("schema_version", "agent", "steps"), where)
        if root.get("schema_version", VERSION) != VERSION:
            self.say(f"{where}.schema_version", f"is not {VERSION}")
        if "agent" in root:
            self.fields(root["agent"], AGENT, ("name", "version"), f"{where}.agent")
        embedded: set[str] = set()
        for n, one in enumerate(root.get("subagent_trajectories", [])):
            there = f"{where}.subagent_trajectories[{n}]"
            self.trajectory(one, there)
            identity = one.get("trajectory_id") if isinstance(one, dict) else None
            if not isinstance(identity, str) or identity in embedded:
                self.say(f"{there}.trajectory_id", "is missing, or another has it too")
            else:
                embedded.add(identity)
        if root.get("steps") == []:
            self.say(f"{where}.steps", "is empty")
        for n, one in enumerate(root.get("steps", [])):
            self.step(one, n + 1, f"{where}.steps[{n}]", embedded)
        if "final_metrics" in root:
            there = f"{where}.final_metrics"
            final = self.fields(root["final_metrics"], FINAL_METRICS, (), there)
            steps = final.get("total_steps")
            if steps is not None and (steps < 0 or (steps != len(root.get("steps", [])) and not root.get("notes"))):
                self.say(f"{there}.total_steps", "differs from the number of steps, and no notes say why")

    def step(self, value: Any, number: int, where: str, embedded: set[str]) -> None:
        step = self.fields(value, STEP, ("step_id", "source", "message"), where)
        if step.get("step_id", number) != number:
            self.say(f"{where}.step_id", f"is not {number}")
        source = step.get("source")
        if source not in ("system", "user", "agent", None):
            self.say(f"{where}.source", "is none of system, user and agent")
        if "timestamp" in step and not _is_time(step["timestamp"]):
            self.say(f"{where}.timestamp", "is no ISO 8601 time")
        self.content(step.get("message"), f"{where}.message")
        count = step.get("llm_call_count", 1)
        if count < 0:
            self.say(f"{where}.llm_call_count", "is negative")
        for key in OF_AGENTS if source != "agent" else OF_MODELS if count == 0 else ():
            if key in step:
                why = "belongs to steps of the agent" if source != "agent" else "belongs to steps that called a model"
                self.say(f"{where}.{key}", why)
        calls = self.calls(step.get("tool_calls", []), f"{where}.tool_calls")
        if "observation" in step:
            self.observation(step["observation"], calls, embedded, f"{where}.observation")
        if "metrics" in step:
            self.metrics(step["metrics"], f"{where}.metrics")

    def calls(self, value: list[Any], where: str) -> set[str]:
        ids: set[str] = set()
        for n, one in enumerate(value):
            call = self.fields(one, TOOL_CALL, ("tool_call_id", "function_name", "arguments"), f"{where}[{n}]")
            identity = call.get("tool_call_id")
            if identity in ids:
                self.say(f"{where}[{n}].tool_call_id", "another call of the step has it too")
            if identity is not None:
                ids.add(identity)
        return ids

    def observation(self, value: Any, calls: set[str], embedded: set[str], where: str) -> None:
        observation = self.fields(value, {"results": ARRAY}, ("results",), where)
        for n, one in enumerate(observation.get("results", [])):
            there = f"{where}.results[{n}]"
            result = self.fields(one, RESULT, (), there)
            if result.get("source_call_id") is not None and result["source_call_id"] not in calls:
                self.say(f"{there}.source_call_id", "is no tool call of this step")
            self.content(result.get("content"), f"{there}.content")
            for k, reference in enumerate(result.get("subagent_trajectory_ref", [])):
                self.reference(reference, embedded, f"{there}.subagent_trajectory_ref[{k}]")

    def reference(self, value: Any, embedded: set[str], where: str) -> None:
        reference = self.fields(value, REF, (), where)
        if "trajectory_path" not in reference and reference.get("trajectory_id") not in embedded:
            self.say(where, "names no trajectory in subagent_trajectories and no path")

    def metrics(self, value: Any, where: str) -> None:
        metrics = self.fields(value, METRICS, (), where)
        for key, types in (("prompt_token_ids", INTEGER), ("completion_token_ids", INTEGER), ("logprobs", NUMBER)):
            if not all(isinstance(one, types) and not isinstance(one, bool) for one in metrics.get(key, [])):
                self.say(f"{where}.{key}", "holds something else than numbers")

    def content(self, value: Any, where: str) -> None:
        for n, one in enumerate(value if isinstance(value, list) else []):
            there = f"{where}[{n}]"
            part = self.fields(one, {"type": TEXT, "text": TEXT, "source": OBJECT}, ("type",), there)
            kind = part.get("type")
            if kind == "text" and ("text" not in part or "source" in part):
                self.say(there, "a part of type text has a text and no source")
            elif kind == "image" and ("source" not in part or "text" in part):
                self.say(there, "a part of type image has a source and no text")
            elif kind not in ("text", "image"):
                self.say(f"{there}.type", "is neither text nor image")
            if "source" in part:
                needed = ("media_type", "path")
                source = self.fields(part["source"], {"media_type": TEXT, "path": TEXT}, needed, f"{there}.source")
                if source.get("media_type") not in IMAGE_TYPES:
                    self.say(f"{there}.source.media_type", "is none that the format knows")


def _is_time(text: str) -> bool:
    try:
        datetime.datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
