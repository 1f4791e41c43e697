"""A strict reader of the GGUF container: metadata and the tensor table, never the weights.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3. Every count and length is checked
against what is left of the file before anything is read or allocated, so a damaged file costs an error and no more.
"""

from __future__ import annotations

import array
import math
import stat
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from inferkit._errors import ModelFileError

if TYPE_CHECKING:
    import os
    from pathlib import Path

__all__ = ["TENSOR_TYPES", "Array", "Container", "Tensor", "TensorType", "Value", "check_place", "read_container"]

METADATA_LIMIT = 64 << 20
"""Bytes of metadata that are read at most; the largest vocabularies in use take a tenth of it."""

_DIMENSIONS_LIMIT = 4
_NAME_LIMIT = 63
_CHUNK = 1 << 20
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
class TensorType:
    """How weights are packed: `block` values in `size` bytes."""

    name: str
    block: int
    size: int


TENSOR_TYPES = {
    0: TensorType("F32", 1, 4),
    1: TensorType("F16", 1, 2),
    2: TensorType("Q4_0", 32, 18),
    3: TensorType("Q4_1", 32, 20),
    6: TensorType("Q5_0", 32, 22),
    7: TensorType("Q5_1", 32, 24),
    8: TensorType("Q8_0", 32, 34),
    10: TensorType("Q2_K", 256, 84),
    11: TensorType("Q3_K", 256, 110),
    12: TensorType("Q4_K", 256, 144),
    13: TensorType("Q5_K", 256, 176),
    14: TensorType("Q6_K", 256, 210),
}
"""The packings that the engine computes with, by their number in the file."""


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
class Container:
    """What a GGUF file says about itself. `header` is the bytes of metadata and table, for a fingerprint."""

    version: int
    metadata: dict[str, Value]
    tensors: dict[str, Tensor]
    header: bytes
    file_size: int
    modified_ns: int


class _Cursor:
    """Reads forward through the head of a file, no further than asked."""

    def __init__(self, file: BinaryIO, path: Path, size: int) -> None:
        self._file = file
        self._path = path
        self._buffer = bytearray()
        self.size = size
        self.position = 0

    def damaged(self, problem: str) -> ModelFileError:
        return ModelFileError(
            f"{self._path}: {problem}; the file is damaged or was cut short: download or convert it again"
        )

    def take(self, count: int, what: str) -> int:
        """Make sure that `count` more bytes are in the buffer; return where they start and move past them."""
        start, end = self.position, self.position + count
        if end > self.size:
            raise self.damaged(f"{what} at byte {start} needs {count} bytes, and {self.size - start} are left")
        if end > METADATA_LIMIT:
            raise ModelFileError(
                f"{self._path}: the metadata is over {METADATA_LIMIT >> 20} MiB; that is no model the engine runs"
            )
        while len(self._buffer) < end:
            more = self._file.read(max(_CHUNK, end - len(self._buffer)))
            if not more:
                raise self.damaged(f"{what} at byte {start} could not be read")
            self._buffer += more
        self.position = end
        return start

    def number(self, code: str, what: str) -> Any:
        form = f"<{code}"
        return struct.unpack_from(form, self._buffer, self.take(struct.calcsize(form), what))[0]

    def string(self, what: str) -> bytes:
        length = self.number("Q", what)
        start = self.take(length, what)
        return bytes(self._buffer[start : start + length])

    def array(self, code: str, length: int, what: str) -> array.array[Any]:
        size = struct.calcsize(f"<{code}") * length
        start = self.take(size, what)
        return array.array(code, bytes(self._buffer[start : start + size]))

    def head(self) -> bytes:
        return bytes(self._buffer[: self.position])


def read_container(path: Path) -> Container:
    """Read a GGUF file's head. Raises `ModelFileError`, which says what is wrong and what to do."""
    status = check_place(path)
    try:
        with path.open("rb", buffering=0) as file:
            cursor = _Cursor(file, path, status.st_size)
            return _read(cursor, path, status)
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read ({error.strerror}); check its permissions") from error


def check_place(path: Path) -> os.stat_result:
    """Make sure that a path leads to a regular file. Raises `ModelFileError`."""
    try:
        status = path.stat()
    except FileNotFoundError:
        raise ModelFileError(f"there is no file {path}; give the path of a .gguf file") from None
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read ({error.strerror}); check the path and its permissions") from error
    except ValueError as error:
        raise ModelFileError(f"{str(path)!r} is no path; give the path of a .gguf file") from error
    if stat.S_ISDIR(status.st_mode):
        raise ModelFileError(f"{path} is a directory; give the path of the .gguf file in it")
    if not stat.S_ISREG(status.st_mode):
        raise ModelFileError(f"{path} is not a regular file; give the path of a .gguf file on disk")
    return status


def _read(cursor: _Cursor, path: Path, status: os.stat_result) -> Container:
    version, tensor_count, value_count = _preamble(cursor, path)
    metadata: dict[str, Value] = {}
    for _ in range(value_count):
        key = _name(cursor, "a metadata key")
        if key in metadata:
            raise cursor.damaged(f"the metadata key {key!r} occurs twice")
        metadata[key] = _value(cursor, key)
    alignment = _alignment(cursor, metadata)
    tensors: dict[str, Tensor] = {}
    for _ in range(tensor_count):
        tensor = _tensor(cursor, path)
        if tensor.name in tensors:
            raise cursor.damaged(f"the tensor {tensor.name!r} occurs twice")
        tensors[tensor.name] = tensor
    _check_places(cursor, tensors, alignment)
    return Container(version, metadata, tensors, cursor.head(), status.st_size, status.st_mtime_ns)


def _preamble(cursor: _Cursor, path: Path) -> tuple[int, int, int]:
    start = cursor.take(4, "the magic number") if cursor.size >= 4 else 0  # noqa: PLR2004 - its length
    magic = cursor.head()[start:]
    if magic != b"GGUF":
        raise ModelFileError(f"{path} is not a GGUF file (it does not begin with 'GGUF'); convert the model to GGUF")
    version = cursor.number("I", "the version")
    if version not in (2, 3):
        older = "; it is of an early form" if version == 1 else "; it may be big-endian"
        raise ModelFileError(
            f"{path}: GGUF version {version} is not supported{older}: convert the model again, to version 2 or 3"
        )
    tensor_count = cursor.number("Q", "the number of tensors")
    value_count = cursor.number("Q", "the number of metadata values")
    left = cursor.size - cursor.position
    for count, smallest, what in ((tensor_count, 24, "tensors"), (value_count, 13, "metadata values")):
        if count * smallest > left:
            raise cursor.damaged(f"it claims {count} {what}, more than its {cursor.size} bytes can hold")
    return version, tensor_count, value_count


def _name(cursor: _Cursor, what: str) -> str:
    raw = cursor.string(what)
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise cursor.damaged(f"{what} is not UTF-8") from None
    if not name or "\0" in name:
        raise cursor.damaged(f"{what} is empty or holds a zero byte")
    return name


def _value(cursor: _Cursor, key: str) -> Value:
    kind = cursor.number("I", f"the kind of {key!r}")
    if kind == _STRING:
        return Value("string", cursor.string(f"the value of {key!r}").decode("utf-8", "replace"))
    if kind == _ARRAY:
        return Value("array", _array(cursor, key))
    if kind not in _SCALARS:
        raise cursor.damaged(f"the metadata value {key!r} has the unknown kind {kind}")
    value = cursor.number(_SCALARS[kind], f"the value of {key!r}")
    if kind == _BOOL:
        if value > 1:
            raise cursor.damaged(f"the metadata value {key!r} is neither true nor false")
        value = bool(value)
    return Value(_KIND_NAMES[kind], value)


def _array(cursor: _Cursor, key: str) -> Array:
    kind = cursor.number("I", f"the element kind of {key!r}")
    length = cursor.number("Q", f"the length of {key!r}")
    if kind == _STRING:
        if length * 8 > cursor.size - cursor.position:
            raise cursor.damaged(f"the array {key!r} claims {length} strings, more than the file can hold")
        return Array("string", length, [cursor.string(f"an element of {key!r}") for _ in range(length)])
    if kind not in _SCALARS:
        raise cursor.damaged(f"the array {key!r} has elements of the unsupported kind {kind}")
    if length > cursor.size:
        raise cursor.damaged(f"the array {key!r} claims {length} elements, more than the file can hold")
    return Array(_KIND_NAMES[kind], length, cursor.array(_SCALARS[kind], length, f"the array {key!r}"))


def _alignment(cursor: _Cursor, metadata: dict[str, Value]) -> int:
    given = metadata.get("general.alignment")
    if given is None:
        return 32
    alignment = given.value
    if given.kind != "uint32" or alignment not in (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096):
        raise cursor.damaged(f"general.alignment is {alignment!r}, and not a power of two from 8 to 4096")
    assert isinstance(alignment, int)
    return alignment


def _tensor(cursor: _Cursor, path: Path) -> Tensor:
    name = _name(cursor, "a tensor name")
    if len(name.encode()) > _NAME_LIMIT:
        raise cursor.damaged(f"a tensor name is over {_NAME_LIMIT} bytes long")
    count = cursor.number("I", f"the dimensions of {name!r}")
    if not 1 <= count <= _DIMENSIONS_LIMIT:
        raise cursor.damaged(f"the tensor {name!r} claims {count} dimensions")
    shape = tuple(cursor.number("Q", f"the shape of {name!r}") for _ in range(count))
    number = cursor.number("I", f"the type of {name!r}")
    offset = cursor.number("Q", f"the offset of {name!r}")
    kind = TENSOR_TYPES.get(number)
    if kind is None:
        raise ModelFileError(
            f"{path}: the tensor {name!r} has type number {number}, which this engine does not know; "
            f"quantise the model as one of {', '.join(kind.name for kind in TENSOR_TYPES.values())}"
        )
    values = math.prod(shape)
    if not 0 < values <= cursor.size * 8 or shape[0] % kind.block:
        raise cursor.damaged(f"the tensor {name!r} has the impossible shape {list(shape)} for {kind.name}")
    return Tensor(name, shape, kind, offset, values // kind.block * kind.size)


def _check_places(cursor: _Cursor, tensors: dict[str, Tensor], alignment: int) -> None:
    data = (cursor.position + alignment - 1) // alignment * alignment
    end = 0
    for tensor in sorted(tensors.values(), key=lambda tensor: tensor.offset):
        if tensor.offset % alignment:
            raise cursor.damaged(f"the tensor {tensor.name!r} is not aligned to {alignment} bytes")
        if tensor.offset < end:
            raise cursor.damaged(f"the tensor {tensor.name!r} overlaps another")
        end = tensor.offset + tensor.nbytes
        if data + end > cursor.size:
            missing = data + end - cursor.size
            raise cursor.damaged(f"the tensor {tensor.name!r} ends {missing} bytes after the end of the file")
