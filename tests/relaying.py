"""A gateway's socket in tests: something that answers there, and an agent's question."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

PORT = "8787"
# No quotes, so that a shell's command can hold it.
ASK = f"""
import socket
server = socket.create_connection((socket.inet_ntoa(bytes([127, 0, 0, 1])), {PORT}), 20)
server.sendall(bytes(13))
server.shutdown(socket.SHUT_WR)
print(server.makefile().read())
"""


def relays(folder: Path) -> dict[str, str]:
    """As a session's spec names them."""
    return {PORT: str(folder / "a.sock")}


@contextlib.contextmanager
def answering(path: Path, answer: bytes) -> Iterator[None]:
    """Something on a socket that gives the same answer to everybody who has asked to the end."""
    path.parent.mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        path.chmod(0o666)
        server.listen()

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = server.accept()
                    with client:
                        while client.recv(65536):
                            pass
                        client.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield
        server.shutdown(socket.SHUT_RDWR)
