"""What a client asks of an HTTP proxy: a tunnel (`CONNECT host:port`) or one plain request (`GET http://host/…`)."""

import re
from ipaddress import ip_address

from posttrainbench.gateway.refusal import RefusedError
from posttrainbench.strict import Value

LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*")
PLAIN = re.compile(r"http://([^/?#\s@]+)([/?][^\s#]*)?", re.IGNORECASE)
HOP = {
    "connection",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
"""Headers that are between client and proxy, or that the proxy writes itself."""


class ProxyRequest(Value, frozen=True, kw_only=True):
    """A request's head."""

    method: str
    host: str
    """A name in lower case without a dot at its end, or an IP address without brackets."""
    port: int
    target: str = ""
    """Path and query; empty for a tunnel."""
    headers: list[tuple[str, str]]

    @property
    def is_tunnel(self) -> bool:
        """Whether bytes go both ways after an answer of the proxy."""
        return self.method == "CONNECT"

    @property
    def is_address(self) -> bool:
        """Whether the host is an IP address."""
        try:
            ip_address(self.host)
        except ValueError:
            return False
        return True

    def header(self, name: str) -> str:
        """The value of that header, empty if there is none; raises RefusedError if there are several."""
        values = [value for found, value in self.headers if found.lower() == name]
        if len(values) > 1:
            raise RefusedError(400, f"The request has several {name} headers.")
        return values[0] if values else ""

    @property
    def body_size(self) -> int:
        """Bytes that follow the head of a plain request."""
        size = self.header("content-length") or "0"
        if self.header("transfer-encoding") or not re.fullmatch(r"[0-9]{1,15}", size):
            raise RefusedError(501, "Over plain http a body must have a Content-Length; or use https.")
        return int(size)

    def onward(self) -> bytes:
        """The head as the server gets it."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        authority = name if self.port == 80 else f"{name}:{self.port}"
        kept = [(name, value) for name, value in self.headers if name.lower() not in HOP]
        lines = [("Host", authority), *kept, ("Connection", "close")]
        head = f"{self.method} {self.target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines)
        return (head + "\r\n").encode("latin-1")


def parse(head: bytes) -> ProxyRequest:
    """Read a head, up to and with its empty line; raises RefusedError for what is none."""
    first, *rest = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or words[2] not in ("HTTP/1.1", "HTTP/1.0") or not re.fullmatch(r"[A-Z]{1,20}", words[0]):
        raise RefusedError(400, "This is no request to an HTTP proxy.")
    headers: list[tuple[str, str]] = []
    for line in rest:
        found = HEADER.fullmatch(line)
        if not found:
            raise RefusedError(400, "A header of the request is broken.")
        headers.append((found[1], found[2]))
    method, target, _ = words
    if method == "CONNECT":
        host, port = _authority(target, None)
        return ProxyRequest(method=method, host=host, port=port, headers=headers)
    found = PLAIN.fullmatch(target)
    if not found:
        raise RefusedError(400, "The proxy takes CONNECT host:port, and requests for http:// addresses.")
    host, port = _authority(found[1], 80)
    path = found[2] or "/"
    path = path if path.startswith("/") else "/" + path
    return ProxyRequest(method=method, host=host, port=port, target=path, headers=headers)


def _authority(text: str, default: int | None) -> tuple[str, int]:
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]{2,45}\]|[^\[\]:]{1,255})(?::([0-9]{1,5}))?", text)
    if not found or (found[2] is None and default is None) or not 0 < int(found[2] or default or 0) < 65536:
        raise RefusedError(400, f"{text[:100]!r} is not HOST:PORT.")
    port = int(found[2] or default or 0)
    if found[1].startswith("["):
        try:
            return str(ip_address(found[1][1:-1])), port
        except ValueError:
            raise RefusedError(400, f"{text[:100]!r} holds no IPv6 address.") from None
    host = found[1].lower().removesuffix(".")
    if len(host) > 253 or not all(LABEL.fullmatch(label) for label in host.split(".")):
        raise RefusedError(400, f"{text[:100]!r} names no host: write it in ASCII (punycode).")
    return host, port
