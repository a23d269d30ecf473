"""Drive the real command in tests."""

import functools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import platformdirs

CACHE = Path(os.environ.get("PTB_TEST_CACHE") or platformdirs.user_cache_path("ptb-tests"))
"""Models, wheels and base scores, kept between tests and sessions; checked by digest whenever they are used."""

CELL = ["--task", "tiny", "--model", "tiny-random", "--protocol", "smoke"]
"""The cell that takes seconds."""


def environment(**env: str) -> dict[str, str]:
    """What a test gives ptb: no folder of the user's, quiet threads."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PTB_")}
    return {**inherited, "PTB_CACHE": str(CACHE), "COLUMNS": "100", "OMP_NUM_THREADS": "1", **env}


def start(*words: str, cwd: Path, **env: str) -> "subprocess.Popen[str]":
    """Start the command; stdout and stderr come as text."""
    return subprocess.Popen(
        [sys.executable, "-m", "posttrainbench.cli", *words],
        cwd=cwd,
        env=environment(**env),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Tests that a shell started in the background are deaf to the keyboard, and would hand that on.
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )


def ptb(*words: str, cwd: Path, timeout: float = 300, **env: str) -> "subprocess.CompletedProcess[str]":
    """Run the command to its end."""
    with start(*words, cwd=cwd, **env) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def run(*words: str, cwd: Path, **env: str) -> dict[str, Any]:
    """Carry out `ptb run … --json` on the small cell and give the record. Words after `--` are the agent's."""
    options, command = (words[: words.index("--")], words[words.index("--") :]) if "--" in words else (words, ())
    answer = ptb("run", *CELL, *options, "--json", *command, cwd=cwd, **env)
    assert answer.returncode in (0, 6), answer.stderr
    record: dict[str, Any] = json.loads(answer.stdout)
    return record


def folder(record: dict[str, Any], cwd: Path) -> Path:
    """The run's folder."""
    return cwd / "runs" / str(record["run"])
