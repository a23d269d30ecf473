"""The figures that the original benchmark published, as a board of their own, marked as not measured here.

They come as one JSON file, which is not part of this project; it is read strictly. Intervals are given where the
figures allow one: for agents with several runs, from the standard deviations over runs (Student's t; what the
questions' chance adds is not in them), and for single cells of one run, where answers are right or wrong, from the
number of questions.
"""

import math
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from posttrainbench import statistics
from posttrainbench.board.standings import Board, CellStanding, Standing, ranked
from posttrainbench.errors import ConfigError, MissingError
from posttrainbench.statistics import Estimate
from posttrainbench.statistics.crossed import pooled, student
from posttrainbench.strict import Value

MAX_BYTES = 10_000_000
PROTOCOL, VERSION = "ptb-v1", 2
RUNS = "published runs (Student's t)"
NONE = "no interval: not in the published figures"
NOTE = (
    "Published by the original's authors, not measured here: {source}. Its rules are those of protocol ptb-v1 but for "
    "the differences that docs/protocols.md lists; its figures never mix with measured ones. Scores count the base "
    "model's in place of a failure."
)
QUESTIONS = {"aime2025": 30, "gsm8k": 1319, "gpqamain": 448, "humaneval": 164, "bfcl": 100}
"""Of the benchmarks whose answers are right or wrong."""
INSTRUCT = {
    "Qwen3-1.7B-Base": "Qwen3-1.7B",
    "Qwen3-4B-Base": "Qwen3-4B",
    "SmolLM3-3B-Base": "SmolLM3-3B",
    "gemma-3-4b-pt": "gemma-3-4b-it",
}

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Cells = dict[str, dict[str, Share]]
"""By model and task."""


class Spread(Value, frozen=True, kw_only=True):
    """An agent's mean and standard deviation over runs."""

    mean: Cells
    std: Cells


class Single(Value, frozen=True, kw_only=True):
    """One run's cell."""

    counted: Share
    status: Literal["scored", "no_checkpoint", "disqualified", "evaluation_error"]
    raw: Share | None = None


class Row(Value, frozen=True, kw_only=True):
    """A row of their leaderboard."""

    agent: str
    weighted: Share
    std: Share
    runs: Annotated[int, msgspec.Meta(ge=1, le=1000)]
    mean_time: Annotated[str, msgspec.Meta(pattern=r"^\d{1,3}:\d\d:\d\d$")]
    std_time: str


class Published(Value, frozen=True, kw_only=True):
    """The file."""

    source: str
    weights: dict[str, Annotated[float, msgspec.Meta(gt=0, le=1)]]
    base_and_instruct_zero_shot: Cells
    base_few_shot: Cells
    agents_mean_over_runs: dict[str, Spread]
    single_runs: dict[str, dict[str, dict[str, Single]]]
    leaderboard: list[Row]


def board(path: Path) -> Board:
    """The board of the figures in the file at `path`; raises MissingError or ConfigError."""
    told = read(path)
    tasks, models = sorted(told.weights), sorted(told.base_few_shot)
    rows = {row.agent: row for row in told.leaderboard}
    made = [
        _of_several(name, spread, rows.pop(name, None), told) for name, spread in told.agents_mean_over_runs.items()
    ]
    made += [_of_row(row) for row in rows.values()]
    made += [_of_one(name, cells, told) for name, cells in told.single_runs.items()]
    zero_shot = told.base_and_instruct_zero_shot
    return Board(
        id=f"{PROTOCOL}-published",
        protocol=PROTOCOL,
        version=VERSION,
        title="Published figures of the original",
        scored=True,
        published=True,
        note=NOTE.format(source=told.source),
        measure="metric",
        weights=told.weights,
        models=models,
        tasks=tasks,
        standings=ranked(made),
        base_score=_mean(told, zero_shot),
        few_shot_score=_mean(told, told.base_few_shot),
        human_score=_mean(told, {model: zero_shot[INSTRUCT[model]] for model in models}),
    )


def read(path: Path) -> Published:
    """The file, checked to be whole: every model with every task."""
    try:
        content = path.read_bytes() if path.stat().st_size <= MAX_BYTES else b""
    except OSError as error:
        raise MissingError(
            f"{path} cannot be read ({error.strerror}); a file of published figures was expected."
        ) from None
    if not content:
        raise ConfigError(f"{path} is empty or larger than {MAX_BYTES} bytes; it is no file of published figures.")
    try:
        told = msgspec.json.decode(content, type=Published)
    except msgspec.DecodeError as error:
        raise ConfigError(f"{path} is not a file of published figures: {error}.") from error
    models = sorted(told.base_few_shot)
    unknown = sorted(set(models) - set(INSTRUCT))
    if unknown:
        raise ConfigError(f"{path} has models whose instruct siblings are not known: {', '.join(unknown)}.")
    tables = [("base_few_shot", told.base_few_shot), *_tables(told)]
    wanted = sorted(told.weights)
    for name, cells in tables:
        missing = [model for model in models if sorted(cells.get(model, {})) != wanted]
        if missing:
            raise ConfigError(f"{path}: {name} has not exactly the {len(wanted)} tasks of `weights` for {missing[0]}.")
    if abs(sum(told.weights.values()) - 1) > 1e-6:
        raise ConfigError(f"{path}: its weights do not come to 1.")
    return told


def _tables(told: Published) -> list[tuple[str, Cells]]:
    zero_shot = told.base_and_instruct_zero_shot
    found = [("base_and_instruct_zero_shot", zero_shot)]
    found += [("instruct models", {base: zero_shot.get(sibling, {}) for base, sibling in INSTRUCT.items()})]
    for name, spread in told.agents_mean_over_runs.items():
        found += [(f"mean of {name}", spread.mean), (f"std of {name}", spread.std)]
    for name, cells in told.single_runs.items():
        found.append((name, {model: {task: one.counted for task, one in row.items()} for model, row in cells.items()}))
    return found


def _of_several(name: str, spread: Spread, row: Row | None, told: Published) -> Standing:
    runs = row.runs if row else 0
    many = len(told.base_few_shot)
    terms = [
        ((told.weights[task] / many * std) ** 2 / runs, runs - 1.0)
        for model in told.base_few_shot
        for task, std in spread.std[model].items()
        if runs > 1
    ]
    cells = [
        _cell(model, task, told, runs=runs, score=_several(value, spread.std[model][task], runs))
        for model in sorted(told.base_few_shot)
        for task, value in sorted(spread.mean[model].items())
    ]
    value = _mean(told, spread.mean)
    note = "" if terms else "Not ranked: how many runs its means are over is not among the published figures."
    score = _around(value, math.sqrt(pooled(terms)), RUNS) if terms else _bare(value)
    return _standing(name, cells, score, note, runs=runs * len(cells), hours=_hours(row))


def _of_row(row: Row) -> Standing:
    """Of their leaderboard alone, without cells."""
    score = _several(row.weighted, row.std, row.runs)
    return _standing(row.agent, [], score, "" if row.runs > 1 else "Not ranked: one run.", row.runs, _hours(row))


def _of_one(name: str, cells: dict[str, dict[str, Single]], told: Published) -> Standing:
    made = []
    for model in sorted(told.base_few_shot):
        for task, one in sorted(cells[model].items()):
            outcome = "invalid_checkpoint" if one.status == "evaluation_error" else one.status
            score = _asked(task, one.counted) if one.status == "scored" else None
            made.append(_cell(model, task, told, runs=1, score=score, outcomes={outcome: 1}))
    value = _mean(told, {model: {task: one.counted for task, one in row.items()} for model, row in cells.items()})
    note = "Not ranked: one run a cell, and no interval over runs can be had from it."
    outcomes = Counter(outcome for cell in made for outcome in cell.outcomes)
    return _standing(name, made, _bare(value), note, len(made), None, dict(sorted(outcomes.items())))


def _standing(
    name: str,
    cells: list[CellStanding],
    score: Estimate,
    note: str,
    runs: int,
    hours: float | None,
    outcomes: dict[str, int] | None = None,
) -> Standing:
    return Standing(
        agent=name,
        version="",
        cells=cells,
        score=score,
        band=None if note else (1, 1),
        note=note,
        runs=max(1, runs),
        outcomes=outcomes or {},
        verdicts={},
        hours=hours,
    )


def _cell(
    model: str, task: str, told: Published, *, runs: int, score: Estimate | None, outcomes: dict[str, int] | None = None
) -> CellStanding:
    return CellStanding(
        task=task,
        model=model,
        runs=runs,
        outcomes=outcomes or {},
        score=score,
        base=told.base_and_instruct_zero_shot[model][task],
        few_shot=told.base_few_shot[model][task],
        human=told.base_and_instruct_zero_shot[INSTRUCT[model]][task],
    )


def _several(value: float, std: float, runs: int) -> Estimate:
    return _around(value, student(runs - 1.0) * std / math.sqrt(runs), RUNS) if runs > 1 else _bare(value)


def _asked(task: str, value: float) -> Estimate:
    n = QUESTIONS.get(task)
    if n is None or abs(value * n - round(value * n)) > 1e-3:
        return _bare(value)
    low, high = statistics.wilson(round(value * n), n)
    return Estimate(value=value, low=min(low, value), high=max(high, value), method="wilson")


def _around(value: float, half: float, method: str) -> Estimate:
    return Estimate(value=value, low=max(0.0, value - half), high=min(1.0, value + half), method=method)


def _bare(value: float) -> Estimate:
    return Estimate(value=value, low=value, high=value, method=NONE)


def _mean(told: Published, cells: Cells) -> float:
    many = len(told.base_few_shot)
    return sum(
        weight / many * cells[model][task] for task, weight in told.weights.items() for model in told.base_few_shot
    )


def _hours(row: Row | None) -> float | None:
    if row is None:
        return None
    hours, minutes, seconds = (int(part) for part in row.mean_time.split(":"))
    return hours + minutes / 60 + seconds / 3600
