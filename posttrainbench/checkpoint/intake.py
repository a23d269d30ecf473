"""Copies what may be taken from the agent's `final_model/` to a place out of its reach.

The session is over, but the folder is hostile: links, pipes, devices, names that are no text, a million entries, a
terabyte of holes. Nothing is opened before its kind and size are known, and nothing is reached through a link: a link
is resolved, must end inside the workspace, and its end is then opened from the workspace's descriptor, component by
component, without following any. Absolute links are resolved on the host, so they hold only in sandboxes that show the
workspace under the host's own path.

Of the top level, the files that `transformers` loads are taken; code, adapters and links out are refused; everything
else is left behind and listed. Folders are not entered.
"""

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from posttrainbench.checkpoint.objection import Objection, shown
from posttrainbench.strict import disk

MAX_ENTRIES = 500
MAX_SIDE_BYTES = 256 * 2**20
"""Of a single file that holds no weights; the largest tokenizers have about 40 MB."""
CHUNK = 4 * 2**20
CHANGES = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)
"""What opening gives where something else lies now than was listed: nothing, a file, a link, a socket."""

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
SIDE = frozenset(
    {
        "added_tokens.json",
        "chat_template.jinja",
        "chat_template.json",
        "merges.txt",
        "sentencepiece.bpe.model",
        "special_tokens_map.json",
        "spiece.model",
        "tokenizer.json",
        "tokenizer.model",
        "vocab.json",
        "vocab.txt",
    }
)
"""Taken beside weights and `*config.json`."""
CODE = (".dll", ".dylib", ".pyc", ".pyd", ".pyx", ".py", ".sh", ".so")
PICKLES = (".bin", ".ckpt", ".joblib", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth")
SAVE = "Save with `model.save_pretrained('final_model')` and `tokenizer.save_pretrained('final_model')`."


class File(NamedTuple):
    """A file to take: its name, where it lies below the workspace, its size."""

    name: str
    parts: tuple[str, ...]
    size: int


class Listing(NamedTuple):
    """What lies in the folder: files to take, and names that are left behind."""

    files: list[File]
    dropped: list[str]


class Copied(NamedTuple):
    """What was copied."""

    digests: dict[str, str]
    bytes: int
    dropped: list[str]


def copy(source: Path, target: Path, max_bytes: int) -> Copied:
    """Copy what may be taken from `source`, a folder in the agent's workspace, into the empty folder `target`."""
    workspace = Path(os.path.realpath(source.parent))
    parts = _locate(source, workspace)
    with _descriptor(workspace, (), os.O_DIRECTORY) as root, _descriptor(root, parts, os.O_DIRECTORY) as folder:
        found = _listing(folder, parts, workspace)
        total = sum(file.size for file in found.files)
        if total > max_bytes:
            raise Objection(
                f"final_model/ has {total / 1e9:.3g} GB of model files; the protocol allows {max_bytes / 1e9:.3g} GB. "
                "Save it in bfloat16, and leave one model in it, not several."
            )
        digests = {file.name: _take(root, file, target) for file in found.files}
    return Copied(digests, total, found.dropped)


def _locate(source: Path, workspace: Path) -> tuple[str, ...]:
    """Where the folder lies below the workspace; `source` itself may be a link into it."""
    try:
        kind = os.lstat(source).st_mode
    except FileNotFoundError:
        raise Objection(
            f"There is no final_model/ in the workspace. A folder with the trained model was expected there. {SAVE}",
            "no_checkpoint",
        ) from None
    if stat.S_ISLNK(kind):
        parts = _resolved(source, workspace)
        kind = os.lstat(workspace.joinpath(*parts)).st_mode
    else:
        parts = (source.name,)
    if not stat.S_ISDIR(kind):
        raise Objection(f"final_model is {_kind(kind)}; a folder with the trained model was expected. {SAVE}")
    return parts


def _listing(folder: int, parts: tuple[str, ...], workspace: Path) -> Listing:
    files: list[File] = []
    dropped: list[str] = []
    with _readable("final_model/"), os.scandir(folder) as entries:
        for count, entry in enumerate(entries, start=1):
            if count > MAX_ENTRIES:
                raise Objection(
                    f"final_model/ holds more than {MAX_ENTRIES} entries; a model has a few dozen. {SAVE} Keep data "
                    "and logs elsewhere."
                )
            _check_name(entry.name)
            place, found = (*parts, entry.name), entry.stat(follow_symlinks=False)
            if stat.S_ISLNK(found.st_mode):
                place = _resolved(workspace.joinpath(*place), workspace)
                found = os.lstat(workspace.joinpath(*place))
            if stat.S_ISDIR(found.st_mode):
                dropped.append(entry.name + "/")
            elif not stat.S_ISREG(found.st_mode):
                raise Objection(f"{shown(entry.name)} is {_kind(found.st_mode)}; only files were expected. Remove it.")
            else:
                files.append(File(entry.name, place, found.st_size))
    if not files and not dropped:
        raise Objection(f"final_model/ is empty; a trained model was expected in it. {SAVE}", "no_checkpoint")
    return _chosen(files, dropped)


def _chosen(files: list[File], dropped: list[str]) -> Listing:
    """Which files are taken. Beside model.safetensors, which transformers prefers, other weights are left behind."""
    names = {file.name for file in files}
    for name in sorted(names):
        _check_harmless(name)
    pickles = sorted(name for name in names if name.lower().endswith(PICKLES))
    if pickles and not any(name.endswith(".safetensors") for name in names):
        raise Objection(
            f"The weights are pickled ({shown(pickles[0])}), and a pickle can run code. Safetensors were expected. "
            f"{SAVE}"
        )
    chosen = [file for file in files if _is_wanted(file.name, names)]
    for file in chosen:
        if not file.name.endswith(".safetensors") and file.size > MAX_SIDE_BYTES:
            raise Objection(
                f"{shown(file.name)} has {file.size} bytes; at most {MAX_SIDE_BYTES} were expected. Save it again."
            )
    left = sorted([*dropped, *(names - {file.name for file in chosen})])
    return Listing(sorted(chosen), left)


def _is_wanted(name: str, names: set[str]) -> bool:
    if not name.isascii():
        return False
    if name.endswith(".safetensors") or name == INDEX:
        return name == WEIGHTS or WEIGHTS not in names
    return name in SIDE or name.endswith("config.json")


def _check_harmless(name: str) -> None:
    if name.lower().endswith(CODE):
        raise Objection(
            f"{shown(name)} is code; a checkpoint is data only, of an architecture that transformers knows. Remove it "
            "from final_model/, and keep your scripts elsewhere in the workspace."
        )
    if name in ("adapter_config.json", "adapter_model.safetensors"):
        raise Objection(
            f"{shown(name)} belongs to a LoRA adapter that is not merged; a whole model was expected. Merge it: "
            "`model.merge_and_unload().save_pretrained('final_model')`, and remove the adapter's files."
        )


def _check_name(name: str) -> None:
    if not name.isprintable():
        raise Objection(
            f"final_model/ holds an entry with the name {shown(name)}; printable UTF-8 was expected. Rename or "
            "remove it."
        )


def _resolved(link: Path, workspace: Path) -> tuple[str, ...]:
    """Where a link ends, below the workspace."""
    try:
        end = Path(os.path.realpath(link, strict=True))
    except OSError as error:
        raise Objection(
            f"{shown(link.name)} is a link that leads nowhere ({error.strerror}). Copy the file itself: `cp -L`."
        ) from None
    if not end.is_relative_to(workspace):
        raise Objection(
            f"{shown(link.name)} is a link out of the workspace, which is not followed. Copy the file itself: `cp -L`."
        )
    return end.relative_to(workspace).parts


def _take(root: int, file: File, target: Path) -> str:
    """Copy one file and return its digest; it must be what it was when it was listed."""
    content, left = hashlib.sha256(), file.size
    with _descriptor(root, file.parts, os.O_NONBLOCK) as handle:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_size != file.size:
            raise _changed(file)
        with disk(f"copy {file.name} of the checkpoint"), (target / file.name).open("xb") as out:
            while left and (chunk := os.read(handle, min(CHUNK, left))):
                content.update(chunk)
                out.write(chunk)
                left -= len(chunk)
            out.flush()
            os.fsync(out.fileno())
    if left:
        raise _changed(file)
    return "sha256:" + content.hexdigest()


def _changed(file: File) -> Objection:
    return Objection(f"{shown(file.name)} changed while it was copied, after the session's end. Run it again.")


@contextlib.contextmanager
def _descriptor(start: int | Path, parts: tuple[str, ...], flags: int) -> Iterator[int]:
    """A descriptor of what lies at `parts` below `start`, reached without following a link."""
    with contextlib.ExitStack() as stack:
        handle = start if isinstance(start, int) else os.open(start, os.O_RDONLY | os.O_DIRECTORY)
        if not isinstance(start, int):
            stack.callback(os.close, handle)
        for number, part in enumerate(parts, start=1):
            kind = flags if number == len(parts) else os.O_DIRECTORY
            with _readable(shown(part)):
                handle = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | kind, dir_fd=handle)
            stack.callback(os.close, handle)
        yield handle


@contextlib.contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except PermissionError:
        raise Objection(f"{name} cannot be read. Make it readable: `chmod -R u+rX final_model`.") from None
    except OSError as error:
        if error.errno not in CHANGES:
            raise
        raise Objection(f"{name} changed while it was copied ({error.strerror}). Run it again.") from None


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFREG: "a file",
    }
    return kinds.get(stat.S_IFMT(mode), "nothing that can be copied")
