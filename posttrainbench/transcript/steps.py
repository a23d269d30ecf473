"""Lines of output to steps: what belongs to one answer of the model, and which result to which call.

Where a format names the model's answers, a step is one answer. Where it does not, a new answer is taken to begin when
something is said or done after a tool has answered. Nothing raises, whatever the lines hold, and all is bounded.
"""

import datetime
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from posttrainbench.transcript import events as e
from posttrainbench.transcript import formats
from posttrainbench.transcript.drafts import MAX_RESULT, Call, Draft, Shelf
from posttrainbench.transcript.foreign import bounded, clipped, moment, whole, word
from posttrainbench.transcript.output import Line

K = TypeVar("K")
V = TypeVar("V")

MAX_THREADS = 50
MAX_OPEN, MAX_ANSWERS = 5000, 64
"""Calls without a result and answers that are remembered, so that what comes later finds its step."""
MAX_KINDS = 200
MAX_SAID, MAX_SAID_LINES = 2000, 200
MAX_REPORTS = 2000
BUFFERED_SECONDS = 5.0
"""A program's own time is taken where it differs by no more from ours: it is finer, and output may be buffered."""
START_SECONDS = 2.0
"""How far the time of a first line may lie before the start that it belongs to."""


@dataclass(frozen=True)
class Ending:
    """How the output ended: what came after the agent's last own doing."""

    ended: e.Ended | None = None
    troubles: tuple[e.Troubled, ...] = ()
    lines: tuple[str, ...] = ()
    """Lines that told of failures, as they came, and lines of plain text."""


@dataclass(frozen=True)
class Report:
    """Totals that the program told."""

    turn: int
    session: str
    reported: e.Reported


@dataclass
class Gathered:
    """All that the output says."""

    threads: dict[str, Shelf] = field(default_factory=dict)
    """Drafts of the agent (under the empty name) and of each subagent."""
    began: e.Began | None = None
    reports: list[Report] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    """How often events without a meaning here came."""
    retries: int = 0
    turns: int = 1
    ending: Ending = Ending()

    @property
    def main(self) -> list[Draft]:
        """The agent's own steps."""
        return list(self.threads.get("", ()))


def gather(
    lines: Iterable[Line], format_: str, *, start: datetime.datetime | None = None, turns: Sequence[float] = ()
) -> Gathered:
    """Read lines of a format. `start` is when the session began, `turns` when each start of the program was, in seconds
    since then."""
    gathering = _Gathering(start, turns, "agent" if format_ not in formats.FORMATS else "system")
    for line in lines:
        if line.dropped:
            gathering.take(e.Gap(dropped=line.dropped), line.t)
            continue
        for event in formats.read(format_, line.content):
            gathering.take(event, line.t)
            if isinstance(event, e.Troubled | e.Ended):
                gathering.said.append(line.content[:MAX_SAID].decode("utf-8", "replace"))
    return gathering.done()


class _Gathering:
    def __init__(
        self, start: datetime.datetime | None, turns: Sequence[float], plain: Literal["agent", "system"]
    ) -> None:
        self.start, self.starts, self.plain = start, turns, plain
        self.all = Gathered()
        self.turn = 0
        self.session = ""
        self.open: dict[str, tuple[Shelf, Draft, Call]] = {}
        self.answers: dict[tuple[str, str], Draft] = {}
        self.ended: e.Ended | None = None
        self.troubles: deque[e.Troubled] = deque(maxlen=50)
        self.said: deque[str] = deque(maxlen=MAX_SAID_LINES)

    def done(self) -> Gathered:
        """What was gathered."""
        self.all.turns = self.turn + 1
        self.all.ending = Ending(self.ended, tuple(self.troubles), tuple(self.said))
        return self.all

    def take(self, event: e.Event, t: float | None) -> None:
        """Take what came at `t`."""
        t = self.time(event, t)
        self.advance(event, t)
        match event:
            case e.Began():
                self.all.began = self.all.began or event
                self.session = event.session or self.session
            case e.Prompted() | e.Gap() | e.Plain():
                self.told(event, t)
            case e.Said() | e.Called() | e.Stepped():
                self.did(event, t)
            case e.Answered():
                self.answered(event, t)
            case e.Used():
                self.used(event)
            case e.Reported():
                if len(self.all.reports) < MAX_REPORTS:
                    session = event.session or self.session
                    self.all.reports.append(Report(self.turn, session, event))
            case e.Troubled() | e.Ended():
                self.failed(event, t)
            case e.Noted(name=name):
                known = name in self.all.kinds or len(self.all.kinds) < MAX_KINDS
                self.all.kinds[whole(word(name)) if known else "others"] += 1
            case _:
                return

    def time(self, event: e.Event, t: float | None) -> float | None:
        """Seconds since the start: the program's own account where ours does not contradict it."""
        own = moment(event.at) if self.start else None
        if own is None or self.start is None:
            return t
        seconds = (own - self.start).total_seconds()
        if t is None:
            return seconds if seconds > -BUFFERED_SECONDS else None
        return seconds if abs(seconds - t) <= BUFFERED_SECONDS else t

    def advance(self, event: e.Event, t: float | None) -> None:
        """Notice that the program was started again."""
        begins = isinstance(event, e.Began)
        before = self.turn
        if self.starts and t is not None:
            while self.turn + 1 < len(self.starts):
                if t < self.starts[self.turn + 1] - (START_SECONDS if begins else 0.0):
                    break
                self.turn += 1
        elif begins and self.all.began is not None and self.ended is not None:
            self.turn += 1
        if self.turn > before:
            self.answers.clear()
            self.ended = None
            self.troubles.clear()
            self.said.clear()
            self.note("The agent had stopped early; its session was continued.", "continued", t)

    def note(self, text: str, kind: str, t: float | None) -> None:
        """A step of ours."""
        draft = Draft(source="system", t=t, at=None, turn=self.turn, kind=kind)
        draft.text.add(text, piece=False)
        self.shelf("").add(draft)

    def shelf(self, thread: str) -> Shelf:
        """The drafts of a thread; what would be one too many is told as the agent's own."""
        if thread not in self.all.threads and len(self.all.threads) >= MAX_THREADS:
            thread = ""
        return self.all.threads.setdefault(thread, Shelf())

    def told(self, event: e.Prompted | e.Gap | e.Plain, t: float | None) -> None:
        """What the agent did not do: prompts, plain lines, gaps."""
        shelf = self.shelf(event.thread)
        if isinstance(event, e.Gap):
            self.note(f"{event.dropped} bytes of output were dropped here.", "gap", t)
            return
        if isinstance(event, e.Prompted):
            draft = Draft(source="user", t=t, at=event.at, turn=self.turn)
            shelf.add(draft)
        else:
            if not event.text.strip() and self.plain == "system":
                return
            self.said.extend(line[:MAX_SAID] for line in event.text.rsplit("\n", MAX_SAID_LINES)[-MAX_SAID_LINES:])
            latest = shelf.latest()
            if latest is not None and latest.kind == "output" and latest.turn == self.turn:
                draft = latest
            else:
                draft = Draft(source=self.plain, t=t, at=None, turn=self.turn, kind="output")
                shelf.add(draft)
        self.say(shelf, draft, event.text)

    def say(self, shelf: Shelf, draft: Draft, text: str, *, reasoning: bool = False, piece: bool = False) -> None:
        """Append to a draft."""
        words = draft.reasoning if reasoning else draft.text
        before = words.size
        words.add(text, piece=piece)
        self.grow(shelf, draft, words.size - before)

    @staticmethod
    def grow(shelf: Shelf, draft: Draft, size: int) -> None:
        """A draft has grown."""
        draft.size += size
        shelf.grow(draft, size)

    def did(self, event: e.Said | e.Called | e.Stepped, t: float | None) -> None:
        """What the agent did."""
        if isinstance(event, e.Said) and not event.text:
            return
        self.ended = None
        self.troubles.clear()
        self.said.clear()
        shelf = self.shelf(event.thread)
        if isinstance(event, e.Called) and event.id in self.open:
            self.open[event.id][2].arguments = bounded(event.arguments)  # Told again, now that more of it is known.
            return
        draft = self.draft(shelf, event, t)
        if isinstance(event, e.Stepped):
            return
        draft.model = draft.model or whole(event.model)
        if isinstance(event, e.Said):
            self.say(shelf, draft, event.text, reasoning=event.reasoning, piece=event.piece)
            return
        identity = unused(whole(event.id) or "call", draft.calls)
        call = Call(identity, whole(event.name), bounded(event.arguments))
        draft.calls[identity] = call
        self.grow(shelf, draft, 200 + len(str(call.arguments)))
        remember(self.open, event.id, (shelf, draft, call), MAX_OPEN)

    def draft(self, shelf: Shelf, event: e.Said | e.Called | e.Stepped, t: float | None) -> Draft:
        """The step that this belongs to; a new one where it begins one."""
        if event.message and not isinstance(event, e.Stepped):
            known = self.answers.get((event.thread, event.message))
            if known is not None and not known.is_full:
                return known
        latest = shelf.latest()
        if latest is not None and not event.message and not isinstance(event, e.Stepped):
            own = latest.source == "agent" and not latest.kind and latest.turn == self.turn
            if own and not latest.is_answered and not latest.is_full:
                return latest
        draft = Draft(source="agent", t=t, at=event.at, turn=self.turn)
        shelf.add(draft)
        if event.message:
            remember(self.answers, (event.thread, event.message), draft, MAX_ANSWERS)
        return draft

    def answered(self, event: e.Answered, t: float | None) -> None:
        """A tool's result, beside its call; or by itself, where no such call is known."""
        kept = bounded_result(event)
        if event.id in self.open:
            shelf, draft, call = self.open.pop(event.id)
            call.result = kept
            self.grow(shelf, draft, len(kept.text))
            return
        shelf = self.shelf(event.thread)
        draft = Draft(source="system", t=t, at=event.at, turn=self.turn, kind="result_without_call")
        draft.results.append(kept)
        draft.size += len(kept.text)
        shelf.add(draft)

    def used(self, event: e.Used) -> None:
        """What the program says that an answer took; the last account counts."""
        draft = self.answers.get((event.thread, event.message)) if event.message else None
        if draft is None and not event.message:
            latest = self.shelf(event.thread).latest()
            draft = latest if latest is not None and latest.source == "agent" else None
        if draft is not None:
            draft.used, draft.output_known = event.tokens, event.output_known

    def failed(self, event: e.Troubled | e.Ended, t: float | None) -> None:
        """Trouble with the model interface, or the end."""
        if isinstance(event, e.Ended):
            self.ended = event
            if event.ok:
                self.troubles.clear()
                self.said.clear()
                return
            text = f"The agent's program ended with an error: {event.message}"
        else:
            self.troubles.append(event)
            self.all.retries += event.retrying
            text = event.message
        latest = self.shelf("").latest()
        if latest is not None and latest.kind == "error" and latest.turn == self.turn:
            self.say(self.shelf(""), latest, text)
        else:
            self.note(text, "error", t)


def bounded_result(event: e.Answered) -> e.Answered:
    """The result with a text of bounded length."""
    kept = clipped(whole(event.text), MAX_RESULT)
    return e.Answered(id=event.id, text=kept, error=event.error, exit_code=event.exit_code)


def unused(name: str, names: dict[str, Call]) -> str:
    """The name, with a number after it if it is taken."""
    if name not in names:
        return name
    return next(f"{name}#{n}" for n in range(2, len(names) + 3) if f"{name}#{n}" not in names)


def remember(known: dict[K, V], key: K, value: V, most: int) -> None:
    """Put into a dictionary that forgets its oldest members."""
    known.pop(key, None)
    known[key] = value
    if len(known) > most:
        del known[next(iter(known))]
