"""Runs one session to its end: `python supervisor SESSION_DIR`. Standard library only, Linux.

This folder is all that it needs: it can be copied or mounted anywhere, and imports nothing of the rest of ptb. Started
by the folder's path, it starts the command of SESSION_DIR/spec.json, keeps the clock, stores the output within bounds,
samples what the command uses, and ends every process that the command started: overtime_seconds after the deadline,
when SESSION_DIR/stop appears, when it is told to (SIGTERM), when the folders of the command take more than
max_disk_bytes, and when the command has ended by itself. It writes:

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

from pathlib import Path

PROGRAM = str(Path(__file__).resolve().parent)
"""What python is told to run."""
