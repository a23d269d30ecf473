"""A skip is a hole that nobody sees. Where PTB_REQUIRE names tools (CI does), a skip for want of one is a failure."""

import os
from collections.abc import Generator
from typing import Any

import pytest

REQUIRED = set(filter(None, os.environ.get("PTB_REQUIRE", "").split(",")))
WANTS = {
    "benchmark data": "data",
    "gsm8k": "data",
    "engine": "docker",
    "image": "docker",
    "bubblewrap": "bubblewrap",
    "npm": "clis",
    "Chromium": "browser",
    "podman": "podman",
    "mbpp": "mbpp",
    "vllm": "vllm",
}
"""A word of a skip's reason, and the tool that is wanting."""
EXCUSED = ("root",)
"""Words of reasons that are no want of a tool: what root may do, and what it cannot help doing."""


def excused(reason: str) -> bool:
    """Whether a skip for that reason may stand."""
    if not REQUIRED or any(word in reason for word in EXCUSED):
        return True
    wanted = {tool for word, tool in WANTS.items() if word in reason}
    return bool(wanted) and not wanted & REQUIRED


def mend(report: Any) -> None:
    """Make a failure of a skip that may not stand."""
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not excused(reason):
            report.outcome = "failed"
            report.longrepr = (
                f"{reason}\nThis skip counts as a failure, since PTB_REQUIRE={','.join(sorted(REQUIRED))}."
            )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    report = yield
    mend(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    report = yield
    mend(report)
    return report
