"""Holds a session and kills itself before or after a call to the engine: `python dying_session.py CALL-WHEN FOLDER`."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from docking import LIMITS, ended, spec

from posttrainbench.sandbox.docker import Docker
from posttrainbench.sandbox.engine import Engine, Settings

call, when = sys.argv[1].split("-")


class Deadly(Engine):
    """An engine beside which we die."""

    def create(self, settings: Settings) -> str:
        return str(self.die("create", super().create, settings))

    def start(self, container: str) -> None:
        self.die("start", super().start, container)

    def remove(self, container: str) -> None:
        self.die("remove", super().remove, container)

    def die(self, name: str, act: Any, argument: Any) -> Any:
        """As `kill -9` from outside, at the chosen moment."""
        if (name, "before") == (call, when):
            os.kill(os.getpid(), signal.SIGKILL)
        result = act(argument)
        if (name, "after") == (call, when):
            os.kill(os.getpid(), signal.SIGKILL)
        return result


box = Docker(engine=Deadly(), limits=LIMITS)
of = spec(Path(sys.argv[2]), "echo started >> starts; sleep 0.5; echo done")
handle = box.start(of)
ended(box, of)
box.close(of, handle)
