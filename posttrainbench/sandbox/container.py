"""What the containers of a session and of a job are made of: who runs in them, what they see, and their limits.

Inside a session's container

    /ptb/workspace  /ptb/home  /tmp      the agent's own, writable; everything else is read-only
    /ptb/bench  /ptb/model  /ptb/agent   read-only
    /ptb/installed  /ptb/gateway         read-only, where there are such: the agent's program, the gateway's sockets
    /ptb/session                         the supervisor's alone: its owner is another user, and nobody else may enter

The supervisor is root without any capability but five: to become the agent's user (two), to end what that user started,
to measure the agent's folders, whoever may read them, and SYS_RESOURCE where the host can give it: see `holds_memory`.
The agent's user is the run's own, has no capability and can gain none. A job sees what it was given under the very
paths of the host, as a user of its own.
"""

import binascii
import datetime
import getpass
import os
import re
import socket
from pathlib import Path
from typing import Any

import msgspec

from posttrainbench import supervisor
from posttrainbench.errors import UsageError
from posttrainbench.journal import process
from posttrainbench.sandbox import JobSpec, SessionSpec
from posttrainbench.sandbox.engine import Mount, Settings
from posttrainbench.sandbox.images import PYTHON
from posttrainbench.strict import Value, digest_bytes

PATH = f"{Path(PYTHON).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
INSIDE = {"workspace": "/ptb/workspace", "bench": "/ptb/bench", "model": "/ptb/model", "agent": "/ptb/agent"}
INSIDE |= {"home": "/ptb/home", "tmp": "/tmp", "session": "/ptb/session"}  # noqa: S108 - a private folder is there.
INSIDE |= {"installed": "/ptb/installed", "gateway": "/ptb/gateway"}
WRITABLE = ("workspace", "home", "tmp")
SUPERVISOR = "/ptb/supervisor"
SPEC = "inside.json"
CAP_SYS_RESOURCE = 24
MARGIN_SECONDS = 600
"""After the deadline and the grace, until `ptb gc` may take a container for abandoned."""
# Ends the job when stdin closes, which the engine does as soon as ptb is gone, however it went. tini, above it, ends
# with its child, and with tini everything in the container.
KEEPER = 'exec 3<&0; { cat <&3 >/dev/null; kill -KILL $$; } & exec "$@" </dev/null 3<&-'


class Limits(Value, frozen=True, kw_only=True):
    """How much a container may use."""

    memory_bytes: int
    cpus: float
    pids: int
    shared_memory_bytes: int
    tmp_bytes: int

    @classmethod
    def of_host(cls, memory_bytes: int) -> "Limits":
        """From PTB_MEMORY_GB, PTB_CPUS and PTB_PIDS, or most of the host."""
        memory = _number("PTB_MEMORY_GB", 0.85 * memory_bytes / 1e9) * 1e9
        return cls(
            memory_bytes=int(memory),
            cpus=_number("PTB_CPUS", float(os.cpu_count() or 1)),
            pids=int(_number("PTB_PIDS", 4096)),
            shared_memory_bytes=int(memory / 4),
            tmp_bytes=int(memory / 4),
        )


def holds_memory() -> bool:
    """Whether the kernel can be told for good that an agent's processes end before its supervisor when memory is short.

    Who asks without CAP_SYS_RESOURCE can have it taken back by the agent, which then hoards memory that counts for no
    process until the supervisor looks like the largest. A virtual machine or a container in which the engine runs may
    be without that capability, and an engine that may not give it refuses to start a container that asks for it.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return False
    bounding = next((line.split()[1] for line in status.splitlines() if line.startswith("CapBnd:")), "0")
    return bool(int(bounding, 16) >> CAP_SYS_RESOURCE & 1)


def owner() -> str:
    """Who the containers belong to: PTB_OWNER, or this user of this host."""
    return os.environ.get("PTB_OWNER") or f"{getpass.getuser()}@{socket.gethostname()}"


def name(spec: SessionSpec) -> str:
    """The session's container is found by its name; two folders never share one, even if their runs are namesakes."""
    readable = re.sub(r"[^A-Za-z0-9_.-]+", "_", spec.run)[:80]
    return f"ptb-{readable}-{digest_bytes(spec.session.encode())[7:15]}"


def labels(run: str, role: str, seconds: float) -> dict[str, str]:
    """Whose it is, what for, and when it may be taken for abandoned."""
    expires = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds + MARGIN_SECONDS)
    return {
        "ptb.run": run,
        "ptb.owner": owner(),
        "ptb.expires": expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "ptb.role": role,
        "ptb.process": process(os.getpid()),
    }


def is_orphan(found: dict[str, str]) -> bool:
    """Whether a job's labels name a ptb of this host that is gone."""
    known = found.get("ptb.process", "")
    return found.get("ptb.role") == "job" and known != "" and process(int(known.split(":")[0])) != known


def user_of(what: str) -> int:
    """A user of its own, so that the kernel's counts for each user are not shared between runs."""
    return 20_000 + binascii.crc32(what.encode()) % 40_000


def session(spec: SessionSpec, image: str, limits: Limits, gpus: list[str], pretended: bool) -> Settings:
    """The container of a session."""
    folders = {key: to for key, to in INSIDE.items() if getattr(spec, key)}
    mounts = [
        Mount(source=getattr(spec, key), target=to, writable=key in (*WRITABLE, "session"))
        for key, to in folders.items()
    ]
    mounts += [
        Mount(source=f"{spec.session}/{SPEC}", target=f"{INSIDE['session']}/spec.json"),
        Mount(source=supervisor.PROGRAM, target=SUPERVISOR),
    ]
    # An owner of the run's folder other than root must be got round.
    more = [] if os.getuid() == 0 else ["DAC_OVERRIDE"]
    more += ["SYS_RESOURCE"] if holds_memory() else []
    return Settings(
        name=name(spec),
        image=image,
        command=[PYTHON, "-I", "-S", SUPERVISOR, INSIDE["session"]],
        environment={"PATH": PATH, **_visible(gpus, pretended)},
        user="0:0",
        workdir="/",
        labels={
            **labels(spec.run, "session", spec.seconds + spec.overtime_seconds + spec.grace_seconds),
            **({"ptb.gpus": ",".join(gpus)} if gpus else {}),
        },
        mounts=mounts,
        capabilities=["SETUID", "SETGID", "KILL", "DAC_READ_SEARCH", *more],
        gpus=[] if pretended else gpus,
        memory_bytes=limits.memory_bytes,
        cpus=limits.cpus,
        pids=limits.pids,
        shared_memory_bytes=limits.shared_memory_bytes,
        stop_seconds=int(spec.grace_seconds) + 10,
    )


def inside(spec: SessionSpec, gpus: list[str], pretended: bool) -> dict[str, Any]:
    """The spec as the supervisor in the container reads it."""
    user = str(user_of(name(spec)))
    # Before the supervisor, the kernel ends what the agent started when memory is short.
    drop = ["choom", "-n", "1000", "--", "setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--"]
    env = {"PATH": PATH, "HOME": INSIDE["home"], "TMPDIR": INSIDE["tmp"], "USER": "agent", "LOGNAME": "agent"}
    env |= {"LANG": "C.UTF-8", **_visible(gpus, pretended)}
    value: dict[str, Any] = msgspec.to_builtins(spec)
    value |= INSIDE
    value["command"] = drop + [moved(word, spec) for word in spec.command]
    value["resume_command"] = drop + [moved(word, spec) for word in spec.resume_command] if spec.resume_command else []
    value["env"] = env | {key: moved(word, spec) for key, word in spec.env.items()}
    value["relays"] = {port: moved(path, spec) for port, path in spec.relays.items()}
    # The container has no processes but the session's, so all may be killed at one blow.
    value["own_processes"] = True
    return value


def moved(word: str, spec: SessionSpec) -> str:
    """A word with each path that is one of the spec's folders, or lies in one, as the container has it."""
    folders = {getattr(spec, key): to for key, to in INSIDE.items() if getattr(spec, key)}
    longest_first = "|".join(re.escape(folder) for folder in sorted(folders, key=len, reverse=True))
    return re.sub(rf"(?<![\w.-])(?:{longest_first})(?![\w.-])", lambda match: folders[match[0]], word)


def job(spec: JobSpec, image: str, limits: Limits, gpus: list[str], pretended: bool, run: str, user: int) -> Settings:
    """The container of a job."""
    mounts = dict.fromkeys(spec.mounts.read, False) | dict.fromkeys(spec.mounts.write, True)
    within = any(Path(spec.cwd).is_relative_to(path) for path in mounts)
    env = {"PATH": PATH, "HOME": "/tmp", "TMPDIR": "/tmp", "USER": "ptb", "LOGNAME": "ptb", "LANG": "C.UTF-8"}  # noqa: S108
    return Settings(
        image=image,
        command=["/bin/sh", "-c", KEEPER, "job", *spec.command],
        environment={**env, **_visible(gpus, pretended), **spec.env},
        user=f"{user}:{user}",
        workdir=spec.cwd if within else "/",
        labels={**labels(run, "job", spec.seconds), **({"ptb.gpus": ",".join(gpus)} if gpus else {})},
        mounts=[Mount(source=path, target=path, writable=writable) for path, writable in mounts.items()],
        gpus=[] if pretended else gpus,
        memory_bytes=limits.memory_bytes,
        cpus=limits.cpus,
        pids=limits.pids,
        shared_memory_bytes=limits.shared_memory_bytes,
        tmp_bytes=limits.tmp_bytes,
        attached=True,
    )


def _visible(gpus: list[str], pretended: bool) -> dict[str, str]:
    """With a real device request, the runtime shows the container its own cards alone."""
    return {"CUDA_VISIBLE_DEVICES": ",".join(gpus)} if pretended or not gpus else {}


def _number(variable: str, default: float) -> float:
    text = os.environ.get(variable)
    try:
        value = float(text) if text else default
    except ValueError:
        value = 0.0
    if value <= 0:
        raise UsageError(f"{variable}={text} is not a limit: give a number above 0, or leave it out.")
    return value
