"""The sandbox of containers: a session in one that goes on without ptb, each job in a fresh one without a network.

A session's container has a name that follows from the run, so it is found and adopted, never started twice. How the
session stands is read from its supervisor's files and lock, which the kernel keeps, so an engine that hangs or restarts
cannot make a running session look ended. What `container.py` says is what the agent gets.
"""

import json
import os
import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import msgspec

from posttrainbench.errors import InfrastructureError
from posttrainbench.journal import is_held, process
from posttrainbench.sandbox import (
    DISK_GAP,
    Handle,
    Happening,
    JobResult,
    JobSpec,
    Mounts,
    SessionSpec,
    container,
    docker_job,
    images,
    preflight,
)
from posttrainbench.sandbox.container import Limits
from posttrainbench.sandbox.engine import Container, Engine, Mount, Settings
from posttrainbench.sandbox.leases import Leases, pretended
from posttrainbench.strict import disk, read_json, write_json
from posttrainbench.supervisor.processes import KILL_SECONDS

START_SECONDS = 60.0
LEASE_SECONDS = 7 * 86400.0
INCIDENTS = "incidents.json"
MEMORY_GAP = "An agent that hoards memory can have its supervisor ended; its run is then lost, and can be repeated."
_ACTIVE: set[str] = set()
"""Names of the jobs that this process runs now."""


class Docker:
    """Sessions and jobs in containers. `planned`: digest of each image by kind; empty takes the tagged ones."""

    name = "docker"

    def __init__(
        self,
        planned: Mapping[str, str] | None = None,
        engine: Engine | None = None,
        leases: Leases | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.engine = engine or Engine()
        self.leases = leases or Leases(self.engine)
        self._planned = dict(planned or {})
        self._limits = limits

    @property
    def limits(self) -> Limits:
        """How much a container may use."""
        if self._limits is None:
            self._limits = Limits.of_host(self.engine.memory_bytes())
        return self._limits

    def isolation(self) -> list[str]:
        """What is not isolated, a sentence each."""
        return [DISK_GAP, *([] if container.holds_memory() else [MEMORY_GAP])]

    def python(self) -> str:
        """The images' interpreter."""
        return images.PYTHON

    def start(self, spec: SessionSpec) -> Handle:
        """Start the session's container, or adopt the one that was made, and wait until its supervisor runs."""
        session, name = Path(spec.session), container.name(spec)
        known = Handle(kind=self.name, data={"container": name})
        if (session / "claim").exists():
            return known
        found = self.engine.inspect(name)
        if (session / "claim").exists():
            return known  # Meanwhile it has begun, and may be over.
        if found is not None and found.state not in ("created", "running"):
            self._fail_to_start(spec, found)
        made = found.id if found is not None else self._make(spec)
        self.engine.start(made)
        self._await_start(spec, made)
        return known

    def state(self, spec: SessionSpec, handle: Handle | None) -> Literal["absent", "running", "ended", "lost"]:
        """By the supervisor's files and lock alone."""
        session = Path(spec.session)
        if not (session / "claim").exists():
            return "absent"
        # Asked only once there is a claim, so that asking keeps nobody from the lock.
        if not (session / "result.json").exists() and is_held(session / "lock"):
            return "running"
        return "ended" if (session / "result.json").exists() else "lost"

    def stop(self, spec: SessionSpec, handle: Handle | None, reason: str) -> None:
        """Ask the supervisor to end the session; after the grace, and some more, kill the container."""
        if self.state(spec, handle) == "running":
            with disk("ask the supervisor to stop"):
                (Path(spec.session) / "stop").write_text(reason + "\n")
            until = time.monotonic() + spec.grace_seconds + KILL_SECONDS
            while self.state(spec, handle) == "running" and time.monotonic() < until:
                time.sleep(0.05)
        self.engine.kill(container.name(spec))

    def close(self, spec: SessionSpec, handle: Handle | None) -> None:
        """End the session, note what the engine knows of it, remove its container, and give back its GPUs."""
        name = container.name(spec)
        if self.state(spec, handle) == "running":
            self.stop(spec, handle, "closed")
        found = self.engine.inspect(name)
        if found is not None:
            # A container ends with its supervisor; it gets a moment to do so, then it is killed by its removal.
            until = time.monotonic() + 2
            while found is not None and found.is_live and time.monotonic() < until:
                time.sleep(0.02)
                found = self.engine.inspect(name)
        if found is not None:
            self._note_incidents(spec, found)
            self.engine.remove(name)
            self._await_removal(name)
        self.leases.release(name)
        if os.getuid() != 0:
            self._own(spec, os.getuid())  # Root can read what the agent left as it is.

    def run(self, spec: JobSpec) -> JobResult:
        """Run a job in a container of its own."""
        run = _run_of(Path(spec.log))
        self._sweep()
        token = f"job-{secrets.token_hex(8)}"
        user = container.user_of(token) if os.getuid() == 0 else os.getuid()
        image = images.planned(self.engine, "eval", self._planned)
        with self._leased(spec.gpus, token, run) as gpus:
            settings = container.job(spec, image, self.limits, gpus, pretended(), run, user)
            with disk("hand folders over to the job"):
                for path in [path for path in spec.mounts.write if user != os.getuid()]:
                    _chown(Path(path), user)
            return docker_job.run(self.engine, spec, msgspec.structs.replace(settings, name=f"ptb-{token}"))

    def incidents(self, spec: SessionSpec, handle: Handle | None) -> list[tuple[Happening, str]]:
        """What the engine knew of the session when it was closed: kind and detail."""
        path = Path(spec.session) / INCIDENTS
        return read_json(path, list[tuple[Happening, str]]) if path.exists() else []

    def evaluator(self) -> str:
        """Digest of the eval image."""
        return images.planned(self.engine, "eval", self._planned)

    def _make(self, spec: SessionSpec) -> str:
        """Lease the GPUs, lay out the session's folder, and create the container."""
        name = container.name(spec)
        image = images.planned(self.engine, "train", self._planned)
        gpus = self.leases.acquire(spec.gpus, name, spec.run, LEASE_SECONDS, _say)
        settings = container.session(spec, image, self.limits, gpus, pretended())
        session = Path(spec.session)
        with disk("lay out the session's folder"):
            session.mkdir(parents=True, exist_ok=True)
            session.chmod(0o700)
        if gpus:
            self._examine(spec, gpus, image)
        write_json(session / container.SPEC, container.inside(spec, gpus, pretended()))
        write_json(session / "spec.json", spec)
        self._own(spec, container.user_of(name))
        return self.engine.create(settings)

    def _examine(self, spec: SessionSpec, gpus: list[str], image: str) -> None:
        """Look at the leased cards, and have the session's image compute on them; raises if one is not fit."""
        token = f"ptb-preflight-{secrets.token_hex(8)}"
        job = JobSpec(
            command=[images.PYTHON, "-I", "-c", preflight.PRODUCT],
            cwd="/",
            env={},
            mounts=Mounts(read=[], write=[]),
            log=str(Path(spec.session) / "preflight.log"),
            seconds=preflight.PRODUCT_SECONDS,
        )
        settings = container.job(job, image, self.limits, gpus, pretended(), spec.run, container.user_of(token))
        cards, xids = preflight.cards(), preflight.xids()
        _ACTIVE.add(token)
        try:
            said = docker_job.run(self.engine, job, msgspec.structs.replace(settings, name=token)).tail
        finally:
            _ACTIVE.discard(token)
        found = preflight.judged(gpus, cards, xids, said, pretended=pretended())
        write_json(Path(spec.session) / preflight.FILE, found)
        if found.failures:
            self.leases.release(container.name(spec))
        preflight.check(found, spec.run)

    def _await_start(self, spec: SessionSpec, made: str) -> None:
        session, until = Path(spec.session), time.monotonic() + START_SECONDS
        while not (session / "started.json").exists():
            found = self.engine.inspect(made)
            if (found is None or not found.is_live) and not (session / "claim").exists():
                self._fail_to_start(spec, found)
            if time.monotonic() > until:
                if (session / "claim").exists():
                    return
                self._fail_to_start(spec, found)
            time.sleep(0.01)

    def _fail_to_start(self, spec: SessionSpec, found: Container | None) -> None:
        """Say why, and leave nothing, so that the next try starts from the beginning."""
        said = ""
        if found is not None:
            said = (found.error or self.engine.output(found.id)).strip().rpartition("\n")[2]
            self.engine.remove(found.id)
        self.leases.release(container.name(spec))
        raise InfrastructureError(
            f"The supervisor of {spec.run} did not start in its container: {said or 'it said nothing'}. "
            "`ptb images verify` tries the images; then run `ptb resume`."
        )

    def _note_incidents(self, spec: SessionSpec, found: Container) -> None:
        session = Path(spec.session)
        facts: list[tuple[Happening, str]] = []
        result: dict[str, Any] = {}
        with suppress(OSError, ValueError):
            result = json.loads((session / "result.json").read_bytes())
        if found.out_of_memory or result.get("out_of_memory"):
            gigabytes = self.limits.memory_bytes / 1e9
            facts.append(("out_of_memory", f"the kernel ended processes at the container's limit, {gigabytes:.1f} GB"))
        if self.state(spec, None) == "lost":
            facts.append(("supervisor_lost", f"its container ended with {found.exit_code}; {found.error}".strip("; ")))
        if result.get("reason") == "stopped" and not (session / "stop").exists():
            facts.append(("engine_stopped", "the supervisor was told to stop, and not by ptb"))
        if (session / preflight.FILE).exists():
            before = read_json(session / preflight.FILE, preflight.Preflight)
            facts += [("gpu_lost", said) for said in preflight.lost(before, preflight.cards(), preflight.xids())]
        if not (session / INCIDENTS).exists() and session.is_dir():
            write_json(session / INCIDENTS, facts)

    def _await_removal(self, name: str) -> None:
        until = time.monotonic() + 30
        while self.engine.inspect(name) is not None:
            if time.monotonic() > until:
                raise InfrastructureError(
                    f"The container {name} could not be removed. Look at it with `docker inspect {name}`, then run "
                    "`ptb resume`."
                )
            time.sleep(0.02)

    def _own(self, spec: SessionSpec, user: int) -> None:
        """Make the agent's folders a user's: the agent's before the session, ours after it."""
        paths = [path for path in (spec.workspace, spec.home, spec.tmp) if Path(path).is_dir()]
        if os.getuid() == 0:
            with disk("hand the agent's folders over"):
                for path in paths:
                    _chown(Path(path), user)
        elif paths:
            self._own_by_container(spec, paths, user)

    def _own_by_container(self, spec: SessionSpec, paths: list[str], user: int) -> None:
        """Only root may give files away, so a short container does it for a ptb that is not root."""
        mounts = [Mount(source=path, target=f"/give/{number}", writable=True) for number, path in enumerate(paths)]
        made = self.engine.create(
            Settings(
                image=images.planned(self.engine, "train", self._planned),
                command=["chown", "-R", "-P", "-h", f"{user}:{user}", "/give"],
                environment={},
                user="0:0",
                workdir="/",
                labels=container.labels(spec.run, "owner", 60),
                mounts=mounts,
                capabilities=["CHOWN", "DAC_OVERRIDE", "FOWNER"],
                memory_bytes=2**28,
                cpus=1,
                pids=16,
                shared_memory_bytes=2**20,
            )
        )
        try:
            self.engine.start(made)
            until = time.monotonic() + 300
            while (found := self.engine.inspect(made)) and found.is_live and time.monotonic() < until:
                time.sleep(0.02)
            if found is None or found.is_live or found.exit_code:
                # `/give` itself is read-only, which chown says and goes on.
                said = self.engine.output(made) if found else ""
                if found is None or found.is_live or "/give/" in said:
                    raise InfrastructureError(f"The agent's folders could not be handed over: {said[-300:]}")
        finally:
            self.engine.remove(made)

    def _sweep(self) -> None:
        """Remove what jobs left that were not removed: their ptb was killed (then they have ended, since their stdin
        closed with it), or the engine was away when their time came."""
        for one in self.engine.containers(ptb__owner=container.owner(), ptb__role="job"):
            ours = one.labels.get("ptb.process") == process(os.getpid())
            if container.is_orphan(one.labels) or (ours and one.name not in _ACTIVE):
                self.engine.remove(one.id)

    @contextmanager
    def _leased(self, count: int, token: str, run: str) -> Iterator[list[str]]:
        name = f"ptb-{token}"
        _ACTIVE.add(name)
        try:
            yield self.leases.acquire(count, name, run, LEASE_SECONDS, _say)
        finally:
            _ACTIVE.discard(name)
            if count:
                self.leases.release(name)


def _chown(folder: Path, user: int) -> None:
    """Give a tree to a user, never through a link. Descriptors, since a tree may be moved about meanwhile."""
    for _, folders, files, descriptor in os.fwalk(folder, follow_symlinks=False):
        os.chown(descriptor, user, user)
        for name in [*folders, *files]:
            with suppress(FileNotFoundError):
                os.chown(name, user, user, dir_fd=descriptor, follow_symlinks=False)


def _run_of(path: Path) -> str:
    """The run in whose folder a file lies."""
    for folder in path.parents:
        if (folder / "plan.json").is_file():
            return folder.name
    return ""


def _say(what: str) -> None:
    print(f"ptb: {what}", file=sys.stderr)
