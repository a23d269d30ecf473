"""The header of a safetensors file, read by a parser of our own that any bytes may be given to.

The file: eight bytes, little endian, the header's length; the header, a JSON object of name → dtype, shape and place;
then the tensors' bytes, without gaps or overlaps, to the end of the file. The format's description:
https://github.com/huggingface/safetensors. The tensors' bytes are not read: a checkpoint full of NaN passes here, and
shows itself when it is scored.
"""

import math
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from posttrainbench.checkpoint.bounded_json import parse
from posttrainbench.checkpoint.objection import Objection, shown

MAX_HEADER = 16 * 2**20
"""Bytes; the header of a model of 10,000 tensors takes about one million."""
MAX_TENSORS = 100_000
MAX_RANK = 16
BITS = {
    "BOOL": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}


class Tensor(NamedTuple):
    """A tensor's type and shape."""

    dtype: str
    shape: tuple[int, ...]


def tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file; raises Objection when it is not one."""
    with path.open("rb") as file:
        return read(file, path.stat().st_size, path.name)


def read(file: BinaryIO, size: int, name: str) -> dict[str, Tensor]:
    """The tensors of an open file of `size` bytes; raises Objection when it is not a whole safetensors file."""
    prefix = file.read(8)
    length = int.from_bytes(prefix, "little")
    if len(prefix) < 8 or length > min(size - 8, MAX_HEADER):
        raise _objection(name, f"its header would have {length} bytes, in a file of {size} bytes")
    text = file.read(length)
    if len(text) < length or not text.startswith(b"{"):
        raise _objection(name, "its header does not begin with '{'")
    header = parse(text.rstrip(b" "), f"the header of {shown(name)}", max_depth=4)
    metadata = header.pop("__metadata__", None)
    if metadata is not None and not (
        isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())
    ):
        raise _objection(name, "its __metadata__ is not a map of strings")
    if len(header) > MAX_TENSORS:
        raise _objection(name, f"it names {len(header)} tensors, and at most {MAX_TENSORS} are read")
    placed = {key: _tensor(name, key, value) for key, value in header.items()}
    position = 0
    for key, (_, begin, end) in sorted(placed.items(), key=lambda item: item[1][1:]):
        if begin != position:
            raise _objection(name, f"tensor {shown(key)} begins at byte {begin} of the data, not at {position}")
        position = end
    if 8 + length + position != size:
        raise _objection(name, f"its tensors end at byte {8 + length + position}, but the file has {size}")
    return {key: tensor for key, (tensor, _, _) in placed.items()}


def _tensor(name: str, key: str, value: Any) -> tuple[Tensor, int, int]:
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise _objection(name, f"tensor {shown(key)} does not have dtype, shape and data_offsets alone")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BITS:
        raise _objection(name, f"tensor {shown(key)} has the unknown dtype {shown(dtype)}")
    if not _is_sizes(shape) or len(shape) > MAX_RANK:
        raise _objection(name, f"tensor {shown(key)} has no sensible shape")
    if not _is_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise _objection(name, f"tensor {shown(key)} has no sensible data_offsets")
    bits = math.prod(shape) * BITS[dtype]
    if bits != 8 * (offsets[1] - offsets[0]):
        raise _objection(
            name, f"tensor {shown(key)} has {offsets[1] - offsets[0]} bytes, which its shape does not fill"
        )
    return Tensor(dtype, tuple(shape)), offsets[0], offsets[1]


def _is_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(one) is int and 0 <= one < 2**63 for one in value)


def _objection(name: str, what: str) -> Objection:
    return Objection(
        f"{shown(name)} is not a whole safetensors file: {what}. It was probably cut off while it was written; save "
        "the weights again with `save_pretrained` and let it finish before the time is over."
    )
