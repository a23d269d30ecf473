"""Steps while they are being gathered, and a shelf that keeps the first and the last of them.

Whatever the output holds, a draft and the shelf stay within the bounds below.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from posttrainbench.gateway.ledger import Tokens
from posttrainbench.transcript.events import Answered
from posttrainbench.transcript.foreign import clipped, whole

MAX_TEXT = 100_000
"""Characters of what one step says, and as many of what it reasons."""
MAX_RESULT = 32_000
MAX_CALLS = 500
MAX_SHELF_DRAFTS = 10_000
MAX_SHELF_CHARS = 12_000_000
"""For the first steps, and as much for the last."""


class Words:
    """A text that grows within bounds: its beginning, and its end as it moves on."""

    def __init__(self, limit: int) -> None:
        self.half = limit // 2
        self.head: list[str] = []
        self.tail: deque[str] = deque()
        self.head_size = self.tail_size = self.dropped = 0

    def add(self, text: str, *, piece: bool) -> None:
        """Append a text, as a paragraph of its own or as a piece of the one before."""
        text = clipped(whole(text), self.half)
        if not piece and (self.head or self.tail):
            text = "\n" + text
        if self.head_size + len(text) <= self.half and not self.tail:
            self.head.append(text)
            self.head_size += len(text)
            return
        self.tail.append(text)
        self.tail_size += len(text)
        while self.tail_size > self.half and len(self.tail) > 1:
            gone = len(self.tail.popleft())
            self.tail_size -= gone
            self.dropped += gone

    def __str__(self) -> str:
        notice = [f"\n[{self.dropped} characters were left out here]\n"] if self.dropped else []
        return "".join([*self.head, *notice, *self.tail])

    @property
    def size(self) -> int:
        """Characters that are kept."""
        return self.head_size + self.tail_size


@dataclass(slots=True)
class Call:
    """A tool call, and its result once that came."""

    id: str
    name: str
    arguments: dict[str, Any]
    result: Answered | None = None


@dataclass(slots=True)
class Draft:
    """A step in the making."""

    source: Literal["system", "user", "agent"]
    t: float | None
    at: Any
    turn: int
    text: Words = field(default_factory=lambda: Words(MAX_TEXT))
    reasoning: Words = field(default_factory=lambda: Words(MAX_TEXT))
    calls: dict[str, Call] = field(default_factory=dict)
    results: list[Answered] = field(default_factory=list)
    """Results whose calls are not known."""
    model: str = ""
    used: Tokens | None = None
    output_known: bool = True
    kind: str = ""
    """What a step of ours is about; empty for what the agent did."""
    size: int = 200
    place: Literal["first", "last", "left_out"] = "first"
    """Where on its shelf it stands."""

    @property
    def is_answered(self) -> bool:
        """Whether a tool has answered, so that what the model says next is another answer."""
        return any(call.result for call in self.calls.values())

    @property
    def is_full(self) -> bool:
        """Whether it can take no more calls."""
        return len(self.calls) >= MAX_CALLS


class Shelf:
    """The first drafts and the last ones."""

    def __init__(self) -> None:
        self.first: list[Draft] = []
        self.last: deque[Draft] = deque()
        self.first_size = self.last_size = self.left_out = 0

    def add(self, draft: Draft) -> None:
        """Put a draft at the end."""
        room = len(self.first) < MAX_SHELF_DRAFTS and self.first_size + draft.size < MAX_SHELF_CHARS
        if room and not self.last:
            self.first.append(draft)
        else:
            draft.place = "last"
            self.last.append(draft)
        self.grow(draft, draft.size)

    def grow(self, draft: Draft, size: int) -> None:
        """A draft on the shelf has grown by so many characters."""
        if draft.place == "first":
            self.first_size += size
        elif draft.place == "last":
            self.last_size += size
        while len(self.last) > 1 and (self.last_size > MAX_SHELF_CHARS or len(self.last) > MAX_SHELF_DRAFTS):
            gone = self.last.popleft()
            gone.place = "left_out"
            self.last_size -= gone.size
            self.left_out += 1

    def latest(self) -> Draft | None:
        """The draft at the end."""
        if self.last:
            return self.last[-1]
        return self.first[-1] if self.first else None

    def __iter__(self) -> Iterator[Draft]:
        yield from self.first
        if self.left_out:
            notice = Draft(source="system", t=None, at=None, turn=self.last[0].turn, kind="left_out")
            notice.text.add(f"{self.left_out} steps were left out here.", piece=False)
            yield notice
        yield from self.last
