"""What a container is made of, without an engine."""

import os
import re
import tomllib
from pathlib import Path

import pytest
from docking import LIMITS, job, spec

from posttrainbench.errors import MissingError, UsageError
from posttrainbench.sandbox import container, docker_job, images, kinds
from posttrainbench.sandbox.container import Limits
from posttrainbench.sandbox.engine import Engine

ROOT = Path(__file__).parents[2]


def test_host_paths_are_moved_wherever_a_word_holds_one(tmp_path: Path) -> None:
    command = ["python", f"{tmp_path}/agent/main.py", f"x <{tmp_path}/agent; y", "/ptb", f"/old{tmp_path}/agent"]
    env = {"A": f"{tmp_path}/bench", "B": f"{tmp_path}/benches", "C": f"{tmp_path}/tmp/x"}
    of = spec(tmp_path, "true", command=command, env=env)
    inside = container.inside(of, ["GPU-1"], pretended=True)
    kept = f"/old{tmp_path}/agent"
    assert inside["command"][-5:] == ["python", "/ptb/agent/main.py", "x </ptb/agent; y", "/ptb", kept]
    assert [inside["env"][name] for name in "ABC"] == ["/ptb/bench", f"{tmp_path}/benches", "/tmp/x"]
    assert inside["env"]["CUDA_VISIBLE_DEVICES"] == "GPU-1"
    assert (inside["workspace"], inside["session"]) == ("/ptb/workspace", "/ptb/session")
    assert inside["resume_command"] == []


def test_two_folders_never_share_a_container_and_one_keeps_its_own(tmp_path: Path) -> None:
    one, other = spec(tmp_path / "one", "true", run="a b/ü"), spec(tmp_path / "other", "true", run="a b/ü")
    assert container.name(one) == container.name(one) != container.name(other)
    assert container.name(one).startswith("ptb-a_b_")


def test_a_session_is_confined(tmp_path: Path) -> None:
    made = container.session(spec(tmp_path, "true"), "image", LIMITS, [], pretended=False)
    assert {mount.target for mount in made.mounts if mount.writable} == {
        "/ptb/workspace", "/ptb/home", "/tmp", "/ptb/session"
    }  # fmt: skip
    assert set(made.capabilities) - {"DAC_OVERRIDE", "SYS_RESOURCE"} == {"SETUID", "SETGID", "KILL", "DAC_READ_SEARCH"}


def test_a_job_has_no_capability_and_no_network(tmp_path: Path) -> None:
    made = container.job(job(tmp_path, "true"), "image", LIMITS, ["GPU-1"], pretended=False, run="r", user=1234)
    assert (made.capabilities, made.user, made.gpus) == ([], "1234:1234", ["GPU-1"])
    assert {mount.target: mount.writable for mount in made.mounts} == {
        str(tmp_path / "read"): False,
        str(tmp_path / "write"): True,
    }


def test_only_a_dead_ptb_makes_an_orphan() -> None:
    labels = container.labels("r", "job", 1)
    assert not container.is_orphan(labels)
    assert container.is_orphan({**labels, "ptb.process": f"{os.getpid()}:1"})
    assert not container.is_orphan({**labels, "ptb.role": "session", "ptb.process": f"{os.getpid()}:1"})
    assert not container.is_orphan({})


def test_limits_come_from_the_environment_or_most_of_the_host() -> None:
    assert 0.8e9 < Limits.of_host(10**9).memory_bytes < 0.9e9
    os.environ["PTB_PIDS"] = "none"
    try:
        with pytest.raises(UsageError, match="PTB_PIDS=none is not a limit"):
            Limits.of_host(10**9)
    finally:
        del os.environ["PTB_PIDS"]


def test_frames_are_taken_apart_wherever_they_are_cut() -> None:
    stream = b"".join(bytes([1, 0, 0, 0]) + len(part).to_bytes(4, "big") + part for part in (b"one", b"", b"t" * 300))
    for step in (1, 3, 8, 1000):
        frames = docker_job._Frames()
        found = [part for at in range(0, len(stream), step) for part in frames.take(stream[at : at + step])]
        assert b"".join(found) == b"one" + b"t" * 300


def test_the_images_hold_the_versions_that_the_local_extra_does() -> None:
    pins = images.pins()
    pinned = dict(line.split("==") for line in [*pins.eval, *pins.train])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for line in project["optional-dependencies"]["local"]:
        name, exact, version = line.partition("==")
        if exact:
            assert pinned[name] == version
        else:
            assert line.partition(">=")[0] in pinned
    assert all("==" in line for variant in pins.variants.values() for line in [*variant.extra, *variant.instead])


def test_a_variant_s_own_pins_take_the_place_of_the_common_ones() -> None:
    cpu, cuda = images.requirements("cpu"), images.requirements("cuda")
    other = {images.package(line): line for line in cuda["eval"]} | {"vllm": ""}
    assert "torch==2.14.0" in cuda["eval"] and "torch==2.13.0" in cpu["eval"]
    assert [images.package(line) for line in cuda["eval"]] == [*map(images.package, cpu["eval"]), "vllm"]
    assert len(other) == len(cuda["eval"])
    assert cuda["train"] == cpu["train"]


def test_the_base_of_the_variant_for_published_runs_is_a_digest() -> None:
    assert re.search(r"@sha256:[0-9a-f]{64}$", images.pins().variants["cuda"].base)


def test_what_is_asked_of_no_engine_is_a_sentence(tmp_path: Path) -> None:
    for address in (f"unix://{tmp_path}/none.sock", "tcp://127.0.0.1:9"):
        with pytest.raises(MissingError, match=r"No container engine answers at .*Start Docker"):
            Engine(address).version()


def test_an_unknown_kind_or_variant_is_a_sentence() -> None:
    with pytest.raises(UsageError, match="Known: docker, local"):
        kinds.open_sandbox("cloud")
    with pytest.raises(UsageError, match="Known: cpu, cuda"):
        images.chosen_variant("tpu")
