"""Real clients in a network namespace that holds nothing but loopback, with the gateway behind a unix socket."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from scripted_hub import DIGESTS, SNAPSHOT, small_hub
from scripted_index import PIP, ScriptedIndex, environment
from serving import beside, gateway_spec, served, with_session

from posttrainbench.gateway import hub_mirror, package_index

INSIDE = """
import asyncio, json, os, subprocess, sys, threading

async def accept(reader, writer):
    far_reader, far_writer = await asyncio.open_unix_connection(sys.argv[1])
    async def copy(source, sink):
        while chunk := await source.read(65536):
            sink.write(chunk)
            await sink.drain()
        sink.close()
    await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer), return_exceptions=True)

async def serve(ready):
    async with await asyncio.start_server(accept, "127.0.0.1", 8787):
        ready.set()
        await asyncio.Event().wait()

ready = threading.Event()
threading.Thread(target=lambda: asyncio.run(serve(ready)), daemon=True).start()
ready.wait()
done = subprocess.run(sys.argv[2:], capture_output=True, text=True)
print(done.stdout, end="", flush=True)
print(done.stderr, end="", file=sys.stderr)
os._exit(done.returncode)
"""


def inside(folder: Path, *words: str) -> str:
    """What a program printed that has no network but the relay."""
    if not shutil.which("bwrap"):
        pytest.skip("bubblewrap is not installed")
    sandbox = ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--bind", str(folder), str(folder), "--unshare-net"]
    command = [*sandbox, sys.executable, "-c", INSIDE, str(folder / "api.sock"), *words]
    env = environment(folder, "http://127.0.0.1:8787") | {
        "HF_ENDPOINT": "http://127.0.0.1:8787/hub",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TMPDIR": str(folder),
    }
    done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, timeout=120)
    if "Creating new namespace failed" in done.stderr or "Operation not permitted" in done.stderr:
        pytest.skip("bubblewrap may not make namespaces here")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_pip_npm_and_uv_install_without_a_network(tmp_path: Path) -> None:
    with served(ScriptedIndex().application()) as upstream:

        async def python() -> str:
            return f"{upstream}/simple"

        async def npm() -> str:
            return f"{upstream}/npm"

        spec = gateway_spec(tmp_path)
        app = with_session(lambda sessions: package_index.routes(spec, tmp_path, sessions, python, npm))
        with served(app, socket=tmp_path / "api.sock"):
            inside(tmp_path, *PIP)
            if shutil.which("npm"):
                inside(tmp_path, "npm", "install", "tinypack", "--no-fund")
                assert (tmp_path / "node_modules/tinypack/main.js").exists()
            if uv := shutil.which("uv"):
                inside(tmp_path, uv, "pip", "install", "--python", sys.executable, "--target", "uv-to", "tinypack")
                assert (tmp_path / "uv-to/tinypack.py").exists()
    assert (tmp_path / "to/tinypack.py").exists()


def test_the_hub_client_downloads_without_a_network(tmp_path: Path) -> None:
    with beside(small_hub().running) as hub:
        spec = gateway_spec(tmp_path, hub=hub)
        app = with_session(lambda sessions: hub_mirror.routes(spec, tmp_path, sessions))
        with served(app, socket=tmp_path / "api.sock"):
            code = "import json\nfrom huggingface_hub import *\n" + SNAPSHOT
            assert json.loads(inside(tmp_path, sys.executable, "-c", code)) == DIGESTS


def test_nothing_else_is_there(tmp_path: Path) -> None:
    code = "print([line.split(':')[0].strip() for line in open('/proc/self/net/dev').readlines()[2:]])"
    assert inside(tmp_path, sys.executable, "-c", code) == "['lo']\n"
