"""From the sandbox nothing but the gateway answers, and the provider's key is nowhere: a probe in the agent's place."""

import json
import socket
from pathlib import Path

import pytest
from docking import reachable
from driving_agents import KEY, Provider, Step, files_with, of, run, script

from posttrainbench.sandbox import bubblewrap

AGENT = """
name = "probe"
version = "1"
description = "Looks for keys and ways out."
command = ["{python}", "{agent}/probe.py", "REVERSED", "ADDRESS"]
env.SECRET = "{secret}"

[api]
dialect = "anthropic"
model = "big-1"
"""
REFUSED = range(400, 500)


def own_address() -> str:
    """An address of this machine other than the loopback, if it has one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        try:
            out.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(out.getsockname()[0])


@pytest.mark.parametrize(
    "sandbox", [pytest.param("local", marks=pytest.mark.slow), pytest.param("docker", marks=pytest.mark.docker)]
)
def test_the_gateway_is_the_only_way_out_and_the_key_is_nowhere(sandbox: str, tmp_path: Path) -> None:
    if sandbox == "docker":
        reachable()
    elif not bubblewrap.usable():
        pytest.skip("bubblewrap is not installed or may not make namespaces here")
    folder = tmp_path / "agents" / "probe"
    folder.mkdir(parents=True)
    (folder / "agent.toml").write_text(AGENT.replace("REVERSED", KEY[::-1]).replace("ADDRESS", own_address()))
    (folder / "probe.py").write_bytes(Path(__file__).with_name("probe.py").read_bytes())
    # One place where the probe must find the key shows that it looks.
    (folder / "decoy").write_text(f"key={KEY}")
    with Provider(script(Step(text="hello")), tmp_path / "provider.jsonl") as provider:
        options = ("--agents-dir", str(tmp_path / "agents"), "--sandbox", sandbox)
        record = run("probe", provider, tmp_path, *options, times=0)
        asked = [line["route"] for line in provider.lines()]
    output = (of(record, tmp_path).session / "output.log").read_text()
    found = json.loads(output.partition("FOUND ")[2].splitlines()[0])
    sockets = [Path(path).name for path in found.pop("sockets")]
    refusals = [found.pop(name) for name in ("wrong secret", "other model", "other provider", "hub", "index")]
    assert found.pop("proxy") == [403, 403, 403, 407]
    decoy = str(folder / "decoy") if sandbox == "local" else "/ptb/agent/decoy"
    assert found == {"keys": [decoy], "listening": [8787, 8788], "reached": [], "named": "", "model": 200}
    assert sockets == ([] if sandbox == "local" else ["api.sock", "egress.sock"])
    assert all(status in REFUSED for status in refusals), refusals
    assert asked == ["anthropic.messages"]
    assert files_with("FOUND", tmp_path / "runs") != []
    assert files_with(KEY, tmp_path / "runs") == []
    assert record["outcome"] == "scored"
