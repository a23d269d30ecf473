"""The sealed record: its digest, its schema, and what a change of it or of the files behind it is met with."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from driving import folder, run

from posttrainbench import record
from posttrainbench.errors import DigestError

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """A real record and its run's folder."""
    cwd = tmp_path_factory.mktemp("record")
    found = run("--agent", "base", "--limit", "8", cwd=cwd)
    return found, folder(found, cwd)


def test_the_published_schema_is_the_program_s() -> None:
    """Write it again with: python -c "from posttrainbench import record; print(record.schema().decode(), end='')"."""
    assert (ROOT / "docs/record.schema.json").read_bytes() == record.schema()


def test_a_real_record_satisfies_the_schema(sealed: tuple[dict[str, Any], Path]) -> None:
    jsonschema.validate(sealed[0], json.loads(record.schema()))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**sealed[0], "outcome": "fine"}, json.loads(record.schema()))


def test_a_record_that_was_read_is_the_record_that_was_written(sealed: tuple[dict[str, Any], Path]) -> None:
    found = record.verify(sealed[1])
    assert found.outcome == "scored"
    assert record.seal(found) == found
    assert {"plan.json", "session/output.log", "evaluation/final/questions.jsonl"} <= set(found.artefacts)


def test_all_that_can_change_a_score_is_in_it(sealed: tuple[dict[str, Any], Path]) -> None:
    plan, prepared = sealed[0]["plan"], sealed[0]["prepared"]
    assert {"torch", "transformers", "lm-eval", "python"} <= set(plan["packages"])
    for digest in (plan["task_digest"], plan["code"], plan["agent"]["digest"], *prepared["protected"].values()):
        assert digest.startswith("sha256:")
    for name in ("model_digest", "bench_digest", "test_digest"):
        assert prepared[name].startswith("sha256:")
    assert sealed[0]["freeze"]["digest"].startswith("sha256:")
    assert sealed[0]["final"]["versions"]["lm-eval"] == plan["packages"]["lm-eval"]


def test_a_changed_number_is_found(sealed: tuple[dict[str, Any], Path], tmp_path: Path) -> None:
    changed = {**sealed[0], "reason": "Because I say so."}
    (tmp_path / "record.json").write_text(json.dumps(changed))
    with pytest.raises(DigestError, match="not as it was sealed"):
        record.read(tmp_path / "record.json")


def test_a_changed_or_missing_file_is_found(sealed: tuple[dict[str, Any], Path]) -> None:
    path = sealed[1] / "evaluation/final/questions.jsonl"
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"score": 0', b'"score": 1', 1) + b" ")
    with pytest.raises(DigestError, match="changed after the run was sealed"):
        record.verify(sealed[1])
    path.unlink()
    with pytest.raises(DigestError, match="missing"):
        record.verify(sealed[1])
    path.write_bytes(content)
    record.verify(sealed[1])
