"""Writes a cell (base model × task, under a protocol) as a Harbor task, whose verifier has an environment of its own.

The agent's image holds the base model, the development split and its scorer; the test split is in the verifier's image
alone, where Harbor brings `final_model` as an artifact. What of ptb is lost on the way: the gateway (budgets, metering,
the refusal of test sets and instruct siblings), the clock that nobody can move, freezing, the integrity checks, and the
base model's own score.
"""

import json
import shlex
import shutil
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from posttrainbench.agent import prompt
from posttrainbench.catalog import HubModel
from posttrainbench.errors import UsageError
from posttrainbench.evaluation import bench
from posttrainbench.plan import Plan
from posttrainbench.sandbox import images
from posttrainbench.strict import digest_value, disk, write_bytes

SCHEMA = "1.4"
ROOT, WORKSPACE = "/ptb", "/workspace"
BUILD_SECONDS = 3600
VERIFIER_SECONDS = 12 * 3600
MEMORY_MB, STORAGE_MB = 16_384, 102_400
IN_HARBOR = """
## Here, in Harbor

This is a task of PostTrainBench's `ptb`, run by Harbor. Where the text above says otherwise, this holds: {network}; no
repository is mirrored or refused, so rule 1 and rule 2 are yours to keep. `timer.py` counts from the container's start,
so you have at least what it prints. Your working folder is `{workspace}`.
"""


def write_task(
    plan: Plan,
    out: Path,
    *,
    splits: Mapping[str, Sequence[Mapping[str, Any]]],
    task_folder: Path,
    chat_template: str | None,
    library: Path | None,
    model: Path | None,
    variant: str,
) -> None:
    """Write the task's folder, which must not exist yet. `model`: the base model's folder, copied into the build; None
    for one of the hub, which the build fetches at its pinned revision. `variant`: of ptb's images, whose pins are
    installed."""
    if out.exists():
        raise UsageError(f"{out} exists already; give --out a folder that is to be made.")
    agent, tests = out / "environment", out / "tests"
    given: dict[str, Any] = {"chat_template": chat_template, "library": library}
    given |= {"shots": plan.shots, "decoding_from": plan.protocol.decoding}
    bench.lay(plan.task, task_folder, splits, agent / "bench", split="dev", limit=plan.protocol.dev_limit, **given)
    bench.lay(plan.task, task_folder, splits, tests / "bench", split="test", limit=plan.limit, **given)
    if model is not None:
        with disk("copy the base model"):
            shutil.copytree(model, agent / "model")
    workspace = agent / "workspace"
    write_bytes(workspace / "evaluate.py", _ours("posttrainbench.agent", "evaluate.py"))
    write_bytes(workspace / "timer.py", _ours("posttrainbench.harbor", "timer.py"))
    network = "there is no network" if _network(plan) == "no-network" else "the network is open"
    text = prompt.render(plan, agent / "bench") + IN_HARBOR.format(network=network, workspace=WORKSPACE)
    write_bytes(out / "instruction.md", text.encode())
    write_bytes(workspace / "prompt.md", text.encode())
    write_bytes(agent / "Dockerfile", _agent_image(plan, variant, model is not None).encode())
    write_bytes(tests / "Dockerfile", _verifier_image(variant).encode())
    write_bytes(tests / "verify.py", _ours("posttrainbench.harbor", "verify.py"))
    checkpoint = f"{WORKSPACE}/final_model"
    command = f"/opt/venv/bin/python /tests/verify.py {checkpoint} /tests/bench /logs/verifier {plan.backend}"
    write_bytes(tests / "test.sh", f"#!/bin/bash\nexec {command}\n".encode())
    # The untouched base model: what doing nothing is worth.
    write_bytes(out / "solution" / "solve.sh", f'#!/bin/bash\ncp -r "$PTB_MODEL" {checkpoint}\n'.encode())
    for script in (tests / "test.sh", out / "solution" / "solve.sh"):
        script.chmod(0o755)
    write_bytes(out / "task.toml", _config(plan, variant, digest_value(splits["test"])).encode())


def _config(plan: Plan, variant: str, test: str) -> str:
    protocol, task = plan.protocol, plan.task
    name = f"posttrainbench/{_word(task.name)}-{_word(plan.model.name)}"
    machine = f"gpus = {protocol.gpus}\nmemory_mb = {MEMORY_MB}\nstorage_mb = {STORAGE_MB}\n"
    return f"""\
schema_version = "{SCHEMA}"
artifacts = ["{WORKSPACE}/final_model"]

[task]
name = {_text(name)}
description = {_text(f"Post-train {plan.model.name} for {task.title or task.name}; the reward is the test score.")}
keywords = ["post-training", {_text(task.name)}]

[metadata]
ptb = {_text(plan.ptb)}
model = {_text(plan.model.name)}
task = {_text(task.name)}
task_version = {task.version}
task_digest = {_text(plan.task_digest)}
test_digest = {_text(test)}
protocol = {_text(protocol.name)}
protocol_version = {protocol.version}
metric = {_text(task.metric)}
images = {_text(variant)}
licence = {_text(task.licence)}

[agent]
timeout_sec = {plan.hours * 3600:.1f}

[verifier]
environment_mode = "separate"
timeout_sec = {VERIFIER_SECONDS:.1f}

[verifier.environment]
build_timeout_sec = {BUILD_SECONDS:.1f}
network_mode = "no-network"
{machine}
[environment]
build_timeout_sec = {BUILD_SECONDS:.1f}
network_mode = "{_network(plan)}"
workdir = "{WORKSPACE}"
{machine}"""


def _network(plan: Plan) -> str:
    """Harbor has no gateway: what ptb lets through by name is a whole network here."""
    return "no-network" if plan.protocol.network in ("none", "closed") else "public"


def _agent_image(plan: Plan, variant: str, has_folder: bool) -> str:
    lines = [_image(variant, ["eval", "train"])]
    if has_folder:
        lines.append(f"COPY model {ROOT}/model")
    else:
        source = plan.model.source
        if not isinstance(source, HubModel):
            raise UsageError(f"The model {plan.model.name} is not of the hub, so its folder must be in the task.")
        what = f"{json.dumps(source.repo)}, revision={json.dumps(source.revision)}, local_dir='{ROOT}/model'"
        python = f"from huggingface_hub import snapshot_download; snapshot_download({what})"
        lines.append(f"RUN /opt/venv/bin/python -c {shlex.quote(python)}")
    lines += [
        f"COPY bench {ROOT}/bench",
        f"COPY workspace {WORKSPACE}",
        f"ENV PTB_MODEL={ROOT}/model PTB_BENCH={ROOT}/bench PTB_WORKSPACE={WORKSPACE} PTB_HOURS={plan.hours:g}",
        f"WORKDIR {WORKSPACE}",
    ]
    return "\n".join(lines) + "\n"


def _verifier_image(variant: str) -> str:
    return f"{_image(variant, ['eval'])}\nCOPY . /tests\n"


def _image(variant: str, kinds: list[str]) -> str:
    """The libraries of our images, from the same pins."""
    pins = images.pins()
    chosen, wanted = pins.variants[variant], images.requirements(variant)
    packages = " ".join([*pins.python, *chosen.apt, *(pins.tools if "train" in kinds else [])])
    lines = [
        f"FROM {chosen.base}",
        "RUN apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "
        f"{packages} && rm -rf /var/lib/apt/lists/*",
        "RUN python3 -m venv /opt/venv",
    ]
    for kind in kinds:
        named = " ".join(f"'{line}'" for line in wanted[kind])
        lines.append(f"RUN /opt/venv/bin/pip install -q --no-cache-dir --disable-pip-version-check {named}")
    lines.append("ENV PATH=/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    return "\n".join(lines)


def _ours(package: str, name: str) -> bytes:
    return resources.files(package).joinpath("files", name).read_bytes()


def _text(value: str) -> str:
    """A string as TOML and JSON both write it."""
    return json.dumps(value)


def _word(name: str) -> str:
    kept = "".join(char if char.isalnum() and char.isascii() else "-" for char in name.lower())
    return kept.strip("-") or "x"
