"""A site is published as it was built, into a folder or through the hub's real client, and nothing else is touched."""

import shutil
from pathlib import Path

import pytest
import siting
from hubbing import Hub, logged_in
from serving import served

from posttrainbench.board import site
from posttrainbench.bundle import site_publishing
from posttrainbench.cli import main
from posttrainbench.errors import DigestError, MissingError, UsageError


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    siting.sealed(folder, "a-tiny", agent="a", right=20)
    siting.sealed(folder, "b-tiny", agent="b", right=30)
    return folder


@pytest.fixture(scope="module")
def built(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "site"
    site.build([runs], out, processes=1)
    return out


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    logged_in(monkeypatch)


def test_without_a_place_nothing_leaves(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "site"
    assert main(["leaderboard", "publish", str(runs), "--out", str(out), "--processes", "1"]) == 0
    assert "Nothing was published: say where with --to" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"site", ".site.ptb-site", ".site.ptb-cache"}


def test_a_checkout_gets_the_site_and_keeps_what_is_not_ours(runs: Path, tmp_path: Path) -> None:
    mine, target, out = tmp_path / "runs", tmp_path / "pages", tmp_path / "site"
    shutil.copytree(runs, mine)
    (target / ".git").mkdir(parents=True)
    (target / "CNAME").write_text("board.example.org")
    words = ["leaderboard", "publish", str(mine), "--out", str(out), "--processes", "1", "--to", str(target)]
    assert main(words) == 0
    ours = contents(out)
    assert {name: body for name, body in contents(target).items() if name in ours} == ours
    assert set(contents(target)) - set(ours) == {"CNAME", ".nojekyll", ".ptb-published"}
    shutil.rmtree(mine / "b-tiny")
    assert main(words) == 0
    assert not (target / "runs/b-tiny.html").exists()
    assert (target / "CNAME").read_text() == "board.example.org"
    assert {name: (target / name).read_bytes() for name in contents(out)} == contents(out)


def test_a_folder_of_somebody_else_is_not_written_over(built: Path, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("precious")
    with pytest.raises(UsageError, match=r"holds index\.html"):
        site_publishing.to_folder(site_publishing.files(built), tmp_path)
    assert contents(tmp_path) == {"index.html": b"precious"}


def test_a_link_in_the_target_is_not_followed(built: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "pages"
    target.mkdir()
    (target / "runs").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="goes through a link"):
        site_publishing.to_folder(site_publishing.files(built), target)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_list_that_leads_out_removes_nothing(built: Path, tmp_path: Path) -> None:
    target = tmp_path / "pages"
    target.mkdir()
    (tmp_path / "precious").write_text("kept")
    (target / ".ptb-published").write_text(f"../precious\n{tmp_path}/precious\n")
    site_publishing.to_folder(site_publishing.files(built), target)
    assert (tmp_path / "precious").read_text() == "kept"


def test_a_stale_page_behind_a_link_is_not_removed(built: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "precious").write_text("kept")
    target = tmp_path / "pages"
    target.mkdir()
    (target / "old").symlink_to(tmp_path / "elsewhere")
    (target / ".ptb-published").write_text("old/precious\n")
    with pytest.raises(UsageError, match="goes through a link"):
        site_publishing.to_folder(site_publishing.files(built), target)
    assert (tmp_path / "elsewhere" / "precious").read_text() == "kept"


def test_a_key_in_a_page_keeps_the_site_here(built: Path, tmp_path: Path) -> None:
    mine = tmp_path / "site"
    shutil.copytree(built, mine)
    key = "sk-ant-api03-" + "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY"
    (mine / "runs" / "a-tiny.html").write_text(f"<pre>export KEY={key}</pre>")
    with pytest.raises(DigestError, match=r"runs/a-tiny\.html, line 1"):
        site_publishing.files(mine)


@pytest.mark.parametrize("kind", ["space", "dataset"])
def test_the_hub_gets_the_very_files_and_loses_only_stale_pages(kind: str, built: Path) -> None:
    hub = Hub("regular")
    hub.files = {"README.md": b"sdk: static", "runs/gone.html": b"a run that was taken away"}
    with served(hub.app()) as address:
        where = site_publishing.to_hub(built, kind, "org/board", pull_request=False, endpoint=address)
    assert where.endswith(f"/{kind}s/org/board/commit/" + "a" * 40)
    assert hub.files == contents(built) | {"README.md": b"sdk: static"}


def test_it_can_be_proposed_and_refusals_are_sentences(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(Hub("regular").app()) as address:
        where = site_publishing.to_hub(built, "space", "org/board", pull_request=True, endpoint=address)
        assert where.endswith("/discussions/1")
        with pytest.raises(UsageError, match="knows no space org/absent"):
            site_publishing.to_hub(built, "space", "org/absent", pull_request=False, endpoint=address)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(built / "none"))
    with pytest.raises(MissingError, match="HF_TOKEN"):
        site_publishing.to_hub(built, "space", "org/board", pull_request=False, endpoint="http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["build", "--to", "x"], "belong to `ptb leaderboard publish`"),
        (["publish", "--to", "hf://models/a/b"], "neither hf://spaces/org/name nor"),
        (["publish", "--to", "hf://spaces/a"], "write it as org/name"),
        (["publish", "--pull-request"], "--pull-request is for the hub"),
        (["publish", "--to", "site/pages"], "lies in the folder that the site is built in"),
        (["publish", "--to", __file__], "is no folder"),
    ],
)
def test_a_place_that_is_none_is_refused_before_anything_is_built(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["leaderboard", *words]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
