"""Which headers pass between the agent and the provider.

Not passed to the provider: what belongs to one connection only, whatever the sandbox offers as a credential, and what
says which account pays. Not passed to the agent: cookies, and what names the account.
"""

from collections.abc import Mapping

from multidict import CIMultiDict

from posttrainbench.gateway.redaction import SECRET_HEADERS

HOP = frozenset(
    [
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ]
)
OWN = SECRET_HEADERS | {"host", "content-length", "content-encoding", "accept-encoding", "expect"}
ACCOUNT = frozenset(
    ["openai-organization", "openai-project", "x-goog-user-project", "anthropic-organization-id", "chatgpt-account-id"]
)
WHERE = frozenset(["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"])
KEPT_FROM_AGENT = frozenset(["set-cookie", "set-cookie2", "alt-svc", "strict-transport-security", "content-length"])


def to_provider(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """The agent's headers as the provider gets them, before its own key is added. Answers are asked for only in
    encodings that the gateway can read."""
    drop = HOP | OWN | ACCOUNT | WHERE | _listed(headers.get("Connection", ""))
    passed = CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in drop)
    offered = headers.get("Accept-Encoding", "").lower()
    readable = [name for name in ("gzip", "deflate") if name in offered]
    passed["Accept-Encoding"] = ", ".join(readable) or "identity"
    return passed


def to_agent(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """The provider's headers as the agent gets them; the length is left to the caller."""
    drop = HOP | ACCOUNT | KEPT_FROM_AGENT | _listed(headers.get("Connection", ""))
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in drop)


def _listed(connection: str) -> frozenset[str]:
    return frozenset(name.strip().lower() for name in connection.split(","))
