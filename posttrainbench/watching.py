"""A run's session while it lasts: begun once, watched with its gateway beside it, and told of."""

import contextlib
import os
import time
from pathlib import Path

import msgspec

from posttrainbench.agent import access
from posttrainbench.agent.result import read_telemetry, tail
from posttrainbench.gateway import GatewaySpec, process, redaction
from posttrainbench.run import Run
from posttrainbench.sandbox import Handle, SessionSpec
from posttrainbench.strict import write_bytes
from posttrainbench.transcript import live

GATEWAY_SECONDS = 2.0
"""How often it is looked whether a run's gateway answers."""


def begin(run: Run, spec: SessionSpec, gateway: GatewaySpec | None) -> Handle:
    """Start the gateway, then the session; where there is no session, no gateway is left."""
    _keep_gateway(run, gateway)
    run.journal.note("session", starting="yes")
    try:
        known = run.sandbox.start(spec)
    except BaseException:
        if gateway and run.sandbox.state(spec, None) == "absent":
            process.stop(run.folder.gateway)
        raise
    if gateway:
        process.prolong(run.folder.gateway)  # The session may have waited for a GPU for days.
    run.journal.note("session", **known.data)
    return known


def watch(run: Run, spec: SessionSpec, handle: Handle | None, gateway: GatewaySpec | None) -> None:
    """Wait for the session's end, and see to it that its gateway lives. The supervisor keeps the deadline; if it fails
    to, ptb ends the session itself."""
    look = time.monotonic()
    last = look + spec.seconds + spec.overtime_seconds + 4 * spec.grace_seconds + 60
    while run.sandbox.state(spec, handle) == "running":
        if time.monotonic() > last:
            run.sandbox.stop(spec, handle, "the supervisor did not end the session at its deadline")
        if time.monotonic() > look:
            _keep_gateway(run, gateway)
            look = time.monotonic() + GATEWAY_SECONDS
        time.sleep(0.2)


def _keep_gateway(run: Run, told: GatewaySpec | None) -> None:
    """Start the run's gateway if it has one that does not answer: the first time, or because something ended it. As
    long as there is a session to serve, it serves, even if an earlier ptb gave it up."""
    if told is None or process.alive(run.folder.gateway):
        return
    key = access.credential(run.plan, os.environ)
    if not (run.folder.gateway / "gateway.json").exists() or process.over(run.folder.gateway):
        process.stop(run.folder.gateway)  # It may be ending still.
        process.start(run.folder.gateway, told, key)
    elif process.ensure(run.folder.gateway, key):
        run.journal.note("gateway", started="again")


def glimpse(run: Run) -> str:
    """One line about the session: time used, load, the agent's last words."""
    samples = read_telemetry(run.folder.session)
    load = f"cpu {samples[-1].cpu_percent:.0f} %, {samples[-1].memory_mb:.0f} MB" if samples else "starting"
    words = live.last(run.plan.agent.transcript, tail(run.folder.session / "output.log"), 1)
    seconds = run.plan.hours * 3600
    used = samples[-1].t if samples else 0.0
    with contextlib.suppress(OSError, msgspec.DecodeError, KeyError):
        started = msgspec.json.decode((run.folder.session / "started.json").read_bytes())
        used = time.monotonic() - float(started["monotonic"])
    return f"{used:.0f} of {seconds:.0f} s, {load}" + (f": {words[-1]}" if words else "")


def cover(secret: str, files: list[Path]) -> None:
    """Cover the run's own secret, which an agent that prints its environment writes down, in what others will read. It
    is worth nothing any more, but it looks like a key."""
    for path in files:
        content = path.read_bytes() if path.is_file() else b""
        covered = redaction.cover(content, redaction.forms([secret]))
        if covered != content:
            write_bytes(path, covered)
