"""A board's runs and standings as files to compute with: CSV, JSON, and Parquet where pyarrow is installed."""

import csv
import io
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from typing import Any

import msgspec

from posttrainbench.board.entry import Entry
from posttrainbench.board.standings import Board
from posttrainbench.statistics import Estimate

FORMULA = ("=", "+", "-", "@", "\t", "\r")


def has_parquet() -> bool:
    """Whether pyarrow is there."""
    return find_spec("pyarrow") is not None


def formats() -> list[tuple[str, str]]:
    """What can be downloaded of a board, and how the files' names end."""
    found = [
        ("Standings (CSV)", "csv"),
        ("Board (JSON)", "json"),
        ("Runs (CSV)", "runs.csv"),
        ("Runs (JSON)", "runs.json"),
    ]
    return [*found, ("Runs (Parquet)", "runs.parquet")] if has_parquet() else found


def row(one: Entry) -> dict[str, Any]:
    """A run, flat."""
    found: dict[str, Any] = {
        "run": one.run,
        "agent": one.agent,
        "version": one.version,
        "llm": one.llm,
        "task": one.task,
        "model": one.model,
        "protocol": one.protocol.name,
        "protocol_version": one.protocol.version,
        "seed": one.seed,
        "sandbox": one.sandbox,
        "outcome": one.outcome,
        "verdict": one.verdict,
        "metric": one.metric,
        "questions": one.n,
    }
    for name in ("final", "base", "few_shot", "human", "gain"):
        estimate: Estimate | None = getattr(one, name)
        found[name] = estimate.value if estimate else None
        found[f"{name}_low"] = estimate.low if estimate else None
        found[f"{name}_high"] = estimate.high if estimate else None
    return found | {
        "hours": one.hours,
        "usd": one.usd,
        "tokens": one.tokens,
        "incidents": " ".join(one.incidents),
        "created": one.created,
        "published": one.published,
    }


def standing_rows(board: Board) -> list[dict[str, Any]]:
    """Rows of a board's CSV."""
    return [
        {
            "band_best": row.band[0] if row.band else None,
            "band_worst": row.band[1] if row.band else None,
            "agent": row.agent,
            "version": row.version,
            "llm": row.llm,
            "measure": board.measure,
            "score": row.score.value if row.score else None,
            "low": row.score.low if row.score else None,
            "high": row.score.high if row.score else None,
            "runs": row.runs,
            "outcomes": " ".join(f"{name}:{count}" for name, count in sorted(row.outcomes.items())),
            "verdicts": " ".join(f"{name}:{count}" for name, count in sorted(row.verdicts.items())),
            "usd": row.usd,
            "hours": row.hours,
            "note": row.note,
        }
        for row in board.standings
    ]


def to_csv(rows: Sequence[dict[str, Any]]) -> bytes:
    """With a heading; a word that a spreadsheet would take for a formula gets an apostrophe before it."""
    out = io.StringIO()
    if rows:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(rows[0])
        # By columns, since most of them hold few different words.
        writer.writerows(zip(*[_plain(values) for values in _values(rows)], strict=True))
    return out.getvalue().encode("utf-8", "replace")


def to_parquet(rows: Sequence[dict[str, Any]]) -> bytes | None:
    """None without pyarrow."""
    if not rows or not has_parquet():
        return None
    import pyarrow
    from pyarrow import json, parquet

    # By way of JSON, since pyarrow imports pandas to look at Python's own values, which takes longer than all else.
    lines = msgspec.json.Encoder().encode_lines(rows)
    columns = pyarrow.schema([(name, getattr(pyarrow, kind)()) for name, kind in _columns(rows)])
    read = json.ReadOptions(use_threads=False, block_size=len(lines) + 1)
    parsed = json.read_json(
        pyarrow.BufferReader(lines), read, json.ParseOptions(explicit_schema=columns, newlines_in_values=False)
    )
    out = pyarrow.BufferOutputStream()
    parquet.write_table(parsed, out)
    return bytes(out.getvalue().to_pybytes())


def _columns(rows: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """Each column's type: that of its values, and of integers that no file could hold, a float."""
    found = []
    for name, values in zip(rows[0], _values(rows), strict=True):
        kinds = set(map(type, values)) - {type(None)}
        kind = (
            {bool: "bool_", int: "int64", str: "string"}.get(kinds.pop(), "float64") if len(kinds) == 1 else "float64"
        )
        if kind == "int64" and any(abs(value or 0) >= 2**63 for value in values):
            kind = "float64"
        found.append((name, kind))
    return found


def board_json(board: Board) -> bytes:
    """The board, as it was computed."""
    return msgspec.json.format(msgspec.json.encode(board), indent=1) + b"\n"


def _values(rows: Sequence[dict[str, Any]]) -> Iterable[Sequence[Any]]:
    """By column."""
    return zip(*[one.values() for one in rows], strict=True)


def _plain(values: Sequence[Any]) -> Sequence[Any]:
    """A column without formulas."""
    formulas = {value for value in values if isinstance(value, str) and value.startswith(FORMULA)}
    if not formulas:
        return values
    return [f"'{value}" if isinstance(value, str) and value in formulas else value for value in values]
