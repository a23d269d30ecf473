"""What a record is made of, where parts of it are missing."""

from pathlib import Path

import factory

from posttrainbench import pipeline, record
from posttrainbench.agent.result import SessionResult
from posttrainbench.checkpoint import Refused
from posttrainbench.folder import RunFolder
from posttrainbench.integrity import Audit
from posttrainbench.pipeline import Run
from posttrainbench.record import Prepared
from posttrainbench.reporter import Silent
from posttrainbench.sandbox.local import Local
from posttrainbench.strict import write_json

PREPARED = Prepared(
    model_folder="/model",
    model_digest="",
    model_revision="",
    bench_digest="",
    test_digest="",
    protected={},
    isolation=[],
)


def test_a_run_whose_session_an_older_ptb_has_held_is_sealed_without_a_transcript(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    plan = factory.plan(tmp_path)
    write_json(folder.prepared, PREPARED)
    write_json(folder.path / "session.json", SessionResult(reason="exited", seconds=1.0))
    write_json(folder.freeze, Refused(code="no_checkpoint", reason="There is none."))
    write_json(folder.audit, Audit(findings=[], verdict="clean"))
    pipeline.seal(Run(plan, folder, tmp_path / "cache", Local(), Silent()))
    sealed = record.read(folder.record)
    assert (sealed.outcome, sealed.transcript, sealed.usage) == ("no_checkpoint", None, None)
