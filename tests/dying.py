"""ptb that kills itself: `python dying.py STAGE MOMENT VERB …`.

MOMENT is `begin` (journalled, nothing done), `end` (all done, not journalled), `before-start` or `after-start` (around
the start of the agent, before its handle is journalled), or `answers` (when some of a measurement's questions, asked
three at a time then, are answered; STAGE is the measurement's folder: base, few_shot, final).
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec

from posttrainbench import cli, pipeline
from posttrainbench.pipeline import Run
from posttrainbench.sandbox import Handle, JobResult, JobSpec, SessionSpec, kinds
from posttrainbench.sandbox.local import Local


def die() -> None:
    """As `kill -9` from outside."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(path: Path) -> None:
    """Wait until two more batches are in the file."""
    before = path.read_bytes().count(b'{"answers"') if path.exists() else 0
    while not path.exists() or path.read_bytes().count(b'{"answers"') < before + 2:
        time.sleep(0.001)
    die()


class Deadly(Local):
    """The local sandbox, with death beside the start of the agent, or while a model answers."""

    def run(self, spec: JobSpec) -> JobResult:
        """Run a job; die when it has written a few answers of the measurement's."""
        if moment == "answers" and Path(spec.log).parent.name == stage:
            spec = msgspec.structs.replace(spec, command=[*spec.command, "--batch-size", "3"])
            threading.Thread(target=die_at, args=[Path(spec.cwd, "answers.jsonl")], daemon=True).start()
        return super().run(spec)

    def start(self, spec: SessionSpec) -> Handle:
        """Start the session, unless we die before; die after it."""
        if moment == "before-start":
            die()
        handle = super().start(spec)
        if moment == "after-start":
            die()
        return handle


def deadly(act: Callable[[Run], None]) -> Callable[[Run], None]:
    """A stage that ends with us."""

    def dies(run: Run) -> None:
        if moment == "end":
            act(run)
        die()

    return dies


stage, moment, *words = sys.argv[1:]
if moment in ("begin", "end"):
    pipeline.STAGES = tuple(replace(one, act=deadly(one.act)) if one.name == stage else one for one in pipeline.STAGES)
else:
    kinds.KINDS["local"] = lambda images: Deadly()
sys.exit(cli.main(words))
