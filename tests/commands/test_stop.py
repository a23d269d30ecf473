"""`ptb stop`: what was started for a session ends with it."""

from pathlib import Path
from typing import Any

import factory
import pytest

from posttrainbench import cli
from posttrainbench.agent import access, session
from posttrainbench.folder import RunFolder
from posttrainbench.gateway import process
from posttrainbench.sandbox import Handle, SessionSpec, kinds
from posttrainbench.sandbox.local import Local
from posttrainbench.strict import write_json


class Endless(Local):
    """A sandbox whose sessions run."""

    def state(self, spec: SessionSpec, handle: Handle | None) -> Any:
        """By its word alone."""
        return "running"

    def stop(self, spec: SessionSpec, handle: Handle | None, reason: str) -> None:
        """Nothing is there."""


def test_a_session_that_nobody_watches_leaves_no_gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(tmp_path / "quick-run")
    plan = factory.plan(tmp_path, protocol=factory.protocol(network="curated"))
    told = access.spec(plan, folder, tmp_path / "cache", {})
    assert told
    write_json(folder.plan, plan)
    write_json(folder.session / "spec.json", session.spec(plan, folder, tmp_path / "model", "python", told))
    monkeypatch.setitem(kinds.KINDS, "local", lambda images: Endless())
    process.start(folder.gateway, told, None)
    try:
        assert cli.main(["stop", str(folder.path)]) == 0
        assert not process.alive(folder.gateway)
    finally:
        process.stop(folder.gateway)
