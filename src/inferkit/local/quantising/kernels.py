"""Packs numbers with the functions of an installed engine's library: today's, or else that of 2023."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING, Any

from inferkit.local.engines.ctransformers import library as of_2023, preflight
from inferkit.local.engines.xllamacpp import library as of_today
from inferkit.local.errors import EngineUnavailable
from inferkit.local.gguf.packing import TENSOR_TYPES, TYPE_NUMBERS

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SIXTEEN_BITS", "Kernels", "check_packings", "open_kernels"]

SIXTEEN_BITS = frozenset({"F32", "F16", "BF16"})
"""Packings that lose nothing to speak of."""

_pointer, _int, _long, _size = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_size_t
_COUNTERS = 16


def check_packings(packings: frozenset[str], *, unpacked: frozenset[str]) -> None:
    """Make sure that what is installed can pack so, and unpack what it has to. Raises `EngineUnavailable`."""
    if of_today.is_installed():
        return
    missing = (packings - preflight.PACKINGS) | (unpacked - {"F32", "F16"})
    if missing:
        raise EngineUnavailable(
            f"the library of the core does not know {', '.join(sorted(missing))}; the engine that does is an extra, so "
            f"run: {of_today.INSTALL}"
        )


def open_kernels() -> Kernels:
    """Load the library. Raises `EngineUnavailable`."""
    if of_today.is_installed():
        return Kernels(of_today.find_library(), modern=True)
    return Kernels(of_2023.find_library(gpu=False), modern=False)


class Kernels:
    """The functions of one library. They take addresses, and release the interpreter's lock while they compute."""

    def __init__(self, path: Path, *, modern: bool) -> None:
        os.environ["GGML_NO_BACKTRACE"] = "1"  # or a failed assertion starts a debugger that looks into this process
        self._modern = modern
        try:
            self._library: Any = ctypes.CDLL(str(path))
            initialise = self._library.llama_backend_init
            initialise.argtypes = [] if modern else [ctypes.c_bool]
            initialise.restype = None
            initialise(*([] if modern else [False]))  # which fills the tables that conversions look into
            self._pack = self._library.ggml_quantize_chunk
            self._pack.restype = _size
            self._pack.argtypes = (
                [_int, _pointer, _pointer, _long, _long, _long, _pointer]
                if modern
                else [_int, _pointer, _pointer, _int, _int, _pointer]
            )
        except (OSError, AttributeError) as error:
            raise EngineUnavailable(f"the llama library {path} cannot be used: {error}") from error

    def _rows(self, name: str) -> Any:
        function = getattr(self._library, name)
        function.restype = None
        function.argtypes = [_pointer, _pointer, _long if self._modern else _int]
        return function

    def unpack(self, packing: str, source: int, numbers: int, count: int) -> None:
        """Turn `count` packed numbers at one address into 32-bit ones at another."""
        if packing == "F32":
            ctypes.memmove(numbers, source, 4 * count)
        elif packing in SIXTEEN_BITS:
            kind = "fp16" if packing == "F16" else "bf16"
            self._rows(f"ggml_{kind}_to_fp32_row")(source, numbers, count)
        else:
            self._rows(f"dequantize_row_{_spelled(packing)}")(source, numbers, count)

    def pack(self, packing: str, numbers: int, target: int, rows: int, width: int) -> int:
        """Pack rows of 32-bit numbers; return how many bytes that made."""
        count = rows * width
        kind = TENSOR_TYPES[TYPE_NUMBERS[packing]]
        expected = count // kind.block * kind.size
        if packing == "F32":
            ctypes.memmove(target, numbers, expected)
        elif packing in SIXTEEN_BITS:
            self._rows(f"ggml_fp32_to_{'fp16' if packing == 'F16' else 'bf16'}_row")(numbers, target, count)
        elif self._modern:
            return int(self._pack(TYPE_NUMBERS[packing], numbers, target, 0, rows, width, None))
        else:
            counters = (ctypes.c_int64 * _COUNTERS)()
            return int(self._pack(TYPE_NUMBERS[packing], numbers, target, 0, count, counters))
        return expected


def _spelled(packing: str) -> str:
    """Spell a packing as the library's functions do: q4_0, q4_K, iq4_nl."""
    return packing.lower().replace("_k", "_K")
