"""A hub that takes commits, for tests of publishing."""

import base64
import json
import os
from typing import Any

import pytest
from aiohttp import web

TOKEN = "hf_token_of_the_test"


class Hub:
    """Repositories that take commits: data sets and Spaces."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.files: dict[str, bytes] = {}
        self.objects: dict[str, bytes] = {}
        self.asked: list[str] = []

    def app(self) -> web.Application:
        app = web.Application(client_max_size=2**26)
        for kind in ("datasets", "spaces"):
            app.router.add_post(f"/api/{kind}/{{org}}/{{name}}/preupload/main", self.modes)
            app.router.add_post(f"/api/{kind}/{{org}}/{{name}}/commit/main", self.commit)
            app.router.add_get(f"/api/{kind}/{{org}}/{{name}}/tree/main", self.tree)
            app.router.add_post(f"/{kind}/{{org}}/{{name}}.git/info/lfs/objects/batch", self.batch)
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

    async def tree(self, request: web.Request) -> web.Response:
        if refused := self.refusal(request):
            return refused
        found = [{"type": "file", "path": name, "size": len(body), "oid": "b"} for name, body in self.files.items()]
        return web.json_response(found)

    async def commit(self, request: web.Request) -> web.Response:
        if refused := self.refusal(request):
            return refused
        for line in (await request.text()).splitlines():
            entry: dict[str, Any] = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                self.files[value["path"]] = base64.b64decode(value["content"])
            if entry["key"] == "deletedFile":
                del self.files[value["path"]]
            if entry["key"] == "lfsFile":
                self.files[value["path"]] = self.objects[value["oid"]]
        address = str(request.url).partition("/commit/")[0].replace("/api/", "/")
        pull = f"{address}/discussions/1" if request.query.get("create_pr") else None
        return web.json_response(
            {
                "success": True,
                "commitOid": "a" * 40,
                "commitUrl": f"{address}/commit/{'a' * 40}",
                "pullRequestUrl": pull,
            }
        )


def logged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the token that the hub knows, and none of the user's settings."""
    for name in [name for name in os.environ if name.startswith(("HF_", "HUGGING", "PTB_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)  # As HF_HUB_DISABLE_XET=1 does.
