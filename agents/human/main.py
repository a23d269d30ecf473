"""A shell for a person in the agent's place.

Its terminal is a socket in the home folder, which `ptb attach` connects to; what it prints goes to stdout as well,
where the session's recorder takes it. It ends with the shell, or at the deadline.

Nobody needs to be connected: the shell goes on when a terminal is closed, and the next one finds it as it was.
"""

import contextlib
import fcntl
import os
import pty
import select
import socket
import struct
import sys
import termios

SOCKET = "terminal.sock"
GREETING = (
    "echo; echo 'The job is in prompt.md. `python timer.py` tells the time that is left, `python evaluate.py` the';"
    " echo 'score. Leave the model in final_model/. `exit` ends the session; ctrl-] leaves it running.'; echo"
)
RECENT = 4096
"""Bytes of what was printed that a new terminal is shown, so that it finds the shell as it was."""
PATIENCE = 5.0
"""Seconds that a terminal may take to accept output before it is let go."""


def main() -> int:
    """Serve the shell until it ends; its exit code is ours."""
    os.chdir(os.environ["HOME"])
    with contextlib.suppress(FileNotFoundError):
        os.unlink(SOCKET)
    server = socket.socket(socket.AF_UNIX)
    # By its bare name: the path of a socket may hold a hundred characters only.
    server.bind(SOCKET)
    server.listen(1)
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(os.environ["PTB_WORKSPACE"])
        os.environ |= {"TERM": "xterm", "PS1": "\\w$ "}
        shell = ["bash", "--norc", "--noprofile"]
        os.execvp("bash", [*shell, "-c", f"{GREETING}; exec {' '.join(shell)} -i"])  # noqa: S606 - a shell is the point
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    serve(server, terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def serve(server: socket.socket, terminal: int) -> None:
    """Pass bytes between the shell and whoever is connected, one at a time; the latest wins."""
    client: socket.socket | None = None
    recent = b""
    while True:
        sources: list[object] = [server, terminal, *([client] if client else [])]
        ready, _, _ = select.select(sources, [], [])
        if server in ready:
            if client:
                client.close()
            client, _ = server.accept()
            client.settimeout(PATIENCE)
            if not sent(client, recent):
                client.close()
                client = None
        elif client and client in ready:
            if typed := received(client):
                os.write(terminal, typed)
            else:
                client.close()
                client = None
        if terminal in ready:
            try:
                printed = os.read(terminal, 65536)
            except OSError:
                printed = b""
            if not printed:
                return
            recent = (recent + printed)[-RECENT:]
            sys.stdout.buffer.write(printed)
            sys.stdout.buffer.flush()
            if client and not sent(client, printed):
                client.close()
                client = None


def received(client: socket.socket) -> bytes:
    """What was typed; nothing when the other side is gone."""
    try:
        return client.recv(4096)
    except OSError:
        return b""


def sent(client: socket.socket, printed: bytes) -> bool:
    """Whether the other side took it."""
    try:
        client.sendall(printed)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
