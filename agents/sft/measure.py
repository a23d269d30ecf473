"""The agent's own measurement of a checkpoint: the workspace's evaluate.py on development questions."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path


def dev_score(workspace: Path, model: Path, limit: int | None, seconds: float) -> float | None:
    """The score on `limit` development questions; None if it failed or took more than `seconds`."""
    command = [sys.executable, str(workspace / "evaluate.py"), "--model-path", str(model), "--json"]
    command += ["--limit", str(limit)] if limit else []
    with subprocess.Popen(
        command, cwd=workspace, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as child:
        try:
            out, talk = child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            print(f"Measuring took more than {seconds:.0f} s; leaving it.")
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
            return None
    if child.returncode:
        print(f"evaluate.py ended with {child.returncode}: {talk.strip()[-500:]}")
        return None
    return float(json.loads(out.strip().splitlines()[-1])["score"])
