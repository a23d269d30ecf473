"""What an agent may reach, and what tells it so."""

from pathlib import Path

import factory
import pytest

from posttrainbench.agent import access, session
from posttrainbench.catalog import Api, Hub, HubModel, Model, Npm, RandomModel, Wheel
from posttrainbench.errors import MissingError, UsageError
from posttrainbench.folder import RunFolder
from posttrainbench.gateway import Credential, GatewaySpec
from posttrainbench.plan import Plan
from posttrainbench.strict import write_json

API = Api(dialect="anthropic", model="big-1")
HOST = {"ANTHROPIC_API_KEY": " real ", "HF_TOKEN": "hub"}


def plan(folder: Path, network: str = "curated", **changes: object) -> Plan:
    agent = factory.agent(folder, **{"api": API, **changes})
    return factory.plan(folder, agent=agent, protocol=factory.protocol(network=network))


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")


def told(one: Plan, folder: RunFolder) -> GatewaySpec:
    found = access.spec(one, folder, folder.path / "cache", HOST)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("network", "api", "needed"),
    [
        ("none", None, False),
        ("closed", None, False),
        ("closed", API, True),
        ("curated", None, True),
        ("open", None, True),
    ],
)
def test_a_run_has_a_gateway_where_something_may_pass(
    tmp_path: Path, network: str, api: Api | None, needed: bool
) -> None:
    assert access.needed(plan(tmp_path, network, api=api)) is needed


def test_a_protocol_without_a_network_and_an_agent_with_a_model_contradict_each_other(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="allows no network"):
        access.check(plan(tmp_path, "none"))
    access.check(plan(tmp_path, "closed"))


def test_a_budget_needs_an_agent_that_spends(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--max-usd"):
        access.check(factory.plan(tmp_path, max_usd=1.0))


@pytest.mark.parametrize(
    ("api", "host", "kind", "value"),
    [
        (API, HOST, "api_key", "real"),
        (API, {"CLAUDE_CODE_OAUTH_TOKEN": "login"}, "oauth", "login"),
        (Api(dialect="gemini", model="g"), {"GOOGLE_API_KEY": "g"}, "api_key", "g"),
        (Api(dialect="openai", model="q", key="HOUSE_KEY"), {"HOUSE_KEY": "h", "OPENAI_API_KEY": "o"}, "api_key", "h"),
    ],
)
def test_where_a_key_comes_from(tmp_path: Path, api: Api, host: dict[str, str], kind: str, value: str) -> None:
    assert access.credential(plan(tmp_path, api=api), host) == Credential(kind=kind, value=value)


def test_an_agent_without_a_model_needs_no_key(tmp_path: Path) -> None:
    assert access.credential(plan(tmp_path, api=None), HOST) is None


def test_a_missing_key_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="set ANTHROPIC_API_KEY or CLAUDE_CODE_OAUTH_TOKEN"):
        access.credential(plan(tmp_path), {"ANTHROPIC_API_KEY": ""})


def test_the_host_may_name_another_provider(tmp_path: Path, folder: RunFolder) -> None:
    assert told(plan(tmp_path), folder).upstream == "https://api.anthropic.com"
    assert access.upstream(API, {"PTB_ANTHROPIC_URL": "http://house/"}) == "http://house"


def test_the_secret_stays_the_same_for_a_run_and_is_no_key(tmp_path: Path, folder: RunFolder) -> None:
    first = told(plan(tmp_path), folder)
    write_json(folder.gateway / "gateway.json", first)
    assert told(plan(tmp_path), folder) == first
    assert told(plan(tmp_path), RunFolder(tmp_path / "other")).secret != first.secret
    assert "real" not in repr(first)


def test_test_sets_and_instruct_models_are_refused(tmp_path: Path) -> None:
    source = Hub(repo="org/questions", revision="1", path="x")
    model = Model(name="m", source=RandomModel(), instruct=HubModel(repo="org/m-it", revision="2"))
    task = factory.task(data={"test": source}, refused=["copy/questions"])
    assert access.refused(factory.plan(tmp_path, task=task, model=model)) == [
        "copy/questions",
        "org/m-it",
        "org/questions",
    ]


def test_packages_that_hold_the_test_set_are_refused(tmp_path: Path, folder: RunFolder) -> None:
    source = Wheel(package="questions", version="1", sha256="0")
    task = factory.task(data={"wheel": source}, refused_packages=["copy-of-questions"])
    one = factory.plan(tmp_path, task=task, protocol=factory.protocol(network="curated"))
    assert told(one, folder).refused_packages == ["copy-of-questions", "questions"]


def test_the_agent_gets_the_secret_and_never_the_key(tmp_path: Path, folder: RunFolder) -> None:
    one = plan(
        tmp_path,
        command=["sh", "-c", "exec {program} --model {api_model}"],
        env={"ANTHROPIC_BASE_URL": "{gateway}/anthropic", "ANTHROPIC_API_KEY": "{secret}"},
        install=Npm(package="p", version="1", program="bin/p"),
    )
    gateway = told(one, folder)
    spec = session.spec(one, folder, tmp_path / "model", "/py", gateway, tmp_path / "cli")
    assert spec.command == ["sh", "-c", f"exec {tmp_path}/cli/bin/p --model big-1"]
    assert spec.env["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:8787/anthropic"
    assert spec.env["ANTHROPIC_API_KEY"] == gateway.secret
    assert spec.env["HF_ENDPOINT"] == "http://127.0.0.1:8787/hub"
    assert spec.relays["8787"] == f"{spec.gateway}/api.sock" == f"{folder.path}/gateway/sockets/api.sock"
    assert "real" not in repr(spec)


def test_under_a_closed_network_nothing_leads_to_the_hub(tmp_path: Path, folder: RunFolder) -> None:
    one = plan(tmp_path, "closed")
    assert access.environment(one, told(one, folder)) == {"HF_HUB_OFFLINE": "1"}
