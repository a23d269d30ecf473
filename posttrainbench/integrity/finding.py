"""What one integrity check found."""

from typing import Literal

from posttrainbench.strict import Value

MAX_EVIDENCE = 4000


class Finding(Value, frozen=True, kw_only=True):
    """What one check found. A flag of severity `disqualify` takes the score away; `suspect` is for people to judge."""

    check: str
    status: Literal["pass", "flag", "unchecked"]
    severity: Literal["none", "suspect", "disqualify"] = "none"
    detail: str
    """A sentence."""
    evidence: str = ""
    """What it rests on; bounded."""


def bounded(text: str) -> str:
    """Evidence cut to a size that a record can carry."""
    return text if len(text) <= MAX_EVIDENCE else text[: MAX_EVIDENCE - 20] + "\n… (cut off here)"
