"""A strict reader of the GGUF container: metadata and the tensor table, never the weights.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3. Every count and length is checked
against what is left of the file before anything is read or allocated, so a damaged file costs an error and no more.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import ModelFileError
from inferkit.local.gguf.head import Head, check_place
from inferkit.local.gguf.mistaken import what_it_is
from inferkit.local.gguf.packing import TENSOR_TYPES

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from inferkit.local.gguf.packing import TensorType

__all__ = ["Array", "Container", "PackingShare", "Tensor", "Value", "read_container"]

_DIMENSIONS_LIMIT = 4
_NAME_LIMIT = 127
_STRING, _ARRAY, _BOOL = 8, 9, 7
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}
_KIND_NAMES = {
    0: "uint8",
    1: "int8",
    2: "uint16",
    3: "int16",
    4: "uint32",
    5: "int32",
    6: "float32",
    7: "bool",
    8: "string",
    9: "array",
    10: "uint64",
    11: "int64",
    12: "float64",
}


@dataclass(frozen=True, slots=True)
class Array:
    """An array of the metadata: its element kind, its length, and its elements (numbers or byte strings)."""

    kind: str
    length: int
    items: Any


@dataclass(frozen=True, slots=True)
class Value:
    """A metadata value with the kind it has in the file, since the engine takes no other kind for it."""

    kind: str
    value: Any


@dataclass(frozen=True, slots=True)
class Tensor:
    """One row of the tensor table. `offset` counts from the start of the data; `shape` begins with the row length."""

    name: str
    shape: tuple[int, ...]
    type: TensorType
    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class PackingShare:
    """What of a model is packed in one way: how many tensors, numbers and bytes."""

    packing: str
    tensors: int
    parameters: int
    size: int


@dataclass(frozen=True, slots=True)
class Container:
    """What a GGUF file says about itself.

    `header` is the bytes of metadata and table, for a fingerprint; in it `spans` has the place of each metadata value,
    with its key. `alignment` is what places in the data are multiples of.
    """

    version: int
    metadata: dict[str, Value]
    spans: dict[str, slice]
    tensors: dict[str, Tensor]
    alignment: int
    header: bytes
    file_size: int
    modified_ns: int

    @property
    def data_start(self) -> int:
        """Where the weights begin, in bytes; the offset of a tensor counts from there."""
        return -(-len(self.header) // self.alignment) * self.alignment

    @property
    def parameters(self) -> int:
        """How many numbers the model is made of."""
        return sum(math.prod(tensor.shape) for tensor in self.tensors.values())

    @property
    def packings(self) -> tuple[PackingShare, ...]:
        """How the weights are packed, the packing that most bytes are in first."""
        kinds: dict[str, list[Tensor]] = {}
        for tensor in self.tensors.values():
            kinds.setdefault(tensor.type.name, []).append(tensor)
        shares = (
            PackingShare(name, len(those), sum(math.prod(one.shape) for one in those), sum(one.nbytes for one in those))
            for name, those in kinds.items()
        )
        return tuple(sorted(shares, key=lambda share: -share.size))

    @property
    def quantisation(self) -> str:
        """The packing that most bytes of the weights are in; "none" in a file without weights."""
        return self.packings[0].packing if self.tensors else "none"

    def text(self, key: str) -> str | None:
        """Give a text of the metadata, None where there is none."""
        found = self.metadata.get(key)
        return found.value if found is not None and found.kind == "string" else None

    @property
    def fingerprint(self) -> str:
        """A mark that changes whenever the file's header, size or time of change does."""
        digest = hashlib.blake2b(self.header, digest_size=16)
        digest.update(f"{self.file_size}:{self.modified_ns}".encode())
        return digest.hexdigest()


def read_container(path: Path) -> Container:
    """Read a GGUF file's head. Raises `ModelFileError`, which says what is wrong and what to do."""
    status = check_place(path)
    try:
        with path.open("rb", buffering=0) as file:
            head = Head(file, path, status.st_size)
            return _read(head, path, status)
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read ({error.strerror}); check its permissions") from error


def _read(head: Head, path: Path, status: os.stat_result) -> Container:
    version, tensor_count, value_count = _preamble(head, path)
    metadata: dict[str, Value] = {}
    spans: dict[str, slice] = {}
    for _ in range(value_count):
        start = head.position
        key = _name(head, "a metadata key")
        if key in metadata:
            raise head.damaged(f"the metadata key {key!r} occurs twice")
        metadata[key] = _value(head, key)
        spans[key] = slice(start, head.position)
    alignment = _alignment(head, metadata)
    tensors: dict[str, Tensor] = {}
    for _ in range(tensor_count):
        tensor = _tensor(head, path)
        if tensor.name in tensors:
            raise head.damaged(f"the tensor {tensor.name!r} occurs twice")
        tensors[tensor.name] = tensor
    _check_places(head, tensors, alignment)
    return Container(version, metadata, spans, tensors, alignment, head.taken(), status.st_size, status.st_mtime_ns)


def _preamble(head: Head, path: Path) -> tuple[int, int, int]:
    start = head.take(4, "the magic number") if head.size >= 4 else 0  # noqa: PLR2004 - its length
    magic = head.taken()[start:]
    if magic != b"GGUF":
        raise ModelFileError(f"{path} is not a GGUF file: {what_it_is(head.beginning())}")
    version = head.number("I", "the version")
    if version not in (2, 3):
        older = "; it is of an early form" if version == 1 else "; it may be big-endian"
        raise ModelFileError(
            f"{path}: GGUF version {version} is not supported{older}: convert the model again, to version 2 or 3"
        )
    tensor_count = head.number("Q", "the number of tensors")
    value_count = head.number("Q", "the number of metadata values")
    left = head.size - head.position
    for count, smallest, what in ((tensor_count, 24, "tensors"), (value_count, 13, "metadata values")):
        if count * smallest > left:
            raise head.damaged(f"it claims {count} {what}, more than its {head.size} bytes can hold")
    return version, tensor_count, value_count


def _name(head: Head, what: str) -> str:
    raw = head.string(what)
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise head.damaged(f"{what} is not UTF-8") from None
    if not name or "\0" in name:
        raise head.damaged(f"{what} is empty or holds a zero byte")
    if len(raw) > _NAME_LIMIT:
        raise head.damaged(f"{what} is over {_NAME_LIMIT} bytes long")
    return name


def _value(head: Head, key: str) -> Value:
    kind = head.number("I", f"the kind of {key!r}")
    if kind == _STRING:
        return Value("string", head.string(f"the value of {key!r}").decode("utf-8", "replace"))
    if kind == _ARRAY:
        return Value("array", _array(head, key))
    if kind not in _SCALARS:
        raise head.damaged(f"the metadata value {key!r} has the unknown kind {kind}")
    value = head.number(_SCALARS[kind], f"the value of {key!r}")
    if kind == _BOOL:
        if value > 1:
            raise head.damaged(f"the metadata value {key!r} is neither true nor false")
        value = bool(value)
    return Value(_KIND_NAMES[kind], value)


def _array(head: Head, key: str) -> Array:
    kind = head.number("I", f"the element kind of {key!r}")
    length = head.number("Q", f"the length of {key!r}")
    if kind == _STRING:
        if length * 8 > head.size - head.position:
            raise head.damaged(f"the array {key!r} claims {length} strings, more than the file can hold")
        return Array("string", length, [head.string(f"an element of {key!r}") for _ in range(length)])
    if kind not in _SCALARS:
        raise head.damaged(f"the array {key!r} has elements of the unsupported kind {kind}")
    if length > head.size:
        raise head.damaged(f"the array {key!r} claims {length} elements, more than the file can hold")
    return Array(_KIND_NAMES[kind], length, head.array(_SCALARS[kind], length, f"the array {key!r}"))


def _alignment(head: Head, metadata: dict[str, Value]) -> int:
    given = metadata.get("general.alignment")
    if given is None:
        return 32
    alignment = given.value
    if given.kind != "uint32" or alignment not in (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096):
        raise head.damaged(f"general.alignment is {alignment!r}, and not a power of two from 8 to 4096")
    assert isinstance(alignment, int)
    return alignment


def _tensor(head: Head, path: Path) -> Tensor:
    name = _name(head, "a tensor name")
    count = head.number("I", f"the dimensions of {name!r}")
    if not 1 <= count <= _DIMENSIONS_LIMIT:
        raise head.damaged(f"the tensor {name!r} claims {count} dimensions")
    shape = tuple(head.number("Q", f"the shape of {name!r}") for _ in range(count))
    number = head.number("I", f"the type of {name!r}")
    offset = head.number("Q", f"the offset of {name!r}")
    kind = TENSOR_TYPES.get(number)
    if kind is None:
        raise ModelFileError(
            f"{path}: the tensor {name!r} has type number {number}, which no engine here knows; "
            "get the model in another quantisation, such as Q4_K_M or Q8_0"
        )
    values = math.prod(shape)
    if not 0 < values <= head.size * 8 or shape[0] % kind.block:
        raise head.damaged(f"the tensor {name!r} has the impossible shape {list(shape)} for {kind.name}")
    return Tensor(name, shape, kind, offset, values // kind.block * kind.size)


def _check_places(head: Head, tensors: dict[str, Tensor], alignment: int) -> None:
    data = (head.position + alignment - 1) // alignment * alignment
    end = 0
    for tensor in sorted(tensors.values(), key=lambda tensor: tensor.offset):
        if tensor.offset % alignment:
            raise head.damaged(f"the tensor {tensor.name!r} is not aligned to {alignment} bytes")
        if tensor.offset < end:
            raise head.damaged(f"the tensor {tensor.name!r} overlaps another")
        end = tensor.offset + tensor.nbytes
        if data + end > head.size:
            missing = data + end - head.size
            raise head.damaged(f"the tensor {tensor.name!r} ends {missing} bytes after the end of the file")
