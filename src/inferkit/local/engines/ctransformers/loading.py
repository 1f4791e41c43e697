"""Loads a model: checks the file, chooses the library and the sizes, and hands them to llama."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from inferkit.local.engines.capacity import choose_sizes
from inferkit.local.engines.ctransformers.constraint import ElementConstraint
from inferkit.local.engines.ctransformers.library import find_library, load_cuda
from inferkit.local.engines.ctransformers.llama import Llama
from inferkit.local.engines.ctransformers.tokens import SentencePieceTokens
from inferkit.local.engines.machine import available_memory
from inferkit.local.engines.session import Session

if TYPE_CHECKING:
    from inferkit.local.engines.interface import EngineSettings
    from inferkit.local.gguf.model_file import ModelFile

__all__ = ["load"]


def load(settings: EngineSettings, model: ModelFile) -> Session:
    """Give a session with a checked model. Raises `ModelFileError`, `EngineUnavailable` or `ConfigurationError`."""
    on_gpu = settings.gpu_layers > 0
    library = find_library(gpu=on_gpu)
    if on_gpu:
        load_cuda()
    sizes = choose_sizes(
        model,
        context_length=settings.context_length,
        threads=settings.threads,
        memory=available_memory(),
        memory_limit=settings.memory_limit,
    )
    llama = Llama(
        library,
        Path(settings.model),
        context_length=sizes.context_length,
        batch=sizes.batch,
        threads=sizes.threads,
        gpu_layers=settings.gpu_layers,
    )
    tokens = SentencePieceTokens(model.vocabulary, llama.tokenize)
    constrain = partial(ElementConstraint, llama)
    return Session(
        model, llama, tokens, settings.prompt_format, constrain=constrain, prefix_memory=settings.prefix_memory
    )
