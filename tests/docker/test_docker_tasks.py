"""Each of the five tasks is scored for real in the evaluation container: a small model, published test questions."""

import json
from pathlib import Path

import pytest
from benching import first_questions, in_memory, lay_sealed
from docking import job

from posttrainbench.sandbox.docker import Docker
from posttrainbench.sandbox.engine import Engine

TASKS = {
    "aime2025": "exact_integer",
    "gpqa": "exact_letter",
    "gsm8k": "exact_number",
    "humaneval": "pass_at_1",
    "bfcl": "ast_accuracy",
}

JUDGE = """
import importlib.util, json, os, socket, sys
spec = importlib.util.spec_from_file_location("scorer", "{bench}/scorer.py")
scorer = importlib.util.module_from_spec(spec)
spec.loader.exec_module(scorer)
rows = [json.loads(line) for line in open("{bench}/questions.jsonl")][:3]
found = {{"user": os.getuid(), "interfaces": [name for _, name in socket.if_nameindex()]}}
found["solution"] = [scorer.score(row, row["solution"]) for row in rows]
found["stub"] = [scorer.score(row, "    pass") for row in rows]
print(json.dumps(found))
"""


@pytest.mark.parametrize("name", TASKS)
def test_a_small_model_is_scored_on_published_questions(name: str, engine: Engine) -> None:
    with in_memory() as place:
        found = first_questions(Docker(), name, place)
    assert (found.task, found.split, found.n, found.metric) == (name, "test", 2, TASKS[name])
    assert (found.backend, found.device) == ("hf", "cpu")


def test_humaneval_s_code_runs_in_the_container_without_privileges_and_without_a_network(
    engine: Engine, tmp_path: Path
) -> None:
    box = Docker()
    bench = lay_sealed("humaneval", tmp_path / "job" / "read", tmp_path)
    (bench / "judge.py").write_text(JUDGE.format(bench=bench))
    ended = box.run(job(tmp_path / "job", f"{box.python()} {bench}/judge.py"))
    assert ended.exit_code == 0, ended.tail
    found = json.loads(ended.tail.splitlines()[-1])
    assert found.pop("user") != 0
    assert found == {"interfaces": ["lo"], "solution": [1.0] * 3, "stub": [0.0] * 3}
