"""Streams of agents for tests, and what becomes of them."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from posttrainbench.gateway.ledger import Begin, Cause, End, Tokens
from posttrainbench.transcript import atif, compose, steps
from posttrainbench.transcript.exchanges import Exchange
from posttrainbench.transcript.output import Index, Line, lines

SAMPLES = Path(__file__).parent / "transcript" / "samples"
AGENT = atif.Agent(name="robot", version="1.0")

Row = dict[str, Any]


def stream(rows: Iterable[Row | str]) -> bytes:
    """JSON lines; a string is a line of its own."""
    return b"".join((row if isinstance(row, str) else json.dumps(row)).encode() + b"\n" for row in rows)


def gathered(content: bytes, format_: str, tmp_path: Path) -> steps.Gathered:
    """What an output without known times says."""
    log = tmp_path / "output.log"
    log.write_bytes(content)
    return steps.gather(lines(log, Index([])), format_)


def timed(rows: Sequence[tuple[float, Row]], format_: str, **options: Any) -> steps.Gathered:
    """What lines say that came at known seconds."""
    return steps.gather([Line(stream([row]), t) for t, row in rows], format_, **options)


def document(found: steps.Gathered, **around: Any) -> Any:
    """The ATIF document, as JSON gives it."""
    made = compose.compose(found, AGENT, "run-1", compose.Surroundings(**around))
    return json.loads(atif.to_json(made))


def sample(format_: str) -> bytes:
    """Both turns of a real session."""
    return b"".join((SAMPLES / f"{format_}{part}.jsonl").read_bytes() for part in ("", ".continued"))


def exchange(n: int, begin: float, end: float, tokens: Tokens, **facts: Any) -> list[Begin | End]:
    """Both lines of an exchange of the ledger."""
    background = facts.pop("background", False)
    model = facts.pop("model", "big-1")
    cause: Cause | None = facts.pop("cause", None)
    first = Begin(
        n=n,
        t=begin,
        at="2026-11-01T00:00:00Z",
        route="anthropic.messages",
        model=model,
        background=background,
        reserved_usd=0.0,
        reserved_tokens=0,
        digest="sha256:0",
    )
    values: dict[str, Any] = {
        "status": 200 if cause is None else 429,
        "first_byte_seconds": 0.1,
        "throttled_seconds": 0.0,
        "answered_model": model,
        "cost_usd": 0.01,
        "sent_bytes": 1,
        "received_bytes": 1,
    }
    last = End(n=n, t=end, seconds=end - begin, attempts=[], tokens=tokens, cause=cause, **values | facts)
    return [first, last]


def ended(n: int, begin: float, end: float, tokens: Tokens, **facts: Any) -> Exchange:
    """An exchange that has ended, in seconds since the session's start."""
    first, last = exchange(n, begin, end, tokens, **facts)
    assert isinstance(first, Begin)
    assert isinstance(last, End)
    return Exchange(begin, end, last, first.model, first.background)


def said(text: str, message: str = "m1", **more: Any) -> Row:
    """A line of Claude Code: text."""
    content = [{"type": "text", "text": text}]
    return {"type": "assistant", "message": {"id": message, "model": "big-1", "content": content}, **more}


def called(call: str, command: str, message: str = "m1", **more: Any) -> Row:
    """A line of Claude Code: a command."""
    content = [{"type": "tool_use", "id": call, "name": "Bash", "input": {"command": command}}]
    return {"type": "assistant", "message": {"id": message, "model": "big-1", "content": content}, **more}


def answered(call: str, text: str, **more: Any) -> Row:
    """A line of Claude Code: a result."""
    content = [{"type": "tool_result", "tool_use_id": call, "content": text}]
    return {"type": "user", "message": {"content": content}, **more}
