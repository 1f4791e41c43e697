"""Loads a model: chooses the sizes, and hands file and sizes to llama."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from inferkit.local.engines.capacity import choose_sizes
from inferkit.local.engines.machine import available_memory, usable_cores
from inferkit.local.engines.prefix_files import files_for
from inferkit.local.engines.session import Session
from inferkit.local.engines.xllamacpp.binding import bind
from inferkit.local.engines.xllamacpp.constraint import LibraryConstraint
from inferkit.local.engines.xllamacpp.devices import gpu_layers_for
from inferkit.local.engines.xllamacpp.library import VERSION, find_library
from inferkit.local.engines.xllamacpp.llama_cpp import LlamaCpp
from inferkit.local.engines.xllamacpp.tokens import LibraryTokens

if TYPE_CHECKING:
    from inferkit.local.engines.interface import EngineSettings
    from inferkit.local.gguf.model_file import ModelFile

__all__ = ["load"]

_BATCH = 128
"""Tokens of a prompt at once. More is no faster on a CPU, and a caller who leaves waits for one batch at most."""


def load(settings: EngineSettings, model: ModelFile) -> Session:
    """Give a session with a checked model. Raises `ModelFileError`, `EngineUnavailable` or `ConfigurationError`."""
    library = find_library()
    sizes = choose_sizes(
        model,
        context_length=settings.context_length,
        threads=settings.threads,
        memory=available_memory(),
        memory_limit=settings.memory_limit,
    )
    llama = LlamaCpp(
        library,
        model.path,
        context_length=sizes.context_length,
        batch=min(_BATCH, sizes.batch),
        threads=sizes.threads,
        prompt_threads=settings.prompt_threads or settings.threads or usable_cores(),
        gpu_layers=gpu_layers_for(settings.gpu_layers, bind(library), model, sizes),
    )
    tokens = LibraryTokens(model, llama)
    constrain = partial(LibraryConstraint, llama)
    return Session(
        model,
        llama,
        tokens,
        settings.prompt_format,
        constrain=constrain,
        prefix_memory=settings.prefix_memory,
        files=files_for(settings, model, sizes, version=VERSION, gpu_layers=llama.gpu_layers),
    )
