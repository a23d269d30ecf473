"""What all pages of the site share: the frame, its menu, its policy, and how values are told."""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

import posttrainbench
from posttrainbench.board import charts, prose, report, text

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'"
)
MENU = (
    ("board", "Board", "index.html"),
    ("plots", "Plots", "plots.html"),
    ("compare", "Compare", "compare.html"),
    ("agents", "Agents", "agents/index.html"),
    ("tasks", "Tasks", "tasks/index.html"),
    ("models", "Models", "models/index.html"),
    ("runs", "Runs", "runs/index.html"),
    ("rules", "Rules", "rules.html"),
)
MORE = tuple((title, f"{page}.html") for page, (title, _) in prose.PAGES.items() if page != "rules")
OUTCOMES = {
    "scored": "scored",
    "no_checkpoint": "no checkpoint",
    "invalid_checkpoint": "invalid",
    "disqualified": "disqualified",
    "infrastructure": "broken by us",
}
VERDICTS = {"clean": "✓", "unchecked": "?", "suspect": "!", "disqualified": "✕"}


@lru_cache(maxsize=1)
def environment() -> jinja2.Environment:
    """The report's, with what pages of the site use besides."""
    made = report.environment()
    made.globals.update(
        policy=POLICY,
        menu=menu,
        more=more,
        rows=rows,
        fold=fold,
        outcome_words=OUTCOMES,
        verdict_marks=VERDICTS,
        value=charts.value_words,
        size=text.size,
        stamp=stamp(),
    )
    return made


@lru_cache(maxsize=64)
def menu(root: str, place: str) -> Markup:
    """The menu of a page in `place`; the same on thousands of them."""
    current = Markup(' aria-current="page"')
    item = Markup('<li><a href="{}{}"{}>{}</a></li>')
    return Markup("\n").join(item.format(root, link, current if key == place else "", name) for key, name, link in MENU)


@lru_cache(maxsize=8)
def more(root: str) -> Markup:
    """Links to what is under no heading of the menu."""
    return Markup("\n").join(Markup('<a href="{}{}">{}</a>').format(root, link, name) for name, link in MORE)


def rows(pairs: Sequence[tuple[str, str]], *, code: bool = False) -> Markup:
    """Rows of a table of names and values; as the template would make them, in a fifth of the time."""
    before, after = ("<code>", "</code>") if code else ("", "")
    made = [
        f'<tr><th scope="row">{_shown(name)}</th><td>{before}{_shown(value)}{after}</td></tr>' for name, value in pairs
    ]
    return Markup("".join(made))  # noqa: S704 - all words are escaped


def fold(words: str, lines: str, open_: bool, name: str) -> Markup:
    """A text of a trajectory, folded unless it is short."""
    text_ = f'<pre tabindex="0">{_shown(words)}</pre>'
    if not open_:
        text_ = f"<details><summary>{_shown(name)}, {_shown(lines)}</summary>{text_}</details>"
    return Markup(text_)  # noqa: S704 - all words are escaped


def _shown(words: str) -> str:
    return text.escaped(words, report.MAX_SHOWN)


def page(template: str, place: str, root: str, **values: Any) -> bytes:
    """A page. `place`: its key in the menu; `root`: the way from it to the site's root, as `../`."""
    shown = environment().get_template(template).render(place=place, root=root, **values)
    return (shown + "\n").encode("utf-8", "replace")


def assets() -> list[Path]:
    """Files that lie beside the pages."""
    return sorted((report.templates().parent / "assets").iterdir())


@lru_cache(maxsize=1)
def stamp() -> str:
    """Changes with the assets, so that no reader's browser mixes old and new."""
    return _digest(assets())[:8]


@lru_cache(maxsize=1)
def code() -> str:
    """Digest of all that pages are made by: another one makes every page anew."""
    package = sorted(Path(posttrainbench.__file__).parent.rglob("*.py"))
    ours = _digest([*package, *sorted(report.templates().iterdir()), *assets(), *prose.digest_source()])
    return f"{ours} numpy {np.__version__} jinja {jinja2.__version__}"


def _digest(paths: Sequence[Path]) -> str:
    total = hashlib.sha256()
    for path in paths:
        total.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()
