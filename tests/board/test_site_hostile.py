"""Thirty hostile transcripts and records: every page stays a page of ours, of bounded size, with all of it as text."""

import re
from html.parser import HTMLParser
from pathlib import Path

import hostility
import pytest
import siting

from posttrainbench.board import site

pytestmark = pytest.mark.slow

TAGS = {
    *("html", "head", "meta", "title", "link", "script", "body", "a", "header", "div", "nav", "ul", "li", "ol", "main"),
    *("section", "h1", "h2", "h3", "p", "span", "strong", "b", "small", "dl", "dt", "dd", "table", "caption", "thead"),
    *("tbody", "tr", "th", "td", "figure", "figcaption", "pre", "code", "details", "summary", "form", "label", "input"),
    *("select", "option", "output", "button", "footer", "br", "em", "blockquote", "h4"),
    *("svg", "text", "line", "circle", "rect", "polyline", "polygon", "path", "g"),
}
VOID = {"meta", "link", "input", "br"}
HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
LARGEST = 3_000_000


class Checked(HTMLParser):
    """Meets nothing but what our templates may have written."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.scripts = 0
        self.feed(page)
        self.close()
        assert self.open == []
        assert self.scripts == 1

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS
        self.scripts += tag == "script"
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            assert not name.startswith("on")
            assert name not in ("style", "srcset", "srcdoc", "action", "formaction", "autofocus")
            if name in ("href", "src"):
                assert re.fullmatch(r"[A-Za-z0-9._/#?-]*|data:,|https://[A-Za-z0-9./_#-]+", value or ""), value

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    assert len(hostility.runs(folder / "runs")) == 30
    made = site.build([folder / "runs"], folder / "site", processes=1)
    assert (made.runs, made.problems) == (30, [])
    return folder / "site"


def test_every_page_is_only_ours(built: Path) -> None:
    pages = sorted(built.rglob("*.html"))
    assert len(pages) > 90
    for path in pages:
        source = path.read_bytes().decode()
        assert len(source) < LARGEST, path.name
        assert not HARMFUL.search(source), path.name
        Checked(source)


def test_the_words_are_there_as_text(built: Path) -> None:
    source = (built / "runs" / "script.html").read_text()
    assert "&lt;script&gt;" in source
    assert "<script>" not in source
    assert source.count(f"&lt;script&gt;{hostility.ALARM}&lt;/script&gt;") > 12
    colours = (built / "runs" / "colours.html").read_text()
    assert "red" in colours
    assert "[31;1m" not in colours
    assert "evil.invalid" not in colours


def test_files_have_harmless_names(built: Path) -> None:
    for path in built.rglob("*"):
        assert re.fullmatch(r"[a-z0-9][A-Za-z0-9._-]{0,120}", path.name), path.name


def test_a_line_of_fifty_megabytes_and_thousands_of_calls_are_bounded(built: Path) -> None:
    assert (built / "runs/huge.html").stat().st_size < 100_000
    assert "the end" in (built / "runs/huge.html").read_text()
    many = list((built / "runs").glob("many*.html"))
    assert 2 <= len(many) <= 41
    assert all(path.stat().st_size < LARGEST for path in many)


def test_a_run_s_name_that_leads_out_stays_in(tmp_path: Path) -> None:
    siting.sealed(tmp_path / "runs", "../../../etc/passwd")
    siting.sealed(tmp_path / "runs", "A")
    site.build([tmp_path / "runs"], tmp_path / "site", processes=1)
    assert {path.name for path in tmp_path.iterdir()} == {"runs", "site", ".site.ptb-site", ".site.ptb-cache"}
    assert len(list((tmp_path / "site" / "runs").glob("*.json"))) == 2


def test_a_spreadsheet_finds_no_formula(tmp_path: Path) -> None:
    siting.sealed(tmp_path / "runs", "formula", agent="=HYPERLINK(1)")
    site.build([tmp_path / "runs"], tmp_path / "site", processes=1)
    for path in tmp_path.glob("site/data/*.csv"):
        assert ",=HYPER" not in path.read_text()
        assert "'=HYPERLINK(1)" in path.read_text()
