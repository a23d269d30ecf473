"""A document is valid, or every way in which it is not is told."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from posttrainbench.transcript import atif

VALID: Any = {
    "schema_version": "ATIF-v1.7",
    "agent": {"name": "robot", "version": "1.0", "model_name": "big-1", "tool_definitions": []},
    "steps": [
        {"step_id": 1, "source": "user", "message": "Train.", "timestamp": "2026-11-01T00:00:00Z"},
        {
            "step_id": 2,
            "source": "agent",
            "message": [
                {"type": "text", "text": "See:"},
                {"type": "image", "source": {"media_type": "image/png", "path": "a.png"}},
            ],
            "reasoning_effort": 0.5,
            "reasoning_content": "Hm.",
            "llm_call_count": 1,
            "tool_calls": [{"tool_call_id": "c1", "function_name": "bash", "arguments": {}}],
            "observation": {
                "results": [
                    {"source_call_id": "c1", "content": "ok", "subagent_trajectory_ref": [{"trajectory_id": "sub"}]},
                    {"content": None},
                ]
            },
            "metrics": {"prompt_tokens": 3, "cost_usd": 1, "logprobs": [-0.5], "completion_token_ids": [1]},
        },
    ],
    "final_metrics": {"total_steps": 2, "total_cost_usd": 0.5},
    "subagent_trajectories": [
        {
            "schema_version": "ATIF-v1.7",
            "trajectory_id": "sub",
            "agent": {"name": "robot", "version": "1.0"},
            "steps": [{"step_id": 1, "source": "system", "message": ""}],
        }
    ],
}


def put(path: str, value: Any) -> Callable[[Any], None]:
    """Change a member, by its path."""

    def change(document: Any) -> None:
        *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        for part in parents:
            document = document[part]
        document[last] = value

    return change


def test_a_document_with_every_part_is_valid() -> None:
    assert atif.validate(VALID) == []


@pytest.mark.parametrize(
    ("change", "objection"),
    [
        (put("surprise", 1), "trajectory.surprise: the format has no such member"),
        (put("schema_version", "ATIF-v9"), "trajectory.schema_version: is not ATIF-v1.7"),
        (put("agent.version", None), "trajectory.agent.version: is missing"),
        (put("agent.name", 3), "trajectory.agent.name: is a int"),
        (put("steps", []), "trajectory.steps: is empty"),
        (put("steps.0", 3), "trajectory.steps[0]: is no object"),
        (put("steps.1.step_id", 3), "trajectory.steps[1].step_id: is not 2"),
        (put("steps.1.step_id", True), "trajectory.steps[1].step_id: is a bool"),
        (put("steps.0.source", "robot"), "trajectory.steps[0].source: is none of system, user and agent"),
        (put("steps.0.message", None), "trajectory.steps[0].message: is missing"),
        (put("steps.0.timestamp", "yesterday"), "trajectory.steps[0].timestamp: is no ISO 8601 time"),
        (put("steps.0.metrics", {}), "trajectory.steps[0].metrics: belongs to steps of the agent"),
        (put("steps.0.tool_calls", []), "trajectory.steps[0].tool_calls: belongs to steps of the agent"),
        (put("steps.1.llm_call_count", 0), "trajectory.steps[1].metrics: belongs to steps that called a model"),
        (put("steps.1.llm_call_count", -1), "trajectory.steps[1].llm_call_count: is negative"),
        (put("steps.1.tool_calls.0.arguments", "ls"), "trajectory.steps[1].tool_calls[0].arguments: is a str"),
        (
            put("steps.1.observation.results.0.source_call_id", "c9"),
            "trajectory.steps[1].observation.results[0].source_call_id: is no tool call of this step",
        ),
        (
            put("steps.1.observation.results.0.subagent_trajectory_ref.0.trajectory_id", "x"),
            "trajectory.steps[1].observation.results[0].subagent_trajectory_ref[0]: names no trajectory in "
            "subagent_trajectories and no path",
        ),
        (put("steps.1.metrics.prompt_tokens", 1.5), "trajectory.steps[1].metrics.prompt_tokens: is a float"),
        (put("steps.1.metrics.cost_usd", float("nan")), "trajectory.steps[1].metrics.cost_usd: is not finite"),
        (
            put("steps.1.metrics.logprobs", ["x"]),
            "trajectory.steps[1].metrics.logprobs: holds something else than numbers",
        ),
        (
            put("steps.1.message.1.source.media_type", "image/bmp"),
            "trajectory.steps[1].message[1].source.media_type: is none that the format knows",
        ),
        (
            put("steps.1.message.1.text", "x"),
            "trajectory.steps[1].message[1]: a part of type image has a source and no text",
        ),
        (
            put("final_metrics.total_steps", 7),
            "trajectory.final_metrics.total_steps: differs from the number of steps, and no notes say why",
        ),
        (
            put("subagent_trajectories.0.steps.0.step_id", 2),
            "trajectory.subagent_trajectories[0].steps[0].step_id: is not 1",
        ),
    ],
)
def test_each_rule_is_held(change: Callable[[Any], None], objection: str) -> None:
    document = copy.deepcopy(VALID)
    change(document)
    assert objection in atif.validate(document)


def test_two_calls_of_one_step_do_not_share_an_id() -> None:
    document = copy.deepcopy(VALID)
    document["steps"][1]["tool_calls"] *= 2
    assert atif.validate(document) == [
        "trajectory.steps[1].tool_calls[1].tool_call_id: another call of the step has it too"
    ]


def test_an_embedded_trajectory_bears_an_id_of_its_own() -> None:
    document = copy.deepcopy(VALID)
    document["subagent_trajectories"] *= 2
    assert atif.validate(document) == [
        "trajectory.subagent_trajectories[1].trajectory_id: is missing, or another has it too"
    ]


@pytest.mark.parametrize("value", [None, 3, [], "x", {"steps": 3}, {"agent": [], "steps": [None]}])
def test_anything_else_is_no_document(value: Any) -> None:
    assert atif.validate(value) != []


def test_what_is_written_has_no_empty_members() -> None:
    step = atif.Step(step_id=1, source="system", message="x")
    made = atif.Trajectory(agent=atif.Agent(name="robot", version="1.0"), steps=[step])
    assert json.loads(atif.to_json(made)) == {
        "schema_version": "ATIF-v1.7",
        "agent": {"name": "robot", "version": "1.0"},
        "steps": [{"step_id": 1, "source": "system", "message": "x"}],
    }
