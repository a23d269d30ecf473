"""The site says what the records say, is the same each time, makes anew only what changed, and trusts nothing."""

import csv
import hashlib
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
import siting

from posttrainbench import cli
from posttrainbench.board import keeping, shell, site, text
from posttrainbench.errors import UsageError


class Page(HTMLParser):
    """Tags and words of a page; everything that is opened must be closed."""

    VOID = {"meta", "link", "input", "br", "hr"}

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    siting.some(folder)
    return folder


@pytest.fixture(scope="module")
def built(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "site"
    made = site.build([runs], out, processes=1)
    assert (made.runs, made.boards, made.made, made.problems) == (10, 1, 10, [])
    return out


def test_the_board_says_who_is_ahead_and_hides_no_outcome(built: Path) -> None:
    page = Page(built / "index.html")
    assert "good" in page.text
    assert "1 no checkpoint" not in page.text.split("poor")[0]
    assert "2 no checkpoint" in page.text
    rows = re.findall(r'<td class="band" data-v="[^"]*">([^<]*)</td>\s*<th scope="row" data-v="([^"]*)"', page.source)
    assert [name for _, name in rows] == ["good", "fair", "poor"]
    assert rows[0][0].startswith("1")
    assert "∅" in page.text
    assert "base model" in page.text
    assert "instruct model" in page.text


def test_every_link_leads_to_a_file_and_every_anchor_to_a_place(built: Path) -> None:
    pages = {path: Page(path) for path in built.rglob("*.html")}
    assert len(pages) > 25
    for path, page in pages.items():
        for tag, attributes in page.tags:
            target = attributes.get("href") if tag in ("a", "link") else attributes.get("src")
            if not target or "://" in target or target.startswith("data:"):
                continue
            name, _, anchor = target.partition("#")
            found = (path.parent / name.partition("?")[0]).resolve() if name else path
            assert found.is_file(), (path.name, target)
            if anchor and found in pages:
                assert f'id="{anchor}"' in pages[found].source, (path.name, target)


def test_no_page_fetches_from_elsewhere_or_runs_what_stands_in_it(built: Path) -> None:
    for path in built.rglob("*.html"):
        page = Page(path)
        (policy,) = [one["content"] for tag, one in page.tags if one.get("http-equiv") == "Content-Security-Policy"]
        assert policy and "default-src 'none'" in policy and "unsafe" not in policy
        for tag, attributes in page.tags:
            assert tag != "style"
            assert not any(name.startswith("on") or name == "style" for name in attributes)
            assert tag != "script" or (attributes.get("src") or "").partition("?")[0].endswith("assets/site.js")
            assert "://" not in (attributes.get("src") or "")
    style = (built / "assets/site.css").read_text()
    assert "url(" not in style
    assert "@import" not in style


def test_a_run_s_page_has_the_recorder_and_links_each_step(built: Path) -> None:
    page = Page(built / "runs/good-tiny-0.html")
    for words in ("Scored: gain +50.0 %", "Flight recorder", "measuring itself", "train.py", "50.0 % on dev questions"):
        assert words in page.text
    assert [f'id="step-{n}"' in page.source for n in range(1, 8)] == [True] * 6 + [False]
    assert page.source.count('href="good-tiny-0.html#step-') + page.source.count('href="#step-') >= 6
    assert "<details>" in page.source


def test_a_folded_text_is_the_long_one(built: Path) -> None:
    source = (built / "runs/good-tiny-0.html").read_text()
    assert "Result, 901 lines" in source


def test_building_twice_gives_the_same_bytes_and_writes_nothing(runs: Path, built: Path, tmp_path: Path) -> None:
    before = files(built)
    again = site.build([runs], built, processes=1)
    assert (again.made, again.written) == (0, 0)
    site.build([runs], tmp_path / "other", processes=2)
    assert files(tmp_path / "other") == before == files(built)


def test_pages_that_are_not_a_run_s_are_the_same_from_several_processes(
    runs: Path, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site, "MANY_RUNS", 1)
    out = tmp_path / "site"
    site.build([runs], out, processes=2)
    assert files(out) == files(built)
    assert site.build([runs], out, processes=2).written == 0


def test_a_file_that_the_record_does_not_name_makes_no_page_anew(runs: Path, tmp_path: Path) -> None:
    mine, out = tmp_path / "runs", tmp_path / "site"
    shutil.copytree(runs, mine)
    site.build([mine], out, processes=1)
    (mine / "good-tiny-0" / "gateway").mkdir()
    (mine / "good-tiny-0" / "gateway" / "hub.jsonl").write_bytes(b"{}")
    assert site.build([mine], out, processes=1).made == 0
    for number, name in enumerate(("session/started.json", "trajectory.json", "evaluation/final/questions.jsonl")):
        with (mine / f"good-tiny-{number % 2}" / name).open("ab") as file:
            file.write(b" ")
        assert site.build([mine], out, processes=1).made == 1, name


def test_only_what_changed_is_made_anew(runs: Path, tmp_path: Path) -> None:
    mine = tmp_path / "runs"
    shutil.copytree(runs, mine)
    out = tmp_path / "site"
    site.build([mine], out, processes=1)
    siting.sealed(mine, "new-tiny", agent="new", right=30)
    made = site.build([mine], out, processes=1)
    assert made.made == 1
    assert (out / "agents/new.html").is_file()
    whole = tmp_path / "whole"
    site.build([mine], whole, processes=1)
    assert files(out) == files(whole)
    shutil.rmtree(mine / "new-tiny")
    site.build([mine], out, processes=1)
    assert not (out / "runs/new-tiny.html").exists()
    assert not (out / "agents/new.html").exists()


def test_a_foreign_folder_is_not_written_into(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(UsageError, match="empty folder"):
        site.build([runs], tmp_path, processes=1)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_source_that_is_no_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere is not a folder"):
        site.build([tmp_path / "nowhere"], tmp_path / "site", processes=1)


def test_without_runs_there_is_a_site_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    site.build([tmp_path / "runs"], tmp_path / "site", processes=1)
    assert "No runs yet" in Page(tmp_path / "site/index.html").text


def test_a_changed_record_is_left_out_and_said(runs: Path, tmp_path: Path) -> None:
    mine = tmp_path / "runs"
    shutil.copytree(runs, mine)
    path = mine / "fair-tiny" / "record.json"
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))
    (mine / "poor-tiny-0" / "record.json").write_text("{" * 5000)
    made = site.build([mine], tmp_path / "site", processes=1)
    assert made.runs == 8
    assert len(made.problems) == 2
    assert str(tmp_path) not in " ".join(made.problems)
    assert "not as it was sealed" in Page(tmp_path / "site/index.html").text
    assert not (tmp_path / "site/runs/fair-tiny.html").exists()


def test_a_changed_trajectory_is_not_shown(runs: Path, tmp_path: Path) -> None:
    mine = tmp_path / "runs"
    shutil.copytree(runs / "fair-tiny", mine / "fair-tiny")
    path = mine / "fair-tiny" / "trajectory.json"
    path.write_text(path.read_text().replace("look around", "look aside"))
    site.build([mine], tmp_path / "site", processes=1)
    page = Page(tmp_path / "site/runs/fair-tiny.html")
    assert "trajectory.json is not the file that was sealed" in page.text
    assert "look aside" not in page.text


def test_the_same_run_in_two_places_counts_once(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "fair-tiny", tmp_path / "copy" / "fair-tiny")
    made = site.build([runs, tmp_path / "copy"], tmp_path / "site", processes=1)
    assert (made.runs, made.problems) == (10, [])


def test_downloads_hold_every_run(built: Path) -> None:
    (path,) = built.glob("data/*.runs.csv")
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert len(rows) == 10
    assert {row["agent"] for row in rows} == {"good", "fair", "poor"}
    (path,) = built.glob("data/*.runs.json")
    assert len(json.loads(path.read_text())) == 10
    (path,) = [one for one in built.glob("data/*.json") if ".runs" not in one.name]
    assert [row["agent"] for row in json.loads(path.read_text())["standings"]] == ["good", "fair", "poor"]


def test_two_agents_are_compared_on_the_same_questions(built: Path) -> None:
    page = Page(built / "compare.html")
    assert [one["data-a"] for tag, one in page.tags if tag == "section"] == ["good 1", "good 1", "fair 1"]
    assert "good 1 scores higher" in page.text
    assert "question" in page.text


def test_pages_name_no_place_of_the_machine_that_built_them(runs: Path, built: Path) -> None:
    for path in built.rglob("*.html"):
        assert str(runs) not in path.read_text(), path.name


def test_an_interrupted_build_is_taken_up(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "site"
    out.mkdir()
    keeping.write(out, keeping.Manifest(code="another"))
    (out / "half.html").write_text("half")
    assert site.build([runs], out, processes=1).made == 10


@pytest.mark.parametrize("listen", ["8000", "host:port", "127.0.0.1:70000", "127.0.0.1:²"])
def test_a_wrong_address_is_refused_before_anything_is_built(
    listen: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["leaderboard", "serve", str(tmp_path), "--out", str(tmp_path / "site"), "--listen", listen]) == 2
    assert "no address with a port" in capsys.readouterr().err
    assert not (tmp_path / "site").exists()


def test_a_table_of_a_document_scrolls_by_itself(built: Path) -> None:
    source = (built / "rules.html").read_text()
    assert source.count("<table>") == source.count('<div class="scroll" tabindex="0" role="group"') > 0


def test_names_that_begin_alike_stay_apart_where_they_are_shortened() -> None:
    names = [f"opencode_opencode_{name}_10h" for name in ("kimi-k2-thinking", "glm-4.7-free", "gpt-5.1-codex-max")]
    shown = [text.shortened(name, 25) for name in names]
    assert len(set(shown)) == 3
    assert {len(one) for one in shown} == {25}
    assert text.shortened("\x1b[31mshort\x1b[0m", 25) == "short"


def spoil(out: Path, how: str) -> None:
    """Do something to what a site remembers."""
    path = keeping.cache(out)
    content = path.read_bytes()
    body = content[keeping.DIGEST_BYTES :]
    if how == "removed":
        path.unlink()
    elif how == "cut":
        path.write_bytes(content[:-100])
    elif how == "changed":  # Another score for everyone, in a file that is whole.
        path.write_bytes(content.replace(b"good", b"evil"))
    elif how == "another program":
        manifest = keeping.Manifest(code="another")
        path.write_bytes(hashlib.sha256(made := msgspec.msgpack.encode(manifest)).digest() + made)
    elif how == "nonsense":
        path.write_bytes(hashlib.sha256(made := b"\x91" * 100_000).digest() + made)
    elif how == "older format":
        known = msgspec.msgpack.decode(body) | {"format": keeping.FORMAT - 1}
        path.write_bytes(hashlib.sha256(made := msgspec.msgpack.encode(known)).digest() + made)


@pytest.mark.parametrize("how", ["removed", "cut", "changed", "another program", "nonsense", "older format"])
def test_what_a_site_remembers_changes_no_page(how: str, runs: Path, built: Path, tmp_path: Path) -> None:
    out = tmp_path / "site"
    shutil.copytree(built, out)
    for place in (keeping.place, keeping.cache):
        shutil.copy(place(built), place(out))
    (out / "runs/gone.html").write_text("A run that was taken away.")
    with keeping.place(out).open("a") as file:
        file.write("runs/gone.html\n../precious.txt\n/etc/precious.txt\n")
    (tmp_path / "precious.txt").write_text("not of the site")
    spoil(out, how)
    assert site.build([runs], out, processes=1).made == 10
    assert files(out) == files(built)
    assert (tmp_path / "precious.txt").is_file()


def test_a_tally_is_kept_until_a_record_or_an_outcome_behind_it_changes(runs: Path, tmp_path: Path) -> None:
    mine, out = tmp_path / "runs", tmp_path / "site"
    shutil.copytree(runs, mine)
    site.build([mine], out, processes=1)
    before = keeping.read(out, shell.code()).tallies
    (mine / "good-tiny-0" / "evaluation/final/questions.jsonl").unlink()
    site.build([mine], out, processes=1)
    after = keeping.read(out, shell.code()).tallies
    changed = {one.standing.names[0].split("-")[0] for key, one in after.items() if key not in before}
    assert changed == {"good"}
    assert len(after) == len(before)
    site.build([mine], tmp_path / "whole", processes=1)
    assert files(out) == files(tmp_path / "whole")
