"""Reads a Harbor job's folder: one foreign result a trial.

They are never records: nobody here saw the run, no digest of ours covers it, and the reward is whatever the task's
verifier says. So they have a type of their own, which no board or comparison takes for a measurement.

A job's folder may be anybody's. Files are bounded, links are not followed, text is cleaned.
"""

import datetime
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from posttrainbench.board import text
from posttrainbench.errors import UsageError
from posttrainbench.strict import Value, digest_bytes, read_regular
from posttrainbench.transcript import atif

MAX_BYTES = 32 * 2**20
MAX_TRAJECTORY = 256 * 2**20
MAX_TRIALS = 10_000
MAX_REWARDS = 100
MAX_TEXT = 300


class ForeignTrial(Value, frozen=True, kw_only=True):
    """One trial of a Harbor job."""

    trial: str
    task: str
    agent: str
    agent_version: str
    model: str
    outcome: Literal["rewarded", "unrewarded", "failed"]
    """`failed`: an exception ended it, and its reward, if any, does not count; `unrewarded`: no verifier gave one."""
    reward: float | None
    """The one named `reward`, or the only one; as the task's verifier gave it, in its own unit."""
    rewards: dict[str, float]
    failure: str
    """The exception's type; empty without one."""
    verifier: str
    """`separate` or `shared`; empty where it is not told."""
    started: str
    seconds: float | None
    cost_usd: float | None
    """As the agent's program reported it."""
    trajectory: str
    """Path of its ATIF document in the job's folder; empty without one."""
    trajectory_objections: int
    """How many rules of ATIF the document breaks."""
    result: str
    """Digest of the trial's result.json."""


class ForeignJob(Value, frozen=True, kw_only=True):
    """A Harbor job. What `ptb import harbor` writes."""

    format: int = 1
    source: Literal["harbor"] = "harbor"
    measured: Literal[False] = False
    """These numbers were not measured by ptb, and are not to be mixed with such."""
    job: str
    trials: list[ForeignTrial]
    unreadable: list[str]
    """Folders whose result could not be read, each with why."""


class _Model(msgspec.Struct):
    name: str = ""


class _Agent(msgspec.Struct):
    name: str = ""
    version: str = ""
    model_info: _Model | None = None


class _Use(msgspec.Struct):
    cost_usd: float | None = None


class _Verified(msgspec.Struct):
    rewards: dict[str, float] | None = None


class _Raised(msgspec.Struct):
    exception_type: str = ""


class _Step(msgspec.Struct):
    agent_result: _Use | None = None
    exception_info: _Raised | None = None


class _Trial(msgspec.Struct):
    """The members of Harbor's TrialResult that are used here; others come and go with its versions."""

    task_name: str
    trial_name: str
    agent_info: _Agent
    agent_result: _Use | None = None
    verifier_result: _Verified | None = None
    verifier_environment_mode: str | None = None
    exception_info: _Raised | None = None
    started_at: datetime.datetime | None = None
    finished_at: datetime.datetime | None = None
    step_results: list[_Step] | None = None
    reward_valid: bool | None = None


def read_job(folder: Path) -> ForeignJob:
    """All trials of a job, by name; raises UsageError where there is none."""
    trials: list[ForeignTrial] = []
    unreadable: list[str] = []
    for path in _trials(folder):
        try:
            trials.append(_trial(folder, path))
        except (OSError, ValueError, RecursionError, OverflowError) as error:
            unreadable.append(f"{_clean(path.name)}: {_clean(str(error))}")
    if not trials and not unreadable:
        raise UsageError(
            f"{folder} holds no trial: a Harbor job's folder has a folder for each trial with a result.json in it. "
            "Give the folder that `harbor run` names as the job's."
        )
    return ForeignJob(job=_clean(folder.resolve().name), trials=trials, unreadable=unreadable)


def _trials(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder; give the folder of a Harbor job.")
    names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False))
    found = [folder / name for name in names if os.path.lexists(folder / name / "result.json")]
    if len(found) > MAX_TRIALS:
        raise UsageError(f"{folder} holds {len(found)} trials; at most {MAX_TRIALS} are read. Import parts of it.")
    return iter(found)


def _trial(folder: Path, path: Path) -> ForeignTrial:
    content = read_regular(path / "result.json", MAX_BYTES)
    told = msgspec.json.decode(content, type=_Trial)
    given = (told.verifier_result.rewards if told.verifier_result else None) or {}
    rewards = dict(sorted(given.items())[:MAX_REWARDS])
    raised = [told.exception_info, *(step.exception_info for step in told.step_results or [])]
    failure = next((one.exception_type or "unknown" for one in raised if one), "")
    # Older versions of Harbor do not say whether the reward of a trial that an exception ended counts.
    counts = bool(rewards) and (not failure if told.reward_valid is None else told.reward_valid)
    only = next(iter(rewards.values())) if len(rewards) == 1 else None
    used = [told.agent_result, *(step.agent_result for step in told.step_results or [])]
    costs = [one.cost_usd for one in used if one and one.cost_usd is not None]
    trajectory, objections = _trajectory(path)
    return ForeignTrial(
        trial=_clean(told.trial_name),
        task=_clean(told.task_name),
        agent=_clean(told.agent_info.name),
        agent_version=_clean(told.agent_info.version),
        model=_clean(told.agent_info.model_info.name if told.agent_info.model_info else ""),
        outcome="rewarded" if counts else "failed" if failure else "unrewarded",
        reward=rewards.get("reward", only) if counts else None,
        rewards={_clean(name): value for name, value in rewards.items()},
        failure=_clean(failure),
        verifier=_clean(told.verifier_environment_mode or ""),
        started=told.started_at.isoformat() if told.started_at else "",
        seconds=_seconds(told),
        cost_usd=sum(costs) if costs else None,
        trajectory=f"{path.name}/{trajectory}" if trajectory else "",
        trajectory_objections=objections,
        result=digest_bytes(content),
    )


def _seconds(told: _Trial) -> float | None:
    if told.started_at is None or told.finished_at is None:
        return None
    if (told.started_at.tzinfo is None) != (told.finished_at.tzinfo is None):
        return None
    return (told.finished_at - told.started_at).total_seconds()


def _trajectory(path: Path) -> tuple[str, int]:
    """Where the agent's trajectory lies below the trial's folder, and how many rules it breaks."""
    name = "agent/trajectory.json"
    if (path / "agent").is_symlink() or not os.path.lexists(path / name):
        return "", 0
    try:
        document: Any = msgspec.json.decode(read_regular(path / name, MAX_TRAJECTORY))
        return name, len(atif.validate(document))
    except (OSError, ValueError, RecursionError):
        return name, 1


def _clean(value: str) -> str:
    return text.clean(value, MAX_TEXT).replace("\n", " ")
