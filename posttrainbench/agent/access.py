"""What an agent may reach: the gateway of its run, as the plan asks for it, and the environment that leads to it."""

import secrets
from collections.abc import Mapping
from pathlib import Path

from posttrainbench.catalog import Api, Hub, HubModel, Wheel
from posttrainbench.errors import MissingError, UsageError
from posttrainbench.folder import RunFolder
from posttrainbench.gateway import API_PORT, EGRESS_PORT, Credential, GatewaySpec
from posttrainbench.plan import Plan
from posttrainbench.strict import read_json

PROVIDERS = {
    "anthropic": ("https://api.anthropic.com", ("ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN")),
    "openai": ("https://api.openai.com", ("OPENAI_API_KEY",)),
    "gemini": ("https://generativelanguage.googleapis.com", ("GEMINI_API_KEY", "GOOGLE_API_KEY")),
}
"""Where each dialect's own provider answers, and the variables that may hold a key for it, by preference."""
OAUTH = "CLAUDE_CODE_OAUTH_TOKEN"
AFTER_SECONDS = 3600.0
"""How long a gateway outlives its session at most, if nobody ends it."""


def needed(plan: Plan) -> bool:
    """Whether the run has a gateway: without one its sandbox has no network at all."""
    return plan.agent.api is not None or plan.protocol.network in ("curated", "open")


def check(plan: Plan) -> None:
    """Raise UsageError where the protocol and the agent contradict each other."""
    if plan.agent.api and plan.protocol.network == "none":
        raise UsageError(
            f"Agent {plan.agent.label} calls a model provider, and protocol {plan.protocol.name} allows no network. "
            "Choose a protocol with network closed, curated or open."
        )
    if (plan.max_usd is not None or plan.max_tokens is not None) and not plan.agent.api:
        raise UsageError(
            f"Agent {plan.agent.label} calls no model provider, so --max-usd and --max-tokens mean nothing."
        )


def credential(plan: Plan, environment: Mapping[str, str]) -> Credential | None:
    """The key for the agent's provider, from the host's environment; None for an agent that calls none. Raises
    MissingError where there is no key."""
    api = plan.agent.api
    if api is None:
        return None
    names = (api.key,) if api.key else PROVIDERS[api.dialect][1]
    for name in names:
        if value := environment.get(name, "").strip():
            return Credential(kind="oauth" if name == OAUTH else "api_key", value=value)
    raise MissingError(
        f"Agent {plan.agent.label} needs a key for its model provider: set {' or '.join(names)}. It stays with the "
        "gateway; no sandbox sees it."
    )


def upstream(api: Api | None, environment: Mapping[str, str]) -> str:
    """Where the provider answers: PTB_ANTHROPIC_URL and the like win, for a proxy of the house."""
    if api is None:
        return ""
    chosen = environment.get(f"PTB_{api.dialect.upper()}_URL") or api.upstream or PROVIDERS[api.dialect][0]
    return chosen.rstrip("/")


def spec(plan: Plan, folder: RunFolder, cache: Path, environment: Mapping[str, str]) -> GatewaySpec | None:
    """What the run's gateway is told; None if it has none. The same secret for as long as the run lasts."""
    if not needed(plan):
        return None
    path = folder.gateway / "gateway.json"
    if path.exists():
        return read_json(path, GatewaySpec)
    network = plan.protocol.network
    return GatewaySpec(
        run=plan.run,
        secret=secrets.token_urlsafe(32),
        api=plan.agent.api,
        upstream=upstream(plan.agent.api, environment),
        network="closed" if network == "none" else network,
        web_tools=plan.protocol.web_tools,
        allow_hosts=plan.protocol.allow_hosts,
        refused_repos=refused(plan),
        refused_packages=refused_packages(plan),
        hub=environment.get("HF_ENDPOINT") or "https://huggingface.co",
        cache=str(cache / "hub"),
        max_usd=plan.max_usd,
        max_tokens=plan.max_tokens,
        seconds=plan.hours * 3600 + plan.protocol.overtime_seconds + plan.protocol.grace_seconds + AFTER_SECONDS,
    )


def refused(plan: Plan) -> list[str]:
    """Hub repositories that the run may not fetch: those of the test split, and the base model's instruct sibling."""
    repos = [source.repo for source in plan.task.data.values() if isinstance(source, Hub)] + plan.task.refused
    siblings = [plan.model.instruct.repo] if isinstance(plan.model.instruct, HubModel) else []
    return sorted({*repos, *siblings})


def refused_packages(plan: Plan) -> list[str]:
    """Python packages that the run may not fetch: those that hold the test split."""
    own = [source.package for source in plan.task.data.values() if isinstance(source, Wheel)]
    return sorted({*own, *plan.task.refused_packages})


def environment(plan: Plan, spec: GatewaySpec | None) -> dict[str, str]:
    """What tells libraries and tools in the sandbox where the hub, the package indexes and the proxy are."""
    if spec is None or spec.network == "closed":
        return {"HF_HUB_OFFLINE": "1"}
    gateway = f"http://127.0.0.1:{API_PORT}"
    proxy = f"http://run:{spec.secret}@127.0.0.1:{EGRESS_PORT}"
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    return {
        "HF_ENDPOINT": f"{gateway}/hub",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_INDEX_URL": f"{gateway}/pypi/simple/",
        "UV_INDEX_URL": f"{gateway}/pypi/simple/",
        "npm_config_registry": f"{gateway}/npm/",
        **{variant: proxy for name in names for variant in (name, name.lower())},
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }


def values(plan: Plan, spec: GatewaySpec | None) -> dict[str, str]:
    """What stands for `{gateway}`, `{secret}` and `{api_model}` in the agent's command and environment."""
    if spec is None:
        return {}
    model = plan.agent.api.model if plan.agent.api else ""
    return {"gateway": f"http://127.0.0.1:{API_PORT}", "secret": spec.secret, "api_model": model}
