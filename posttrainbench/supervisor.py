"""Runs one session to its end: `python supervisor.py SESSION_DIR`. One file, standard library only, Linux.

It starts the command of SESSION_DIR/spec.json, keeps the clock, stores the output within bounds, samples what the
command uses, and ends every process that the command started: overtime_seconds after the deadline, when
SESSION_DIR/stop appears, when it is told to (SIGTERM), when the folders of the command take more than max_disk_bytes,
and when the command has ended by itself. It writes:

    lock             held (flock) for as long as this process lives
    claim            who runs the session; a second supervisor finds it and leaves
    started.json     {"monotonic", "utc", "pid", "deadline"}
    output.log       bytes as they came; of too many, the first and the last half of max_output_bytes
    output.index     JSON lines {"t": seconds since start, "offset": bytes that had come before, dropped ones counted}
    telemetry.jsonl  a sample every five seconds
    result.json      last, atomically: how it ended

A disk that is full costs samples and output, not the session. What this cannot do: without a PID namespace (bubblewrap
or a container) a process that keeps forking and leaving its group may outrun the killing for a while, and when this
process itself is killed with SIGKILL, only the command dies with it, not what the command started. Disk is measured by
walking the folders, so a limit is overrun by what is written during a walk; a file that was removed and is still open,
and one that is moved about just then, go uncounted. The kernel holds single files alone to the limit (RLIMIT_FSIZE).
"""

import contextlib
import ctypes
import datetime
import fcntl
import json
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
SAMPLE_SECONDS = 5.0
INDEX_SECONDS = 1.0
TICK_SECONDS = 0.05
WALK_SECONDS = 0.01
WALK_LINKS = 1_000_000
PATH_PIECE = 2048
KILL_SECONDS = 30.0
START_SECONDS = 20.0
NOBODY = 65534
RESERVE_BYTES = 65536
TICKS, PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
GPU_FIELDS = "index,utilization.gpu,memory.used,memory.total,power.draw,temperature.gpu"
WAITED_FOR: set[int] = set()  # Children of ours that their Popen reaps.
OURS: set[int] = set()  # Those of them that are no part of the session.
RELAY = Path(__file__).with_name("relay.py")
PRCTL = ctypes.CDLL(None, use_errno=True).prctl


class Process(NamedTuple):
    """A row of /proc. `start` tells it from a later process with the same pid."""

    pid: int
    state: str
    parent: int
    group: int
    ticks: int
    start: int
    memory: int


def tree() -> list[Process]:
    """Every running process below this one but OURS. Orphans are, because it is a subreaper; what ended is reaped."""
    children: dict[int, list[Process]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError, ValueError, IndexError):
            text = Path(f"/proc/{name}/stat").read_bytes()
            # The command's name, in parentheses, may hold anything, parentheses too.
            f = text[text.rindex(b")") + 2 :].split()
            ticks, memory = int(f[11]) + int(f[12]), int(f[21]) * PAGE
            row = Process(int(name), f[0].decode(), int(f[1]), int(f[2]), ticks, int(f[19]), memory)
            children.setdefault(row.parent, []).append(row)
    found = list(children.get(os.getpid(), []))
    for row in found:
        if row.state == "Z" and row.parent == os.getpid() and row.pid not in WAITED_FOR:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(row.pid, os.WNOHANG)
        found += children.get(row.pid, [])
    return [row for row in found if row.state not in "ZX" and row.pid not in OURS]


class Output:
    """Stores a stream within bounds: its first half as it comes, its last half in memory until the end."""

    def __init__(self, log: int, index: Path, limit: int) -> None:
        self.log, self.index, self.half = log, index, max(limit, 2) // 2
        self.total = self.kept = self.unwritable = 0
        self.tail = bytearray()
        self.indexed = -INDEX_SECONDS

    def write(self, chunk: bytes, t: float) -> None:
        """Take what came at `t`."""
        if t - self.indexed >= INDEX_SECONDS:
            append(self.index, {"t": round(t, 3), "offset": self.total})
            self.indexed = t
        head = chunk[: max(0, self.half - self.total)]
        self.total += len(chunk)
        self._store(head)
        self.tail += chunk[len(head) :]
        if len(self.tail) > 2 * self.half:  # Twice, so that bytes are moved rarely.
            del self.tail[: -self.half]

    def close(self) -> None:
        """Store the last half, after a line that says how much was dropped before it."""
        del self.tail[: -self.half]
        dropped = self.total - min(self.total, self.half) - len(self.tail)
        if dropped:
            with contextlib.suppress(OSError):
                os.write(self.log, b"\n[%d bytes of output were dropped here]\n" % dropped)
        self._store(bytes(self.tail))

    def _store(self, data: bytes) -> None:
        while data:
            try:
                done = os.write(self.log, data)
            except OSError:
                self.unwritable += len(data)
                return
            self.kept += done
            data = data[done:]


def append(path: Path, row: dict[str, Any]) -> None:
    """Append a JSON line; on a full disk it is lost."""
    with contextlib.suppress(OSError), path.open("ab", buffering=0) as file:
        file.write(json.dumps(row).encode() + b"\n")


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a file that is either whole or absent."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w") as file:
        json.dump(value, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


class Usage:
    """What folders take on their disk, measured over and over by a walk that gets a slice of each tick, so that no tree
    is big enough to hold up the clock. Links are not followed, and other file systems are left out."""

    def __init__(self, folders: list[str], limit: int) -> None:
        self.folders, self.limit = [os.fsencode(folder) for folder in folders], limit
        self.whole = self.partial = self.over = 0
        self.walk: Iterator[None] | None = None
        self.due = self.begun = time.monotonic()

    @property
    def used(self) -> int:
        """Bytes: of the last walk, or of the present one if it has met more already."""
        return max(self.whole, self.partial)

    @property
    def exceeded(self) -> bool:
        """Whether two walks in a row met more than the limit; one may count twice what is moved about meanwhile."""
        return self.over > 1

    def tick(self) -> None:
        """Walk on for a moment. Between two walks is a pause that grows with them."""
        now = time.monotonic()
        if now < self.due or not self.folders:
            return
        if self.walk is None:
            self.walk, self.partial, self.begun = self._steps(), 0, now
        self.due = now + TICK_SECONDS
        while time.monotonic() < now + WALK_SECONDS:
            ended, over = next(self.walk, self) is self, 0 < self.limit < self.partial
            if ended or over:
                self.whole, self.partial, self.walk = self.partial, 0, None
                self.over = self.over + 1 if over else 0
                self.due = now if over else now + max(SAMPLE_SECONDS, now - self.begun)
                return

    def _steps(self) -> Iterator[None]:
        links: set[tuple[int, int]] = set()
        for folder in self.folders:
            waiting, device = [folder], -1
            while waiting:
                path = waiting.pop()
                yield
                try:
                    descriptor = open_folder(path)
                except OSError:  # Gone meanwhile, or not ours to read.
                    continue
                try:
                    own = os.fstat(descriptor)
                    device = own.st_dev if device < 0 else device
                    if own.st_dev != device:
                        continue
                    self.partial += own.st_blocks * 512
                    # The scan works on a copy of the descriptor.
                    with contextlib.suppress(OSError), os.scandir(descriptor) as entries:
                        for number, entry in enumerate(entries):
                            if number % 16 == 0:
                                yield
                            self._count(entry, os.path.join(path, os.fsencode(entry.name)), waiting, links)
                finally:
                    os.close(descriptor)

    def _count(self, entry: "os.DirEntry[str]", path: bytes, waiting: list[bytes], links: set[tuple[int, int]]) -> None:
        with contextlib.suppress(OSError):
            if entry.is_dir(follow_symlinks=False):
                waiting.append(path)
                return
            found = entry.stat(follow_symlinks=False)
            if found.st_nlink > 1:
                key = (found.st_dev, found.st_ino)
                if key in links:
                    return
                if len(links) < WALK_LINKS:  # Beyond that, each further name counts again.
                    links.add(key)
            self.partial += found.st_blocks * 512


def open_folder(path: bytes) -> int:
    """A descriptor of a folder whose path may be longer than the kernel takes at once."""
    descriptor = os.open(b"/", os.O_RDONLY)
    while path:
        piece = path[: path.rindex(b"/", 0, PATH_PIECE)] if len(path) > PATH_PIECE else path
        path = path[len(piece) :].lstrip(b"/")
        try:
            inner = os.open(piece, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = inner
    return descriptor


class Sampler:
    """Telemetry. nvidia-smi can hang beyond the reach of SIGKILL, so nothing here ever waits for it."""

    def __init__(self, path: Path, workspace: str, usage: Usage, started: float) -> None:
        self.path, self.workspace, self.usage, self.started = path, workspace, usage, started
        self.nvidia_smi = shutil.which("nvidia-smi")
        self.query: subprocess.Popen[bytes] | None = None
        self.due = self.before = started
        self.ticks: dict[tuple[int, int], int] = {}

    def tick(self) -> None:
        """Take a sample if one is due; write it when its GPU query has ended, or without GPUs if that hangs."""
        if self.query and self.query.poll() is not None:
            assert self.query.stdout
            with self.query.stdout as pipe:
                os.set_blocking(pipe.fileno(), False)
                text = pipe.read() or b""
            WAITED_FOR.discard(self.query.pid)
            OURS.discard(self.query.pid)
            self.query = None
            self._write(text.decode("utf-8", "replace"))
        now = time.monotonic()
        if now < self.due:
            return
        self.due = now + SAMPLE_SECONDS
        if self.query or not self._ask():
            self.close()
            self._write("")

    def close(self) -> None:
        """End a query that hangs."""
        if self.query:
            self.query.kill()

    def _ask(self) -> bool:
        if self.nvidia_smi is None:
            return False
        command = [self.nvidia_smi, f"--query-gpu={GPU_FIELDS}", "--format=csv,noheader,nounits"]
        null = subprocess.DEVNULL
        try:
            self.query = subprocess.Popen(command, stdin=null, stdout=subprocess.PIPE, stderr=null)
        except OSError:  # The agent may have used up all processes.
            return False
        WAITED_FOR.add(self.query.pid)
        OURS.add(self.query.pid)
        return True

    def _write(self, csv: str) -> None:
        gpus: list[dict[str, float]] = []
        for line in csv.splitlines():
            gpus.append({})
            for name, text in zip(GPU_FIELDS.split(","), line.split(","), strict=False):
                with contextlib.suppress(ValueError):
                    gpus[-1][name] = float(text)
        rows = tree()
        ticks = {(row.pid, row.start): row.ticks for row in rows}
        used = sum(count - self.ticks.get(key, 0) for key, count in ticks.items()) / TICKS
        now = time.monotonic()
        sample: dict[str, Any] = {
            "t": round(now - self.started, 3),
            "cpu_percent": round(100 * used / (now - self.before), 1) if now - self.before > 0.1 else 0.0,
            "memory_mb": round(sum(row.memory for row in rows) / 2**20, 1),
            "disk_free_mb": 0.0,
            "disk_used_mb": round(self.usage.used / 2**20, 1),
            "processes": len(rows),
            "gpus": gpus,
        }
        with contextlib.suppress(OSError):
            sample["disk_free_mb"] = round(shutil.disk_usage(self.workspace).free / 2**20, 1)
        append(self.path, sample)
        self.ticks, self.before = ticks, now


class Session:
    """One session, turn after turn until its time is over."""

    def __init__(self, folder: Path, spec: dict[str, Any]) -> None:
        self.folder, self.spec = folder, spec
        self.started = time.monotonic()
        self.deadline = self.started + spec["seconds"]
        self.end = self.deadline + spec.get("overtime_seconds", 0.0)
        self.told_to_stop = False
        self.turns: list[dict[str, Any]] = []
        self.killed: set[tuple[int, int]] = set()
        self.pipe = -1
        self.main: subprocess.Popen[bytes] | None = None
        self.wrapper_pids: set[int] = set()
        log = spec.get("log_fd") or os.open(folder / "output.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        self.output = Output(log, folder / "output.index", spec["max_output_bytes"])
        self.max_disk = spec.get("max_disk_bytes", 0)
        measured = ("workspace", "home", "tmp") if "max_disk_bytes" in spec else ()
        self.usage = Usage([spec[name] for name in measured], self.max_disk)
        self.sampler = Sampler(folder / "telemetry.jsonl", spec["workspace"], self.usage, self.started)

    def run(self) -> dict[str, Any]:
        """The turns, and how it ended."""
        command, detail = self.spec["command"], ""
        while True:
            reason, detail = self.turn(command)
            left = self.deadline - time.monotonic()
            more = left > self.spec["early_stop_seconds_left"] and len(self.turns) <= self.spec["early_stop_times"]
            if reason != "exited" or not more or not self.spec["resume_command"]:
                break
            command = self.spec["resume_command"]
        if reason == "failed_to_start" and self.turns:
            reason = "exited"  # It did start; what failed is its continuation, which `detail` tells.
        self.sampler.close()
        self.output.close()
        if reason == "disk_limit":
            used, most = self.usage.used / 1e9, self.max_disk / 1e9
            detail += f"Its folders took {used:.2f} GB on the disk, of {most:.2f} GB at most."
        if left := len(self.alive() if self.main else []):
            detail += f" {left} processes could not be ended."
        if self.output.unwritable:
            detail += f" {self.output.unwritable} bytes of output could not be written: the disk was full."
        last = self.turns[-1] if self.turns else {"exit_code": None, "signal": None}
        return {
            "reason": reason,
            "exit_code": last["exit_code"],
            "signal": last["signal"],
            "seconds": round(time.monotonic() - self.started, 3),
            "turns": self.turns,
            "output_bytes": self.output.total,
            "kept_bytes": self.output.kept,
            "killed": len(self.killed),
            "detail": detail.strip(),
        }

    def turn(self, command: list[str]) -> tuple[str, str]:
        """Start `command`, wait for its end or ours, and end what is left of it: the reason, and what failed."""
        begin = time.monotonic()
        self.pipe, write = os.pipe()
        status, status_write = os.pipe()
        block, block_write = os.pipe()
        names = {"{status_fd}": str(status_write), "{block_fd}": str(block)}
        wrapper = [names.get(part, part) for part in self.spec.get("wrapper", [])]
        # If it fails to start, so does the session, and loudly: an agent without its way out is no measurement.
        relay = None if wrapper else self.start_relay()
        try:
            self.main = subprocess.Popen(
                [*wrapper, *command],
                cwd=self.spec["workspace"],
                env={**self.spec["env"], "PTB_DEADLINE": repr(self.deadline)},
                stdin=subprocess.DEVNULL,
                stdout=write,
                stderr=write,
                start_new_session=True,
                pass_fds=[status_write, block] if wrapper else [],
                preexec_fn=self.limit,
            )
        except (OSError, ValueError) as error:
            self.output.write(f"{command[0]} could not be started: {error}\n".encode(), begin - self.started)
            for descriptor in (self.pipe, write, status, status_write, block, block_write):
                os.close(descriptor)
            end_relay(relay)
            return "failed_to_start", f"{command[0]} could not be started: {error}"
        WAITED_FOR.add(self.main.pid)
        for descriptor in (write, status_write, block):
            os.close(descriptor)
        report = ""
        if wrapper and self.spec.get("relays"):
            # bubblewrap holds the command back until its network has what it needs.
            report = self.read_status(status, START_SECONDS)
            relay = self.start_relay(self.wrapped_pid(report))
        os.close(block_write)
        reason = self.wait()
        report += self.read_status(status) if wrapper else ""
        self.end_tree(self.spec["grace_seconds"])
        end_relay(relay)
        code = self.main.wait()
        if wrapper and code > 128:
            code = 128 - code  # A wrapper reports a death by signal the way a shell does.
        self.drain()
        os.close(status)
        if wrapper and reason == "exited" and code == 1 and "exit-code" not in report:
            return (
                "failed_to_start",
                f"{command[0]} could not be started in its sandbox; the output's last line says why.",
            )
        end = time.monotonic()
        self.turns.append(
            {
                "start": round(begin - self.started, 3),
                "end": round(end - self.started, 3),
                "exit_code": code if code >= 0 else None,
                "signal": -code if code < 0 else None,
            }
        )
        return reason, ""

    def limit(self) -> None:
        """What the command begins with: it dies with us, and no file of its grows beyond the limit of all."""
        PRCTL(PR_SET_PDEATHSIG, signal.SIGKILL)
        if self.max_disk:
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.max_disk, self.max_disk))

    def wait(self) -> str:
        """Take output until the command ends (`exited`), time is over (`deadline`), its folders take too much
        (`disk_limit`) or we are told to end it (`stopped`)."""
        assert self.main
        stop, parent = self.folder / "stop", self.spec.get("parent", 0)
        while True:
            self.pump(TICK_SECONDS)
            self.sampler.tick()
            self.usage.tick()
            if self.main.poll() is not None:
                return "exited"
            if self.told_to_stop or stop.exists() or (parent and os.getppid() != parent):
                return "stopped"
            if time.monotonic() >= self.end:
                return "deadline"
            if self.usage.exceeded:
                return "disk_limit"

    def pump(self, seconds: float) -> bool:
        """Take one piece of output if some comes within `seconds`; False when none came."""
        if self.pipe < 0:
            time.sleep(seconds)
            return False
        if not select.select([self.pipe], [], [], seconds)[0]:
            return False
        chunk = os.read(self.pipe, 1 << 20)
        if not chunk:  # Every writer has closed it; the command may live on.
            os.close(self.pipe)
            self.pipe = -1
            return False
        self.output.write(chunk, time.monotonic() - self.started)
        return True

    def drain(self) -> None:
        """Take what is still in the pipe, but not for ever: something outside the tree may hold it."""
        until = time.monotonic() + 2
        while self.pump(0) and time.monotonic() < until:
            pass
        if self.pipe >= 0:
            os.close(self.pipe)
            self.pipe = -1

    def start_relay(self, within: int = 0) -> "subprocess.Popen[bytes] | None":
        """Let the sandbox's own 127.0.0.1 lead to the sockets that the spec names: the network of the process `within`,
        or this one's. Raises OSError if that fails."""
        relays = [f"{port}={path}" for port, path in self.spec.get("relays", {}).items()]
        if not relays:
            return None
        namespace = ["--namespace", str(within)] if within else []
        contained = self.spec.get("own_processes", False)
        relay = subprocess.Popen(
            [sys.executable, "-I", "-S", str(RELAY), *namespace, *relays],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            # In a container it needs nothing but the sockets: neither what root may do, nor to be the agent's user.
            user=NOBODY if contained else None,
            group=NOBODY if contained else None,
            extra_groups=[] if contained else None,
        )
        WAITED_FOR.add(relay.pid)
        OURS.add(relay.pid)
        assert relay.stdout
        with relay.stdout:
            if not select.select([relay.stdout], [], [], START_SECONDS)[0] or not relay.stdout.read(1):
                end_relay(relay)
                raise OSError("the relay to the gateway did not start; supervisor.log says why")
        return relay

    def wrapped_pid(self, report: str) -> int:
        """The first process of bubblewrap's namespaces, by its report; raises OSError when there is none."""
        with contextlib.suppress(ValueError, LookupError):
            return int(json.loads(report.splitlines()[0])["child-pid"])
        raise OSError("bubblewrap reported no process")

    def read_status(self, status: int, seconds: float = 0) -> str:
        """What bubblewrap reported: its child's pid, which is the namespace's first process, and the exit code."""
        report, until = "", time.monotonic() + seconds
        # It writes its first line in pieces.
        while "\n" not in report and select.select([status], [], [], max(0.0, until - time.monotonic()))[0]:
            piece = os.read(status, 65536).decode()
            if not piece:
                break
            report += piece
        with contextlib.suppress(OSError):
            self.wrapper_pids = {self.main.pid if self.main else 0, self.wrapped_pid(report)}
        return report

    def alive(self) -> list[Process]:
        """What still runs of the tree, wrapper included; counts those that were met."""
        assert self.main
        self.main.poll()
        rows = tree()
        self.killed.update((row.pid, row.start) for row in rows if row.pid not in self.wrapper_pids)
        return rows

    def end_tree(self, grace: float) -> None:
        """SIGTERM to every process, `grace` seconds, then SIGKILL until none is left."""
        for row in self.alive():
            # The wrapper would die of SIGTERM, and all within it at once, without their grace.
            if row.pid not in self.wrapper_pids:
                send(os.kill, row.pid, signal.SIGTERM)
        until = time.monotonic() + grace
        while self.alive() and time.monotonic() < until:
            self.pump(TICK_SECONDS)
        until = time.monotonic() + KILL_SECONDS
        while (rows := self.alive()) and time.monotonic() < until:
            # A group is killed at one blow, so a process that forks and ends cannot slip through unless it leaves it.
            for group in {row.group for row in rows} - {os.getpgrp(), 0, 1}:
                send(os.killpg, group, signal.SIGKILL)
            for row in rows:
                send(os.kill, row.pid, signal.SIGKILL)
            if os.getpid() == 1 or self.spec.get("own_processes"):  # A container: all others are the session's.
                send(os.kill, -1, signal.SIGKILL)
            self.pump(0.001)


def end_relay(relay: "subprocess.Popen[bytes] | None") -> None:
    """End a relay, if there is one, and wait for it."""
    if relay:
        relay.kill()
        relay.wait()
        WAITED_FOR.discard(relay.pid)
        OURS.discard(relay.pid)


def send(function: Any, target: int, number: int) -> None:
    """Send a signal to what may be gone already."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        function(target, number)


def main(folder: Path) -> int:
    """Claim the session and run it; 0 also when it is somebody else's."""
    spec = json.loads((folder / "spec.json").read_text())
    lock = (folder / "lock").open("a")  # Before the claim: a claim without a lock means that its owner is gone.
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        claim = os.open(folder / "claim", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except (BlockingIOError, FileExistsError):
        return 0
    reserve, started = folder / "reserve", datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    PRCTL(PR_SET_CHILD_SUBREAPER, 1)
    session = Session(folder, spec)

    def stop(*_: object) -> None:
        session.told_to_stop = True

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    with contextlib.suppress(OSError):
        os.write(claim, str(os.getpid()).encode())
        reserve.write_bytes(b"\0" * RESERVE_BYTES)
        clock = {"monotonic": session.started, "utc": started, "pid": os.getpid(), "deadline": session.deadline}
        write_json(folder / "started.json", clock)
    result = session.run()
    reserve.unlink(missing_ok=True)  # Room for the result, should the disk be full.
    for _ in range(10):
        try:
            write_json(folder / "result.json", result)
            return 0
        except OSError as error:
            print(f"result.json could not be written: {error}", file=sys.stderr)
            time.sleep(1)
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
