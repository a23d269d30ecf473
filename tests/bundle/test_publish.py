"""Publishing: the real client of the hub against a server that speaks what it asks."""

import base64
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import bundling
import pytest
from aiohttp import web
from serving import served

from posttrainbench import bundle
from posttrainbench.bundle import publishing
from posttrainbench.cli import main
from posttrainbench.errors import MissingError, UsageError

TOKEN = "hf_token_of_the_test"


class Hub:
    """A dataset repository that takes commits."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.files: dict[str, bytes] = {}
        self.objects: dict[str, bytes] = {}
        self.asked: list[str] = []

    def app(self) -> web.Application:
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/api/datasets/{org}/{name}/preupload/main", self.modes)
        app.router.add_post("/api/datasets/{org}/{name}/commit/main", self.commit)
        app.router.add_post("/datasets/{org}/{name}.git/info/lfs/objects/batch", self.batch)
        app.router.add_put("/objects/{oid}", self.put)
        return app

    def refusal(self, request: web.Request) -> web.Response | None:
        self.asked.append(f"{request.method} {request.path_qs}")
        if request.match_info["name"] == "absent":
            return web.Response(status=404, headers={"X-Error-Code": "RepoNotFound"})
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.Response(status=403, text="no")
        return None

    async def modes(self, request: web.Request) -> web.Response:
        if refused := self.refusal(request):
            return refused
        files = (await request.json())["files"]
        return web.json_response(
            {"files": [{"path": one["path"], "uploadMode": self.mode, "shouldIgnore": False} for one in files]}
        )

    async def batch(self, request: web.Request) -> web.Response:
        if refused := self.refusal(request):
            return refused
        asked = (await request.json())["objects"]
        objects = [
            {**one, "actions": {"upload": {"href": f"{request.url.origin()}/objects/{one['oid']}"}}} for one in asked
        ]
        return web.json_response({"transfer": "basic", "objects": objects})

    async def put(self, request: web.Request) -> web.Response:
        self.objects[request.match_info["oid"]] = await request.read()
        return web.Response()

    async def commit(self, request: web.Request) -> web.Response:
        if refused := self.refusal(request):
            return refused
        for line in (await request.text()).splitlines():
            entry: dict[str, Any] = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                self.files[value["path"]] = base64.b64decode(value["content"])
            if entry["key"] == "lfsFile":
                self.files[value["path"]] = self.objects[value["oid"]]
        address = f"{request.url.origin()}/datasets/org/results"
        pull = f"{address}/discussions/1" if request.query.get("create_pr") else None
        return web.json_response(
            {
                "success": True,
                "commitOid": "a" * 40,
                "commitUrl": f"{address}/commit/{'a' * 40}",
                "pullRequestUrl": pull,
            }
        )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "made-run.ptb.tar.gz"
    bundle.seal(bundling.sealed(tmp_path / "run"), path, environment={})
    return path


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("HF_", "HUGGING", "PTB_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)  # As HF_HUB_DISABLE_XET=1 does.


@pytest.mark.parametrize("mode", ["regular", "lfs"])
def test_the_very_bytes_arrive(mode: str, file: Path) -> None:
    hub = Hub(mode)
    with served(hub.app()) as address:
        where = publishing.push(file, file.name, "org/results", pull_request=False, endpoint=address)
    assert where.endswith("/datasets/org/results/commit/" + "a" * 40)
    assert hub.files == {"bundles/made-run.ptb.tar.gz": file.read_bytes()}
    assert all(hashlib.sha256(body).hexdigest() == oid for oid, body in hub.objects.items())


def test_it_can_be_proposed_instead(file: Path) -> None:
    hub = Hub("regular")
    with served(hub.app()) as address:
        where = publishing.push(file, file.name, "org/results", pull_request=True, endpoint=address)
    assert where.endswith("/discussions/1")
    assert all("create_pr=1" in one for one in hub.asked)


def test_a_hub_that_refuses_is_a_sentence(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(Hub("regular").app()) as address:
        with pytest.raises(UsageError, match="knows no dataset org/absent"):
            publishing.push(file, file.name, "org/absent", pull_request=False, endpoint=address)
        monkeypatch.setenv("HF_TOKEN", "hf_another")
        with pytest.raises(UsageError, match="does not let this token write to org/results"):
            publishing.push(file, file.name, "org/results", pull_request=False, endpoint=address)


def test_a_hub_that_breaks_off_is_a_sentence(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", False)  # Of which this hub knows nothing.
    with served(Hub("lfs").app()) as address, pytest.raises(MissingError, match="did not take the bundle"):
        publishing.push(file, file.name, "org/results", pull_request=False, endpoint=address)


def test_without_a_token_nothing_is_sent(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(file.parent / "none"))
    with pytest.raises(MissingError, match="HF_TOKEN"):
        publishing.push(file, file.name, "org/results", pull_request=False, endpoint="http://127.0.0.1:9")


def test_without_the_library_it_says_what_to_install(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingError, match="pip install"):
        publishing.push(file, file.name, "org/results", pull_request=False)


def test_what_is_refused_is_not_published(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file.write_bytes(file.read_bytes()[:-1])
    assert main(["publish", str(file), "--repo", "org/results"]) == 7
    assert "is not published" in capsys.readouterr().err
    assert main(["publish", str(file), "--repo", "no repo"]) in (2, 7)
    with pytest.raises(UsageError, match="org/name"):
        publishing.push(file, file.name, "no repo", pull_request=False)
