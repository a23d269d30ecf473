"""The file format of a bundle: a tar of plain files in gzip, of which each byte is determined or covered by a digest.

    gzip header    its comment says `ptb-bundle-1 sha256:…`: the digest of all that follows the header
    deflate        a POSIX (ustar) tar: regular files in sorted order, mode 0644, owner 0, time 0
    gzip trailer   checksum and length

`tar tzf` and every other tool read it. Reading takes nothing on trust: the digest is checked first, over the compressed
bytes; then each tar header must be, byte for byte, the one that we would write for its name and size. So there is no
link, device, odd name, second entry of a name or hidden byte that the reader would have to know of, and a changed byte
anywhere is refused. Sizes and counts are bounded while reading, whatever the headers say.

The bytes depend on the files and on the zlib that packed them, so two builds of zlib may give two digests for the same
files; both read well.
"""

import hashlib
import os
import re
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from io import BufferedRandom, BufferedReader
from pathlib import Path

from posttrainbench.errors import DigestError, UsageError
from posttrainbench.strict import disk

SUFFIX = ".ptb.tar.gz"
COMMENT = b"ptb-bundle-1 sha256:"
GZIP = b"\x1f\x8b\x08\x10\x00\x00\x00\x00\x02\xff"
"""Magic, deflate, a comment follows, no time, strongest compression, no operating system."""
HEADER_BYTES = len(GZIP) + len(COMMENT) + 64 + 1
BLOCK = 512
CHUNK = 2**20
MAX_MEMBERS = 2000
MAX_NAME = 200
MAX_BYTES = 4 * 2**30
"""What a bundle may unpack to, unless told otherwise."""
MAX_MEMBER_BYTES = 8 * 2**30 - 1
"""The most that a ustar header can say."""
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+=@-]*(/[A-Za-z0-9_][A-Za-z0-9._+=@-]*)*")


class ArchiveError(DigestError):
    """The file is no bundle, or not as it was packed."""


def pack(files: Mapping[str, Path], out: Path) -> str:
    """Write the files, by their names in the bundle, to `out`, atomically; returns the digest of the whole file."""
    for name in files:
        if why := _wrong_name(name):
            raise UsageError(
                f"{name!r} cannot stand in a bundle: {why}. Rename it, or leave it out of the run's record."
            )
    with disk(f"write the bundle {out.name}"):
        out.parent.mkdir(parents=True, exist_ok=True)
        handle, unfinished = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
        try:
            with os.fdopen(handle, "w+b") as file:
                whole = _pack(files, file)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(unfinished, 0o644)
            os.replace(unfinished, out)
        except BaseException:
            Path(unfinished).unlink(missing_ok=True)
            raise
    return whole


def _pack(files: Mapping[str, Path], file: BufferedRandom) -> str:
    file.write(b"\0" * HEADER_BYTES)
    body, deflate = hashlib.sha256(), zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    checksum = length = 0

    def put(content: bytes) -> None:
        body.update(content)
        file.write(content)

    for chunk in _tar(files):
        checksum, length = zlib.crc32(chunk, checksum), length + len(chunk)
        put(deflate.compress(chunk))
    put(deflate.flush())
    put(_trailer(checksum, length))
    file.seek(0)
    file.write(_header(body.hexdigest()))
    file.seek(0)
    return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def _tar(files: Mapping[str, Path]) -> Iterator[bytes]:
    for name, path in sorted(files.items()):
        with path.open("rb") as source:
            size = os.fstat(source.fileno()).st_size
            if size > MAX_MEMBER_BYTES:
                raise UsageError(
                    f"{path} has {size} bytes; at most {MAX_MEMBER_BYTES} fit into a bundle. Leave it out."
                )
            yield _member(name, size)
            left = size
            while left:
                chunk = source.read(min(CHUNK, left))
                if not chunk:
                    raise DigestError(
                        f"{path} became shorter while it was packed. Let nothing write to the run's folder."
                    )
                left -= len(chunk)
                yield chunk
            yield b"\0" * (-size % BLOCK)
    yield b"\0" * (2 * BLOCK)


def unpack(bundle: Path, folder: Path, max_bytes: int = MAX_BYTES) -> tuple[str, dict[str, str]]:
    """Unpack into an empty folder; returns the digest of the bundle and that of each file by its name. Raises
    ArchiveError, having written at most `max_bytes`, all of it below `folder`."""
    with disk(f"read {bundle.name}"), bundle.open("rb") as file:
        whole = _check_outside(bundle, file)
        file.seek(HEADER_BYTES)
        found = _unpack(_Inflated(file, max_bytes), folder)
    return whole, found


def _check_outside(bundle: Path, file: BufferedReader) -> str:
    """Check the header and the digest that it tells; returns the digest of the whole file."""
    header = file.read(HEADER_BYTES)
    told = header[len(GZIP) + len(COMMENT) : -1]
    if not re.fullmatch(rb"[0-9a-f]{64}", told) or header != _header(told.decode()):
        raise ArchiveError(
            f"{bundle.name} does not begin as a bundle does, so it is none, or its first bytes were changed. Make one "
            "with `ptb bundle RUN`."
        )
    body, whole = hashlib.sha256(), hashlib.sha256(header)
    while chunk := file.read(CHUNK):
        body.update(chunk)
        whole.update(chunk)
    if body.hexdigest() != told.decode():
        raise ArchiveError(
            f"{bundle.name} is not as it was packed: its content has the digest sha256:{body.hexdigest()}, its header "
            f"tells sha256:{told.decode()}. It was changed, or cut off on the way."
        )
    return "sha256:" + whole.hexdigest()


def _unpack(source: "_Inflated", folder: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    last = ""
    while (block := source.take(BLOCK)) != b"\0" * BLOCK:
        name, size = _read_member(block)
        if name <= last:
            why = "stands in it twice" if name in found else f"stands after {last!r}, so they are not sorted"
            raise ArchiveError(f"The bundle's file {name!r} {why}. `ptb bundle` writes no such archive.")
        if any(f"{parent}" in found for parent in _parents(name)):
            raise ArchiveError(f"The bundle's file {name!r} lies below another file.")
        if len(found) == MAX_MEMBERS:
            raise ArchiveError(f"The bundle holds more than {MAX_MEMBERS} files; no run has as many.")
        found[name] = _write(source, folder / name, size)
        last = name
    if source.take(BLOCK) != b"\0" * BLOCK:
        raise ArchiveError("The bundle's tar does not end with two empty blocks; `ptb bundle` writes no such archive.")
    source.end()
    return found


def _write(source: "_Inflated", path: Path, size: int) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with path.open("xb") as target:
        left = size
        while left:
            chunk = source.take(min(CHUNK, left))
            left -= len(chunk)
            digest.update(chunk)
            target.write(chunk)
    if source.take(-size % BLOCK).strip(b"\0"):
        raise ArchiveError("The bundle hides bytes between its files; `ptb bundle` writes no such archive.")
    return "sha256:" + digest.hexdigest()


def _read_member(block: bytes) -> tuple[str, int]:
    """Name and size of a member whose header is exactly the one that we write."""
    try:
        told = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise ArchiveError(f"A header of the bundle's tar cannot be read: {error}.") from None
    name = told.name
    if told.issym() or told.islnk():
        raise ArchiveError(f"The bundle holds {ascii(name)[:MAX_NAME]}, a link; only plain files may stand in it.")
    if not told.isreg():
        raise ArchiveError(
            f"The bundle holds {ascii(name)[:MAX_NAME]}, which is no plain file (type {told.type!r}): a folder, a "
            "device, or an extension of the format. Only plain files may stand in it."
        )
    if why := _wrong_name(name):
        raise ArchiveError(f"The bundle holds a file named {ascii(name)[:MAX_NAME]}: {why}.")
    if told.size < 0 or told.size > MAX_MEMBER_BYTES or block != _member(name, told.size):
        raise ArchiveError(
            f"The header of {name!r} in the bundle's tar is not the one that `ptb bundle` writes (mode, owner, time or "
            "an unused field differs)."
        )
    return name, told.size


def _wrong_name(name: str) -> str:
    """What is wrong with a name; empty if nothing is."""
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or re.match(r"[A-Za-z]:", name):
        return "it leads out of the folder that it would be unpacked to"
    if len(name) > MAX_NAME:
        return f"it is longer than {MAX_NAME} characters"
    if not NAME.fullmatch(name):
        return "only letters, digits and ._+=@- may stand in names, and no part begins with a dot"
    return ""


def _parents(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:n]) for n in range(1, len(parts))]


def _member(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    try:
        return info.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")
    except ValueError:  # The two fields for a name are of 155 and 100 bytes.
        raise UsageError(f"{name!r} is too long a name for a bundle; a part of it must be shorter.") from None


def _header(digest: str) -> bytes:
    return GZIP + COMMENT + digest.encode() + b"\0"


def _trailer(checksum: int, length: int) -> bytes:
    return checksum.to_bytes(4, "little") + (length % 2**32).to_bytes(4, "little")


class _Inflated:
    """The tar's bytes, inflated as they are asked for, never more than a chunk ahead and `most` in all."""

    def __init__(self, file: BufferedReader, most: int) -> None:
        self._file, self._left, self._most = file, most, most
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        self._ready = bytearray()
        self._checksum = self._length = 0

    def take(self, size: int) -> bytes:
        """Exactly so many bytes."""
        while len(self._ready) < size:
            self._more()
        taken = bytes(self._ready[:size])
        del self._ready[:size]
        return taken

    def end(self) -> None:
        """Check that nothing follows but the trailer."""
        while not self._inflate.eof:
            self._more()
        rest = self._inflate.unused_data + self._file.read(CHUNK)
        if self._ready or rest != _trailer(self._checksum, self._length):
            raise ArchiveError("Something follows the bundle's tar, or its checksum is wrong; it was tampered with.")

    def _more(self) -> None:
        if self._inflate.eof:
            raise ArchiveError("The bundle's tar ends too early; it was cut off or made by another program.")
        given = self._inflate.unconsumed_tail or self._file.read(CHUNK)
        try:
            content = self._inflate.decompress(given, CHUNK)
        except zlib.error as error:
            raise ArchiveError(f"The bundle cannot be decompressed: {error}.") from None
        if not given and not content and not self._inflate.eof:
            raise ArchiveError("The bundle's compressed content ends too early; it was cut off.")
        self._left -= len(content)
        if self._left < 0:
            raise ArchiveError(
                f"The bundle unpacks to more than {self._most} bytes, which is refused. If it is meant to (it holds "
                "weights), allow more with --max-gb."
            )
        self._checksum, self._length = zlib.crc32(content, self._checksum), self._length + len(content)
        self._ready += content
