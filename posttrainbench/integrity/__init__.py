"""Did the run keep the rules? Each check gives a finding; together they give a verdict.

A check that did not run is a finding too, so a run is `clean` only when every check ran and found nothing.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from posttrainbench.integrity import tamper
from posttrainbench.integrity.finding import Finding
from posttrainbench.strict import Value

__all__ = ["Audit", "Finding", "Verdict", "audit", "judge"]

Verdict = Literal["clean", "unchecked", "suspect", "disqualified"]

UNCHECKED = {
    "lineage": "whether these weights were trained from the base model and from no other",
    "contamination": "whether test questions were in the training data",
    "egress": "what the session sent and fetched over the network",
    "judge": "what the agent did and said, read by a judge",
}
"""Checks of the design that this version does not have, and what therefore is not known."""


class Audit(Value, frozen=True, kw_only=True):
    """Every check's finding, and what they come to. `audit.json`."""

    findings: list[Finding]
    verdict: Verdict


def audit(protected: Mapping[str, str], roots: Mapping[str, Path]) -> Audit:
    """Carry out every check. `protected`: digest of each file that the agent was told not to change, by root and path
    (`workspace/evaluate.py`); `roots`: where each root lies now."""
    findings = [tamper.check(protected, roots)]
    findings += [
        Finding(check=check, status="unchecked", detail=f"Not checked by this version: {what}.")
        for check, what in UNCHECKED.items()
    ]
    return Audit(findings=findings, verdict=judge(findings))


def judge(findings: Sequence[Finding]) -> Verdict:
    """The worst flag decides; without one, a check that did not run leaves the run unchecked."""
    flags = {finding.severity for finding in findings if finding.status == "flag"}
    if "disqualify" in flags:
        return "disqualified"
    if flags:
        return "suspect"
    if not findings or any(finding.status == "unchecked" for finding in findings):
        return "unchecked"
    return "clean"
