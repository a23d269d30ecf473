"""The verdict follows from the findings, and never says clean when something was not checked."""

from pathlib import Path

import pytest

from posttrainbench import integrity
from posttrainbench.integrity import Finding, judge
from posttrainbench.strict import digest_bytes

PASS = Finding(check="a", status="pass", detail="Fine.")
UNCHECKED = Finding(check="b", status="unchecked", detail="Not done.")
SUSPECT = Finding(check="c", status="flag", severity="suspect", detail="Odd.")
DISQUALIFY = Finding(check="d", status="flag", severity="disqualify", detail="Bad.")
NOTE = Finding(check="e", status="flag", detail="A flag that names no severity.")


@pytest.mark.parametrize(
    ("findings", "verdict"),
    [
        ([PASS, PASS], "clean"),
        ([PASS, UNCHECKED], "unchecked"),
        ([], "unchecked"),
        ([PASS, UNCHECKED, SUSPECT], "suspect"),
        ([NOTE], "suspect"),
        ([UNCHECKED, SUSPECT, DISQUALIFY, PASS], "disqualified"),
    ],
)
def test_the_worst_finding_decides(findings: list[Finding], verdict: str) -> None:
    assert judge(findings) == verdict


def test_an_audit_names_every_check_and_what_it_did_not_do(tmp_path: Path) -> None:
    (tmp_path / "evaluate.py").write_bytes(b"x")
    audit = integrity.audit({"workspace/evaluate.py": digest_bytes(b"x")}, {"workspace": tmp_path})
    assert [(one.check, one.status) for one in audit.findings] == [
        ("tamper", "pass"),
        ("lineage", "unchecked"),
        ("contamination", "unchecked"),
        ("egress", "unchecked"),
        ("judge", "unchecked"),
    ]
    assert audit.verdict == "unchecked"


def test_a_tampered_workspace_is_suspect(tmp_path: Path) -> None:
    assert integrity.audit({"workspace/evaluate.py": "sha256:0"}, {"workspace": tmp_path}).verdict == "suspect"
