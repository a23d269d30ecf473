"""The session of a plan: the command with its folders filled in, the environment, and the limits."""

import re
from pathlib import Path

from posttrainbench.agent import prompt
from posttrainbench.agent.workspace import PROMPT
from posttrainbench.folder import RunFolder
from posttrainbench.plan import Plan
from posttrainbench.sandbox import SessionSpec, absolute
from posttrainbench.strict import read_json

PLACEHOLDER = re.compile(r"\{(python|agent|model|workspace|bench|prompt_file|prompt)\}")


def spec(plan: Plan, folder: RunFolder, model: Path, sandbox_python: str) -> SessionSpec:
    """What the sandbox is asked to run. Nothing is read from the workspace, which a running agent may have changed."""
    workspace, bench, base = absolute(folder.workspace), absolute(folder.bench), absolute(model)
    values = {
        "python": sandbox_python,
        "agent": absolute(Path(plan.agent.folder)),
        "model": base,
        "workspace": workspace,
        "bench": bench,
        "prompt_file": f"{workspace}/{PROMPT}",
        "prompt": prompt.render(plan, folder.bench),
    }
    env = {
        **plan.agent.env,
        **({"HF_HUB_OFFLINE": "1"} if plan.protocol.network == "none" else {}),
        "PTB_WORKSPACE": workspace,
        "PTB_BENCH": bench,
        "PTB_MODEL": base,
        "PTB_PROMPT_FILE": values["prompt_file"],
        "PTB_SEED": str(plan.seed),
        "PTB_HOURS": f"{plan.hours:g}",
    }
    early = plan.protocol.early_stop
    return SessionSpec(
        run=plan.run,
        session=absolute(folder.session),
        workspace=workspace,
        bench=bench,
        model=base,
        agent=values["agent"],
        home=absolute(folder.home),
        tmp=absolute(folder.tmp),
        command=filled(plan.agent.command, values),
        resume_command=filled(plan.agent.resume_command, values),
        env=env,
        seconds=plan.hours * 3600,
        grace_seconds=plan.protocol.grace_seconds,
        max_output_bytes=int(plan.protocol.max_output_mb * 1e6),
        max_disk_bytes=int(plan.protocol.max_disk_gb * 1e9),
        early_stop_times=early.times if early.policy == "continue" else 0,
        early_stop_seconds_left=early.minutes_left * 60,
        network=plan.protocol.network,
        gpus=plan.protocol.gpus,
    )


def stored(folder: RunFolder) -> SessionSpec | None:
    """The spec that a sandbox was started with; None before that."""
    path = folder.session / "spec.json"
    return read_json(path, SessionSpec) if path.exists() else None


def filled(command: list[str], values: dict[str, str]) -> list[str]:
    """The command with each `{name}` replaced, in one pass, so that braces in a value stay as they are."""
    return [PLACEHOLDER.sub(lambda match: values[match[1]], part) for part in command]
