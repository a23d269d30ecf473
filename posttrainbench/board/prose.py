"""The project's own documents as pages. HTML in them is text; links between them become links of the site."""

import re
from pathlib import Path, PurePosixPath

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from posttrainbench import catalog

PAGES = {
    "rules": ("Rules", "docs/protocols.md"),
    "scores": ("How scores work", "docs/scores.md"),
    "readers": ("How to read a board", "docs/readers.md"),
    "integrity": ("Integrity", "docs/integrity.md"),
    "submit": ("Submit", "docs/submitting.md"),
    "changelog": ("Changelog", "CHANGELOG.md"),
}
"""Page, its title, and the document it is made of."""


def _table_open(*given: object) -> str:
    """On a phone a table is wider than the page."""
    return '<div class="scroll" tabindex="0" role="group" aria-label="Table"><table>\n'


def _table_close(*given: object) -> str:
    return "</table></div>\n"


def render(page: str) -> Markup:
    """A document's page; a sentence where the document is not there."""
    path = catalog.bundled() / PAGES[page][1]
    if not path.is_file():
        return Markup("<h1>{}</h1><p>This version has no such document.</p>").format(PAGES[page][0])
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.add_render_rule("table_open", _table_open)
    parser.add_render_rule("table_close", _table_close)
    tokens = parser.parse(path.read_text(encoding="utf-8"))
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        _mend(token)
        if token.type == "heading_open" and following:
            token.attrSet("id", re.sub(r"[^a-z0-9 _-]", "", following.content.lower()).replace(" ", "-"))
    return Markup(parser.renderer.render(tokens, parser.options, {}))  # noqa: S704 - our own file, HTML switched off


def digest_source() -> list[Path]:
    """The files that pages are made of."""
    return [path for _, name in PAGES.values() if (path := catalog.bundled() / name).is_file()]


def _mend(token: Token) -> None:
    if token.type == "fence":
        token.attrSet("tabindex", "0")
    for child in token.children or []:
        if child.type == "link_open":
            _mend_link(child)
        elif child.type == "image":
            child.type, child.tag, child.attrs = "text", "", {}
    # A link that leads nowhere within the site is no link: its words stay.
    token.children = [one for one in token.children or [] if not one.hidden] if token.children else token.children
    _close(token)


def _mend_link(link: Token) -> None:
    target, _, anchor = str(link.attrGet("href") or "").partition("#")
    known = {PurePosixPath(name).name: page for page, (_, name) in PAGES.items()}
    if "://" in target:
        link.attrSet("rel", "noreferrer")
    elif not target:
        pass
    elif PurePosixPath(target).name in known:
        link.attrSet("href", f"{known[PurePosixPath(target).name]}.html" + (f"#{anchor}" if anchor else ""))
    else:
        link.hidden = True


def _close(token: Token) -> None:
    """Take out the ends of links whose beginnings were taken out."""
    depth, kept = 0, []
    for child in token.children or []:
        if child.type == "link_open":
            depth += 1
        elif child.type == "link_close":
            if depth == 0:
                continue
            depth -= 1
        kept.append(child)
    if token.children:
        token.children = kept
