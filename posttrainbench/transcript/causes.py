"""Why an agent ended: a typed cause, from what its program says at its end and from the last lines of the ledger.

Only what comes after the agent's last own doing counts, since an error that was overcome ended nothing; and neither
what the agent says nor what its tools print is read, since both may hold anything. Plain lines are the program's own
words as a rule, but an agent that writes to the terminal can make them up. Patterns are tried on the messages of
failures first, then on the lines that told of them.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Literal

from posttrainbench.catalog import Pattern
from posttrainbench.strict import Value
from posttrainbench.transcript.events import CauseName, Ended, Troubled
from posttrainbench.transcript.exchanges import Exchange
from posttrainbench.transcript.foreign import clipped
from posttrainbench.transcript.steps import Ending

STATUSES: dict[int, CauseName] = {
    401: "auth",
    403: "auth",
    429: "rate_limit",
    500: "overloaded",
    502: "overloaded",
    503: "overloaded",
    504: "overloaded",
    529: "overloaded",
}
LEDGER: dict[str, CauseName] = {
    "auth": "auth",
    "rate_limit": "rate_limit",
    "usage_limit": "usage_limit",
    "overloaded": "overloaded",
    "context_exceeded": "context_exceeded",
    "refused": "refused",
    "budget": "budget",
}
MAX_DETAIL = 500
MAX_SEARCHED = 4000
"""Characters of one message that patterns are tried on: a pattern may be slow, and a message long."""


class Cause(Value, frozen=True, kw_only=True):
    """Why an agent ended."""

    cause: CauseName
    source: Literal["stream", "pattern", "ledger", ""] = ""
    detail: str = ""


NONE = Cause(cause="none")


def cause(ending: Ending, exchanges: Sequence[Exchange], patterns: Sequence[Pattern]) -> Cause:
    """The cause; `none` where the program ended well, or without a word of trouble."""
    last = exchanges[-1] if exchanges else None
    if last and last.facts.cause == "budget":
        return Cause(cause="budget", source="ledger", detail=clipped(last.facts.detail, MAX_DETAIL))
    if ending.ended and ending.ended.ok:
        return NONE
    told: list[Ended | Troubled] = [*([ending.ended] if ending.ended else []), *reversed(ending.troubles)]
    for event in told:
        if event.cause:
            return Cause(cause=event.cause, source="stream", detail=clipped(event.message, MAX_DETAIL))
        if found := _matching([event.message], patterns):
            return found
        if event.status in STATUSES:
            return Cause(cause=STATUSES[event.status], source="stream", detail=clipped(event.message, MAX_DETAIL))
    if found := _matching(reversed(ending.lines), patterns):
        return found
    if last and last.facts.cause in LEDGER:
        detail = clipped(last.facts.detail, MAX_DETAIL)
        return Cause(cause=LEDGER[last.facts.cause], source="ledger", detail=detail)
    return NONE


def _matching(texts: Iterable[str], patterns: Sequence[Pattern]) -> Cause | None:
    for text in texts:
        for pattern in patterns:
            if re.search(pattern.regex, text[:MAX_SEARCHED]):
                return Cause(cause=pattern.cause, source="pattern", detail=clipped(text, MAX_DETAIL))
    return None
