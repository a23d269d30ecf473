"""What a program's own session files tell and its stream does not: Gemini CLI's thoughts, and tokens by answer.

The files are hostile: the agent may have written them. What they add is text, and tokens that only serve to find the
exchange of the ledger that has the very same ones. Codex and opencode tell all that they have of reasoning in their
streams, so their files are kept and not read.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from posttrainbench.gateway.ledger import Tokens
from posttrainbench.transcript.drafts import Draft
from posttrainbench.transcript.foreign import Record, count, mapping, record, sequence, text, word
from posttrainbench.transcript.output import Index, lines
from posttrainbench.transcript.steps import Gathered

MAX_ANSWERS = 20_000
MAX_FILES = 50


class Answer(NamedTuple):
    """An answer of the model."""

    thoughts: str
    tokens: Tokens


def add(gathered: Gathered, format_: str, native: Path) -> None:
    """Add to the steps what the kept files in `native` tell of them."""
    if format_ != "gemini":
        return
    calls: dict[str, Answer] = {}
    texts: dict[str, Answer] = {}
    for path in sorted(native.rglob("session-*.json*"))[:MAX_FILES]:
        for line in lines(path, Index([])):
            for message in _messages(record(line.content) or {}):
                if len(calls) + len(texts) < MAX_ANSWERS:
                    _remember(message, calls, texts)
    for draft in gathered.main:
        answer = _answer(draft, calls, texts)
        if answer is None:
            continue
        if answer.thoughts and not draft.reasoning.size:
            draft.reasoning.add(answer.thoughts, piece=False)
        draft.used = draft.used or answer.tokens


def _messages(line: Record) -> Iterator[Record]:
    """Messages of a line: itself, or those of a list that it sets."""
    yield line
    for one in sequence(mapping(line.get("$set")).get("messages")):
        yield mapping(one)


def _remember(message: Record, calls: dict[str, Answer], texts: dict[str, Answer]) -> None:
    if message.get("type") != "gemini":
        return
    thoughts = [mapping(one) for one in sequence(message.get("thoughts"))]
    told = [": ".join(filter(None, (text(one.get("subject")), text(one.get("description"))))) for one in thoughts]
    tokens = mapping(message.get("tokens"))
    cached, thought = count(tokens.get("cached")), count(tokens.get("thoughts"))
    used = Tokens(
        input=max(count(tokens.get("input")) - cached, 0),
        cached=cached,
        output=count(tokens.get("output")) + thought,
        reasoning=thought,
    )
    answer = Answer("\n".join(told), used)
    for call in sequence(message.get("toolCalls")):
        calls[word(mapping(call).get("id"))] = answer
    if said := text(message.get("content")).strip():
        texts[said] = answer


def _answer(draft: Draft, calls: dict[str, Answer], texts: dict[str, Answer]) -> Answer | None:
    if draft.source != "agent":
        return None
    found = next((calls[identity] for identity in draft.calls if identity in calls), None)
    return found or (None if draft.calls else texts.get(str(draft.text).strip()))
