"""The session of a plan: the command with its folders filled in, the environment, and the limits."""

import re
from pathlib import Path

from posttrainbench.agent import access, prompt
from posttrainbench.agent.workspace import CONTINUE, PROMPT
from posttrainbench.folder import RunFolder
from posttrainbench.gateway import API_PORT, EGRESS_PORT, GatewaySpec
from posttrainbench.plan import Plan
from posttrainbench.sandbox import SessionSpec, absolute
from posttrainbench.strict import read_json

PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


def spec(
    plan: Plan,
    folder: RunFolder,
    model: Path,
    sandbox_python: str,
    gateway: GatewaySpec | None = None,
    installed: Path | None = None,
) -> SessionSpec:
    """What the sandbox is asked to run. `gateway`: what the run's gateway was told, if it has one; `installed`: where
    the agent's program lies, if it brings one. Nothing is read from the workspace, which a running agent may have
    changed."""
    workspace, bench, base = absolute(folder.workspace), absolute(folder.bench), absolute(model)
    values = {
        "python": sandbox_python,
        "agent": absolute(Path(plan.agent.folder)),
        "model": base,
        "workspace": workspace,
        "bench": bench,
        "prompt_file": f"{workspace}/{PROMPT}",
        "home": absolute(folder.home),
        "prompt": prompt.render(plan, folder.bench),
        **access.values(plan, gateway),
    }
    if installed:
        values["installed"] = absolute(installed)
        values["program"] = f"{values['installed']}/{plan.agent.install.program if plan.agent.install else ''}"
    env = {
        **access.environment(plan, gateway),
        **dict(zip(plan.agent.env, filled(list(plan.agent.env.values()), values), strict=True)),
        **({"PTB_LLM": values["installed"]} if "sdks" in plan.agent.needs and installed else {}),
        "PTB_WORKSPACE": workspace,
        "PTB_BENCH": bench,
        "PTB_MODEL": base,
        "PTB_PROMPT_FILE": values["prompt_file"],
        **({"PTB_CONTINUE_FILE": f"{workspace}/{CONTINUE}"} if plan.agent.resume_command else {}),
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
        gateway=f"{absolute(folder.gateway)}/sockets" if gateway else "",
        relays=relays(folder) if gateway else {},
        installed=values.get("installed", ""),
        command=filled(plan.agent.command, values),
        resume_command=filled(plan.agent.resume_command, values),
        env=env,
        seconds=plan.hours * 3600,
        overtime_seconds=plan.protocol.overtime_seconds,
        grace_seconds=plan.protocol.grace_seconds,
        max_output_bytes=int(plan.protocol.max_output_mb * 1e6),
        max_disk_bytes=int(plan.protocol.max_disk_gb * 1e9),
        early_stop_times=early.times if early.policy == "continue" else 0,
        early_stop_seconds_left=early.minutes_left * 60,
        gpus=plan.cards,
    )


def relays(folder: RunFolder) -> dict[str, str]:
    """Where the sandbox's ports lead: the gateway's sockets."""
    sockets = f"{absolute(folder.gateway)}/sockets"
    return {str(API_PORT): f"{sockets}/api.sock", str(EGRESS_PORT): f"{sockets}/egress.sock"}


def stored(folder: RunFolder) -> SessionSpec | None:
    """The spec that a sandbox was started with; None before that."""
    path = folder.session / "spec.json"
    return read_json(path, SessionSpec) if path.exists() else None


def filled(command: list[str], values: dict[str, str]) -> list[str]:
    """The command with each `{name}` replaced, in one pass, so that braces in a value stay as they are."""
    return [PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), part) for part in command]
