"""Boards: how agents stand under one protocol. Pure: from entries, and from what `count` makes of a cell's runs.

A board holds what was done under the very same rules.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from posttrainbench.board import tallies
from posttrainbench.board.counting import Measure
from posttrainbench.board.entry import Entry
from posttrainbench.board.standings import Board, LeftOut, Standing, ranked
from posttrainbench.board.tallies import Cell, Count, Tally, Work
from posttrainbench.statistics.crossed import weighted

RANGE: dict[Measure, tuple[float, float]] = {"metric": (0.0, 1.0), "gain": (0.0, 1.0), "uplift": (0.0, float("inf"))}
"""Ends of what a counted value can be."""


def boards(entries: Iterable[Entry], count: Count) -> list[Board]:
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
        made.append(_board(identity, group, count))
    return made


def _odd(one: Entry) -> tuple[bool, bool]:
    return not one.protocol.scored, bool(one.changed)


def _board(identity: str, group: Sequence[Entry], count: Count) -> Board:
    kept, left = _comparable(group)
    agents: dict[tuple[str, str, str], list[Entry]] = {}
    for one in kept:
        if not one.baseline:
            agents.setdefault(_key(one), []).append(one)
    protocol = group[0].protocol
    cells = {place: tallies.cell(*place, runs) for place, runs in sorted(_by_cell(kept).items())}
    wanted = _wanted(protocol.models, protocol.weights, cells, list(agents.values()))
    weights = _weights(protocol.weights, wanted)
    has_scale = all(cells[cell].human is not None for cell in wanted if cell in cells)
    measure: Measure = "metric" if protocol.substitution == "base_score" else "uplift" if has_scale else "gain"
    official = protocol.scored and not group[0].changed
    works = [
        Work(cells[place], measure, found)
        for runs in agents.values()
        for place, found in sorted(_by_cell(runs).items())
    ]
    tallied: dict[tuple[str, str, str], list[Tally]] = {}
    for work, tally in zip(works, count(works), strict=True):
        tallied.setdefault(_key(work.runs[0]), []).append(tally)
    rows = [_standing(runs, tallied[key], wanted, weights, measure, official) for key, runs in agents.items()]
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


def _key(one: Entry) -> tuple[str, str, str]:
    """What a row of a board is about."""
    return one.agent, one.version, one.command


def _by_cell(runs: Iterable[Entry]) -> dict[tuple[str, str], list[Entry]]:
    found: dict[tuple[str, str], list[Entry]] = {}
    for one in runs:
        found.setdefault((one.task, one.model), []).append(one)
    return found


def _wanted(
    models: Sequence[str],
    weights: Mapping[str, float],
    cells: Mapping[tuple[str, str], Cell],
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
    tallied: Sequence[Tally],
    wanted: Sequence[tuple[str, str]],
    weights: Mapping[str, float],
    measure: Measure,
    official: bool,
) -> Standing:
    by_cell = {(one.standing.task, one.standing.model): one for one in tallied}
    share = _shares([cell for cell in by_cell if cell in wanted], weights)
    counted = [(weight, by_cell[cell].counted) for cell, weight in share.items()]
    known = [(weight, part) for weight, part in counted if part is not None]
    missing = [cell for cell in wanted if cell not in by_cell or not _counts(by_cell[cell])]
    # Weights as they are declared, unless cells are missing: then those that are there make up the whole.
    whole = sum(weight for weight, _ in known) if missing else 1.0
    parts = [replace(part, weight=weight / whole) for weight, part in known]
    sandboxed = all(one.sandbox != "local" for one in runs)
    note = ""
    if missing:
        note = f"Not ranked: no run on {len(missing)} of {len(wanted)} cells ({_names(missing)})."
    elif official and not sandboxed:
        note = "Not ranked: runs in the sandbox `local`, which does not isolate."
    made = [one.standing for one in tallied]
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
        usd=tallies.total([one.usd for one in made]),
        hours=sum(one.hours for one in runs) / len(runs),
        tokens=sum(one.tokens for one in runs),
        complete=not missing,
        sandboxed=sandboxed,
        first=min(one.created for one in runs),
        last=max(one.created for one in runs),
    )


def _counts(one: Tally) -> bool:
    """Whether a run on the cell counts at all: what broke on our side does not."""
    return one.standing.runs > one.standing.outcomes.get("infrastructure", 0)


def _shares(cells: Sequence[tuple[str, str]], weights: Mapping[str, float]) -> dict[tuple[str, str], float]:
    """Each cell's weight: its task's, in equal parts for the task's cells."""
    many = Counter(task for task, _ in cells)
    return {(task, model): weights[task] / many[task] for task, model in cells}


def _line(
    name: str,
    cells: Mapping[tuple[str, str], Cell],
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
        found = {"base": base, "few_shot": known.few_shot, "human": known.human}[name]
        if found is None:
            return None
        if measure != "metric":
            found -= base
        if measure == "uplift" and known.human is not None:
            found /= known.human - base
        total += weight * found
    return total


def _names(cells: Sequence[tuple[str, str]]) -> str:
    shown = ", ".join(f"{model} × {task}" for task, model in cells[:3])
    return shown + (", …" if len(cells) > 3 else "")
