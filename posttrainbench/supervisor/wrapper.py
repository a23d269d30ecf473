"""What bubblewrap, in front of a command, reports through a pipe: a line with the pid of its namespaces' first process,
and at its end one with the exit code."""

import contextlib
import json
import os
import select
import time


def read(status: int, seconds: float = 0) -> str:
    """What can be read of the report within `seconds`."""
    report, until = "", time.monotonic() + seconds
    # It writes its first line in pieces.
    while "\n" not in report and select.select([status], [], [], max(0.0, until - time.monotonic()))[0]:
        piece = os.read(status, 65536).decode()
        if not piece:
            break
        report += piece
    return report


def first_process(report: str) -> int:
    """Pid of the namespaces' first process; raises OSError when the report has none."""
    with contextlib.suppress(ValueError, LookupError):
        return int(json.loads(report.splitlines()[0])["child-pid"])
    raise OSError("bubblewrap reported no process")
