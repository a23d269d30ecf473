"""Files in, frozen values out, and back: strict reading, atomic writing, digests.

An unknown key, a missing key or a wrong type in a file that a person wrote fails with the file and the key. A file is
written beside its place, synced, and renamed, so that a reader meets the old content or the new, never half of it.
"""

import hashlib
import json
import os
import stat
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, overload

import msgspec

from posttrainbench.errors import ConfigError, DigestError, StorageError

T = TypeVar("T")


class Value(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A frozen value whose file form is read strictly. (msgspec hands `frozen` and `forbid_unknown_fields` down to
    subclasses, but not `kw_only`: each says it again.)"""


@contextmanager
def disk(what: str) -> Iterator[None]:
    """Turn the disk's refusals (full, read-only, no permission) into a sentence that names `what` was being done."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"Could not {what}: {error.strerror or error}"
            + (f" ({error.filename})" if error.filename else "")
            + ". Free some space or choose another folder with --runs-dir or PTB_CACHE, then run `ptb resume`."
        ) from error


def read_toml(path: Path, kind: type[T]) -> T:
    """Read the TOML file at `path` as a `kind`; raises ConfigError with the file and the key."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist; a file of this name was expected there.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} could not be read: {error}.") from error
    try:
        return msgspec.convert(tomllib.loads(text), kind)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.") from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}.") from error


def read_regular(path: Path, most: int) -> bytes:
    """A file that a stranger may have laid there: no link is followed, no pipe waited for. Raises OSError, and
    ValueError where it is no regular file or has more than `most` bytes."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError(f"{path.name} is not a regular file")
        parts, left = [], most + 1
        # By the system's own calls: a site reads many small files, and Python's file objects make more of them.
        while left > 0 and (part := os.read(handle, min(left, max(found.st_size, 0) + 1))):
            parts.append(part)
            left -= len(part)
    finally:
        os.close(handle)
    if left <= 0:
        raise ValueError(f"{path.name} is larger than {most} bytes")
    return b"".join(parts)


@overload
def read_json(path: Path, kind: type[T]) -> T: ...
@overload
def read_json(path: Path, kind: UnionType) -> Any: ...
def read_json(path: Path, kind: Any) -> Any:
    """Read a JSON file that ptb itself wrote; raises DigestError when it is not what ptb writes."""
    return parse_json(read_written(path), kind, path)


def read_written(path: Path) -> bytes:
    """A file that ptb itself wrote; raises DigestError when it is not there."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DigestError(f"{path} is missing; ptb wrote it and something removed it.") from None
    except OSError as error:
        raise DigestError(f"{path} is not what ptb wrote: {error}.") from error


@overload
def parse_json(content: bytes, kind: type[T], path: Path) -> T: ...
@overload
def parse_json(content: bytes, kind: UnionType, path: Path) -> Any: ...
def parse_json(content: bytes, kind: Any, path: Path) -> Any:
    """JSON that ptb itself wrote to `path`; raises DigestError when it is not what ptb writes."""
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.DecodeError as error:
        raise DigestError(f"{path} is not what ptb wrote: {error}.") from error


def to_json(value: Any) -> bytes:
    """Canonical JSON of a value: sorted keys, two spaces, a newline at the end."""
    plain = msgspec.to_builtins(value)
    return (json.dumps(plain, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically and durably."""
    with disk(f"write {path.name}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def write_json(path: Path, value: Any) -> None:
    """Write a value as canonical JSON, atomically."""
    write_bytes(path, to_json(value))


def write_lines(path: Path, rows: Iterable[Any]) -> None:
    """Write JSON lines, atomically; one row a line, keys in the row's own order."""
    write_bytes(path, b"".join(msgspec.json.encode(row) + b"\n" for row in rows))


def digest_bytes(content: bytes) -> str:
    """`sha256:` and 64 hex digits."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def digest_value(value: Any) -> str:
    """Digest of a value's canonical JSON, so that it does not depend on formatting."""
    plain = msgspec.to_builtins(value)
    return digest_bytes(json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())


def digest_file(path: Path) -> str:
    """Digest of a file's bytes."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def manifest(folder: Path) -> dict[str, str]:
    """Digest of each regular file under `folder`, by its path relative to it; caches of Python are left out."""
    return {
        path.relative_to(folder).as_posix(): digest_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink() and "__pycache__" not in path.parts
    }


def digest_folder(folder: Path) -> str:
    """One digest for a folder: that of its manifest."""
    return digest_value(manifest(folder))
