"""Starts, watches and stops a run's gateway; imports nothing of what it serves with.

The process is not a child of ptb and outlives it. Who serves a folder is said by a lock on `lock`, which ends with the
process, whatever ends it.
"""

import contextlib
import importlib.util
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from posttrainbench.errors import ConfigError, InfrastructureError, MissingError, RunBusyError
from posttrainbench.gateway import ledger
from posttrainbench.gateway.dialects import WIRES, Credential
from posttrainbench.gateway.folder import GatewayFolder, Started, connect
from posttrainbench.gateway.ledger import Usage
from posttrainbench.gateway.spec import GatewaySpec
from posttrainbench.journal import is_held
from posttrainbench.strict import disk, read_json, to_json, write_json

START_SECONDS = 30.0
ANSWER_SECONDS = 5.0
END_SECONDS = 10.0
LIBRARIES = ("aiohttp", "genai_prices")
PROXIES = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"]
INDEXES = ["PIP_INDEX_URL", "PIP_CONFIG_FILE", "XDG_CONFIG_HOME", "NPM_CONFIG_REGISTRY", "npm_config_registry"]
PLACES = ["PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "SSL_CERT_FILE", "SSL_CERT_DIR"]
HANDED_ON = {*PLACES, *PROXIES, *INDEXES}
"""Variables that the gateway gets, and the hub's token; no key of a provider is among them."""
HUB_VARIABLE = "HF_TOKEN"


def start(folder: Path, spec: GatewaySpec, credential: Credential | None) -> None:
    """Lay out the folder and start a gateway; returns when it serves."""
    for name in LIBRARIES:
        if importlib.util.find_spec(name) is None:
            raise MissingError(
                f"Agents that call a model need a gateway, which needs the Python package {name}. Install it with "
                "`pip install 'posttrainbench[gateway]'`."
            )
    if credential is not None and spec.api is not None and (why := WIRES[spec.api.dialect].unusable(credential)):
        raise ConfigError(why)
    if is_held(GatewayFolder(folder).lock):
        raise RunBusyError(f"A gateway serves {folder} already; stop it first.")
    with disk("lay out the gateway's folder"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in (GatewayFolder(folder).stop, GatewayFolder(folder).started):
            path.unlink(missing_ok=True)
        _write_private(GatewayFolder(folder).spec, to_json(spec))
    _launch(folder, credential)


def alive(folder: Path) -> bool:
    """Whether a gateway serves this folder and answers."""
    try:
        with connect(GatewayFolder(folder).sockets, "api.sock", ANSWER_SECONDS) as connection:
            connection.sendall(b"GET /alive HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n")
            return connection.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def ensure(folder: Path, credential: Credential | None) -> bool:
    """Start a gateway again that has died or hangs; whether that was needed. One that was stopped, or whose time is
    over, stays so."""
    if over(folder) or alive(folder):
        return False
    _kill(GatewayFolder(folder))
    _launch(folder, credential)
    return True


def over(folder: Path) -> bool:
    """Whether the gateway was stopped, or its time is over."""
    place = GatewayFolder(folder)
    return place.stop.exists() or (place.started.exists() and time.time() >= read_json(place.started, Started).ends)


def prolong(folder: Path) -> None:
    """Give a gateway its whole time from now on."""
    place = GatewayFolder(folder)
    ends = time.time() + read_json(place.spec, GatewaySpec).seconds
    write_json(place.started, msgspec.structs.replace(read_json(place.started, Started), ends=ends))


def stop(folder: Path) -> None:
    """End the gateway, and see that it has ended; nothing happens where there is none."""
    place = GatewayFolder(folder)
    if not folder.is_dir():
        return
    with disk("stop the gateway"):
        place.stop.touch()
    until = time.monotonic() + END_SECONDS
    while is_held(place.lock) and time.monotonic() < until:
        time.sleep(0.02)
    _kill(place)


def usage(folder: Path) -> Usage:
    """What was used up to now."""
    return ledger.summary(GatewayFolder(folder).ledger)


def _launch(folder: Path, credential: Credential | None) -> None:
    place = GatewayFolder(folder)
    with disk("open the gateway's log"), place.log.open("ab") as log:
        launcher = subprocess.Popen(
            [sys.executable, "-P", "-m", "posttrainbench.gateway", str(folder.resolve()), "--detach"],
            cwd="/",
            env={name: value for name, value in os.environ.items() if name in {*HANDED_ON, HUB_VARIABLE}},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    assert launcher.stdin is not None and launcher.stdout is not None
    with launcher, launcher.stdout as answers:
        with contextlib.suppress(BrokenPipeError), launcher.stdin as key:
            key.write(msgspec.json.encode(credential) if credential else b"")
        seen, _, _ = select.select([answers], [], [], START_SECONDS)
        # Nothing at all means that it ended: the pipe's other end is closed.
        is_ready = bool(seen) and answers.readline() == b"ready\n"
    if not is_ready:
        if not alive(folder):
            _kill(place)
        tail = place.log.read_bytes()[-2000:].decode("utf-8", "replace").strip()
        raise InfrastructureError(f"The gateway in {folder} could not be started: {tail or 'it did not answer'}")


def _kill(place: GatewayFolder) -> None:
    """End by force whatever still holds the lock; its number stands in it."""
    until = time.monotonic() + END_SECONDS
    while is_held(place.lock):
        if time.monotonic() > until:
            raise InfrastructureError(f"The gateway in {place.path} cannot be ended; its lock is still held.")
        if number := place.lock.read_text():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(number), signal.SIGKILL)
        time.sleep(0.02)


def _write_private(path: Path, content: bytes) -> None:
    """Write a file that its owner alone may read."""
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
