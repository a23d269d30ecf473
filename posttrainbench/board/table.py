"""A board's runs and standings as files to compute with: CSV, JSON, and Parquet where pyarrow is installed."""

import csv
import io
from collections.abc import Sequence
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


def to_csv(rows: Sequence[dict[str, Any]]) -> bytes:
    """With a heading; a word that a spreadsheet would take for a formula gets an apostrophe before it."""
    out = io.StringIO()
    if rows:
        writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _plain(value) for key, value in one.items()} for one in rows)
    return out.getvalue().encode("utf-8", "replace")


def to_parquet(rows: Sequence[dict[str, Any]]) -> bytes | None:
    """None without pyarrow."""
    if not rows or not has_parquet():
        return None
    import pyarrow
    from pyarrow import parquet

    out = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.Table.from_pylist(list(rows)), out)
    return bytes(out.getvalue().to_pybytes())


def board_json(board: Board) -> bytes:
    """The board, as it was computed."""
    return msgspec.json.format(msgspec.json.encode(board), indent=1) + b"\n"


def _plain(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
