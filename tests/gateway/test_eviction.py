"""What `ptb gc --unused` takes from the mirrors' cache, and what it leaves."""

import fcntl
import json
import os
import time
from pathlib import Path

import pytest

from posttrainbench import cli
from posttrainbench.gateway import eviction
from posttrainbench.gateway.blobs import Blob, Blobs


def put(cache: Path, name: str, days: float) -> Path:
    path = cache / "blobs" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * 100)
    os.utime(path, (time.time() - days * 86400,) * 2)
    return path


def test_what_nobody_read_for_long_goes_and_all_else_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hub = tmp_path / "hub"  # Where runs' gateways keep what they fetch.
    old, fresh, half = put(hub, "old", 40), put(hub, "fresh", 2), put(hub, "half.partial", 40)
    words = ["gc", "--unused", "30", "--json", "--cache-dir", str(tmp_path)]
    assert cli.main([*words, "--dry-run"]) == 0
    assert [one["path"] for one in json.loads(capsys.readouterr().out)] == [str(half), str(old)]
    assert old.exists()
    assert cli.main(words) == 0
    assert (old.exists(), half.exists(), fresh.exists()) == (False, False, True)


def test_to_be_asked_for_is_to_be_used(tmp_path: Path) -> None:
    old = put(tmp_path, "old", 40)
    assert Blobs(tmp_path / "blobs").path(Blob(key="old", size=100)) == old
    assert eviction.unused(tmp_path, 30) == []


def test_what_is_being_written_stays_and_an_open_file_is_read_to_its_end(tmp_path: Path) -> None:
    writing, reading = put(tmp_path, "writing.partial", 40), put(tmp_path, "reading", 40)
    items = eviction.unused(tmp_path, 30)
    with writing.open("ab+") as busy, reading.open("rb") as open_file:
        fcntl.flock(busy, fcntl.LOCK_EX)
        assert [one.path for one in eviction.evict(items)] == [str(reading)]
        assert open_file.read() == b"x" * 100
    assert writing.exists()


@pytest.mark.parametrize("days", ["-1", "nan", "1e9"])
def test_days_that_are_none_are_refused(days: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["gc", "--unused", days, "--cache-dir", str(tmp_path)]) == 2
    assert "no number of days" in capsys.readouterr().err


def test_a_cache_that_was_never_used_has_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["gc", "--unused", "0", "--cache-dir", str(tmp_path / "none")]) == 0
    assert "removed 0 files" in capsys.readouterr().out
