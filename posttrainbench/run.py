"""One run, and what its stages leave to each other in its folder."""

from dataclasses import dataclass
from pathlib import Path

from posttrainbench.agent.result import SessionResult
from posttrainbench.checkpoint import Frozen, Refused
from posttrainbench.folder import RunFolder
from posttrainbench.integrity import Audit
from posttrainbench.journal import Journal
from posttrainbench.plan import Plan
from posttrainbench.record import Prepared
from posttrainbench.reporter import Reporter
from posttrainbench.sandbox import Handle, Sandbox, preflight
from posttrainbench.sandbox.preflight import Preflight
from posttrainbench.strict import read_json


@dataclass(frozen=True)
class Run:
    """One run and what its stages need."""

    plan: Plan
    folder: RunFolder
    cache: Path
    sandbox: Sandbox
    reporter: Reporter

    @property
    def journal(self) -> Journal:
        return Journal(self.folder.journal)

    def prepared(self) -> Prepared:
        """What was laid out for the agent."""
        return read_json(self.folder.prepared, Prepared)

    def preflight(self) -> Preflight | None:
        """What was found of the cards before the session; None where it has none."""
        path = self.folder.session / preflight.FILE
        return read_json(path, Preflight) if path.exists() else None

    def session(self) -> SessionResult:
        """How the session ended."""
        return read_json(self.folder.path / "session.json", SessionResult)

    def frozen(self) -> Frozen | Refused | None:
        """What was taken over of final_model/; None where the session was lost or stopped."""
        return read_json(self.folder.freeze, Frozen | Refused) if self.folder.freeze.exists() else None

    def audit(self) -> Audit:
        """Whether the agent kept the rules."""
        return read_json(self.folder.audit, Audit)


def handle_of(folder: RunFolder, sandbox: Sandbox) -> Handle | None:
    """The session's handle as the last start left it."""
    for note in reversed(Journal(folder.journal).notes("session")):
        if "starting" not in note and "adopted" not in note:
            return Handle(kind=sandbox.name, data=note)
    return None
