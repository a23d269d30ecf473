"""Publishing: the real client of the hub against a server that speaks what it asks."""

import hashlib
import sys
from pathlib import Path

import bundling
import pytest
from hubbing import Hub, logged_in
from serving import served

from posttrainbench import bundle
from posttrainbench.bundle import publishing
from posttrainbench.cli import main
from posttrainbench.errors import MissingError, UsageError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "made-run.ptb.tar.gz"
    bundle.seal(bundling.sealed(tmp_path / "run"), path, environment={})
    return path


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    logged_in(monkeypatch)


@pytest.mark.parametrize("mode", ["regular", "lfs"])
def test_the_very_bytes_arrive(mode: str, file: Path) -> None:
    hub = Hub(mode)
    with served(hub.app()) as address:
        where = publishing.push(file, file.name, "org/results", pull_request=False, endpoint=address)
    assert where.endswith("/datasets/org/results/commit/" + "a" * 40)
    assert hub.files == {"bundles/made-run.ptb.tar.gz": file.read_bytes()}
    assert all(hashlib.sha256(body).hexdigest() == oid for oid, body in hub.objects.items())


def test_it_can_be_proposed_instead(file: Path) -> None:
    hub = Hub("regular")
    with served(hub.app()) as address:
        where = publishing.push(file, file.name, "org/results", pull_request=True, endpoint=address)
    assert where.endswith("/discussions/1")
    assert all("create_pr=1" in one for one in hub.asked)


def test_a_hub_that_refuses_is_a_sentence(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(Hub("regular").app()) as address:
        with pytest.raises(UsageError, match="knows no dataset org/absent"):
            publishing.push(file, file.name, "org/absent", pull_request=False, endpoint=address)
        monkeypatch.setenv("HF_TOKEN", "hf_another")
        with pytest.raises(UsageError, match="does not let this token write to org/results"):
            publishing.push(file, file.name, "org/results", pull_request=False, endpoint=address)


def test_a_hub_that_breaks_off_is_a_sentence(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", False)  # Of which this hub knows nothing.
    with served(Hub("lfs").app()) as address, pytest.raises(MissingError, match="did not take it"):
        publishing.push(file, file.name, "org/results", pull_request=False, endpoint=address)


def test_without_a_token_nothing_is_sent(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(file.parent / "none"))
    with pytest.raises(MissingError, match="HF_TOKEN"):
        publishing.push(file, file.name, "org/results", pull_request=False, endpoint="http://127.0.0.1:9")


def test_without_the_library_it_says_what_to_install(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingError, match="pip install"):
        publishing.push(file, file.name, "org/results", pull_request=False)


def test_what_is_refused_is_not_published(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file.write_bytes(file.read_bytes()[:-1])
    assert main(["publish", str(file), "--repo", "org/results"]) == 7
    assert "is not published" in capsys.readouterr().err
    assert main(["publish", str(file), "--repo", "no repo"]) in (2, 7)
    with pytest.raises(UsageError, match="org/name"):
        publishing.push(file, file.name, "no repo", pull_request=False)
