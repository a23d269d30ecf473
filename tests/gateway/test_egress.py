import asyncio
import base64
import contextlib
import http.server
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from serving import beside, gateway_spec

from posttrainbench.gateway.addresses import refused_address
from posttrainbench.gateway.client_hello import NotTlsError, server_name
from posttrainbench.gateway.egress import Limits, serve
from posttrainbench.gateway.egress_policy import Policy
from posttrainbench.gateway.proxy_request import ProxyRequest
from posttrainbench.gateway.spec import GatewaySpec
from posttrainbench.gateway.traffic import Connection, connections

USUAL = Limits()
OPEN = {"network": "open", "private_hosts": True, "upstream": "https://llm.example.net"}
LOGIN = "Proxy-Authorization: Basic " + base64.b64encode(b"run:the-secret").decode() + "\r\n"


async def no_indexes() -> list[str]:
    return ["index.example.com"]


@asynccontextmanager
async def proxied(folder: Path, spec: GatewaySpec, limits: Limits) -> AsyncIterator[tuple[Path, int, list[bytes]]]:
    """The proxy's socket, the port of a server that echoes on loopback, and all that the server got."""
    got: list[bytes] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(65536):
                got.append(chunk)
                writer.write(chunk)
                await writer.drain()
            writer.close()

    path = folder / "egress.sock"
    far = await asyncio.start_server(echo, "127.0.0.1", 0)
    server = await serve(spec, folder, path, limits, no_indexes)
    try:
        yield path, far.sockets[0].getsockname()[1], got
    finally:
        server.close()
        far.close()


@contextmanager
def proxy(folder: Path, limits: Limits = USUAL, **more: Any) -> Iterator[tuple[Path, int, list[bytes]]]:
    with beside(lambda: proxied(folder, gateway_spec(folder, **{**OPEN, **more}), limits)) as opened:
        yield opened


@contextmanager
def dialled(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(15)
        one.connect(str(path))
        yield one


def first_line(path: Path, request: str) -> str:
    """The first line of the proxy's answer."""
    with dialled(path) as one:
        one.sendall(request.encode())
        return one.makefile("rb").readline().decode().strip()


def everything(one: socket.socket) -> bytes:
    content = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := one.recv(65536):
            content += chunk
    return content


def ended(folder: Path) -> list[Connection]:
    """What the log says when no connection is open any more: a line is written after the last byte."""
    until = time.monotonic() + 10
    while not (found := connections(folder / "egress.jsonl")) or any(one.seconds is None for one in found):
        assert time.monotonic() < until
        time.sleep(0.02)
    return found


def hello(name: str) -> bytes:
    """What a real TLS client sends first."""
    coming, going = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(coming, going, server_hostname=name or None).do_handshake()
    return going.read()


def made_hello(extensions: bytes, *, records: int = 1) -> bytes:
    """A ClientHello with these extensions, in so many records."""
    body = b"\x03\x03" + b"r" * 32 + b"\0" + b"\0\2\x13\1" + b"\1\0" + struct.pack(">H", len(extensions)) + extensions
    message = b"\1" + len(body).to_bytes(3, "big") + body
    size = -(-len(message) // records)
    parts = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(b"\x16\x03\x01" + struct.pack(">H", len(part)) + part for part in parts)


def name_extension(name: bytes) -> bytes:
    entry = b"\0" + struct.pack(">H", len(name)) + name
    return struct.pack(">HHH", 0, len(entry) + 2, len(entry)) + entry


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254", "168.63.129.16",
        "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1",
        "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
        "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::",
        "2002:a9fe:a9fe::", "3fff::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1",
        "localhost", "",
    ],
)  # fmt: skip
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    assert refused_address(address) != ""


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "172.32.0.1", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_a_public_address_is_not(address: str) -> None:
    assert refused_address(address) == ""


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "017700000001", "127.1", "0", "[::1]", "[::ffff:127.0.0.1]"],
)
def test_no_spelling_of_loopback_is_reached(tmp_path: Path, host: str) -> None:
    with proxy(tmp_path, private_hosts=False) as (path, port, got):
        line = first_line(path, f"CONNECT {host}:{port} HTTP/1.1\r\n{LOGIN}\r\n")
        plain = first_line(path, f"GET http://{host}:{port}/ HTTP/1.1\r\n{LOGIN}\r\n")
    assert {line.split()[1], plain.split()[1]} <= {"403", "502"}
    assert got == []


def test_a_name_is_judged_by_the_addresses_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, 1, 6, "", ("10.0.0.5", 443)), (socket.AF_INET6, 1, 6, "", ("fd00:ec2::254", 443, 0, 0))]
    with proxy(tmp_path, private_hosts=False) as (path, _, _):
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        line = first_line(path, f"CONNECT rebound.example.org:443 HTTP/1.1\r\n{LOGIN}\r\n")
    assert line == "HTTP/1.1 403 rebound.example.org is not reached: fd00:ec2::254 belongs to a private network."


@pytest.mark.parametrize(
    ("network", "host", "port", "said"),
    [
        ("closed", "example.org", 443, "closes the network"),
        ("curated", "example.org", 443, ""),
        ("curated", "EXAMPLE.org.", 443, ""),
        ("curated", "example.org", 80, ""),
        ("curated", "example.org", 22, "on ports 80 and 443 only"),
        ("curated", "www.example.org", 443, "not among the hosts"),
        ("curated", "badexample.org", 443, "not among the hosts"),
        ("curated", "a.b.wild.net", 443, ""),
        ("curated", "wild.net", 443, "not among the hosts"),
        ("curated", "wild.net.evil.org", 443, "not among the hosts"),
        ("curated", "api.openai.com", 443, "serves models"),
        ("open", "www.example.com", 8443, ""),
        ("open", "api.openai.com", 443, "serves models"),
        ("open", "api.anthropic.com", 443, "serves models"),
        ("open", "generativelanguage.googleapis.com", 443, "serves models"),
        ("open", "us-central1-aiplatform.googleapis.com", 443, ""),
        ("open", "europe-west4.aiplatform.googleapis.com", 443, "serves models"),
        ("open", "bedrock-runtime.us-east-1.amazonaws.com", 443, "serves models"),
        ("open", "openrouter.ai", 443, "serves models"),
        ("open", "api.mistral.ai", 443, "serves models"),
        ("open", "llm.example.net", 443, "serves models"),
        ("open", "huggingface.co", 443, "is the hub"),
        ("open", "datasets-server.huggingface.co", 443, "is the hub"),
        ("open", "index.example.com", 443, "is a package index"),
    ],
)
def test_the_policy_decides_by_host_and_port(network: Any, host: str, port: int, said: str) -> None:
    spec = gateway_spec(
        Path(), **OPEN | {"network": network, "allow_hosts": ["Example.org", "*.wild.net", "api.openai.com"]}
    )
    asked = ProxyRequest(method="CONNECT", host=host.lower().removesuffix("."), port=port, headers=[])
    refused = asyncio.run(Policy(spec, no_indexes).refused(asked))
    assert (said in refused, bool(refused)) == (True, bool(said))


@pytest.mark.parametrize("login", ["", "Proxy-Authorization: Basic cnVuOndyb25n\r\n", "Proxy-Authorization: x\r\n"])
def test_without_the_runs_secret_nothing_is_reached(tmp_path: Path, login: str) -> None:
    with proxy(tmp_path) as (path, port, got):
        line = first_line(path, f"CONNECT localhost:{port} HTTP/1.1\r\n{login}\r\n")
    assert (line.split()[1], got) == ("407", [])


def test_a_refusal_says_why_in_its_first_line(tmp_path: Path) -> None:
    with proxy(tmp_path, network="curated", allow_hosts=["a.org"]) as (path, _, _):
        line = first_line(path, f"CONNECT b.org:443 HTTP/1.1\r\n{LOGIN}\r\n")
    assert line == "HTTP/1.1 403 b.org is not among the hosts that this run's protocol allows (a.org)."


def test_a_tunnel_carries_bytes_both_ways_and_is_written_down(tmp_path: Path) -> None:
    first = hello("localhost")
    with proxy(tmp_path) as (path, port, got):
        with dialled(path) as one:
            one.sendall(f"CONNECT LOCALHOST:{port} HTTP/1.1\r\n{LOGIN}\r\n".encode())
            assert one.recv(1000) == b"HTTP/1.1 200 Connection established\r\n\r\n"
            for byte in first[:20]:
                one.sendall(bytes([byte]))
            one.sendall(first[20:] + b"more")
            one.shutdown(socket.SHUT_WR)
            assert everything(one) == first + b"more"
        (line,) = ended(tmp_path)
    assert b"".join(got) == first + b"more"
    assert (line.host, line.port, line.address, line.allowed) == ("localhost", port, "127.0.0.1", True)
    assert (line.reason, line.up, line.down) == ("closed", len(first) + 4, len(first) + 4)


@pytest.mark.parametrize(
    ("first", "said"),
    [
        (hello("other.example.org"), "its TLS names 'other.example.org'"),
        (hello(""), "its TLS names 'no host'"),
        (b"GET / HTTP/1.1\r\nHost: other\r\n\r\n", "what follows CONNECT is not TLS"),
        (b"SSH-2.0-x\r\n", "what follows CONNECT is not TLS"),
        (
            made_hello(name_extension(b"localhost") + struct.pack(">HH", 0xFE0D, 1) + b"\0"),
            "its ClientHello is encrypted",
        ),
        (made_hello(name_extension(b"localhost") * 2), "its ClientHello names other than one host"),
        (b"\x16\x03\x01\0\x04\x01\0\0\0", "its first TLS message is broken"),
    ],
)
def test_a_tunnel_to_another_host_than_asked_for_is_refused(tmp_path: Path, first: bytes, said: str) -> None:
    with proxy(tmp_path) as (path, port, got):
        with dialled(path) as one:
            one.sendall(f"CONNECT localhost:{port} HTTP/1.1\r\n{LOGIN}\r\n".encode() + first)
            everything(one)
        (line,) = ended(tmp_path)
    assert (line.allowed, said in line.reason, got) == (False, True, [])


@pytest.mark.parametrize("records", [1, 2, 7])
def test_a_name_is_found_in_a_hello_of_several_records(records: int) -> None:
    content = made_hello(struct.pack(">HH", 10, 2) + b"ab" + name_extension(b"Example.ORG"), records=records)
    assert [server_name(content[:cut]) for cut in (0, 3, len(content) - 1)] == [None] * 3
    assert server_name(content) == "example.org"


def test_a_hello_without_end_is_refused() -> None:
    with pytest.raises(NotTlsError):
        server_name(
            (b"\x16\x03\x01\x40\0" + b"\1\xff\xff\xff" + b"x" * 0x3FFC) + (b"\x16\x03\x01\x40\0" + b"x" * 0x4000) * 4
        )


def test_a_plain_request_goes_on_without_what_is_the_proxys(tmp_path: Path) -> None:
    head = (
        "POST http://localhost:{port}/a?b HTTP/1.1\r\nHost: front.example.org\r\nX-A: b\r\nConnection: keep-alive\r\n"
    )
    with proxy(tmp_path) as (path, port, got):
        request = head.format(port=port) + f"Content-Length: 4\r\n{LOGIN}\r\n"
        with dialled(path) as one:
            one.sendall(request.encode() + b"bodyGET http://x/ HTTP/1.1\r\n\r\n")
            echoed = b""
            while not echoed.endswith(b"body"):
                echoed += one.recv(1000)
            time.sleep(0.2)
    wanted = (
        f"POST /a?b HTTP/1.1\r\nHost: localhost:{port}\r\nX-A: b\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody"
    )
    assert b"".join(got).decode() == wanted


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("POST http://localhost:{port}/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + LOGIN + "\r\n", 501),
        ("POST http://localhost:{port}/ HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 9\r\n" + LOGIN + "\r\n", 400),
        ("POST http://localhost:{port}/ HTTP/1.1\r\nContent-Length: +1\r\n" + LOGIN + "\r\n", 501),
        ("GET http://localhost:{port}/ HTTP/1.1\r\nA: b\r\n folded\r\n" + LOGIN + "\r\n", 400),
        ("GET http://user@localhost:{port}/ HTTP/1.1\r\n" + LOGIN + "\r\n", 400),
        ("GET https://localhost:{port}/ HTTP/1.1\r\n" + LOGIN + "\r\n", 400),
        ("GET / HTTP/1.1\r\n" + LOGIN + "\r\n", 400),
        ("CONNECT localhost HTTP/1.1\r\n" + LOGIN + "\r\n", 400),
        ("CONNECT localhost:0 HTTP/1.1\r\n" + LOGIN + "\r\n", 400),
        ("CONNECT localhost:99999 HTTP/1.1\r\n" + LOGIN + "\r\n", 400),
        ("CONNECT local\u00e9host:443 HTTP/1.1\r\n" + LOGIN + "\r\n", 400),
        ("CONNECT [x]:443 HTTP/1.1\r\n" + LOGIN + "\r\n", 400),
        ("nonsense\r\n\r\n", 400),
        ("GET http://localhost:{port}/ HTTP/1.1\r\nX: " + "x" * 20_000 + "\r\n\r\n", 431),
        ("GET http://localhost:{port}/ HTTP/1.1\r\nX: " + "x" * 200_000, 431),
    ],
)
def test_a_broken_request_is_refused(tmp_path: Path, head: str, status: int) -> None:
    with proxy(tmp_path) as (path, port, got):
        line = first_line(path, head.replace("{port}", str(port)))
    assert (line.split()[1], got) == (str(status), [])


def test_a_head_that_trickles_is_cut(tmp_path: Path) -> None:
    with proxy(tmp_path, Limits(head=0.3)) as (path, _, _):
        assert first_line(path, "CONNECT localhost:443").split()[1] == "431"


def test_a_tunnel_without_traffic_ends(tmp_path: Path) -> None:
    with proxy(tmp_path, Limits(idle=0.3)) as (path, port, _), dialled(path) as one:
        one.sendall(f"CONNECT localhost:{port} HTTP/1.1\r\n{LOGIN}\r\n".encode() + hello("localhost"))
        everything(one)
        (line,) = ended(tmp_path)
    assert (line.allowed, line.reason) == (True, "idle for too long")


def test_an_open_tunnel_is_written_down_before_it_ends(tmp_path: Path) -> None:
    with proxy(tmp_path) as (path, port, _), dialled(path) as one:
        one.sendall(f"CONNECT localhost:{port} HTTP/1.1\r\n{LOGIN}\r\n".encode())
        one.recv(100)
        (line,) = connections(tmp_path / "egress.jsonl")
    assert (line.host, line.allowed, line.reason, line.seconds) == ("localhost", True, "", None)


def test_many_tunnels_at_once(tmp_path: Path) -> None:
    first = hello("localhost")

    def once(number: int) -> bool:
        with dialled(path) as one:
            one.sendall(
                f"CONNECT localhost:{port} HTTP/1.1\r\n{LOGIN}\r\n".encode() + first + bytes([number]) * 100_000
            )
            one.shutdown(socket.SHUT_WR)
            return everything(one).endswith(first + bytes([number]) * 100_000)

    with proxy(tmp_path) as (path, port, _), ThreadPoolExecutor(60) as pool:
        assert all(pool.map(once, range(60)))
        assert len({line.n for line in ended(tmp_path)}) == 60


def test_a_socket_that_was_left_behind_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "egress.sock").touch()
    with proxy(tmp_path) as (path, _, _):
        assert path.stat().st_mode & 0o777 == 0o666
        assert first_line(path, "nonsense\r\n\r\n").split()[1] == "400"


def test_curl_speaks_https_through_the_proxy(tmp_path: Path) -> None:
    if not shutil.which("curl") or not shutil.which("openssl"):
        pytest.skip("curl or openssl is not installed")
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    words += ["-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(words, cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "answer.txt").write_text("through the tunnel")
    handler = lambda *more: http.server.SimpleHTTPRequestHandler(*more, directory=str(tmp_path))  # noqa: E731
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as far, proxy(tmp_path) as (path, _, _):
        far.socket = context.wrap_socket(far.socket, server_side=True)
        threading.Thread(target=far.serve_forever, daemon=True).start()
        with beside(lambda: relayed(path)) as near:
            address = f"https://localhost:{far.server_port}/answer.txt"
            words = [
                "curl",
                "-sS",
                "--proxy",
                f"http://run:the-secret@127.0.0.1:{near}",
                "--cacert",
                "cert.pem",
                address,
            ]
            done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=30)
        far.shutdown()
    assert (done.stdout, done.stderr) == ("through the tunnel", "")


@asynccontextmanager
async def relayed(path: Path) -> AsyncIterator[int]:
    """A port on loopback that leads to the socket, as in a sandbox."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_unix_connection(str(path))

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while chunk := await source.read(65536):
                sink.write(chunk)
                await sink.drain()
            sink.close()

        await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
