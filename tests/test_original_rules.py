"""A run under a protocol with the original benchmark's rules: worked examples, overtime, the checkpoint's decoding."""

import json
from pathlib import Path

import pytest
from driving import folder, ptb

RULES = """
name = "rules"
version = 1
title = "The original's rules, in seconds"
hours = 0.002
overtime_seconds = 60
grace_seconds = 1
chat_template = "none"
visible_split = "test"
limit = 8
decoding = "checkpoint"
shots = { tiny = 3 }
"""
SCRIPT = """
cp -r $PTB_MODEL final_model
while python timer.py; do sleep 0.2; done
echo '{"temperature": 0, "top_p": "most"}' > final_model/generation_config.json
"""


@pytest.mark.slow
def test_they_hold_for_every_measurement_and_are_on_the_record(tmp_path: Path) -> None:
    (tmp_path / "protocols").mkdir()
    (tmp_path / "protocols" / "rules.toml").write_text(RULES)
    places = ["--protocols-dir", "protocols", "--protocol", "rules", "--task", "tiny"]
    words = ["--agent", "command", "--model", "tiny-random", "--json", "--", "bash", "-c", SCRIPT]
    answer = ptb("run", *places, *words, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    record = json.loads(answer.stdout)
    where = folder(record, tmp_path)
    # What was written after the agent's clock had run out is in the checkpoint.
    assert (record["session"]["reason"], record["outcome"]) == ("exited", "scored")
    assert record["session"]["seconds"] > 7
    names = ("base", "few_shot", "final")
    assert [record[name]["few_shot"] for name in names] == [3, 3, 3]
    assert [record[name]["generation"]["temperature"] for name in names] == [1.0, 1.0, 0.0]
    assert record["final"]["generation"]["refused"] == ["top_p"]
    assert record["base"]["questions"] == record["few_shot"]["questions"]
    prompt = " ".join((where / "workspace" / "prompt.md").read_text().split())
    assert "at temperature 1 unless the checkpoint says otherwise; prompts hold 3 worked examples. Of a" in prompt
    assert json.loads((where / "bench" / "bench.json").read_text())["shots"] == 3
    assert ptb("verify", "last", cwd=tmp_path).returncode == 0
    # The same rules for the checkpoint's folder alone, and for the bundle's reader.
    answer = ptb("evaluate", str(where / "checkpoint"), *places, "--json", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    again = json.loads(answer.stdout)
    assert (again["questions"], again["few_shot"]) == (record["final"]["questions"], 3)
    assert again["generation"] == record["final"]["generation"]
    bundle = ptb("bundle", "last", "--out", "run.ptb", cwd=tmp_path)
    assert bundle.returncode == 0, bundle.stderr
    words = ["--protocols-dir", "protocols", "--rescore", str(where / "checkpoint"), "--json"]
    told = ptb("verify", "run.ptb", *words, cwd=tmp_path)
    assert told.returncode == 0, told.stdout
    rescored = json.loads(told.stdout)["rescored"]
    assert (rescored["same_bench"], rescored["differing"], rescored["n"]) == (True, [], 8)
