"""The archive: deterministic, and any change of any byte is refused, as is whatever is no plain file."""

import gzip
import hashlib
import io
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posttrainbench.bundle import archive
from posttrainbench.bundle.archive import ArchiveError
from posttrainbench.errors import PtbError, UsageError

FILES = {"a.json": b"{}", "b/c.log": b"words \n" * 300, "b/d": b"", "z.bin": bytes(range(256)) * 5}


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    for name, content in FILES.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(content)
    return {name: tmp_path / "in" / name for name in FILES}


@pytest.fixture
def packed(places: dict[str, Path], tmp_path: Path) -> bytes:
    archive.pack(places, tmp_path / "x.ptb.tar.gz")
    return (tmp_path / "x.ptb.tar.gz").read_bytes()


def read(content: bytes, tmp_path: Path, **bounds: int) -> dict[str, str]:
    path, folder = tmp_path / "read.ptb.tar.gz", Path(tempfile.mkdtemp(dir=tmp_path))
    path.write_bytes(content)
    return archive.unpack(path, folder, **bounds)[1]


def enclosed(tar: bytes, *, more: bytes = b"", raw: bytes | None = None) -> bytes:
    """A tar in our gzip, with a digest that fits, as an attacker would make it."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    inner = (deflate.compress(tar) + deflate.flush()) if raw is None else raw
    body = inner + zlib.crc32(tar).to_bytes(4, "little") + (len(tar) % 2**32).to_bytes(4, "little") + more
    return archive.GZIP + archive.COMMENT + hashlib.sha256(body).hexdigest().encode() + b"\0" + body


def tar_of(*members: tuple[tarfile.TarInfo, bytes], format_: int = tarfile.USTAR_FORMAT) -> bytes:
    made = io.BytesIO()
    for info, content in members:
        info.size = len(content) if info.isreg() else 0
        made.write(info.tobuf(format_) + content + b"\0" * (-len(content) % 512))
    return made.getvalue() + b"\0" * 1024


def member(name: str, **changes: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in changes.items():
        setattr(info, key, value)
    return info


def test_what_is_packed_is_unpacked_and_its_digest_is_the_file_s(places: dict[str, Path], tmp_path: Path) -> None:
    digest = archive.pack(places, tmp_path / "x.ptb.tar.gz")
    (tmp_path / "out").mkdir()
    whole, found = archive.unpack(tmp_path / "x.ptb.tar.gz", tmp_path / "out")
    assert whole == digest == "sha256:" + hashlib.sha256((tmp_path / "x.ptb.tar.gz").read_bytes()).hexdigest()
    assert {name: (tmp_path / "out" / name).read_bytes() for name in found} == FILES


def test_the_same_files_give_the_same_bytes_whatever_their_order_and_times(
    places: dict[str, Path], packed: bytes, tmp_path: Path
) -> None:
    places["a.json"].touch()
    places["z.bin"].chmod(0o600)
    archive.pack(dict(reversed(places.items())), tmp_path / "y.ptb.tar.gz")
    assert (tmp_path / "y.ptb.tar.gz").read_bytes() == packed


def test_any_other_program_reads_it(packed: bytes) -> None:
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as opened:
        assert {one.name: opened.extractfile(one).read() for one in opened} == FILES  # type: ignore[union-attr]


def test_every_change_of_a_single_byte_is_refused(packed: bytes, tmp_path: Path) -> None:
    for position in range(len(packed)):
        for flip in (0x01, 0x80):
            content = bytearray(packed)
            content[position] ^= flip
            with pytest.raises(ArchiveError):
                read(bytes(content), tmp_path)


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_bytes_that_are_put_in_taken_out_or_replaced_are_refused(
    packed: bytes, tmp_path: Path, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(packed)))
    end = data.draw(st.integers(start, min(len(packed), start + 20)))
    put = data.draw(st.binary(max_size=20))
    if packed[start:end] != put and (content := packed[:start] + put + packed[end:]) != packed:
        with pytest.raises(ArchiveError):
            read(content, tmp_path)


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_changed_byte_of_the_tar_itself_is_refused_even_if_the_digest_fits(
    packed: bytes, tmp_path: Path, data: st.DataObject
) -> None:
    """Only a change within a file's content is left to the digests of files."""
    tar = bytearray(gzip.decompress(packed))
    position = data.draw(st.integers(0, len(tar) - 1))
    tar[position] ^= data.draw(st.integers(1, 255))
    try:
        found = read(enclosed(bytes(tar)), tmp_path)
    except ArchiveError:
        return
    same = read(packed, tmp_path)
    assert set(found) == set(same)
    assert sum(found[name] != same[name] for name in same) == 1


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "absolute": (lambda: tar_of((member("/etc/passwd"), b"x")), "leads out"),
    "parent": (lambda: tar_of((member("a/../../b"), b"x")), "leads out"),
    "only parents": (lambda: tar_of((member(".."), b"x")), "leads out"),
    "drive": (lambda: tar_of((member("C:/x"), b"x")), "leads out"),
    "backslash": (lambda: tar_of((member("a\\..\\b"), b"x")), "leads out"),
    "symlink": (lambda: tar_of((member("a", type=tarfile.SYMTYPE, linkname="/etc/passwd"), b"")), "a link"),
    "hard link": (lambda: tar_of((member("a", type=tarfile.LNKTYPE, linkname="b"), b"")), "a link"),
    "device": (lambda: tar_of((member("a", type=tarfile.CHRTYPE, devmajor=1), b"")), "no plain file"),
    "pipe": (lambda: tar_of((member("a", type=tarfile.FIFOTYPE), b"")), "no plain file"),
    "folder": (lambda: tar_of((member("a", type=tarfile.DIRTYPE), b"")), "no plain file"),
    "twice": (lambda: tar_of((member("a"), b"1"), (member("a"), b"2")), "twice"),
    "unsorted": (lambda: tar_of((member("b"), b"1"), (member("a"), b"2")), "not sorted"),
    "below a file": (lambda: tar_of((member("a"), b"1"), (member("a/b"), b"2")), "below another file"),
    "hidden": (lambda: tar_of((member(".git/config"), b"x")), "begins with a dot"),
    "control": (lambda: tar_of((member("a\x1b[2J"), b"x")), "only letters"),
    "unicode": (lambda: tar_of((member("ä\u202e"), b"x")), "only letters"),
    "empty": (lambda: tar_of((member("a/"), b"x")), "only letters"),
    "executable": (lambda: tar_of((member("a", mode=0o4755), b"x")), "mode, owner, time"),
    "owner": (lambda: tar_of((member("a", uid=1000), b"x")), "mode, owner, time"),
    "time": (lambda: tar_of((member("a", mtime=7), b"x")), "mode, owner, time"),
    "pax": (lambda: tar_of((member("a" * 150), b"x"), format_=tarfile.PAX_FORMAT), "no plain file"),
    "gnu": (lambda: tar_of((member("a" * 150), b"x"), format_=tarfile.GNU_FORMAT), "no plain file"),
    "padding": (lambda: tar_of((member("a"), b"x"))[:513] + b"y" + tar_of((member("a"), b"x"))[514:], "hides bytes"),
    "after the end": (lambda: tar_of((member("a"), b"x")) + b"\0" * 512, "follows"),
    "cut off": (lambda: tar_of((member("a"), b"x" * 600))[:700], "too early"),
    "one empty block": (lambda: tar_of((member("a"), b"x"))[:-512] + b"x" * 512, "two empty blocks"),
    "no tar": (lambda: b"PK\x03\x04" * 300, "cannot be read"),
    "nothing": (lambda: b"", "too early"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_tar_is_refused_with_the_reason_and_nothing_is_written_outside(case: str, tmp_path: Path) -> None:
    made, reason = HOSTILE[case]
    place = tmp_path / "deep" / "er"
    place.mkdir(parents=True)
    with pytest.raises(ArchiveError, match=reason) as error:
        read(enclosed(made()), place)
    assert str(error.value).isascii()
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} <= {"read.ptb.tar.gz", "a", "b"}
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]


def test_what_unpacks_to_more_than_allowed_is_refused_before_it_is_written(tmp_path: Path) -> None:
    bomb = enclosed(tar_of((member("a"), b"\0" * 50_000_000)))
    assert len(bomb) < 100_000
    with pytest.raises(ArchiveError, match="--max-gb"):
        read(bomb, tmp_path, max_bytes=4_000_000)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 5_000_000


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    many = enclosed(tar_of(*((member(f"f{n:05}"), b"") for n in range(archive.MAX_MEMBERS + 1))))
    with pytest.raises(ArchiveError, match="more than 2000 files"):
        read(many, tmp_path)


def test_trailing_bytes_and_a_second_gzip_member_are_refused(packed: bytes, tmp_path: Path) -> None:
    for content in (packed + b"\0", packed + gzip.compress(b"more")):
        with pytest.raises(ArchiveError):
            read(content, tmp_path)
    tar = gzip.decompress(packed)
    with pytest.raises(ArchiveError, match="follows"):
        read(enclosed(tar, more=b"more"), tmp_path)


@pytest.mark.parametrize("raw", [b"", b"\x07", b"not deflate at all", b"\x00" * 40])
def test_a_stream_that_is_no_deflate_is_refused(raw: bytes, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError):
        read(enclosed(b"", raw=raw), tmp_path)


@given(st.binary(max_size=2000))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_tar_is_read_or_refused_with_a_sentence(tmp_path: Path, tar: bytes) -> None:
    with pytest.raises(ArchiveError):
        read(enclosed(tar), tmp_path)


@pytest.mark.parametrize("name", ["../up", "/abs", ".hidden", "a b", "x" * 201, "é"])
def test_a_name_that_cannot_stand_in_a_bundle_is_not_packed(name: str, places: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        archive.pack({name: places["a.json"]}, tmp_path / "x.ptb.tar.gz")
    assert not list(tmp_path.glob("*.gz"))


def test_a_full_disk_or_a_missing_folder_is_a_sentence(places: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PtbError):
        archive.pack(places, tmp_path / "file" / "x.ptb.tar.gz")
