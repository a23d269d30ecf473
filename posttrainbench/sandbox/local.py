"""The sandbox of this machine itself: a process group, inside bubblewrap where that is installed.

A session is kept by a supervisor outside bubblewrap, which starts each command inside it; so the supervisor's files are
not in the agent's reach, and the kernel ends everything inside when the supervisor goes. Without bubblewrap the agent
is an ordinary process of the user: `isolation` says what that leaves open.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec

from posttrainbench.errors import InfrastructureError, MissingError, UsageError
from posttrainbench.journal import is_held
from posttrainbench.sandbox import DISK_GAP, Handle, Happening, JobResult, JobSpec, SessionSpec, bubblewrap, local_job
from posttrainbench.sandbox.environment import PATH, SUPERVISE, environment
from posttrainbench.strict import disk, write_json
from posttrainbench.supervisor.processes import KILL_SECONDS

START_SECONDS = 20.0
SPARE_SECONDS = 10.0


class Local:
    """Sessions and jobs on this machine. `bubblewrap`: None uses it where it works."""

    name = "local"

    def __init__(self, bubblewrap: bool | None = None) -> None:
        if bubblewrap and not _usable():
            raise MissingError(
                "bubblewrap was asked for but does not work here. Install it (`apt install bubblewrap`) and allow user "
                "namespaces, or run without it."
            )
        self.wrapped = _usable() if bubblewrap is None else bubblewrap
        # Kept so that an ended supervisor is reaped; another ptb needs the handle only.
        self._children: list[subprocess.Popen[bytes]] = []

    def isolation(self) -> list[str]:
        """What is not isolated, a sentence each."""
        shared = [
            "Memory and processors are not limited.",
            DISK_GAP,
            "The kernel is shared with the host, and the host's user is the same.",
            "A GPU is not leased: other programs may use it at the same time.",
        ]
        if self.wrapped:
            return shared
        return [
            "Files are not isolated: the agent can read and write all that the user can, the sealed test split, other "
            "runs and the supervisor's files too.",
            "The network is not isolated, whatever the protocol says.",
            "Other processes of the user can be seen and ended, the supervisor and ptb too.",
            "A process that hides from its tree and its environment may outlive a supervisor that was killed.",
            *shared,
        ]

    def python(self) -> str:
        """The interpreter that runs ptb, which is the same inside."""
        return sys.executable

    def start(self, spec: SessionSpec) -> Handle:
        """Start a supervisor, unless one has claimed the session, and wait until it runs."""
        session = Path(spec.session)
        if not (session / "claim").exists():
            with disk("lay out the session's folder"):
                session.mkdir(parents=True, exist_ok=True)
            write_json(session / "spec.json", self._rewritten(spec))
            with disk("open the supervisor's log"), (session / "supervisor.log").open("ab") as log:
                child = subprocess.Popen(
                    [*SUPERVISE, str(session)],
                    cwd="/",
                    env={"PATH": os.environ.get("PATH", PATH)},  # For nvidia-smi.
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            self._children.append(child)
            _await_start(session, child)
        return _handle(session)

    def state(self, spec: SessionSpec, handle: Handle | None) -> Literal["absent", "running", "ended", "lost"]:
        """By the supervisor's files and lock alone, so it does not matter who started it."""
        for child in self._children:
            child.poll()
        session = Path(spec.session)
        if not (session / "claim").exists():
            return "absent"
        # Asked only once there is a claim, so that asking keeps nobody from the lock.
        if not (session / "result.json").exists() and is_held(session / "lock"):
            return "running"
        return "ended" if (session / "result.json").exists() else "lost"

    def stop(self, spec: SessionSpec, handle: Handle | None, reason: str) -> None:
        """Ask the supervisor to end the session; after the grace, and some more, kill it."""
        if self.state(spec, handle) == "running":
            with disk("ask the supervisor to stop"):
                (Path(spec.session) / "stop").write_text(reason + "\n")
            until = time.monotonic() + spec.grace_seconds + KILL_SECONDS + SPARE_SECONDS
            while self.state(spec, handle) == "running" and time.monotonic() < until:
                time.sleep(0.05)
        if self.state(spec, handle) == "running":
            _kill_supervisor(handle or _handle(Path(spec.session)))
        self._end_leftovers(spec)

    def close(self, spec: SessionSpec, handle: Handle | None) -> None:
        """End the session if it runs, and whatever a killed supervisor left behind."""
        self.stop(spec, handle, "closed")

    def incidents(self, spec: SessionSpec, handle: Handle | None) -> list[tuple[Happening, str]]:
        """Nothing but the supervisor watches a session here."""
        return []

    def evaluator(self) -> str:
        """Jobs use ptb's own packages."""
        return ""

    def run(self, spec: JobSpec) -> JobResult:
        """Run a job under a supervisor that ends it when ptb is gone."""
        return local_job.run(spec, self.wrapped, self.python())

    def check_gateway(self) -> None:
        """Raise UsageError where a gateway would be no more than a suggestion."""
        if not self.wrapped:
            raise UsageError(
                "Without bubblewrap the sandbox `local` cannot keep an agent to the gateway, nor a provider's key from "
                "it. Install bubblewrap (`apt install bubblewrap`), or use --sandbox docker."
            )

    def _rewritten(self, spec: SessionSpec) -> SessionSpec:
        if spec.gateway:
            self.check_gateway()
        if not self.wrapped:
            env = environment(self.python(), spec.gpus, spec.home, spec.tmp)
            return msgspec.structs.replace(spec, env=env | spec.env)
        read, write = [spec.bench, spec.model, spec.agent], [spec.workspace, spec.home]
        read += [spec.installed] if spec.installed else []
        wrapper = bubblewrap.command_line(
            read=read,
            write=write,
            tmp=spec.tmp,
            cwd=spec.workspace,
            held=bool(spec.relays),
            gpus=spec.gpus,
            private=[spec.session],
        )
        tmp = bubblewrap.tmp_inside(spec.tmp, [*read, *write])
        env = environment(self.python(), spec.gpus, spec.home, tmp)
        return msgspec.structs.replace(spec, env=env | spec.env, wrapper=wrapper)

    def _end_leftovers(self, spec: SessionSpec) -> None:
        """Kill what a session without bubblewrap left: processes whose environment names its workspace.
        Inside bubblewrap the kernel has ended them."""
        left: list[int] = []
        for _ in range(200):
            left = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _belongs(pid, spec.workspace)]
            if not left:
                return
            for pid in left:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        raise InfrastructureError(
            f"Processes {left} of the session in {spec.workspace} could not be ended. End them, then run `ptb resume`."
        )


def _usable() -> bool:
    return bubblewrap.usable()


def _await_start(session: Path, child: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_SECONDS
    while not (session / "started.json").exists():
        if child.poll() is not None and not (session / "claim").exists():
            break
        if time.monotonic() > until:
            if (session / "claim").exists():
                return
            child.kill()
            break
        time.sleep(0.005)
    else:
        return
    with (session / "supervisor.log").open("rb") as file:
        tail = file.read()[-2000:].decode("utf-8", "replace").strip()
    raise InfrastructureError(f"The supervisor of {session} did not start: {tail or 'it said nothing'}.")


def _handle(session: Path) -> Handle:
    with suppress(OSError, ValueError):
        pid = int((session / "claim").read_text())
        return Handle(kind="local", data={"pid": str(pid), "start": _start_time(pid)})
    return Handle(kind="local", data={})


def _start_time(pid: int) -> str:
    """What tells a process from a later one with its pid; raises OSError when it is gone."""
    stat = Path(f"/proc/{pid}/stat").read_bytes()
    return stat[stat.rindex(b")") + 2 :].split()[19].decode()


def _kill_supervisor(handle: Handle) -> None:
    with suppress(OSError, ValueError, KeyError):
        pid = int(handle.data["pid"])
        if _start_time(pid) == handle.data["start"]:
            os.kill(pid, signal.SIGKILL)


def _belongs(pid: int, workspace: str) -> bool:
    if pid == os.getpid():
        return False
    with suppress(OSError):
        if f"PTB_WORKSPACE={workspace}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            return True
    return False
