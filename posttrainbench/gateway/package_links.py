"""Pages of package indexes with their links turned into links of the gateway, each signed.

Only what an index itself named can be fetched through the gateway: a link carries the address it stands for and a
signature by a key that lies in the gateway's folder, which no sandbox sees. So links outlive a restart, and the
gateway is no open proxy.
"""

import base64
import hashlib
import hmac
import html
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
from yarl import URL

from posttrainbench.gateway.refusal import RefusedError
from posttrainbench.strict import Value, disk

SHA256 = re.compile(r"[0-9a-f]{64}")


class Named(Value, frozen=True, array_like=True):
    """A file that an index named."""

    url: str
    sha256: str = ""
    size: int | None = None

    @property
    def file(self) -> str:
        """Its name, percent-encoded as in the address."""
        return URL(self.url, encoded=True).raw_name


class Links:
    """Signs and reads links."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def of(cls, folder: Path) -> "Links":
        """With the key in `folder`, made at first."""
        path = folder / "packages.key"
        with disk(f"write {path.name}"):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    file.write(os.urandom(32))
            except FileExistsError:
                pass
            return cls(path.read_bytes())

    def sign(self, named: Named) -> str:
        """Two path segments that stand for it: token and file name."""
        body = _text(msgspec.json.encode(named))
        return f"{body}.{self._signature(body)}/{named.file}"

    def read(self, token: str) -> Named:
        """What a token stands for; raises RefusedError unless it was signed here."""
        body, _, signature = token.partition(".")
        if not hmac.compare_digest(self._signature(body).encode(), signature.encode()):
            raise RefusedError(403, "No package index named this file to this run, so it is not fetched.")
        return msgspec.json.decode(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)), type=Named)

    def _signature(self, body: str) -> str:
        return _text(hmac.new(self._key, body.encode(), hashlib.sha256).digest()[:18])


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def python_json(content: bytes, page: str, links: Links) -> bytes:
    """A page of PEP 691. `page` is its address, which links are relative to."""
    value = _decoded(content)
    files = value.get("files") if isinstance(value, dict) else None
    for file in files if isinstance(files, list) else []:
        if not isinstance(file, dict):
            continue
        hashes, size = file.get("hashes"), file.get("size")
        sha256 = str(hashes.get("sha256", "")) if isinstance(hashes, dict) else ""
        named = _named(str(file.get("url")), page, sha256, size if isinstance(size, int) else None)
        file["url"] = f"/pypi/files/{links.sign(named)}" if named else ""
    return msgspec.json.encode(value)


def python_html(content: bytes, page: str, links: Links) -> bytes:
    """A page of PEP 503: the same, with other links."""
    writer = _Page(page, links)
    writer.feed(content.decode(errors="replace"))
    writer.close()
    return "".join(writer.parts).encode()


class _Page(HTMLParser):
    def __init__(self, page: str, links: Links) -> None:
        super().__init__(convert_charrefs=False)
        self.parts: list[str] = []
        self._page = page
        self._links = links

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        written = "".join(
            f' {name}="{html.escape(self._moved(value or "") if name in ("href", "src") else value or "")}"'
            for name, value in attrs
        )
        if tag != "base":
            self.parts.append(f"<{tag}{written}>")

    def _moved(self, link: str) -> str:
        address, _, fragment = link.partition("#")
        sha256 = fragment.removeprefix("sha256=")
        named = _named(address, self._page, sha256, None)
        return f"/pypi/files/{self._links.sign(named)}" + (f"#{fragment}" if fragment else "") if named else ""

    def handle_endtag(self, tag: str) -> None:
        self.parts.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        self.parts.append(data)

    def handle_entityref(self, name: str) -> None:
        self.parts.append(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self.parts.append(f"&#{name};")

    def handle_decl(self, decl: str) -> None:
        self.parts.append(f"<!{decl}>")


def npm_json(content: bytes, page: str, own: str, links: Links) -> bytes:
    """A package's document, or that of one version. `own` is the gateway's address, since npm wants whole addresses."""
    value = _decoded(content)
    if isinstance(value, dict):
        versions = value.get("versions")
        for one in [value, *(versions.values() if isinstance(versions, dict) else [])]:
            dist = one.get("dist") if isinstance(one, dict) else None
            if isinstance(dist, dict) and isinstance(dist.get("tarball"), str):
                named = _named(dist["tarball"], page, "", None)
                dist["tarball"] = f"{own}/npm/-/named/{links.sign(named)}" if named else ""
    return msgspec.json.encode(value)


def _named(link: str, page: str, sha256: str, size: int | None) -> Named | None:
    """The file behind a link, without credentials; None for what is no file on the web."""
    try:
        url = URL(page).join(URL(link)).with_fragment(None)
        url = url.with_user(None) if url.raw_user or url.raw_password else url
    except ValueError:
        return None
    if url.scheme not in ("http", "https") or not url.raw_name:
        return None
    return Named(str(url), sha256 if SHA256.fullmatch(sha256) else "", size)


def _decoded(content: bytes) -> Any:
    try:
        return msgspec.json.decode(content)
    except msgspec.DecodeError:
        raise RefusedError(502, "The package index answered with broken JSON.") from None
