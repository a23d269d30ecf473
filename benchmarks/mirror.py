"""How fast the hub mirror serves from its cache, as a share of a plain loopback download of the same file.

    python benchmarks/mirror.py [--mib 1024]

One file of 1 GiB, made in a temporary folder and removed afterwards. Both servers are processes of their own: the plain
one does nothing but sendfile, the other is the mirror with the file in its cache. Both over TCP, and over a unix socket
as a sandbox reaches the mirror. Each is downloaded in turns by the same small client; the best of three counts.
"""

import argparse
import asyncio
import hashlib
import os
import random
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import msgspec
from aiohttp import web

from posttrainbench.gateway.hub_answers import Answer
from posttrainbench.gateway.hub_mirror import Mirror
from posttrainbench.gateway.hub_paths import Call
from posttrainbench.gateway.hub_upstream import Hub

ROUNDS = 3
GOAL = 0.7
COMMIT = "a" * 40
CALL = Call(action="resolve", kind="model", repo="acme/model", revision=COMMIT, path="model.safetensors")
NOBODY = "http://127.0.0.1:9"


def prepare(folder: Path, mib: int) -> None:
    """The file, and a cache in which the mirror finds it."""
    digest = hashlib.sha256()
    blobs = folder / "cache" / "blobs"
    blobs.mkdir(parents=True)
    source = random.Random(0)
    with (blobs / "new").open("wb") as file:
        for _ in range(mib):
            chunk = source.randbytes(1024**2)
            digest.update(chunk)
            file.write(chunk)
    (blobs / "new").rename(blobs / f"sha256-{digest.hexdigest()}")
    (folder / "plain.bin").hardlink_to(blobs / f"sha256-{digest.hexdigest()}")
    found = {"X-Repo-Commit": COMMIT, "X-Linked-ETag": f'"{digest.hexdigest()}"', "X-Linked-Size": str(mib * 1024**2)}
    key = hashlib.sha256(msgspec.json.encode([NOBODY, "HEAD", CALL.url, "", ""])).hexdigest()
    path = folder / "cache" / "hub" / "answers" / key[:2] / key
    path.parent.mkdir(parents=True)
    path.write_bytes(msgspec.json.encode(Answer(status=200, headers=found, repos=[])) + b"\n")


async def mirror(folder: Path) -> None:
    """Be the mirror, until killed."""
    app = web.Application()
    one = Mirror(Hub(NOBODY, lambda: None), folder / "cache", refused=[], prefix="", log=None)  # type: ignore
    app.router.add_get("/{tail:.*}", one.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    for site in (web.TCPSite(runner, "127.0.0.1", 0), web.UnixSite(runner, str(folder / "mirror.sock"))):
        await site.start()
    (folder / "mirror.port").write_text(str(runner.addresses[0][1]))
    await asyncio.Event().wait()


def plain(folder: Path) -> None:
    """Be the plain server, until killed: nothing but sendfile after a head of HTTP."""

    class Sending(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with (folder / "plain.bin").open("rb") as file:
                self.request.recv(4096)
                self.request.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
                self.request.sendfile(file)

    unix = socketserver.ThreadingUnixStreamServer(str(folder / "plain.sock"), Sending)
    threading.Thread(target=unix.serve_forever, daemon=True).start()
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Sending) as tcp:
        (folder / "plain.port").write_text(str(tcp.server_address[1]))
        tcp.serve_forever()


def download(family: socket.AddressFamily, address: object, size: int) -> float:
    """MiB a second of one download."""
    buffer = bytearray(1024**2)
    begin = time.perf_counter()
    with socket.socket(family) as one:
        one.connect(address)  # type: ignore[arg-type]
        one.sendall(f"GET {CALL.url} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        head = one.recv(4096)
        got = len(head) - head.index(b"\r\n\r\n") - 4
        while count := one.recv_into(buffer):
            got += count
    if got != size:
        raise SystemExit(f"{got} bytes came where {size} were expected: {head[:200]!r}")
    return size / 1024**2 / (time.perf_counter() - begin)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--serve", nargs=2, metavar=("FOLDER", "WHAT"), help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.serve:
        folder, what = Path(words.serve[0]), words.serve[1]
        plain(folder) if what == "plain" else asyncio.run(mirror(folder))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, words.mib)
        servers = [subprocess.Popen([sys.executable, __file__, "--serve", name, what]) for what in ("plain", "mirror")]
        try:
            while not all((folder / f"{what}.port").exists() for what in ("plain", "mirror")):
                if any(server.poll() is not None for server in servers):
                    raise SystemExit("A server did not start.")
                time.sleep(0.1)
            time.sleep(0.5)
            report(folder, words.mib * 1024**2)
        finally:
            for server in servers:
                server.kill()
                server.wait()


def report(folder: Path, size: int) -> None:
    """Download in turns, and print the shares."""
    ports = {what: int((folder / f"{what}.port").read_text()) for what in ("plain", "mirror")}
    ways: dict[str, tuple[socket.AddressFamily, object]] = {
        "plain, TCP": (socket.AF_INET, ("127.0.0.1", ports["plain"])),
        "mirror, TCP": (socket.AF_INET, ("127.0.0.1", ports["mirror"])),
        "plain, unix socket": (socket.AF_UNIX, str(folder / "plain.sock")),
        "mirror, unix socket": (socket.AF_UNIX, str(folder / "mirror.sock")),
    }
    best = dict.fromkeys(ways, 0.0)
    for _ in range(ROUNDS):
        for way, (family, address) in ways.items():
            best[way] = max(best[way], download(family, address, size))
    for way, speed in best.items():
        print(f"{way:<20} {speed:8.0f} MiB/s")
    for way in ("TCP", "unix socket"):
        share = best[f"mirror, {way}"] / best[f"plain, {way}"]
        print(f"mirror / plain, {way:<12} {share:5.2f}; at least {GOAL}: {'yes' if share >= GOAL else 'NO'}")
    share = best["mirror, unix socket"] / best["plain, TCP"]
    print(f"mirror, unix socket / plain, TCP {share:5.2f}; at least {GOAL}: {'yes' if share >= GOAL else 'NO'}")
    print(f"{os.cpu_count()} cores")


if __name__ == "__main__":
    main()
