"""A Python index and an npm registry that hold one tiny package, and what a sandbox sets for their clients."""

import base64
import hashlib
import io
import json
import os
import sys
import tarfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

WHEEL_NAME = "tinypack-1.0-py3-none-any.whl"
METADATA = b"Metadata-Version: 2.1\nName: tinypack\nVersion: 1.0\n"


def wheel() -> bytes:
    """A package whose module says 42."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("tinypack.py", "answer = 42\n")
        archive.writestr("tinypack-1.0.dist-info/METADATA", METADATA)
        archive.writestr(
            "tinypack-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("tinypack-1.0.dist-info/RECORD", "tinypack.py,,\ntinypack-1.0.dist-info/RECORD,,\n")
    return content.getvalue()


def tarball() -> bytes:
    """An npm package whose module says 42."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, text in (
            ("package/package.json", '{"name": "tinypack", "version": "1.0.0", "main": "main.js"}'),
            ("package/main.js", "module.exports = 42\n"),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return content.getvalue()


WHEEL, TARBALL = wheel(), tarball()
SHA256 = hashlib.sha256(WHEEL).hexdigest()


@dataclass
class ScriptedIndex:
    """A Python index and an npm registry, which name files on another path of theirs."""

    html: bool = False
    down: bool = False
    damaged: bool = False
    asked: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.raw_path)
        self.tokens.append(request.headers.get("Authorization", ""))
        if self.down:
            return web.Response(status=503)
        match request.path:
            case "/simple/tinypack/":
                return self._page()
            case "/packages/tinypack-1.0-py3-none-any.whl":
                return web.Response(body=WHEEL[:-1] + b"x" if self.damaged else WHEEL)
            case "/packages/tinypack-1.0-py3-none-any.whl.metadata":
                return web.Response(body=METADATA)
            case "/npm/tinypack" | "/npm/@scope/tinypack":
                return self._document(request)
            case "/npm/tinypack/-/tinypack-1.0.0.tgz":
                return web.Response(body=TARBALL)
        return web.Response(status=404)

    def _page(self) -> web.Response:
        digest = hashlib.sha256(METADATA).hexdigest()
        if self.html:
            address = f"../../packages/{WHEEL_NAME}#sha256={SHA256}"
            link = f'<a href="{address}" data-requires-python="&gt;=3.8">{WHEEL_NAME}</a>'
            return web.Response(text=f"<!DOCTYPE html><html><body>{link}</body></html>", content_type="text/html")
        file = {
            "filename": WHEEL_NAME,
            "url": f"../../packages/{WHEEL_NAME}",
            "hashes": {"sha256": SHA256},
            "size": len(WHEEL),
            "core-metadata": {"sha256": digest},
        }
        value = {"meta": {"api-version": "1.1"}, "name": "tinypack", "files": [file], "versions": ["1.0"]}
        return web.Response(body=json.dumps(value), content_type="application/vnd.pypi.simple.v1+json")

    def _document(self, request: web.Request) -> web.Response:
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(TARBALL).digest()).decode()
        dist = {"tarball": f"{request.url.origin()}/npm/tinypack/-/tinypack-1.0.0.tgz", "integrity": integrity}
        one = {"name": "tinypack", "version": "1.0.0", "dist": dist}
        return web.json_response({"name": "tinypack", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": one}})


def environment(folder: Path, own: str) -> dict[str, str]:
    """What the sandbox sets for pip, uv and npm."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": f"{own}/pypi/simple",
        "PIP_NO_CACHE_DIR": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "UV_INDEX_URL": f"{own}/pypi/simple",
        "UV_CACHE_DIR": str(folder / "uv"),
        "npm_config_registry": f"{own}/npm",
    }


PIP = (sys.executable, "-m", "pip", "install", "--target", "to", "tinypack")
