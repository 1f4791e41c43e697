"""Writes a packed copy of a model file: the same metadata and tensors, the weights in other packings."""

from __future__ import annotations

import ctypes
import math
import mmap
import os
import struct
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inferkit.local.gguf.packing import TENSOR_TYPES, TYPE_NUMBERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from inferkit.local.gguf.container import Container, Tensor
    from inferkit.local.quantising.kernels import Kernels

__all__ = ["Layout", "layout", "write_packed"]

_CHUNK = 1 << 20
"""Numbers that are packed at once, about: four megabytes while they are unpacked, for each thread."""

_VERSION = 3
_PACKED_FORM = 2
"""The form of packed blocks that both libraries write: `general.quantization_version`."""

_REPLACED = ("general.file_type", "general.quantization_version")
_UINT32 = 4


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tensor goes in the new file, and how it is packed there. Offsets and sizes are in bytes."""

    tensor: Tensor
    packing: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Layout:
    """A file to be written: its head, where its weights begin, where each tensor goes, and how large all is."""

    head: bytes
    data_start: int
    places: tuple[Place, ...]
    size: int


def layout(container: Container, packings: dict[str, str], file_type: int) -> Layout:
    """Lay a file out whose tensors are packed as said. What its metadata says of that is changed, and nothing else."""
    places: list[Place] = []
    at = 0
    for tensor in container.tensors.values():
        kind = TENSOR_TYPES[TYPE_NUMBERS[packings[tensor.name]]]
        size = math.prod(tensor.shape) // kind.block * kind.size
        places.append(Place(tensor, kind.name, at, size))
        at = _aligned(at + size, container.alignment)
    values = [container.header[span] for key, span in container.spans.items() if key not in _REPLACED]
    values += map(_number, _REPLACED, (file_type, _PACKED_FORM))
    head = struct.pack("<4sIQQ", b"GGUF", _VERSION, len(places), len(values)) + b"".join(values)
    head += b"".join(map(_row, places))
    start = _aligned(len(head), container.alignment)
    return Layout(head, start, tuple(places), start + (places[-1].offset + places[-1].size if places else 0))


def _aligned(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment


def _number(key: str, value: int) -> bytes:
    raw = key.encode()
    return struct.pack(f"<Q{len(raw)}sII", len(raw), raw, _UINT32, value)


def _row(place: Place) -> bytes:
    name, shape = place.tensor.name.encode(), place.tensor.shape
    row = struct.pack(f"<Q{len(name)}sI{len(shape)}Q", len(name), name, len(shape), *shape)
    return row + struct.pack("<IQ", TYPE_NUMBERS[place.packing], place.offset)


def write_packed(
    source: Path,
    container: Container,
    target: Path,
    plan: Layout,
    *,
    kernels: Kernels,
    threads: int,
    progress: Callable[[int], None],
) -> None:
    """Write the file, which is there and empty. `progress` is told how many bytes of the source are done.

    Raises `OSError`.
    """
    with source.open("rb") as file, target.open("r+b") as out, ThreadPoolExecutor(threads) as pool:
        if hasattr(os, "posix_fallocate"):  # macOS has none
            os.posix_fallocate(out.fileno(), 0, plan.size)  # a disk that is too small says so now
        os.pwrite(out.fileno(), plan.head, 0)
        # a view for writing, since only such has an address; it is private, and nothing is written to it
        view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        base = ctypes.addressof(ctypes.c_char.from_buffer(view))
        done = 0
        for place in plan.places:
            start = container.data_start + place.tensor.offset
            where = plan.data_start + place.offset
            if place.packing == place.tensor.type.name:
                _copy(view, start, place.size, out.fileno(), where)
            else:
                jobs = [
                    pool.submit(_pack, kernels, place, base + start, rows, out.fileno(), where)
                    for rows in _chunks(place.tensor)
                ]
                for job in jobs:
                    job.result()
            done += place.tensor.nbytes
            progress(done)
        os.fsync(out.fileno())


def _copy(view: mmap.mmap, start: int, size: int, out: int, where: int) -> None:
    for at in range(0, size, _CHUNK):
        count = min(_CHUNK, size - at)
        os.pwrite(out, view[start + at : start + at + count], where + at)


def _chunks(tensor: Tensor) -> Iterator[range]:
    """Part the rows of a tensor."""
    rows = math.prod(tensor.shape[1:])
    step = max(1, _CHUNK // tensor.shape[0])
    for first in range(0, rows, step):
        yield range(first, min(first + step, rows))


def _pack(kernels: Kernels, place: Place, source: int, rows: range, out: int, where: int) -> None:  # noqa: PLR0917
    """Pack some rows of a tensor, and write them where they belong."""
    tensor = place.tensor
    width, count = tensor.shape[0], len(rows)
    numbers = (ctypes.c_float * (width * count))()
    kind = TENSOR_TYPES[TYPE_NUMBERS[place.packing]]
    packed = bytearray(width * count // kind.block * kind.size)
    target = (ctypes.c_char * len(packed)).from_buffer(packed)
    given = source + rows.start * (width // tensor.type.block * tensor.type.size)
    kernels.unpack(tensor.type.name, given, ctypes.addressof(numbers), width * count)
    made = kernels.pack(place.packing, ctypes.addressof(numbers), ctypes.addressof(target), count, width)
    if made != len(packed):
        raise RuntimeError(f"{len(packed)} bytes were to be packed, and {made} were")
    os.pwrite(out, packed, where + rows.start * (width // kind.block * kind.size))
