"""The container engine, Docker's or podman's, through its API. The docker SDK is imported nowhere else.

Every call has a deadline, and every failure becomes a sentence: MissingError when no engine answers at all,
InfrastructureError when it refuses or hangs. What an engine object looks like stays in here.
"""

import contextlib
import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import docker
import requests
from docker.errors import APIError, BuildError, DockerException, ImageNotFound, NotFound

from posttrainbench.errors import InfrastructureError, MissingError
from posttrainbench.strict import Value

DEADLINE_SECONDS = 60
BUILD_SECONDS = 3600
ULIMITS = {"core": 0, "nofile": 16384, "nproc": 16384}
"""The same under every engine; podman left alone asks for more than it may give without CAP_SYS_RESOURCE."""
PODMAN_STATES = {"configured": "created", "initialized": "created", "stopping": "running", "stopped": "exited"}
"""Podman's own words for states, in Docker's."""
PODMAN_WRITABLE = ("/run", "/var/tmp")  # noqa: S108 - the container's own.
"""Where podman mounts something writable in a read-only container unless something else is mounted there."""
SOCKETS = ("/var/run/docker.sock", "/run/podman/podman.sock", "/run/user/{uid}/podman/podman.sock")


class Image(Value, frozen=True, kw_only=True):
    """An image on this host."""

    name: str
    digest: str
    """Its id, the digest of its configuration, which names every layer."""
    megabytes: float
    created: str
    labels: dict[str, str]


class Container(Value, frozen=True, kw_only=True):
    """A container as the engine saw it last."""

    id: str
    name: str
    state: str
    """created, running, paused, restarting, removing, exited, dead."""
    labels: dict[str, str]
    exit_code: int | None = None
    out_of_memory: bool = False
    error: str = ""
    gpus: list[str] = []
    """UUIDs of the devices that it was given."""

    @property
    def is_live(self) -> bool:
        """Whether something may run in it."""
        return self.state in ("running", "paused", "restarting")


class Mount(Value, frozen=True, kw_only=True):
    """A host path and where it appears."""

    source: str
    target: str
    writable: bool = False


class Settings(Value, frozen=True, kw_only=True):
    """What a container is made of."""

    name: str | None = None
    image: str
    command: list[str]
    environment: dict[str, str]
    user: str
    workdir: str
    labels: dict[str, str]
    mounts: list[Mount]
    capabilities: list[str] = []
    """Those that remain; all others are dropped."""
    memory_bytes: int
    cpus: float
    pids: int
    shared_memory_bytes: int
    tmp_bytes: int = 0
    """Size of a /tmp in memory; 0: no such /tmp."""
    gpus: list[str] = []
    remove: bool = False
    """Remove it when it ends."""
    attached: bool = False
    """Its stdin closes when whoever is attached goes."""
    stop_seconds: int = 10


class Engine:
    """One engine. `address`: None takes DOCKER_HOST, or the first socket that exists."""

    def __init__(self, address: str | None = None, seconds: int = DEADLINE_SECONDS) -> None:
        self.address = address or os.environ.get("DOCKER_HOST") or _first_socket()
        self.seconds = seconds
        self._opened: docker.DockerClient | None = None
        self._podman: bool | None = None

    @property
    def _client(self) -> Any:
        if self._opened is None:
            with _asking(self, "connect"):
                self._opened = docker.DockerClient(base_url=self.address, timeout=self.seconds)
        return self._opened

    def version(self) -> str:
        """Its version; raises MissingError when none answers."""
        with _asking(self, "ask for its version"):
            return str(self._client.version()["Version"])

    def is_podman(self) -> bool:
        """Whether it is podman that answers in Docker's language."""
        if self._podman is None:
            with _asking(self, "ask for its version"):
                parts = self._client.version().get("Components") or []
            self._podman = any(one.get("Name") == "Podman Engine" for one in parts)
        return self._podman

    def memory_bytes(self) -> int:
        """Memory of its host."""
        with _asking(self, "ask for its host"):
            return int(self._client.info()["MemTotal"])

    def image(self, name: str) -> Image | None:
        """An image by name or id."""
        with _asking(self, f"look for the image {name}"):
            try:
                found = self._client.api.inspect_image(name)
            except ImageNotFound:
                return None
        return Image(
            name=name,
            digest=found["Id"],
            megabytes=round(found["Size"] / 1e6, 1),
            created=found["Created"],
            labels=(found.get("Config") or {}).get("Labels") or {},
        )

    def build(
        self,
        folder: Path,
        *,
        target: str,
        tag: str,
        arguments: Mapping[str, str],
        labels: Mapping[str, str],
        network: str,
        say: Callable[[str], None],
    ) -> None:
        """Build the Dockerfile in `folder` up to a stage; its output goes to `say` line by line."""
        tail: list[str] = []
        with _asking(self, f"build {tag}"):
            client = docker.DockerClient(base_url=self.address, timeout=BUILD_SECONDS)
            steps = client.api.build(
                path=str(folder),
                target=target,
                tag=tag,
                buildargs=dict(arguments),
                labels=dict(labels),
                network_mode=network,
                rm=True,
                forcerm=True,
                decode=True,
            )
            for step in steps:
                text = str(step.get("stream") or step.get("error") or "").rstrip()
                if text:
                    say(text)
                    tail = [*tail[-10:], text]
                if "error" in step:
                    raise InfrastructureError(f"The image {tag} could not be built: {' | '.join(tail[-4:])}")

    def create(self, settings: Settings) -> str:
        """Create a container; returns its id. When the name is taken, the id of the one that has it."""
        memory = dict.fromkeys(PODMAN_WRITABLE, "ro,size=4k") if self.is_podman() else {}
        if settings.tmp_bytes:
            memory["/tmp"] = f"size={settings.tmp_bytes},mode=1777"  # noqa: S108 - the container's own.
        host = self._client.api.create_host_config(
            binds=[f"{m.source}:{m.target}:{'rw' if m.writable else 'ro'}" for m in settings.mounts],
            network_mode="none",
            cap_drop=["ALL"],
            cap_add=settings.capabilities,
            security_opt=["no-new-privileges"],
            read_only=True,
            init=True,
            mem_limit=settings.memory_bytes,
            memswap_limit=settings.memory_bytes,
            nano_cpus=int(settings.cpus * 1e9),
            pids_limit=settings.pids,
            shm_size=settings.shared_memory_bytes,
            tmpfs=memory or None,
            ulimits=[
                docker.types.Ulimit(name=name, soft=most, hard=most)
                for name, most in {**ULIMITS, "nproc": max(ULIMITS["nproc"], settings.pids)}.items()
            ],
            auto_remove=settings.remove,
            ipc_mode="private",
            device_requests=[docker.types.DeviceRequest(device_ids=settings.gpus, capabilities=[["gpu"]])]
            if settings.gpus
            else None,
            # What it prints is bounded by whoever reads it; the engine keeps a little for diagnosis.
            log_config=docker.types.LogConfig(type="json-file", config={"max-size": "1m", "max-file": "1"}),
        )
        with _asking(self, "create a container"):
            try:
                made = self._client.api.create_container(
                    settings.image,
                    command=settings.command,
                    entrypoint=[],
                    name=settings.name,
                    environment=settings.environment,
                    user=settings.user,
                    working_dir=settings.workdir,
                    labels=settings.labels,
                    hostname="sandbox",
                    host_config=host,
                    detach=not settings.attached,
                    stdin_open=settings.attached,
                    stop_timeout=settings.stop_seconds,
                )
            except APIError as error:
                if error.status_code == 409 and settings.name and (existing := self.inspect(settings.name)):
                    return existing.id
                raise
        return str(made["Id"])

    def start(self, container: str) -> None:
        """Start it; nothing happens if it runs."""
        with _asking(self, "start a container"):
            self._client.api.start(container)

    def inspect(self, container: str) -> Container | None:
        """A container by id or name; None when there is none."""
        with _asking(self, "look at a container"):
            try:
                found = self._client.api.inspect_container(container)
            except NotFound:
                return None
        state, config, host = found["State"], found["Config"], found["HostConfig"]
        requested = [one for request in host.get("DeviceRequests") or [] for one in request.get("DeviceIDs") or []]
        return Container(
            id=found["Id"],
            name=found["Name"].lstrip("/"),
            state=PODMAN_STATES.get(state["Status"], state["Status"]),
            labels=config.get("Labels") or {},
            exit_code=state.get("ExitCode"),
            out_of_memory=bool(state.get("OOMKilled")),
            error=state.get("Error") or "",
            gpus=requested,
        )

    def containers(self, **labels: str) -> list[Container]:
        """Containers, ended ones too, that bear all of these labels (dots written as double underscores)."""
        wanted = [f"{name.replace('__', '.')}={value}" for name, value in labels.items()]
        with _asking(self, "list containers"):
            rows = self._client.api.containers(all=True, filters={"label": wanted} if wanted else None)
        found = (self.inspect(row["Id"]) for row in rows)
        return [one for one in found if one is not None]

    def kill(self, container: str) -> None:
        """SIGKILL to everything in it; nothing happens if it has ended."""
        with _asking(self, "kill a container"):
            try:
                self._client.api.kill(container)
            except NotFound:
                return
            except APIError as error:
                # 409: it does not run. Podman says so with 500 for a while.
                found = self.inspect(container) if error.status_code != 409 else None
                if found is not None and found.is_live:
                    raise

    def remove(self, container: str) -> None:
        """Kill and remove it; nothing happens if it is gone or being removed."""
        with _asking(self, "remove a container"):
            try:
                self._client.api.remove_container(container, force=True, v=True)
            except NotFound:
                return
            except APIError as error:
                if error.status_code != 409:  # Another removal is under way.
                    raise

    def output(self, container: str, lines: int = 20) -> str:
        """The last lines that it printed."""
        with _asking(self, "read what a container printed"):
            raw: bytes = self._client.api.logs(container, tail=lines)
        return raw.decode("utf-8", "replace").strip()

    @contextlib.contextmanager
    def attached(self, container: str) -> Iterator[socket.socket]:
        """A connection to its stdin, stdout and stderr, in frames as the API has them; as long as it is open, so is the
        container's stdin."""
        with _asking(self, "attach to a container"):
            stream = self._client.api.attach_socket(
                container, params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
            )
        try:
            yield getattr(stream, "_sock", stream)
        finally:
            with contextlib.suppress(OSError):
                stream.close()

    def networks_and_volumes(self, owner: str) -> list[tuple[Literal["network", "volume"], str, dict[str, str]]]:
        """Networks and volumes that bear this owner's label: kind, name, labels."""
        filters = {"label": f"ptb.owner={owner}"}
        with _asking(self, "list networks and volumes"):
            networks = self._client.api.networks(filters=filters)
            volumes = self._client.api.volumes(filters=filters)["Volumes"] or []
        found: list[tuple[Literal["network", "volume"], str, dict[str, str]]] = []
        found += [("network", row["Name"], row["Labels"] or {}) for row in networks]
        found += [("volume", row["Name"], row["Labels"] or {}) for row in volumes]
        return found

    def remove_other(self, kind: Literal["network", "volume"], name: str) -> None:
        """Remove a network or a volume; nothing happens if it is gone."""
        with _asking(self, f"remove the {kind} {name}"), contextlib.suppress(NotFound):
            if kind == "network":
                self._client.api.remove_network(name)
            else:
                self._client.api.remove_volume(name)


@contextlib.contextmanager
def _asking(engine: Engine, what: str) -> Iterator[None]:
    """Turn every failure of the SDK into a sentence that names `what` the engine was asked to do."""
    try:
        yield
    except (APIError, BuildError) as error:
        text = getattr(error, "explanation", None) or str(error)
        raise InfrastructureError(f"The container engine refused to {what}: {text}.") from error
    except requests.exceptions.ReadTimeout as error:
        raise InfrastructureError(
            f"The container engine at {engine.address} did not {what} within {engine.seconds} s. See what it does "
            "(`docker info`), then run `ptb resume`."
        ) from error
    except (DockerException, requests.exceptions.RequestException, OSError) as error:
        # The SDK's text holds those of the errors below it, the innermost last: "… FileNotFoundError(2, 'No such …'))".
        reason = [type(error).__name__, *re.findall(r"'([^']+)'", str(error))][-1]
        raise MissingError(
            f"No container engine answers at {engine.address} ({reason}). Start Docker, or point DOCKER_HOST at an "
            "engine, or use --sandbox local."
        ) from error


def _first_socket() -> str:
    paths = [path.format(uid=os.getuid()) for path in SOCKETS]
    return "unix://" + next((path for path in paths if Path(path).exists()), paths[0])
