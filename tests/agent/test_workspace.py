"""What the agent finds in its folders, and what it is told."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import factory
import pytest

from posttrainbench.agent import prompt, session, workspace
from posttrainbench.catalog import Decoding
from posttrainbench.folder import RunFolder
from posttrainbench.protocol import EarlyStop
from posttrainbench.strict import digest_file, write_json

CELL = """
import argparse, json, pathlib, sys
parser = argparse.ArgumentParser()
for name in ("bench", "model", "out", "limit", "few-shot"):
    parser.add_argument("--" + name)
args = parser.parse_args()
print("scored 1/1", file=sys.stderr)
if pathlib.Path(args.model, "broken").exists():
    print("checkpoint: it is broken", file=sys.stderr)
    sys.exit(65)
result = {"score": 0.25, "n": int(args.limit or 8), "few_shot": int(args.few_shot or 0), "model": args.model}
result |= {"metric": "exact", "split": "dev", "seconds": 1.0}
pathlib.Path(args.out, "result.json").write_text(json.dumps(result))
"""


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path / "run")
    run.bench.mkdir(parents=True)
    (run.bench / "cell.py").write_text(CELL)
    (run.bench / "questions.jsonl").write_text("{}\n")
    return run


def test_the_workspace_holds_three_files_and_the_rest_is_empty(folder, tmp_path):
    folder.workspace.mkdir()
    (folder.workspace / "left-over").touch()
    workspace.prepare(factory.plan(tmp_path), folder, tmp_path / "model")
    assert sorted(os.listdir(folder.workspace)) == ["evaluate.py", "prompt.md", "timer.py"]
    assert os.listdir(folder.home) == os.listdir(folder.tmp) == []


def test_what_may_not_be_changed_is_remembered_by_digest(folder, tmp_path):
    protected = workspace.prepare(factory.plan(tmp_path), folder, tmp_path / "model")
    names = [
        "bench/cell.py",
        "bench/questions.jsonl",
        *(f"workspace/{n}" for n in ("evaluate.py", "prompt.md", "timer.py")),
    ]
    assert protected == {name: digest_file(folder.path / name) for name in names}


def test_the_prompt_tells_what_matters(folder, tmp_path):
    plan = factory.plan(tmp_path, hours=1.5)
    text = prompt.render(plan, folder.bench)
    for part in (
        "Sums",
        "Adding two small numbers.",
        "Tiny",
        "1.5 hours",
        "no GPU",
        "no network",
        "8 new tokens",
        "40 GB",
    ):
        assert part in text
    assert "train.jsonl" not in text
    (folder.bench / "train.jsonl").touch()
    assert "train.jsonl" in prompt.render(plan, folder.bench)


def test_the_prompt_keeps_braces_of_a_description(folder, tmp_path):
    task = factory.task(description="Answer {x}.", decoding=Decoding(max_tokens=8, samples=4))
    text = prompt.render(factory.plan(tmp_path, task=task), folder.bench)
    assert "Answer {x}." in text
    assert "4 times a question" in text


@pytest.mark.parametrize(
    ("hours", "text"), [(10, "10 hours"), (1, "1 hour"), (0.045, "2.7 minutes"), (1 / 60, "1 minute")]
)
def test_durations(hours, text):
    assert prompt.duration(hours) == text


def test_the_command_is_filled_in(folder, tmp_path):
    command = [
        "{python}",
        "{agent}/a.py",
        "{model}",
        "{workspace}",
        "{bench}",
        "{prompt_file}",
        "{other} {",
        "-p {prompt}",
    ]
    task = factory.task(description="Not a place for {python}.")
    plan = factory.plan(
        tmp_path, task=task, agent=factory.agent(tmp_path / "agent", command=command, resume_command=["{bench}"])
    )
    spec = session.spec(plan, folder, tmp_path / "model", "/py")
    at = str(folder.path)
    assert spec.command[:7] == [
        "/py",
        f"{tmp_path}/agent/a.py",
        f"{tmp_path}/model",
        f"{at}/workspace",
        f"{at}/bench",
        f"{at}/workspace/prompt.md",
        "{other} {",
    ]
    assert spec.command[7] == "-p " + prompt.render(plan, folder.bench)
    assert "Not a place for {python}." in spec.command[7]
    assert spec.resume_command == [f"{at}/bench"]


def test_the_session_has_the_plans_limits(folder, tmp_path):
    protocol = factory.protocol(
        gpus=2, grace_seconds=7, max_output_mb=2, early_stop=EarlyStop(policy="continue", minutes_left=3, times=4)
    )
    agent = factory.agent(tmp_path, env={"MINE": "1", "PTB_SEED": "99"})
    spec = session.spec(factory.plan(tmp_path, hours=2, protocol=protocol, agent=agent), folder, tmp_path, "/py")
    assert (spec.seconds, spec.grace_seconds, spec.max_output_bytes, spec.gpus) == (7200, 7, 2_000_000, 2)
    assert (spec.early_stop_times, spec.early_stop_seconds_left) == (4, 180)
    assert spec.env == {
        "PTB_WORKSPACE": spec.workspace,
        "PTB_BENCH": spec.bench,
        "PTB_MODEL": spec.model,
        "PTB_PROMPT_FILE": f"{spec.workspace}/prompt.md",
        "PTB_SEED": "7",
        "PTB_HOURS": "2",
        "HF_HUB_OFFLINE": "1",
        "MINE": "1",
    }


def test_no_early_stop(folder, tmp_path):
    protocol = factory.protocol(early_stop=EarlyStop(policy="end", times=4))
    assert session.spec(factory.plan(tmp_path, protocol=protocol), folder, tmp_path, "/py").early_stop_times == 0


def test_a_spec_is_found_again(folder, tmp_path):
    assert session.stored(folder) is None
    spec = session.spec(factory.plan(tmp_path), folder, tmp_path, "/py")
    write_json(folder.session / "spec.json", spec)
    assert session.stored(folder) == spec


def run(folder: RunFolder, tmp_path: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run one of the workspace's programs as an agent would."""
    workspace.prepare(factory.plan(tmp_path), folder, tmp_path / "model")
    model = folder.workspace / "final_model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    env = {"PTB_BENCH": str(folder.bench), "PTB_HOURS": "10", "PATH": os.environ["PATH"]} | env
    return subprocess.run([sys.executable, *words], cwd=folder.workspace, env=env, capture_output=True, text=True)


def test_evaluate_prints_a_score(folder, tmp_path):
    done = run(folder, tmp_path, "evaluate.py")
    assert (done.returncode, done.stdout) == (0, "score 0.2500 (2/8 exact, dev questions)\n")
    assert "scored 1/1" in done.stderr


def test_evaluate_gives_json_and_hands_on_its_options(folder, tmp_path):
    done = run(folder, tmp_path, "evaluate.py", "--json", "--limit", "4", "--few-shot", "3")
    wanted = {"score": 0.25, "n": 4, "split": "dev", "metric": "exact", "few_shot": 3, "seconds": 1.0}
    assert json.loads(done.stdout) == wanted


def test_evaluate_says_that_there_is_no_model(folder, tmp_path):
    done = run(folder, tmp_path, "evaluate.py", "--model-path", "nowhere")
    assert (done.returncode, done.stdout) == (65, "")
    assert "nowhere holds no model" in done.stderr


def test_evaluate_passes_a_failure_on(folder, tmp_path):
    broken = tmp_path / "broken-model"
    broken.mkdir()
    for name in ("broken", "config.json"):
        (broken / name).touch()
    done = run(folder, tmp_path, "evaluate.py", "--model-path", str(broken))
    assert (done.returncode, done.stdout) == (65, "")
    assert "checkpoint: it is broken" in done.stderr


def test_timer(folder, tmp_path):
    done = run(folder, tmp_path, "timer.py", PTB_DEADLINE=repr(time.monotonic() + 3 * 3600 + 65))
    assert done.returncode == 0
    assert re.fullmatch(r"3:0[01]:\d\d left of 10 hours\n", done.stdout)
    done = run(folder, tmp_path, "timer.py", "--seconds", PTB_DEADLINE=repr(time.monotonic() - 5))
    assert (done.returncode, done.stdout) == (1, "0\n")
