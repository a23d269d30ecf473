"""The gateway's process: composes what it serves, and lives until its time is over, a file `stop` appears, or SIGTERM.

It may be killed at any moment. All that it must know again stands in its folder: what it was told (`gateway.json`),
when it ends (`started.json`), and what was spent (`ledger.jsonl`). The provider's key is in its memory alone, so a
start without the key serves everything but the model interface.

Not protected: against root on the host, who can read the memory of any process; against an agent that uses up the
gateway's own processor time, which hurts nobody but its own run.
"""

import asyncio
import fcntl
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

from posttrainbench.errors import RunBusyError
from posttrainbench.gateway import egress, hub_mirror, intake, package_index
from posttrainbench.gateway.accounts import Accounts
from posttrainbench.gateway.bodies import BodyFolder
from posttrainbench.gateway.dialects import WIRES, Credential
from posttrainbench.gateway.folder import GatewayFolder, Started, short
from posttrainbench.gateway.intake import RefusedError
from posttrainbench.gateway.process import HUB_VARIABLE
from posttrainbench.gateway.provider import Patience, Provider
from posttrainbench.gateway.redaction import Redaction
from posttrainbench.gateway.relaying import Handler, Relay
from posttrainbench.gateway.spec import GatewaySpec
from posttrainbench.journal import now
from posttrainbench.strict import read_json, write_json

LOOK_SECONDS = 0.2
CLOSE_SECONDS = 2.0
MAX_HEADER_BYTES = 64 * 2**10
MAX_LOG_BYTES = 16 * 2**20
BACKLOG = 1024
SWITCH_SECONDS = 0.0005
"""So that relaying waits no longer than this for the thread that compresses bodies."""
SOCKET_MODE = 0o666
"""Inside a container the agent is another user."""
LOG = logging.getLogger("posttrainbench.gateway")


def run(path: Path, credential: Credential | None, ready: Callable[[], None], patience: Patience | None = None) -> None:
    """Serve until the end; raises RunBusyError where another gateway serves this folder."""
    folder = GatewayFolder(path)
    with folder.lock.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunBusyError(f"Another gateway serves {path}; stop it first.") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        spec = read_json(folder.spec, GatewaySpec)
        sys.setswitchinterval(SWITCH_SECONDS)
        _log_to(folder.log, _redaction(spec, credential))
        asyncio.run(_serve(folder, spec, credential, patience or Patience(), ready))


async def _serve(
    folder: GatewayFolder,
    spec: GatewaySpec,
    credential: Credential | None,
    patience: Patience,
    ready: Callable[[], None],
) -> None:
    started = _started(folder, spec)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with AsyncExitStack() as stack:
        app = await stack.enter_async_context(application(folder, spec, credential, patience))
        runner = runner_of(app)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        folder.sockets.mkdir(mode=0o755, exist_ok=True)
        place = stack.enter_context(short(folder.sockets))
        await web.SockSite(runner, _listening(f"{place}/api.sock"), backlog=BACKLOG).start()
        await stack.enter_async_context(_proxy(spec, folder.path, f"{place}/egress.sock"))
        write_json(folder.started, started)
        LOG.info("Serving as process %d, %s the provider's key.", os.getpid(), "with" if credential else "without")
        ready()
        await _until(folder, ended)
        for name in ("api.sock", "egress.sock"):
            Path(f"{place}/{name}").unlink(missing_ok=True)
        LOG.info("Ending.")


@asynccontextmanager
async def application(
    folder: GatewayFolder, spec: GatewaySpec, credential: Credential | None, patience: Patience
) -> AsyncIterator[web.Application]:
    """All that `api.sock` serves."""
    dialect = spec.api.dialect if spec.api else None
    wire = WIRES[dialect] if dialect else None
    accounts = Accounts(spec, folder.ledger, wire, dialect)
    bodies = BodyFolder(folder.bodies, _redaction(spec, credential))
    app = web.Application(client_max_size=intake.MAX_BODY_BYTES, middlewares=[_shaped])
    app.router.add_get("/alive", _alive)
    async with _session(spec.upstream, patience) as session:
        if wire is not None:
            provider = Provider(spec.upstream, wire, session, patience)
            relay = Relay(spec, wire, credential, provider, accounts, bodies)
            app.router.add_route("*", f"/{{dialect:{dialect}}}{{tail:/.*}}", relay.handle)
        sessions = _Sessions(app)
        app.router.add_routes(hub_mirror.routes(spec, folder.path, sessions, os.environ.get(HUB_VARIABLE, "")))
        app.router.add_routes(package_index.routes(spec, folder.path, sessions))
        app.router.add_route("*", "/{tail:.*}", _unknown(spec, accounts))
        try:
            yield app
        finally:
            await bodies.close()
            accounts.end()


class _Sessions:
    """One set of connections for mirror and indexes, opened when it is first needed."""

    def __init__(self, app: web.Application) -> None:
        self._opened: aiohttp.ClientSession | None = None
        app.on_cleanup.append(self._close)

    def __call__(self) -> aiohttp.ClientSession:
        if self._opened is None:
            self._opened = aiohttp.ClientSession(auto_decompress=False, trust_env=True)
        return self._opened

    async def _close(self, app: web.Application) -> None:
        if self._opened is not None:
            await self._opened.close()


def runner_of(app: web.Application) -> web.AppRunner:
    """What runs it: bodies are left as they came, and a handler ends when its client hangs up."""
    return web.AppRunner(
        app,
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=CLOSE_SECONDS,
        auto_decompress=False,
        max_line_size=MAX_HEADER_BYTES,
        max_field_size=MAX_HEADER_BYTES,
    )


def _session(upstream: str, patience: Patience) -> aiohttp.ClientSession:
    """Connections to the provider: bytes as they come, no cookies, and a proxy of the host's where it has one."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=1000, keepalive_timeout=20),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=patience.connect, sock_read=patience.silence),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=urlsplit(upstream).hostname not in ("127.0.0.1", "localhost", "::1"),
        skip_auto_headers=["User-Agent", "Accept", "Accept-Encoding", "Content-Type"],
        max_line_size=MAX_HEADER_BYTES,
        max_field_size=MAX_HEADER_BYTES,
    )


def _listening(address: str) -> socket.socket:
    """A socket in the place of the one that an earlier process left."""
    Path(address).unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(address)
    os.chmod(address, SOCKET_MODE)
    return listening


@asynccontextmanager
async def _proxy(spec: GatewaySpec, folder: Path, address: str) -> AsyncIterator[None]:
    Path(address).unlink(missing_ok=True)
    server = await egress.serve(spec, folder, Path(address))
    os.chmod(address, SOCKET_MODE)
    try:
        yield
    finally:
        server.close()


async def _until(folder: GatewayFolder, ended: asyncio.Event) -> None:
    """Wait for the end. When that is is read anew each time, since it may be put off."""
    while not (ended.is_set() or folder.stop.exists() or time.time() >= read_json(folder.started, Started).ends):
        try:
            await asyncio.wait_for(ended.wait(), LOOK_SECONDS)
        except TimeoutError:
            continue


def _started(folder: GatewayFolder, spec: GatewaySpec) -> Started:
    ends, restarts = time.time() + spec.seconds, 0
    if folder.started.exists():
        earlier = read_json(folder.started, Started)
        ends, restarts = earlier.ends, earlier.restarts + 1
    return Started(pid=os.getpid(), at=now(), ends=ends, restarts=restarts)


async def _alive(request: web.Request) -> web.Response:
    return web.Response(text="The gateway is alive.\n")


def _unknown(spec: GatewaySpec, accounts: Accounts) -> Handler:
    speaks = f"this run's agent may use /{spec.api.dialect} only" if spec.api else "this run's agent uses no model"

    async def unknown(request: web.Request) -> web.StreamResponse:
        if request.method == "HEAD":
            return web.Response(status=404)
        message = f"The gateway does not serve {request.method} {intake.shown(request.raw_path)}; {speaks}."
        accounts.refuse(RefusedError(404, message))
        return web.json_response({"error": {"message": message}}, status=404)

    return unknown


@web.middleware
async def _shaped(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What breaks in the gateway is written to its log; the agent learns no more than that."""
    try:
        return await handler(request)
    except web.HTTPException:
        raise
    except Exception:
        LOG.exception("A request failed in the gateway itself.")
        message = "The gateway of this run failed on this request; ask again."
        return web.json_response({"error": {"message": message}}, status=500)


def _redaction(spec: GatewaySpec, credential: Credential | None) -> Redaction:
    return Redaction([spec.secret, credential.value if credential else "", os.environ.get(HUB_VARIABLE, "")])


class _Covered(logging.Formatter):
    def __init__(self, redaction: Redaction) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")
        self._redaction = redaction

    def format(self, record: logging.LogRecord) -> str:
        return self._redaction.text(super().format(record))


def _log_to(path: Path, redaction: Redaction) -> None:
    handler = RotatingFileHandler(path, maxBytes=MAX_LOG_BYTES, backupCount=1, encoding="utf-8")
    handler.setFormatter(_Covered(redaction))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # It writes a traceback for each line of a client's that is no HTTP; what breaks in a handler is written by ours.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
