"""How many of a model's layers a GPU takes: as many as somebody says, all of them, or as many as fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from inferkit.core.errors import ConfigurationError
from inferkit.local.engines.capacity import memory_needed

if TYPE_CHECKING:
    from inferkit.local.engines.capacity import Sizes
    from inferkit.local.gguf.model_file import ModelFile

__all__ = ["GpuLayers", "check_gpu_layers", "layers_that_fit"]

GpuLayers: TypeAlias = int | Literal["all", "auto"]
"""A number, "all", or "auto": as many as fit where there is a GPU that the engine can use, else none."""

_RESERVE = 512 << 20
"""Bytes that a driver and the kernels of a library take for themselves."""


def check_gpu_layers(value: GpuLayers) -> None:
    """Raise `ConfigurationError` where it is none."""
    number = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if not number and value not in ("all", "auto"):
        raise ConfigurationError(f'gpu_layers is a whole number from 0, "all" or "auto"; got {value!r}')


def layers_that_fit(model: ModelFile, sizes: Sizes, free: int) -> int:
    """Say how many layers go into the `free` bytes of a GPU: their weights, and their part of the context.

    The layer that scores the tokens counts as one. All are taken as equally large, which they nearly are.
    """
    layers = model.block_count + 1
    context = 2 * model.block_count * sizes.context_length * model.key_value_width
    computing = memory_needed(model, sizes.context_length, sizes.batch) - context
    room = free - computing - _RESERVE
    return max(0, min(layers, room * layers // (model.size + context)))
