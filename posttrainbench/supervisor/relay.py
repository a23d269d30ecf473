"""Makes sockets of a folder answer on 127.0.0.1: `python relay.py [--namespace PID] PORT=SOCKET …`. Only the standard
library is used.

A sandbox has no network but its own loopback. The supervisor starts this beside the agent, so that what listens on the
gateway's sockets can be reached like any server. It copies bytes and reads none of them. With `--namespace` it first
enters the network of that process and listens there, while it stays outside the agent's process namespace: an agent
that ends every process it can see does not end its own way to the model.

It prints `ready` once it listens, and ends with what started it. While nothing answers on a socket (the gateway is
being restarted), new connections are kept waiting for a while instead of being refused.
"""

import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import sys
import threading
import time

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
NS_GET_USERNS = 0xB701
PATIENCE_SECONDS = 30.0
MAX_CONNECTIONS = 512
CHUNK = 1 << 18
LIBC = ctypes.CDLL(None, use_errno=True)


def enter(pid: int) -> None:
    """Enter the network namespace of a process, through the user namespace that owns it where that is needed."""
    network = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    if LIBC.setns(network, CLONE_NEWNET):
        owner = fcntl.ioctl(network, NS_GET_USERNS)
        if LIBC.setns(owner, CLONE_NEWUSER) or LIBC.setns(network, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"the network of process {pid} could not be entered")
        os.close(owner)
    os.close(network)


def connected(path: str) -> socket.socket:
    """A connection to the socket at `path`, waited for."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        out = socket.socket(socket.AF_UNIX)
        try:
            # Through a descriptor: the path of a socket may hold a hundred characters only.
            folder = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY)
            try:
                out.connect(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
            finally:
                os.close(folder)
            return out
        except OSError:
            out.close()
            if time.monotonic() > until:
                raise
        time.sleep(0.05)


def copy(source: socket.socket, target: socket.socket) -> None:
    """Copy bytes until the source has ended, and say so to the target."""
    buffer = memoryview(bytearray(CHUNK))
    with contextlib.suppress(OSError):
        while count := source.recv_into(buffer):
            target.sendall(buffer[:count])
    for one, how in ((target, socket.SHUT_WR), (source, socket.SHUT_RD)):
        with contextlib.suppress(OSError):
            one.shutdown(how)


def carry(inner: socket.socket, path: str, room: threading.Semaphore) -> None:
    """One connection, both ways."""
    try:
        with inner, connected(path) as outer:
            inner.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = threading.Thread(target=copy, args=(outer, inner), daemon=True)
            back.start()
            copy(inner, outer)
            back.join()
    except OSError:
        pass
    finally:
        room.release()


def accept(listener: socket.socket, path: str, room: threading.Semaphore) -> None:
    """Take connections for ever, so many at a time."""
    while True:
        room.acquire()
        try:
            inner, _ = listener.accept()
            threading.Thread(target=carry, args=(inner, path, room), daemon=True).start()
        except (OSError, RuntimeError):  # The sandbox may be out of descriptors or processes for a while.
            room.release()
            time.sleep(0.05)


def main(words: list[str]) -> int:
    """Listen on each port; returns only when it cannot."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        if words[0] == "--namespace":
            enter(int(words[1]))
            words = words[2:]
        listeners = []
        for word in words:
            port, _, path = word.partition("=")
            listeners.append((socket.create_server(("127.0.0.1", int(port)), backlog=256), path))
    except OSError as error:
        print(f"relay: {error}", file=sys.stderr, flush=True)
        return 1
    room = threading.Semaphore(MAX_CONNECTIONS)
    for listener, path in listeners:
        threading.Thread(target=accept, args=(listener, path, room), daemon=True).start()
    os.write(1, b"ready\n")
    while True:
        signal.pause()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
