"""Starts the gateway of a run: `python -m posttrainbench.gateway FOLDER [--detach]`.

The provider's key comes as JSON on the standard input, `{"kind": "api_key", "value": "…"}`; nothing there means that
there is none. `ready` on the standard output means that it serves. `--detach` leaves the caller at once.
"""

import ctypes
import os
import resource
import sys
from pathlib import Path

import msgspec

from posttrainbench.errors import PtbError, UsageError
from posttrainbench.gateway.dialects.wire import Credential

PR_SET_DUMPABLE = 4
MAX_KEY_BYTES = 64 * 2**10


def main(words: list[str]) -> int:
    """The exit code."""
    _hide()
    detach = "--detach" in words
    folders = [word for word in words if word != "--detach"]
    try:
        if len(folders) != 1:
            raise UsageError("usage: python -m posttrainbench.gateway FOLDER [--detach]")
        credential = credential_of(sys.stdin.buffer.read(MAX_KEY_BYTES))
        if detach and os.fork():
            os._exit(0)
        from posttrainbench.gateway import service  # After the fork, and only where aiohttp is needed.

        service.run(Path(folders[0]).resolve(), credential, _ready)
    except PtbError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def credential_of(content: bytes) -> Credential | None:
    """The credential in that JSON; None for nothing. What it holds is never shown."""
    if not content.strip():
        return None
    try:
        credential = msgspec.json.decode(content, type=Credential)
    except msgspec.DecodeError:
        raise UsageError('The standard input holds no {"kind": "api_key" or "oauth", "value": "…"}.') from None
    if not credential.value.isascii() or not credential.value.isprintable() or " " in credential.value:
        raise UsageError("The provider's key holds a space, a line's end or a letter that no key holds.")
    return credential


def _hide() -> None:
    """No other process of this user may read this one's memory or environment, and it leaves no core file."""
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _ready() -> None:
    """Tell the caller, and let go of it."""
    print("ready", flush=True)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.close(nothing)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
