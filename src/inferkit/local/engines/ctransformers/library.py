"""Finds the llama library inside the installed ctransformers package, without importing that package.

Importing it takes up to a second and its `LLM` class is unsafe; the shared library in it exports all of llama.h.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import platform
import sys
from pathlib import Path

from inferkit.local.engines.machine import cpu_features
from inferkit.local.errors import EngineUnavailable

__all__ = ["VERSION", "find_library", "free_cuda_memory", "load_cuda", "variant"]

VERSION = "0.2.27"
"""The release whose library is bound; the layout of its structures belongs to it alone."""

_FILE = "libctransformers.so"
_CUDA_LIBRARIES = ("libcudart.so.12", "libcublasLt.so.12", "libcublas.so.12")
_WITHOUT_GPU = "or run on the CPU with gpu_layers=0"


def find_library(*, gpu: bool, features: frozenset[str] | None = None) -> Path:
    """Return the library that fits this machine. Raises `EngineUnavailable`, which says what to do."""
    folder = _folder()
    own_build = folder / "local" / _FILE
    if own_build.is_file():
        return own_build
    machine = (platform.system(), platform.machine())
    if machine not in (("Linux", "x86_64"), ("Linux", "AMD64")):
        raise EngineUnavailable(
            f"ctransformers {VERSION} ships no library for {' '.join(machine)}; build it from source "
            "(pip install --no-binary ctransformers ctransformers), or use another provider"
        )
    path = folder / variant(cpu_features() if features is None else features, gpu=gpu) / _FILE
    if not path.is_file():
        raise EngineUnavailable(f"{path} is missing; reinstall ctransformers=={VERSION}")
    return path


def _folder() -> Path:
    spec = importlib.util.find_spec("ctransformers")
    if spec is None or not spec.submodule_search_locations:
        raise EngineUnavailable(f"the local engine needs the ctransformers package; install ctransformers=={VERSION}")
    package = Path(next(iter(spec.submodule_search_locations)))
    if not (package.parent / f"ctransformers-{VERSION}.dist-info").is_dir():
        _check_version()
    return package / "lib"


def _check_version() -> None:
    """Ask for the version where the package does not lie beside its description, as it nearly always does."""
    import importlib.metadata

    try:
        installed = importlib.metadata.version("ctransformers")
    except importlib.metadata.PackageNotFoundError:
        installed = "an unknown release"
    if installed != VERSION:
        raise EngineUnavailable(
            f"the local engine is made for ctransformers {VERSION}, and {installed} is installed; "
            f"install ctransformers=={VERSION}"
        )


def variant(features: frozenset[str], *, gpu: bool) -> str:
    """Choose the build for a processor's features; a wrong one would end the process at its first instruction."""
    fast = {"avx2", "fma", "f16c"} <= features
    if gpu:
        if not fast:
            raise EngineUnavailable(f"the CUDA build needs a processor with AVX2; use another machine {_WITHOUT_GPU}")
        return "cuda"
    if fast:
        return "avx2"
    return "avx" if {"avx", "f16c"} <= features else "basic"


def load_cuda() -> None:
    """Load what the CUDA build needs, after making sure that a driver and a device are there.

    Without them that build does not fail: it ends the process. Raises `EngineUnavailable`.
    """
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        raise EngineUnavailable(
            f"gpu_layers needs the NVIDIA driver, and libcuda.so.1 cannot be loaded; install the driver {_WITHOUT_GPU}"
        ) from None
    count = ctypes.c_int(0)
    status = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    if status or count.value < 1:
        raise EngineUnavailable(
            f"gpu_layers needs an NVIDIA GPU, and the driver reports {count.value} (status {status}); "
            f"make a device visible (CUDA_VISIBLE_DEVICES) {_WITHOUT_GPU}"
        )
    for name in _CUDA_LIBRARIES:
        if not _load_global(name):
            raise EngineUnavailable(
                f"gpu_layers needs {name}, which cannot be loaded; install nvidia-cuda-runtime-cu12 and "
                f"nvidia-cublas-cu12 (or the CUDA 12 toolkit) {_WITHOUT_GPU}"
            )


def free_cuda_memory() -> int:
    """Give the free bytes of the first device, after `load_cuda`; 0 where the driver does not tell."""
    driver = ctypes.CDLL("libcuda.so.1")
    device, context = ctypes.c_int(), ctypes.c_void_p()
    if driver.cuDeviceGet(ctypes.byref(device), 0) or driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device):
        return 0
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    if not driver.cuCtxPushCurrent_v2(context):
        driver.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
        driver.cuCtxPopCurrent_v2(ctypes.byref(context))
    driver.cuDevicePrimaryCtxRelease_v2(device)
    return free.value


def _load_global(name: str) -> bool:
    """Load a library so that others find it: from the system's paths, or from NVIDIA's Python packages."""
    candidates = [name]
    candidates += [
        str(place) for entry in filter(None, sys.path) for place in sorted(Path(entry).glob(f"nvidia/*/lib/{name}"))
    ]
    for candidate in candidates:
        with contextlib.suppress(OSError):
            ctypes.CDLL(candidate, mode=ctypes.RTLD_GLOBAL)
            return True
    return False
