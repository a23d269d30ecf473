"""Weights are scored again, and every outcome that is another one is told."""

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from driving import folder, ptb, run

from posttrainbench import record as records
from posttrainbench import scores
from posttrainbench.board import outcomes
from posttrainbench.evaluation import Measurement
from posttrainbench.strict import digest_bytes


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """A scored run and the folder that it was started in."""
    cwd = tmp_path_factory.mktemp("rescore")
    return run("--agent", "base", cwd=cwd), cwd


def improve(place: Path) -> None:
    """Turn three wrong answers of a run into right ones, and seal it as if they had always been."""
    path = place / "evaluation" / "final" / "questions.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in [line for line in lines if line["score"] == 0.0][:3]:
        line["score"] = 1.0
    content = "".join(json.dumps(line) + "\n" for line in lines).encode()
    path.write_bytes(content)
    old = msgspec.json.decode((place / "record.json").read_bytes(), type=records.Record)
    assert isinstance(old.final, Measurement)
    share = sum(line["score"] for line in lines) / len(lines)
    final = msgspec.structs.replace(old.final, questions=digest_bytes(content), score=share)
    new = msgspec.structs.replace(
        old, final=final, artefacts=old.artefacts | {"evaluation/final/questions.jsonl": digest_bytes(content)}
    )
    known = outcomes.load(new, place)
    assert known
    made = scores.score(metric=new.plan.task.metric, base=known.base, final=known.final, human=None)
    (place / "record.json").write_bytes(msgspec.json.encode(records.seal(msgspec.structs.replace(new, scores=made))))


def test_the_weights_of_a_bundle_score_as_sealed(scored: tuple[dict[str, Any], Path], tmp_path: Path) -> None:
    record, cwd = scored
    weights = folder(record, cwd) / "checkpoint"
    file = tmp_path / "a.ptb.tar.gz"
    assert ptb("bundle", "last", "--out", str(file), cwd=cwd).returncode == 0
    answer = ptb("verify", str(file), "--rescore", str(weights), "--json", cwd=cwd)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    found = json.loads(answer.stdout)
    assert "weights" in found["checks"]
    again = found["rescored"]
    assert (again["again"], again["sealed"]) == (record["final"]["score"],) * 2
    assert (again["n"], again["differing"], again["same_bench"]) == (record["final"]["n"], [], True)

    other = tmp_path / "other"
    shutil.copytree(weights, other)
    bytes_ = bytearray((other / "model.safetensors").read_bytes())
    bytes_[-1] ^= 1
    (other / "model.safetensors").write_bytes(bytes_)
    answer = ptb("verify", str(file), "--rescore", str(other), cwd=cwd)
    assert answer.returncode == 7
    assert "model.safetensors is missing or not the file that was scored" in answer.stdout
    assert "Scored again" not in answer.stdout


def test_outcomes_that_were_made_better_are_found(scored: tuple[dict[str, Any], Path], tmp_path: Path) -> None:
    record, cwd = scored
    mine = tmp_path / "runs" / record["run"]
    shutil.copytree(folder(record, cwd), mine)
    improve(mine)
    answer = ptb("verify", str(mine), cwd=cwd)
    assert answer.returncode == 0, answer.stderr
    answer = ptb("verify", str(mine), "--rescore", str(mine / "checkpoint"), cwd=cwd)
    assert answer.returncode == 7, answer.stdout + answer.stderr
    n = record["final"]["n"]
    assert f"{n - 3} of {n} outcomes are as sealed" in answer.stdout
