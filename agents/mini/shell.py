"""The one tool: bash, a command at a time, in the folder where the last one ended."""

import os
import re
import shlex
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

SHOWN = 16_000
"""Characters of an output that the model sees."""
LARGEST = 100_000_000
"""Bytes that a command may print before it is stopped."""
GRACE = 3.0
"""Seconds between asking processes to end and ending them."""


@dataclass(frozen=True)
class Ran:
    """What a command did. `exit_code` is None where it was stopped."""

    output: str
    exit_code: int | None


class Shell:
    """Keeps the working folder from one command to the next; variables and functions are not kept.

    Commands print into a file, never into a pipe: one that goes on in the background neither keeps us waiting nor dies
    when we do.
    """

    def __init__(self, folder: Path, start: Path) -> None:
        self.folder, self.start, self.cwd = folder, start, start
        folder.mkdir(parents=True, exist_ok=True)

    def run(self, command: str, seconds: float) -> Ran:
        """Run the command, for so long at most."""
        stem = self.folder / f"command-{time.time_ns()}"
        script, printed, place = (stem.with_suffix(suffix) for suffix in (".sh", ".out", ".cwd"))
        # In a file and not in the arguments: `pkill -f train.py` would find the very shell that was given it.
        script.write_text(f"trap 'pwd > {shlex.quote(str(place))}' EXIT; {command}\n", encoding="utf-8")
        cwd = self.cwd if self.cwd.is_dir() else self.start
        with printed.open("ab") as out:
            process = subprocess.Popen(
                ["bash", str(script)],
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            stopped = self._watch(process, printed, seconds)
        except BaseException:
            end(process)
            raise
        if place.exists():
            self.cwd = Path(place.read_text(encoding="utf-8", errors="surrogateescape").removesuffix("\n"))
        script.unlink(missing_ok=True)
        place.unlink(missing_ok=True)
        text, is_whole = shown(printed)
        running = [] if stopped else members(process.pid)
        notes = [stopped, *(f"[still running in the background: {process}]" for process in running)]
        if running or not is_whole:
            notes.append(f"[all output: {printed}]")
        else:
            printed.unlink(missing_ok=True)
        return Ran("\n".join(filter(None, [text, *notes])), None if stopped else process.returncode)

    def _watch(self, process: "subprocess.Popen[bytes]", printed: Path, seconds: float) -> str:
        """Wait for the command; why it was stopped, or nothing."""
        until = time.monotonic() + seconds
        while True:
            try:
                process.wait(max(0.0, min(1.0, until - time.monotonic())))
                return ""
            except subprocess.TimeoutExpired:
                pass
            if time.monotonic() >= until:
                end(process)
                return f"[stopped with all its processes after {seconds:.0f} s, its time limit]"
            if printed.stat().st_size > LARGEST:
                end(process)
                return f"[stopped with all its processes after {LARGEST // 10**6} MB of output]"


def end(process: "subprocess.Popen[bytes]") -> None:
    """End the command and everything in its group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        until = time.monotonic() + GRACE
        while members(process.pid) and time.monotonic() < until:
            process.poll()
            time.sleep(0.05)


def members(session: int) -> list[str]:
    """Living processes of a session, as `pid command`."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            words = (stat.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if fields[0] != "Z" and fields[3] == str(session):
            found.append(f"{stat.parent.name} {words.strip()[:200]}")
    return found


def shown(printed: Path) -> tuple[str, bool]:
    """What the model sees of the output, and whether that is all of it."""
    with printed.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        raw = file.read(500_000)
        if size > 1_000_000:
            file.seek(-500_000, os.SEEK_END)
        raw += file.read(500_000)
    # Of a line that was written over and over, as progress bars do, its last state.
    text = re.sub(r"[^\n]*\r(?!\n)", "", raw.decode("utf-8", "replace")).rstrip("\n")
    if len(text) <= SHOWN:
        return text, size <= 1_000_000
    half = SHOWN // 2
    return f"{text[:half]}\n[… {len(text) - SHOWN} or more characters left out …]\n{text[-half:]}", False
