"""What the library that is installed can compute on besides the CPU."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

from inferkit.local.engines.gpu import layers_that_fit
from inferkit.local.engines.xllamacpp.library import VERSION
from inferkit.local.errors import EngineUnavailable

if TYPE_CHECKING:
    from inferkit.local.engines.capacity import Sizes
    from inferkit.local.engines.gpu import GpuLayers
    from inferkit.local.gguf.model_file import ModelFile

__all__ = ["free_gpu_memory", "gpu_layers_for"]

_GPU_KINDS = (1, 2)
"""Of ggml's kinds of devices those with memory of their own, and those that share the CPU's."""


def free_gpu_memory(library: Any) -> int:
    """Give the free bytes of all GPUs that the library sees; 0 where it sees none."""
    found = 0
    for number in range(library.ggml_backend_dev_count()):
        device = library.ggml_backend_dev_get(number)
        if library.ggml_backend_dev_type(device) in _GPU_KINDS:
            free, total = ctypes.c_size_t(), ctypes.c_size_t()
            library.ggml_backend_dev_memory(device, ctypes.byref(free), ctypes.byref(total))
            found += free.value
    return found


def gpu_layers_for(wanted: GpuLayers, library: Any, model: ModelFile, sizes: Sizes) -> int:
    """Give the number of layers to put on a GPU. Raises `EngineUnavailable` where some were asked for, and none can."""
    if wanted == 0:
        return 0
    built = library.llama_supports_gpu_offload()
    free = free_gpu_memory(library) if built else 0
    if wanted == "auto":
        return layers_that_fit(model, sizes, free)
    if not built:
        raise EngineUnavailable(
            f"gpu_layers={wanted!r} needs a build of xllamacpp with GPU support, and the one that is installed "
            f"computes on the CPU alone; run: pip install --force-reinstall --no-deps xllamacpp=={VERSION} --index-url "
            "URL, with the URL that the page of xllamacpp gives for CUDA, Vulkan or ROCm, or use gpu_layers=0"
        )
    if not free:
        raise EngineUnavailable(
            f"gpu_layers={wanted!r} needs a GPU, and this build of xllamacpp sees none; install the GPU's driver and "
            "make the device visible (CUDA_VISIBLE_DEVICES), or use gpu_layers=0"
        )
    return model.block_count + 1 if wanted == "all" else wanted
