"""How the local sandbox starts a process: under which supervisor, and with which environment."""

import os
import sys
from pathlib import Path

from posttrainbench import supervisor

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SUPERVISE = [sys.executable, "-I", "-S", supervisor.PROGRAM]
"""Without the user's site-packages and PYTHON* variables: nothing but the standard library."""


def environment(python: str, gpus: int, home: str, tmp: str) -> dict[str, str]:
    """All that a process gets before its own variables. Nothing is handed on from the host but which GPUs may be used:
    none, or the first ones of those that ptb itself may use."""
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = seen.split(",") if seen else [str(index) for index in range(gpus)]
    return {
        "PATH": f"{Path(python).parent}:{PATH}",
        "HOME": home,
        "TMPDIR": tmp,
        "CUDA_VISIBLE_DEVICES": ",".join(devices[:gpus]),
    }
