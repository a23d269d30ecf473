"""The real command line agents, in containers, through the gateway, with a scripted model provider behind it.

Each writes a training script, runs it, leaves a checkpoint that is scored, ends, and is continued once."""

import json
from pathlib import Path

import msgspec
import pytest
from docking import reachable
from driving_agents import KEY, Provider, files_with, of, run, script

from posttrainbench.gateway.ledger import Tokens
from posttrainbench.transcript import atif

pytestmark = pytest.mark.docker
AGENTS = ["claude", "codex", "gemini", "opencode", "qwen", "mini"]


@pytest.fixture(autouse=True)
def engine() -> None:
    reachable()


@pytest.mark.parametrize("agent", AGENTS)
def test_an_agent_trains_is_continued_and_is_scored(agent: str, tmp_path: Path) -> None:
    with Provider(script(), tmp_path / "provider.jsonl") as provider:
        record = run(agent, provider, tmp_path, "--sandbox", "docker")
        folder = of(record, tmp_path)
        assert (record["outcome"], len(record["session"]["turns"])) == ("scored", 2), record["reason"]
        assert "config.json" in (folder.workspace / "continued.txt").read_text()
        # What the provider sent is what the record says was used.
        used = [msgspec.convert(one["tokens"], Tokens) for one in record["usage"]["models"]]
        totals = {name: sum(getattr(one, name) for one in used) for name in Tokens.__struct_fields__}
        assert Tokens(**totals) == provider.used()
        costs = [one["cost_usd"] for one in record["usage"]["models"]]
        assert record["usage"]["cost_usd"] == (None if None in costs else pytest.approx(sum(costs)))
        assert record["usage"]["unfinished"] == 0
        # What it did can be read, step by step.
        trajectory = json.loads(folder.trajectory.read_bytes())
        assert atif.validate(trajectory) == []
        text = json.dumps(trajectory)
        assert all(word in text for word in ("optimizer.step", "step 2 loss", "a call beside it", "second turn"))
        # The key was nowhere but with the gateway; what was asked for lies there, compressed too.
        assert any(path.endswith(".gz") for path in files_with("optimizer.step", folder.path))
        assert files_with(KEY, tmp_path / "runs") == []
