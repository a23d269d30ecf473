import base64
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from serving import served, with_session

from posttrainbench.gateway import package_index
from posttrainbench.gateway.package_links import Links
from posttrainbench.gateway.refusal import RefusedError
from posttrainbench.gateway.registries import npm_registry, python_index
from posttrainbench.gateway.spec import GatewaySpec
from posttrainbench.gateway.traffic import PackageFetch, package_fetches

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


def spec_of(folder: Path, **more: Any) -> GatewaySpec:
    words = {"network": "curated", **more}
    return GatewaySpec(run="r", secret="s", api=None, web_tools=False, cache=str(folder / "cache"), seconds=60, **words)


@contextmanager
def gateway(folder: Path, index: ScriptedIndex, login: str = "", **more: Any) -> Iterator[str]:
    """Address of a gateway whose host uses that index."""
    with served(index.application()) as upstream:
        upstream = upstream.replace("http://", f"http://{login}")

        async def python() -> str:
            return f"{upstream}/simple"

        async def npm() -> str:
            return f"{upstream}/npm"

        routes = package_index.routes
        with served(
            with_session(lambda sessions: routes(spec_of(folder, **more), folder, sessions, python, npm))
        ) as own:
            yield own


def fetch(address: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
    """A plain request: status and body."""
    asked = urllib.request.Request(address, method=method, headers=headers)
    try:
        with urllib.request.urlopen(asked, timeout=30) as got:
            return got.status, got.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


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


def run(folder: Path, own: str, *words: str) -> str:
    """What a program printed that was run as in the sandbox."""
    done = subprocess.run(words, env=environment(folder, own), cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def said_by(folder: Path) -> str:
    """What the installed Python package says."""
    return run(
        folder,
        "",
        sys.executable,
        "-c",
        f"import sys; sys.path[:0] = [{str(folder / 'to')!r}]; import tinypack; print(tinypack.answer)",
    )


PIP = (sys.executable, "-m", "pip", "install", "--target", "to", "tinypack")


@pytest.mark.parametrize("html", [False, True])
def test_pip_installs_through_the_gateway(tmp_path: Path, html: bool) -> None:
    with gateway(tmp_path, ScriptedIndex(html=html)) as own:
        run(tmp_path, own, *PIP)
    assert said_by(tmp_path) == "42\n"


@pytest.mark.parametrize("html", [False, True])
def test_uv_installs_through_the_gateway(tmp_path: Path, html: bool) -> None:
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is None:
        pytest.skip("uv is not installed")
    with gateway(tmp_path, ScriptedIndex(html=html)) as own:
        run(tmp_path, own, uv, "pip", "install", "--python", sys.executable, "--target", "to", "tinypack")
    assert said_by(tmp_path) == "42\n"


def test_npm_installs_through_the_gateway(tmp_path: Path) -> None:
    if not shutil.which("npm"):
        pytest.skip("npm is not installed")
    index = ScriptedIndex()
    with gateway(tmp_path, index) as own:
        run(tmp_path, own, "npm", "install", "tinypack", "--no-fund")
    assert (tmp_path / "node_modules/tinypack/main.js").read_text() == "module.exports = 42\n"
    assert [path for path in index.asked if "advisories" in path or "audit" in path] == []


def test_a_damaged_wheel_is_not_installed(tmp_path: Path) -> None:
    with gateway(tmp_path, ScriptedIndex(damaged=True)) as own:
        done = subprocess.run(PIP, env=environment(tmp_path, own), cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, (tmp_path / "to").exists()) == (1, False)


def test_the_log_names_package_and_file(tmp_path: Path) -> None:
    with gateway(tmp_path, ScriptedIndex()) as own:
        run(tmp_path, own, *PIP)
        run(tmp_path, own, *PIP, "--upgrade")
    lines = package_fetches(tmp_path / "packages.jsonl")
    assert {(one.index, one.package, one.status, one.refused) for one in lines} == {("pypi", "tinypack", 200, "")}
    assert [(one.bytes, one.cached) for one in lines if one.file == WHEEL_NAME] == [
        (len(WHEEL), False),
        (len(WHEEL), True),
    ]


def test_links_are_good_after_a_restart(tmp_path: Path) -> None:
    index = ScriptedIndex()
    with gateway(tmp_path, index) as own:
        _, page = fetch(f"{own}/pypi/simple/tinypack/", Accept="application/vnd.pypi.simple.v1+json")
        named = Links.of(tmp_path).read(json.loads(page)["files"][0]["url"].split("/")[3])
    assert Links.of(tmp_path).read(Links.of(tmp_path).sign(named).split("/")[0]) == named


@pytest.mark.parametrize(
    "path",
    [
        "/pypi/files/{other}/" + WHEEL_NAME,
        "/pypi/files/{cut}/" + WHEEL_NAME,
        "/pypi/files/x/" + WHEEL_NAME,
        "/pypi/files/\u00e9.\u00e9/" + WHEEL_NAME,
        "/pypi/files/{good}/other.whl",
        "/pypi/files/{good}/" + WHEEL_NAME + ".asc",
        "/pypi/simple/",
        "/pypi/simple/../packages/",
        "/pypi/simple/a%2Fb/",
        "/pypi/packages/" + WHEEL_NAME,
        "/npm/-/named/{other}/x.tgz",
        "/npm/..%2fpackages%2fx",
        "/npm/-/v1/search",
        "/npm/http://127.0.0.1/x",
    ],
)
def test_only_what_an_index_named_is_fetched(tmp_path: Path, path: str) -> None:
    index = ScriptedIndex()
    with gateway(tmp_path, index) as own:
        _, page = fetch(f"{own}/pypi/simple/tinypack/", Accept="application/vnd.pypi.simple.v1+json")
        good = json.loads(page)["files"][0]["url"].split("/")[3]
        named = Links.of(tmp_path).read(good)
        other = Links(b"of an agent").sign(named).split("/")[0]
        index.asked.clear()
        filled = path.replace("{good}", good).replace("{cut}", good[:-1]).replace("{other}", other)
        status, _ = fetch(own + urllib.request.quote(filled, safe="/%:"))
    assert (status in (403, 404), index.asked) == (True, [])


def test_credentials_of_the_host_reach_its_index_and_no_page(tmp_path: Path) -> None:
    index = ScriptedIndex()
    with gateway(tmp_path, index, login="user:pass@") as own:
        _, page = fetch(f"{own}/pypi/simple/tinypack/", Accept="application/vnd.pypi.simple.v1+json")
        link = json.loads(page)["files"][0]["url"]
        fetch(own + link)
    assert set(index.tokens) == {aiohttp.encode_basic_auth("user", "pass")}
    assert "pass@" not in Links.of(tmp_path).read(link.split("/")[3]).url


def test_writing_is_refused(tmp_path: Path) -> None:
    with gateway(tmp_path, ScriptedIndex()) as own:
        assert fetch(f"{own}/npm/tinypack", "PUT")[0] == 405


def test_an_index_that_is_away_is_a_504_with_a_sentence(tmp_path: Path) -> None:
    with gateway(tmp_path, ScriptedIndex(down=True)) as own:
        status, body = fetch(f"{own}/pypi/simple/tinypack/")
    said = "The package index cannot be reached from this host (it answered 503)."
    assert (status, json.loads(body)) == (504, {"error": said})


def test_a_closed_network_has_no_index(tmp_path: Path) -> None:
    index = ScriptedIndex()
    with gateway(tmp_path, index, network="closed") as own:
        status, _ = fetch(f"{own}/pypi/simple/tinypack/")
    (line,) = package_fetches(tmp_path / "packages.jsonl")
    assert (status, index.asked, line.refused != "") == (403, [], True)


def test_cut_lines_of_the_log_are_skipped(tmp_path: Path) -> None:
    one = PackageFetch(t=1.0, at="x", index="npm", package="p", file="", bytes=1, status=200, cached=False)
    whole = json.dumps({name: getattr(one, name) for name in one.__struct_fields__})
    (tmp_path / "packages.jsonl").write_text(f"{whole}\n{whole[:20]}\n\xff\n{whole}\n{whole[:30]}")
    assert package_fetches(tmp_path / "packages.jsonl") == [one, one]


@pytest.mark.slow
def test_the_hosts_own_indexes_serve_pip_and_npm(tmp_path: Path) -> None:
    routes = package_index.routes
    with served(with_session(lambda sessions: routes(spec_of(tmp_path), tmp_path, sessions))) as own:
        for name, project in (("Python package index", "pypi/simple/iniconfig/"), ("npm registry", "npm/is-number")):
            try:
                status, _ = fetch(f"{own}/{project}")
            except OSError:
                status = 504
            if status in (503, 504):
                pytest.skip(f"The {name} of this host cannot be reached")
        run(tmp_path, own, sys.executable, "-m", "pip", "install", "--no-deps", "--target", "to", "iniconfig")
        run(tmp_path, own, "npm", "install", "is-number", "--no-fund")
    assert (tmp_path / "to/iniconfig/__init__.py").exists()
    assert (tmp_path / "node_modules/is-number/index.js").exists()


def test_the_hosts_own_addresses_are_those_of_pip_and_npm() -> None:
    import asyncio

    for address in (python_index, npm_registry):
        try:
            found = asyncio.run(address())
        except RefusedError as refusal:
            pytest.skip(refusal.sentence)
        assert found.startswith(("http://", "https://"))
