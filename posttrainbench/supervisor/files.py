"""The files of a session's folder that the supervisor writes."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any


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
