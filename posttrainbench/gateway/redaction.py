"""Secrets taken out of what is stored and of what goes into the sandbox.

A secret is found as it is, and as JSON and URLs write it. Not found: one that is encoded otherwise (base64, hex), or
split into pieces by the text around it.
"""

import json
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

REDACTED = b"[redacted]"
SECRET_HEADERS = frozenset(
    ["authorization", "cookie", "proxy-authorization", "set-cookie", "x-api-key", "x-goog-api-key", "api-key"]
)
_BEARER = re.compile(rb"(?i)\bbearer\s+[a-z0-9._~+/=-]{8,}")


def forms(secrets: Iterable[str]) -> list[bytes]:
    """Each secret in the forms that it is searched for, the longest first."""
    found: set[bytes] = set()
    for secret in filter(None, secrets):
        found |= {secret.encode(), quote(secret, safe="").encode(), json.dumps(secret)[1:-1].encode()}
        found.add(json.dumps(secret)[1:-1].replace("/", "\\/").encode())
    return sorted(found, key=len, reverse=True)


class Redaction:
    """What takes given secrets out of texts and headers."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._forms = forms(secrets)

    def content(self, content: bytes) -> bytes:
        """The text without the secrets and without anything that stands as a bearer token."""
        for form in self._forms:
            content = content.replace(form, REDACTED)
        if b"earer" not in content and b"EARER" not in content:
            return content  # Searching for an expression takes a hundred times as long.
        return _BEARER.sub(b"Bearer " + REDACTED, content)

    def text(self, text: str) -> str:
        """The same for a string."""
        return self.content(text.encode("utf-8", "replace")).decode("utf-8", "replace")

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Headers without their secrets."""
        return {
            name: "[redacted]" if name.lower() in SECRET_HEADERS else self.text(value)
            for name, value in headers.items()
        }


class Mask:
    """Covers secrets in a stream with as many stars, so that its length stays; a piece is held back only while it may
    be the beginning of a secret."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._forms = forms(secrets)
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """What may be passed on after this chunk."""
        content = cover(self._held + chunk, self._forms)
        held = max((_overlap(content, form) for form in self._forms), default=0)
        self._held = content[len(content) - held :]
        return content[: len(content) - held]

    def rest(self) -> bytes:
        """What was held back, at the stream's end."""
        held, self._held = self._held, b""
        return held


def cover(content: bytes, found: Iterable[bytes]) -> bytes:
    """The content with each of those forms covered by stars."""
    for form in found:
        if form in content:
            content = content.replace(form, b"*" * len(form))
    return content


def _overlap(content: bytes, form: bytes) -> int:
    """How many bytes at the content's end are a beginning of the form."""
    tail = content[-(len(form) - 1) :] if len(form) > 1 else b""
    at = tail.find(form[:1])
    while at != -1:
        if form.startswith(tail[at:]):
            return len(tail) - at
        at = tail.find(form[:1], at + 1)
    return 0
