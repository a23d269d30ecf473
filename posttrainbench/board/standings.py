"""Boards: how agents stand under one protocol. Pure: from entries (and, for intervals, questions' outcomes) alone.

A board holds what was done under the very same rules. Only agents with runs on every cell of the board are ranked
against each other; the others stand apart, with what is missing. A rank is a band: the best and the worst place that
the intervals allow.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from posttrainbench.board import counting
from posttrainbench.board.counting import Measure, Scale
from posttrainbench.board.entry import Entry, Load, Outcomes, entry
from posttrainbench.statistics import Estimate
from posttrainbench.statistics.crossed import Part, weighted
from posttrainbench.strict import Value

__all__ = ["Board", "CellStanding", "Entry", "LeftOut", "Outcomes", "Standing", "boards", "entry"]

RANGE: dict[Measure, tuple[float, float]] = {"metric": (0.0, 1.0), "gain": (0.0, 1.0), "uplift": (0.0, float("inf"))}
"""Ends of what a counted value can be."""


class CellStanding(Value, frozen=True, kw_only=True):
    """An agent on one cell."""

    task: str
    model: str
    runs: int
    outcomes: dict[str, int]
    """How many runs ended in which way; those of ours (`infrastructure`) count nothing."""
    score: Estimate | None = None
    """Mean of the metric over the runs that were scored."""
    gain: Estimate | None = None
    """Mean of score − base over those, also where it is below 0."""
    uplift: Estimate | None = None
    """As it counts: 0 for a run without a score, 0 for one below base."""
    base: float | None = None
    few_shot: float | None = None
    human: float | None = None
    usd: float | None = None
    """Mean a run; None where a price is unknown."""
    hours: float | None = None
    """Mean session's time."""
    seeds: list[int] = []
    names: list[str] = []
    """The runs."""


class Standing(Value, frozen=True, kw_only=True):
    """One row of a board: an agent in one version."""

    agent: str
    version: str
    command: str = ""
    llm: str = ""
    cells: list[CellStanding]
    score: Estimate | None
    """Weighted mean of the board's measure, as it counts; of the cells that the agent has."""
    band: tuple[int, int] | None
    """Best and worst place among the ranked that the intervals allow; None: not ranked."""
    note: str = ""
    """Why it is not ranked."""
    runs: int
    outcomes: dict[str, int]
    verdicts: dict[str, int]
    incidents: dict[str, int] = {}
    usd: float | None = None
    """What one run on each of its cells costs, on average."""
    hours: float | None = None
    """Mean session's time a run."""
    tokens: int = 0
    complete: bool = True
    """It has runs on every cell of the board."""
    sandboxed: bool = True
    """No run was held in a sandbox that does not isolate (`local`)."""
    first: str = ""
    last: str = ""
    """When its runs were planned; UTC, ISO 8601."""


class LeftOut(Value, frozen=True, kw_only=True):
    """A run that is on no row, and why."""

    run: str
    agent: str
    reason: str


class Board(Value, frozen=True, kw_only=True):
    """What was done under the same rules."""

    id: str
    """Fit for a file's name."""
    protocol: str
    version: int
    title: str
    scored: bool
    """Official; else for trying things out."""
    published: bool = False
    note: str = ""
    measure: Measure
    weights: dict[str, float]
    """By task, in all 1."""
    models: list[str]
    tasks: list[str]
    standings: list[Standing]
    base_score: float | None = None
    few_shot_score: float | None = None
    human_score: float | None = None
    """What these models have on the scale of the board's scores."""
    left_out: list[LeftOut] = []


@dataclass(frozen=True)
class _Cell:
    task: str
    model: str
    scale: Scale | None
    base: float | None
    few_shot: float | None


def boards(entries: Iterable[Entry], load: Load = lambda entry: None) -> list[Board]:
    """All boards of these runs: official ones first, then those whose rules more runs were held under."""
    groups: dict[str, list[Entry]] = {}
    for one in sorted(entries, key=lambda one: (one.created, one.run)):
        groups.setdefault(one.rules, []).append(one)
    taken: set[str] = set()
    made = []
    groups_in_order = sorted(groups.items(), key=lambda item: (_odd(item[1][0]), -len(item[1]), item[0]))
    for rules, group in groups_in_order:
        name = f"{group[0].protocol.name}-{group[0].protocol.version}"
        known = name in taken or bool(group[0].changed)
        identity = f"{name}-{rules.removeprefix('sha256:')[:6]}" if known else name
        taken.add(identity)
        made.append(_board(identity, group, load))
    return made


def _odd(one: Entry) -> tuple[bool, bool]:
    return not one.protocol.scored, bool(one.changed)


def _board(identity: str, group: Sequence[Entry], load: Load) -> Board:
    kept, left = _comparable(group)
    agents: dict[tuple[str, str, str], list[Entry]] = {}
    for one in kept:
        if not one.baseline:
            agents.setdefault((one.agent, one.version, one.command), []).append(one)
    protocol = group[0].protocol
    cells = {
        (task, model): _cell(task, model, [one for one in kept if (one.task, one.model) == (task, model)], load)
        for task, model in sorted({(one.task, one.model) for one in kept})
    }
    wanted = _wanted(protocol.models, protocol.weights, cells, list(agents.values()))
    weights = _weights(protocol.weights, wanted)
    has_scale = all(cells[cell].scale is not None for cell in wanted if cell in cells)
    measure: Measure = "metric" if protocol.substitution == "base_score" else "uplift" if has_scale else "gain"
    official = protocol.scored and not group[0].changed
    rows = [_standing(runs, cells, wanted, weights, measure, official, load) for runs in agents.values()]
    lines = [_line(name, cells, wanted, weights, measure) for name in ("base", "few_shot", "human")]
    return Board(
        id=identity,
        protocol=protocol.name,
        version=protocol.version,
        title=protocol.title,
        scored=official,
        note=_note(group[0], measure),
        measure=measure,
        weights=weights,
        models=sorted({model for _, model in wanted}),
        tasks=sorted({task for task, _ in wanted}),
        standings=ranked(rows),
        base_score=lines[0],
        few_shot_score=lines[1],
        human_score=lines[2],
        left_out=left,
    )


def _note(one: Entry, measure: Measure) -> str:
    words = []
    if not one.protocol.scored:
        words.append(f"The protocol {one.protocol.name} is for trying things out: nothing is ranked officially.")
    if one.changed:
        words.append(f"These runs changed the protocol's rules: {'; '.join(one.changed)}.")
    if measure == "gain":
        words.append("The instruct model gives no scale on every cell, so scores are gains over the base model.")
    return " ".join(words)


def _comparable(group: Sequence[Entry]) -> tuple[list[Entry], list[LeftOut]]:
    """The runs whose questions are those of the newest run on the same cell."""
    newest = {(one.task, one.model): one.questions for one in group}
    kept = [one for one in group if one.questions == newest[one.task, one.model]]
    left = [
        LeftOut(run=one.run, agent=one.agent, reason=f"Other questions or scoring than newer runs on {one.task}.")
        for one in group
        if one.questions != newest[one.task, one.model]
    ]
    return kept, left


def _cell(task: str, model: str, runs: Sequence[Entry], load: Load) -> _Cell:
    """What is common to all runs of a cell; the newest measurement stands for it."""
    base = next((one.base for one in reversed(runs) if one.base), None)
    few_shot = next((one.few_shot for one in reversed(runs) if one.few_shot), None)
    return _Cell(
        task=task,
        model=model,
        scale=_scale(runs, base, load),
        base=base.value if base else None,
        few_shot=few_shot.value if few_shot else None,
    )


def _scale(runs: Sequence[Entry], base: Estimate | None, load: Load) -> Scale | None:
    """The instruct model's score: its own measurement's, or the newest run's that has one."""
    measured = [one for one in reversed(runs) if one.baseline == "instruct" and one.final]
    for one in measured or [one for one in reversed(runs) if one.human]:
        human = one.final if measured else one.human
        if human is None or base is None or human.value <= base.value:
            return None
        outcomes = load(one)
        found = None if outcomes is None else outcomes.final if measured else outcomes.human
        return Scale(human=human.value, outcomes=found)
    return None


def _wanted(
    models: Sequence[str],
    weights: Mapping[str, float],
    cells: Mapping[tuple[str, str], _Cell],
    agents: Sequence[Sequence[Entry]],
) -> list[tuple[str, str]]:
    """The cells of a full row: as the protocol declares, else those that at least half of the agents have run."""
    have = [{(one.task, one.model) for one in runs} for runs in agents]
    common = [cell for cell in cells if 2 * sum(cell in one for one in have) >= len(have)] or list(cells)
    tasks = sorted(weights) or sorted({task for task, _ in common})
    bases = list(models) or sorted({model for _, model in common})
    return [(task, model) for task in tasks for model in bases if weights or models or (task, model) in common]


def _weights(declared: Mapping[str, float], wanted: Sequence[tuple[str, str]]) -> dict[str, float]:
    tasks = sorted({task for task, _ in wanted})
    total = sum(declared.get(task, 0.0) for task in tasks)
    return {task: declared[task] / total if total else 1 / len(tasks) for task in tasks}


def _standing(
    runs: Sequence[Entry],
    cells: Mapping[tuple[str, str], _Cell],
    wanted: Sequence[tuple[str, str]],
    weights: Mapping[str, float],
    measure: Measure,
    official: bool,
    load: Load,
) -> Standing:
    by_cell: dict[tuple[str, str], list[Entry]] = {}
    for one in runs:
        by_cell.setdefault((one.task, one.model), []).append(one)
    share = _shares([cell for cell in by_cell if cell in wanted], weights)
    parts: list[Part] = []
    for cell, weight in share.items():
        found = counting.part(by_cell[cell], measure, cells[cell].scale, load, weight=weight)
        if found is not None:
            parts.append(found)
    missing = [cell for cell in wanted if not any(counting.counts(one) for one in by_cell.get(cell, []))]
    if missing and parts:
        total = sum(part.weight for part in parts)
        parts = [Part(part.weight / total, part.block, part.values, part.moves, part.variances) for part in parts]
    sandboxed = all(one.sandbox != "local" for one in runs)
    note = ""
    if missing:
        note = f"Not ranked: no run on {len(missing)} of {len(wanted)} cells ({_names(missing)})."
    elif official and not sandboxed:
        note = "Not ranked: runs in the sandbox `local`, which does not isolate."
    made = [_cell_standing(cells[cell], group, load) for cell, group in sorted(by_cell.items())]
    return Standing(
        agent=runs[0].agent,
        version=runs[0].version,
        command=runs[0].command,
        llm=runs[0].llm,
        cells=made,
        score=weighted(parts, *RANGE[measure]) if parts else None,
        band=(1, 1) if not note and parts else None,
        note=note,
        runs=len(runs),
        outcomes=dict(sorted(Counter(one.outcome for one in runs).items())),
        verdicts=dict(sorted(Counter(one.verdict for one in runs).items())),
        incidents=dict(sorted(Counter(kind for one in runs for kind in one.incidents).items())),
        usd=_sum([one.usd for one in made]),
        hours=sum(one.hours for one in runs) / len(runs),
        tokens=sum(one.tokens for one in runs),
        complete=not missing,
        sandboxed=sandboxed,
        first=min(one.created for one in runs),
        last=max(one.created for one in runs),
    )


def _shares(cells: Sequence[tuple[str, str]], weights: Mapping[str, float]) -> dict[tuple[str, str], float]:
    """Each cell's weight: its task's, in equal parts for the task's cells."""
    many = Counter(task for task, _ in cells)
    return {(task, model): weights[task] / many[task] for task, model in cells}


def _cell_standing(cell: _Cell, runs: Sequence[Entry], load: Load) -> CellStanding:
    def mean(measure: Measure, low: float, high: float, raw: bool) -> Estimate | None:
        if raw and len(scored) == 1:  # As the run's own page says it.
            return scored[0].final if measure == "metric" else scored[0].gain
        found = counting.part(runs, measure, cell.scale, load, raw=raw)
        return weighted([found], low, high) if found else None

    scored = [one for one in runs if one.outcome == "scored"]
    costs = [one.usd for one in runs]
    whole = _sum(costs)
    return CellStanding(
        task=cell.task,
        model=cell.model,
        runs=len(runs),
        outcomes=dict(sorted(Counter(one.outcome for one in runs).items())),
        score=mean("metric", 0.0, 1.0, raw=True),
        gain=mean("gain", -1.0, 1.0, raw=True),
        uplift=mean("uplift", 0.0, float("inf"), raw=False) if cell.scale else None,
        base=cell.base,
        few_shot=cell.few_shot,
        human=cell.scale.human if cell.scale else None,
        usd=None if whole is None else whole / len(runs),
        hours=sum(one.hours for one in runs) / len(runs),
        seeds=sorted({one.seed for one in runs}),
        names=[one.run for one in runs],
    )


def ranked(rows: Sequence[Standing]) -> list[Standing]:
    """In a board's order, each band in its right width: the ranked first, then by score; of equal scores the one with
    more scored runs."""
    others = [row.score for row in rows if row.band and row.score]
    made = []
    for row in rows:
        if row.band and row.score:
            best = 1 + sum(other.low > row.score.high for other in others)
            worst = len(others) - sum(other.high < row.score.low for other in others)
            made.append(_replace(row, (best, worst)))
        else:
            made.append(row)
    return sorted(made, key=_order)


def _order(row: Standing) -> tuple[bool, float, float, str, str]:
    scored = row.outcomes.get("scored", 0) / row.runs
    return row.band is None, -(row.score.value if row.score else -1.0), -scored, row.agent, row.version


def _replace(row: Standing, band: tuple[int, int]) -> Standing:
    return msgspec.structs.replace(row, band=band)


def _line(
    name: str,
    cells: Mapping[tuple[str, str], _Cell],
    wanted: Sequence[tuple[str, str]],
    weights: Mapping[str, float],
    measure: Measure,
) -> float | None:
    """Where the base, few-shot or instruct model would stand; None unless it is known on every cell."""
    total = 0.0
    for cell, weight in _shares(wanted, weights).items():
        known = cells.get(cell)
        base = known.base if known else None
        if known is None or base is None:
            return None
        found = {"base": base, "few_shot": known.few_shot, "human": known.scale.human if known.scale else None}[name]
        if found is None:
            return None
        if measure != "metric":
            found -= base
        if measure == "uplift" and known.scale:
            found /= known.scale.human - base
        total += weight * found
    return total


def _sum(numbers: Sequence[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None


def _names(cells: Sequence[tuple[str, str]]) -> str:
    shown = ", ".join(f"{model} × {task}" for task, model in cells[:3])
    return shown + (", …" if len(cells) > 3 else "")
