"""One session: its clock, its turns, and the result."""

import contextlib
import datetime
import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from . import relays, wrapper
from .files import write_json
from .output import Output, Stream
from .processes import PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG, PRCTL, TICK_SECONDS, WAITED_FOR, Tree, ended_for_memory
from .telemetry import Sampler
from .usage import Usage

RESERVE_BYTES = 65536


class Session:
    """One session, turn after turn until its time is over."""

    def __init__(self, folder: Path, spec: dict[str, Any]) -> None:
        self.folder, self.spec = folder, spec
        self.started = time.monotonic()
        self.deadline = self.started + spec["seconds"]
        self.end = self.deadline + spec.get("overtime_seconds", 0.0)
        self.told_to_stop = False
        self.turns: list[dict[str, Any]] = []
        self.contained = spec.get("own_processes", False)
        self.tree = Tree(self.contained)
        log = spec.get("log_fd") or os.open(folder / "output.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        self.output = Output(log, folder / "output.index", spec["max_output_bytes"])
        self.stream = Stream(self.output, self.started)
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
            detail += self.usage.told()
        if left := len(self.tree.alive() or []):
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
            "killed": len(self.tree.killed),
            "out_of_memory": ended_for_memory() if self.contained else 0,
            "detail": detail.strip(),
        }

    def turn(self, command: list[str]) -> tuple[str, str]:
        """Start `command`, wait for its end or ours, and end what is left of it: the reason, and what failed."""
        begin = time.monotonic()
        write = self.stream.open()
        status, status_write = os.pipe()
        block, block_write = os.pipe()
        names = {"{status_fd}": str(status_write), "{block_fd}": str(block)}
        wrapped = [names.get(part, part) for part in self.spec.get("wrapper", [])]
        leads = self.spec.get("relays", {})
        # If it fails to start, so does the session, and loudly: an agent without its way out is no measurement.
        relay = None if wrapped else relays.start(leads, contained=self.contained)
        try:
            self.tree.main = main = subprocess.Popen(
                [*wrapped, *command],
                cwd=self.spec["workspace"],
                env={**self.spec["env"], "PTB_DEADLINE": repr(self.deadline)},
                stdin=subprocess.DEVNULL,
                stdout=write,
                stderr=write,
                start_new_session=True,
                pass_fds=[status_write, block] if wrapped else [],
                preexec_fn=self.limit,
            )
        except (OSError, ValueError) as error:
            self.output.write(f"{command[0]} could not be started: {error}\n".encode(), begin - self.started)
            self.stream.close()
            for descriptor in (write, status, status_write, block, block_write):
                os.close(descriptor)
            relays.end(relay)
            return "failed_to_start", f"{command[0]} could not be started: {error}"
        WAITED_FOR.add(main.pid)
        for descriptor in (write, status_write, block):
            os.close(descriptor)
        report = ""
        if wrapped and leads:
            # bubblewrap holds the command back until its network has what it needs.
            report = wrapper.read(status, relays.START_SECONDS)
            within = wrapper.first_process(report)
            relay = relays.start(leads, contained=self.contained, within=within)
        os.close(block_write)
        reason = self.wait(main)
        if wrapped:
            report += wrapper.read(status)
            with contextlib.suppress(OSError):
                self.tree.wrapper = {main.pid, wrapper.first_process(report)}
        self.tree.end(self.spec["grace_seconds"], self.stream.pump)
        relays.end(relay)
        code = main.wait()
        if wrapped and code > 128:
            code = 128 - code  # A wrapper reports a death by signal the way a shell does.
        self.stream.drain()
        os.close(status)
        if wrapped and reason == "exited" and code == 1 and "exit-code" not in report:
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

    def wait(self, main: "subprocess.Popen[bytes]") -> str:
        """Take output until the command ends (`exited`), time is over (`deadline`), its folders take too much
        (`disk_limit`) or we are told to end it (`stopped`)."""
        stop, parent = self.folder / "stop", self.spec.get("parent", 0)
        while True:
            self.stream.pump(TICK_SECONDS)
            self.sampler.tick()
            self.usage.tick()
            if main.poll() is not None:
                return "exited"
            if self.told_to_stop or stop.exists() or (parent and os.getppid() != parent):
                return "stopped"
            if time.monotonic() >= self.end:
                return "deadline"
            if self.usage.exceeded:
                return "disk_limit"


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
