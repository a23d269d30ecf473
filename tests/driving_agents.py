"""A whole run of a real agent, its model played by the scripted provider."""

import json
import subprocess
from pathlib import Path
from typing import Any

import driving
from docking import ENVIRONMENT
from provider import Provider, Script, Step
from provider.script import KEY

from posttrainbench.folder import RunFolder

TRAIN = """cat > train.py <<'END'
import os
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

base = os.environ["PTB_MODEL"]
model, tokenizer = AutoModelForCausalLM.from_pretrained(base), AutoTokenizer.from_pretrained(base)
optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
batch = tokenizer("Question: river k Answer: l", return_tensors="pt")
for step in range(3):
    loss = model(**batch, labels=batch["input_ids"]).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    print("step", step, "loss", float(loss))
model.save_pretrained("final_model")
tokenizer.save_pretrained("final_model")
END"""
WAIT = "for n in 1 2 3 4 5 6 7 8; do [ -e trained ] && break; sleep 1; done"
STEPS = [
    Step(run=[TRAIN], think="A small training script will do."),
    # Codex leaves a command that takes longer than ten seconds to itself, and the model must look after it.
    Step(run=["python train.py > train.log 2>&1; touch trained"]),
    Step(run=[WAIT]),
    Step(run=[WAIT]),
    Step(run=[f"{WAIT}; cat train.log"]),
    Step(text="The first turn is over."),
    Step(run=["ls final_model > continued.txt; python timer.py", "echo a call beside it"]),
    Step(text="The second turn is over."),
]
PROTOCOL = """
name = "turns"
version = 1
title = "Two turns and a closed network"
hours = 0.1
grace_seconds = 2
network = "{network}"
chat_template = "none"
limit = 4
dev_limit = 4
few_shot_baseline = false
max_checkpoint_gb = 1
scored = false

[early_stop]
policy = "continue"
minutes_left = 0.1
times = {times}
"""
KEYS = {"anthropic": "ANTHROPIC_API_KEY", "openai": "OPENAI_API_KEY", "gemini": "GEMINI_API_KEY"}


def environment(provider: Provider) -> dict[str, str]:
    """Every provider's address and key, on the host."""
    urls = {f"PTB_{dialect.upper()}_URL": provider.url for dialect in KEYS}
    return ENVIRONMENT | urls | dict.fromkeys([*KEYS.values(), "OPENROUTER_API_KEY"], KEY)


def words(agent: str, folder: Path, *more: str, network: str = "closed", times: int = 1) -> list[str]:
    """The command line of a run under a protocol of two turns."""
    protocols = folder / "protocols"
    protocols.mkdir(exist_ok=True)
    (protocols / "turns.toml").write_text(PROTOCOL.format(network=network, times=times))
    cell = ["--task", "tiny", "--model", "tiny-random", "--protocol", "turns", "--protocols-dir", str(protocols)]
    return ["run", "--agent", agent, *cell, *more, "--json"]


def run(agent: str, provider: Provider, folder: Path, *more: str, **changes: Any) -> dict[str, Any]:
    """Carry out a run and give the record; words after `--` are a command agent's."""
    options, command = (more[: more.index("--")], more[more.index("--") :]) if "--" in more else (more, ())
    line = [*words(agent, folder, *options, **changes), *command]
    answer = driving.ptb(*line, cwd=folder, timeout=500, **environment(provider))
    assert answer.returncode in (0, 6), answer.stderr
    assert KEY not in answer.stdout + answer.stderr
    record: dict[str, Any] = json.loads(answer.stdout)
    return record


def of(record: dict[str, Any], folder: Path) -> RunFolder:
    """The run's folder."""
    return RunFolder(driving.folder(record, folder))


def files_with(text: str, folder: Path) -> list[str]:
    """Files below a folder, compressed ones too, that hold a text."""
    found = subprocess.run(["grep", "-rlaF", "--", text, str(folder)], capture_output=True, text=True).stdout.split()
    for path in folder.rglob("*.gz"):
        if subprocess.run(["zgrep", "-aqF", "--", text, str(path)]).returncode == 0:
            found.append(str(path))
    return found


def script(*steps: Step, **changes: Any) -> Script:
    """A script; the usual two turns without steps."""
    return Script(steps=list(steps) or STEPS, **changes)
