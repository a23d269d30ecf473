"""ptb that kills itself: `python dying.py STAGE MOMENT VERB …`.

MOMENT is `begin` (journalled, nothing done), `end` (all done, not journalled), `before-start` or `after-start` (around
the start of the agent, before its handle is journalled).
"""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace

from posttrainbench import cli, pipeline
from posttrainbench.pipeline import Run
from posttrainbench.sandbox import Handle, SessionSpec, kinds
from posttrainbench.sandbox.local import Local


def die() -> None:
    """As `kill -9` from outside."""
    os.kill(os.getpid(), signal.SIGKILL)


class Deadly(Local):
    """The local sandbox, with death beside the start of the agent."""

    def start(self, spec: SessionSpec) -> Handle:
        """Start the session, unless we die before; die after it."""
        if moment == "before-start":
            die()
        handle = super().start(spec)
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
