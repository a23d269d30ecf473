"""`ptb gc` takes what is ours and expired, and nothing else."""

import datetime
import json
from pathlib import Path

import docker
import pytest
from docking import ENVIRONMENT, LIMITS, OWNER, spec
from driving import ptb

from posttrainbench.sandbox import container, garbage, images
from posttrainbench.sandbox.engine import Engine
from posttrainbench.sandbox.leases import Leases

PAST, FUTURE = "2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z"
NOBODY = 2**22 + 1


def make(engine: Engine, folder: Path, labels: dict[str, str]) -> str:
    """A container that sleeps, with these labels over a session's own."""
    settings = container.session(spec(folder, "true"), images.digests(engine, "cpu")["train"], LIMITS, [], True)
    value = {name: getattr(settings, name) for name in settings.__struct_fields__}
    value |= {"name": None, "command": ["sleep", "60"], "mounts": [], "labels": settings.labels | labels}
    made = engine.create(type(settings)(**value))
    engine.start(made)
    return made


def test_only_own_and_expired_is_removed(engine: Engine, tmp_path: Path) -> None:
    foreign = {"ptb.owner": f"{OWNER}-somebody-else", "ptb.expires": PAST, "ptb.role": "job"}
    kept = [
        make(engine, tmp_path, {"ptb.expires": FUTURE}),
        make(engine, tmp_path, {"ptb.expires": "soon"}),
        make(engine, tmp_path, foreign),
        make(engine, tmp_path, {**foreign, "ptb.process": f"{NOBODY}:1"}),
    ]
    expired = make(engine, tmp_path, {"ptb.expires": PAST})
    client = docker.DockerClient(base_url=engine.address)
    names = {"mine": {"ptb.owner": OWNER, "ptb.expires": PAST}, "theirs": foreign}
    for name, labels in names.items():
        client.networks.create(f"{OWNER}-{name}", internal=True, labels=labels)
        client.volumes.create(f"{OWNER}-{name}", labels=labels)
    try:
        before = json.loads(ptb("gc", "--dry-run", "--json", cwd=tmp_path, **ENVIRONMENT).stdout)
        assert {item["kind"] for item in before} >= {"container", "network", "volume"}
        assert engine.inspect(expired) is not None
        assert json.loads(ptb("gc", "--json", cwd=tmp_path, **ENVIRONMENT).stdout) == before
        assert engine.inspect(expired) is None
        assert [one for one in kept if engine.inspect(one) is None] == []
        assert [row.name for row in client.networks.list(names=[OWNER])] == [f"{OWNER}-theirs"]
        assert [row.name for row in client.volumes.list() if row.name.startswith(OWNER)] == [f"{OWNER}-theirs"]
        assert ptb("gc", cwd=tmp_path, **ENVIRONMENT).stdout == "Nothing to remove.\n"
    finally:
        for one in kept:
            engine.remove(one)
        client.networks.get(f"{OWNER}-theirs").remove()
        client.volumes.get(f"{OWNER}-theirs").remove()


def test_a_session_that_goes_on_without_ptb_is_no_garbage(engine: Engine, tmp_path: Path) -> None:
    soon = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=60)).strftime("%Y-%m-%dT%H:%M:%SZ")
    made = make(engine, tmp_path, {"ptb.process": f"{NOBODY}:1", "ptb.expires": soon})
    try:
        names = [item.name for item in garbage.find(engine, Leases(engine, tmp_path / "leases", list))]
        assert engine.inspect(made) is not None and engine.inspect(made).name not in names  # type: ignore[union-attr]
    finally:
        engine.remove(made)


@pytest.mark.parametrize("verb", ["ps", "gc", "images list"])
def test_without_an_engine_there_is_a_sentence(verb: str, tmp_path: Path) -> None:
    answer = ptb(*verb.split(), cwd=tmp_path, DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert answer.returncode == 4
    assert "No container engine answers" in answer.stderr
    assert "Traceback" not in answer.stderr
