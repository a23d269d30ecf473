"""The relay to the gateway: a process beside the session, see relay.py."""

import select
import subprocess
import sys
from pathlib import Path

from .processes import OURS, WAITED_FOR

START_SECONDS = 20.0
NOBODY = 65534
RELAY = Path(__file__).with_name("relay.py")


def start(leads: dict[str, str], *, contained: bool, within: int = 0) -> "subprocess.Popen[bytes] | None":
    """Let the sandbox's own 127.0.0.1 lead to sockets (`leads`: port and path): the network of the process `within`, or
    this one's. None where there is nothing to lead to; raises OSError if it fails."""
    words = [f"{port}={path}" for port, path in leads.items()]
    if not words:
        return None
    namespace = ["--namespace", str(within)] if within else []
    relay = subprocess.Popen(
        [sys.executable, "-I", "-S", str(RELAY), *namespace, *words],
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
            end(relay)
            raise OSError("the relay to the gateway did not start; supervisor.log says why")
    return relay


def end(relay: "subprocess.Popen[bytes] | None") -> None:
    """End a relay, if there is one, and wait for it."""
    if relay:
        relay.kill()
        relay.wait()
        WAITED_FOR.discard(relay.pid)
        OURS.discard(relay.pid)
