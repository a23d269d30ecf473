"""The proxy for everything else that a run's protocol lets it reach: HTTPS_PROXY and HTTP_PROXY inside the sandbox.

`closed` networks refuse all, `curated` ones all but `allow_hosts` on ports 80 and 443, `open` ones nothing but what
would go around the gateway's own rules: model providers, the hub, the package indexes. Names are resolved here, each
address is checked, and the checked address itself is connected to. A tunnel must carry TLS whose server name is the
host that was asked for; nothing is decrypted.

What it does not protect against: data carried in or out over an allowed host (steganography, a paste service, a proxy
of somebody's own); a host that serves another name inside the encrypted connection; questions to DNS as a channel
under `open`; a model provider that is not in `model_hosts.py`. Each connection is written down with its bytes.
"""

import asyncio
import base64
import hmac
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from posttrainbench.gateway.addresses import refused_address
from posttrainbench.gateway.client_hello import UNRECOGNIZED_NAME, NotTlsError, server_name
from posttrainbench.gateway.egress_policy import Indexes, Policy, index_hosts
from posttrainbench.gateway.lines import Lines
from posttrainbench.gateway.proxy_request import ProxyRequest, parse
from posttrainbench.gateway.refusal import RefusedError
from posttrainbench.gateway.spec import GatewaySpec
from posttrainbench.gateway.traffic import Connection
from posttrainbench.gateway.tunnel import Flow, both, close, pump
from posttrainbench.journal import now

HEAD = 16 * 1024
CHUNK = 64 * 1024
AT_ONCE = 512


@dataclass(frozen=True)
class Limits:
    """Seconds."""

    head: float = 10.0
    connect: float = 10.0
    idle: float = 600.0
    total: float = 12 * 3600.0


async def serve(
    spec: GatewaySpec,
    folder: Path,
    socket_path: Path,
    limits: Limits = Limits(),
    indexes: Indexes = index_hosts,
) -> asyncio.AbstractServer:
    """Listen on a unix socket, which is made anew; `folder` is the gateway's, for its log `egress.jsonl`."""
    proxy = Proxy(spec, Lines(folder / "egress.jsonl"), limits, indexes)
    socket_path.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(proxy.accept, socket_path, limit=CHUNK)
    socket_path.chmod(0o666)
    return server


class Proxy:
    """Decides and connects."""

    def __init__(self, spec: GatewaySpec, log: Lines, limits: Limits, indexes: Indexes) -> None:
        self._spec = spec
        self._log = log
        self._limits = limits
        self._policy = Policy(spec, indexes)
        self._password = b"Basic " + base64.b64encode(b"run:" + spec.secret.encode())
        self._resolvers = ThreadPoolExecutor(8, "resolver")
        self._number = 0
        self._open = 0

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client from its first byte to its last."""
        self._open += 1
        begin, number = time.monotonic(), self._next()
        asked: ProxyRequest | None = None
        try:
            if self._open > AT_ONCE:
                raise RefusedError(503, f"More than {AT_ONCE} connections are open; close some.")
            self._log.check()
            asked = await self._head(reader)
            if asked is not None:
                await self._serve(number, begin, asked, reader, writer)
        except RefusedError as refusal:
            self._write(number, asked, "", False, refusal.sentence, Flow(), time.monotonic() - begin)
            with suppress(OSError):
                writer.write(_answer(refusal))
        except OSError:
            pass
        finally:
            self._open -= 1
            await close(writer)

    async def _head(self, reader: asyncio.StreamReader) -> ProxyRequest | None:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), self._limits.head)
        except asyncio.IncompleteReadError:
            return None
        except (asyncio.LimitOverrunError, TimeoutError):
            raise RefusedError(431, "The request's head is too large, or came too slowly.") from None
        if len(head) > HEAD:
            raise RefusedError(431, f"The request's head is larger than {HEAD} bytes.")
        return parse(head)

    async def _serve(
        self,
        number: int,
        begin: float,
        asked: ProxyRequest,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        if not hmac.compare_digest(asked.header("proxy-authorization").encode("latin-1"), self._password):
            raise RefusedError(407, "The proxy wants this run's own name and secret (see HTTPS_PROXY).")
        if refused := await self._policy.refused(asked):
            raise RefusedError(403, refused)
        body = 0 if asked.is_tunnel else asked.body_size
        address, far_reader, far_writer = await self._connect(asked)
        flow = Flow(touched=time.monotonic())
        reason = "the gateway ended"
        try:
            self._write(number, asked, address, True, "", flow, None)
            if asked.is_tunnel:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                hello = await self._hello(asked, reader, writer)
                if not hello:
                    reason = "it sent nothing"
                    return
                far_writer.write(hello)
                flow.up += len(hello)
            else:
                far_writer.write(asked.onward())
            up = pump(reader, far_writer, flow, "up", None if asked.is_tunnel else body)
            down = pump(far_reader, writer, flow, "down", None)
            reason = await both(up, down, flow, self._limits.idle, begin + self._limits.total)
        except NotTlsError as error:
            reason = f"refused: {error}"
        finally:
            await close(far_writer)
            self._write(
                number, asked, address, not reason.startswith("refused"), reason, flow, time.monotonic() - begin
            )

    async def _connect(self, asked: ProxyRequest) -> tuple[str, asyncio.StreamReader, asyncio.StreamWriter]:
        loop = asyncio.get_running_loop()
        try:
            found = await asyncio.wait_for(
                loop.run_in_executor(
                    self._resolvers, lambda: socket.getaddrinfo(asked.host, asked.port, type=socket.SOCK_STREAM)
                ),
                self._limits.connect,
            )
        except (OSError, TimeoutError, UnicodeError):
            raise RefusedError(502, f"{asked.host} has no address that could be found.") from None
        refused, failed = "", ""
        for address in list(dict.fromkeys(str(one[4][0]) for one in found))[:4]:
            if not self._spec.private_hosts and (reason := refused_address(address)):
                refused = f"{asked.host} is not reached: {reason}."
                continue
            try:
                reader, writer = await asyncio.wait_for(
                    asyncio.open_connection(address, asked.port, limit=CHUNK), self._limits.connect
                )
            except (OSError, TimeoutError) as error:
                failed = f"{asked.host} ({address}) did not answer: {error or 'time-out'}."
                continue
            ends = [writer.get_extra_info(end) for end in ("sockname", "peername")]
            if self._spec.private_hosts or not all(ends) or ends[0][0] != ends[1][0]:
                return address, reader, writer
            await close(writer)
            refused = f"{asked.host} is not reached: {address} is the gateway's own host."
        raise RefusedError(403, refused) if refused and not failed else RefusedError(502, failed or "No address.")

    async def _hello(self, asked: ProxyRequest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        """The client's first TLS message, checked; empty if it went away. Raises NotTlsError."""
        content = b""
        try:
            async with asyncio.timeout(self._limits.head):
                while (name := server_name(content)) is None:
                    chunk = await reader.read(CHUNK)
                    if not chunk:
                        return b""
                    content += chunk
        except TimeoutError:
            raise NotTlsError("no TLS came after CONNECT") from None
        if name != ("" if asked.is_address else asked.host):
            writer.write(UNRECOGNIZED_NAME)
            raise NotTlsError(f"its TLS names {name[:253] or 'no host'!r}")
        return content

    def _next(self) -> int:
        """A number that no earlier connection has, in this process or one before it."""
        self._number = max(self._number + 1, time.time_ns())
        return self._number

    def _write(
        self,
        number: int,
        asked: ProxyRequest | None,
        address: str,
        allowed: bool,
        reason: str,
        flow: Flow,
        seconds: float | None,
    ) -> None:
        self._log.write(
            Connection(
                n=number,
                t=time.monotonic(),
                at=now(),
                host=asked.host if asked else "",
                port=asked.port if asked else 0,
                address=address,
                allowed=allowed,
                reason=reason,
                up=flow.up,
                down=flow.down,
                seconds=None if seconds is None else round(seconds, 3),
            )
        )


def _answer(refusal: RefusedError) -> bytes:
    """A refusal as HTTP, with the sentence as reason too: of the answer to CONNECT, clients show nothing else."""
    text = "".join(letter if " " <= letter <= "~" else "?" for letter in refusal.sentence)
    more = 'Proxy-Authenticate: Basic realm="this run"\r\n' if refusal.status == 407 else ""
    head = f"HTTP/1.1 {refusal.status} {text[:300]}\r\n{more}Content-Type: text/plain\r\n"
    return f"{head}Content-Length: {len(text) + 1}\r\nConnection: close\r\n\r\n{text}\n".encode()
