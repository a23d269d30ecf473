"""A trajectory as the templates show it: bounded texts, long ones folded, cut into pages of bounded size."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from posttrainbench.board import text
from posttrainbench.board.reading import Call, Step, Subagent, content, results

MAX_TEXT = 20_000
"""Characters of one text that are shown."""
OPEN = 1200
"""Longer texts are folded."""
MAX_PARTS = 40
"""Calls and results of one step that are shown."""
PAGE_STEPS = 120
PAGE_CHARACTERS = 300_000
MAX_PAGES = 40
MAX_FILES = 200

Shown = dict[str, Any]


def pages(steps: Sequence[Step], subagents: Sequence[Subagent] = ()) -> list[list[Shown]]:
    """The steps, page by page; what lies behind the last page is not shown."""
    found: list[list[Shown]] = [[]]
    room = PAGE_CHARACTERS
    for number, (step, thread) in enumerate(_all(steps, subagents), 1):
        shown = view(step, number, thread)
        length = shown["length"]
        if found[-1] and (len(found[-1]) >= PAGE_STEPS or length > room):
            if len(found) == MAX_PAGES:
                break
            found.append([])
            room = PAGE_CHARACTERS
        found[-1].append(shown)
        room -= length
    return found


def view(step: Step, number: int, thread: str = "") -> Shown:
    """One step."""
    calls, came = (step.tool_calls or [])[:MAX_PARTS], list(results(step))[:MAX_PARTS]
    more = len(step.tool_calls or []) + len(results(step)) - len(calls) - len(came)
    said, thought = _text(content(step.message)), _text(step.reasoning_content or "")
    source = step.source if step.source in ("user", "system", "agent") else "agent"
    shown: Shown = {
        "number": number,
        "source": source,
        "who": f"subagent {thread[:40]}" if thread else {"user": "told", "system": "system", "agent": "agent"}[source],
        "at": text.duration(step.t) if step.t is not None and 0 <= step.t < 1e7 else "",
        "used": _used(step),
        "thought": thought,
        "thought_lines": _lines(thought),
        "said": said,
        "said_open": (len(said) <= 2 * OPEN and source == "agent") or len(said) <= OPEN,
        "said_lines": _lines(said),
        "said_start": said.strip().split("\n", 1)[0][:100],
        "calls": [_call(one) for one in calls],
        "results": [_result(content(one.content), _failed(one.extra)) for one in came],
        "left_out": f"{more} more calls and results are not shown." if more > 0 else "",
    }
    parts = [said, thought, *(one["arguments"] for one in shown["calls"]), *(one["words"] for one in shown["results"])]
    shown["length"] = 300 + sum(map(len, parts))
    return shown


def files(steps: Sequence[Step]) -> list[tuple[str, int]]:
    """Files that the agent wrote with a tool for it, by the tool's own words, and the number of the last such step."""
    found: dict[str, int] = {}
    for number, step in enumerate(steps, 1):
        for call in (step.tool_calls or [])[:MAX_PARTS]:
            name = call.function_name.lower()
            if not isinstance(call.arguments, dict) or not any(
                word in name for word in ("write", "edit", "create", "patch")
            ):
                continue
            path = next(
                (
                    call.arguments[key]
                    for key in ("file_path", "path", "filePath", "absolute_path")
                    if key in call.arguments
                ),
                None,
            )
            if isinstance(path, str) and path and (path in found or len(found) < MAX_FILES):
                found[path[:300]] = number
    return list(found.items())


def _all(steps: Sequence[Step], subagents: Sequence[Subagent]) -> Iterator[tuple[Step, str]]:
    yield from ((step, "") for step in steps)
    for one in subagents:
        yield from ((step, one.trajectory_id or "?") for step in one.steps)


def _call(call: Call) -> Shown:
    words = _text(_arguments(call.arguments))
    return {
        "name": text.clean(call.function_name, 200),
        "arguments": words,
        "lines": _lines(words),
        "open": len(words) <= OPEN,
    }


def _arguments(value: Any) -> str:
    """Arguments as a person would have typed them: a lone text as it is, others a line each."""
    if isinstance(value, dict) and value and all(isinstance(one, str | int | float | bool) for one in value.values()):
        if len(value) == 1:
            return str(next(iter(value.values())))
        return "\n".join(f"{key}: {one}" for key, one in value.items())
    try:
        short = json.dumps(value, ensure_ascii=False) if value not in (None, {}) else ""
        # Indenting is slow, and of no help in what is long.
        return json.dumps(value, ensure_ascii=False, indent=1) if 60 < len(short) < OPEN else short
    except (RecursionError, ValueError, TypeError):
        return "(not shown: nested too deeply)"


def _result(words: str, failed: bool) -> Shown:
    shown = _text(words)
    return {"words": shown, "lines": _lines(shown), "open": len(shown) <= OPEN, "failed": failed}


def _failed(extra: Any) -> bool:
    facts = extra.get("ptb") if isinstance(extra, dict) else None
    if not isinstance(facts, dict):
        return False
    return facts.get("is_error") is True or facts.get("exit_code") not in (None, 0)


def _used(step: Step) -> str:
    if step.metrics is None:
        return ""
    words = [f"{step.metrics.completion_tokens:,} tokens"] if step.metrics.completion_tokens else []
    if step.metrics.cost_usd:
        words.append(text.usd(step.metrics.cost_usd))
    return ", ".join(words)


def _text(words: str) -> str:
    return text.clean(words, MAX_TEXT)


def _lines(words: str) -> str:
    many = words.count("\n") + 1
    return f"{many} lines" if many > 1 else f"{len(words):,} characters"
