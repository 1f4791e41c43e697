"""Loads a model: checks the file, chooses the library and the sizes, and hands them to llama."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from inferkit.local.engines.capacity import choose_sizes
from inferkit.local.engines.ctransformers.constraint import ElementConstraints
from inferkit.local.engines.ctransformers.library import VERSION, find_library, free_cuda_memory, load_cuda
from inferkit.local.engines.ctransformers.llama import Llama
from inferkit.local.engines.ctransformers.tokens import SentencePieceTokens
from inferkit.local.engines.gpu import layers_that_fit
from inferkit.local.engines.machine import available_memory
from inferkit.local.engines.prefix_files import files_for
from inferkit.local.engines.prompt_tokens import PromptCounter, PromptTokens
from inferkit.local.engines.session import Session
from inferkit.local.engines.speculation import Draft, Speculation
from inferkit.local.errors import EngineUnavailable

if TYPE_CHECKING:
    from inferkit.local.engines.capacity import Sizes
    from inferkit.local.engines.gpu import GpuLayers
    from inferkit.local.engines.interface import EngineSettings
    from inferkit.local.gguf.model_file import ModelFile

__all__ = ["load"]


_BESIDES = 3
"""What this library counts as layers besides a model's blocks: the scores, the keys and the values."""


def load_vocabulary(settings: EngineSettings, model: ModelFile) -> PromptCounter:
    """Give what counts the tokens of prompts, without the weights. Raises as `load` does."""
    llama = Llama(find_library(gpu=False), Path(settings.model), context_length=None)
    return PromptCounter(
        PromptTokens(model, SentencePieceTokens(model.vocabulary, llama.tokenize), settings.prompt_format)
    )


def load(settings: EngineSettings, model: ModelFile, draft: ModelFile | None = None) -> Session:
    """Give a session with a checked model. Raises `ModelFileError`, `EngineUnavailable` or `ConfigurationError`."""
    sizes = choose_sizes(
        model,
        context_length=settings.context_length,
        threads=settings.threads,
        memory=available_memory(),
        memory_limit=settings.memory_limit,
        draft=draft,
    )
    library, gpu_layers = _library(settings.gpu_layers, model, sizes)
    llama = Llama(
        library,
        Path(settings.model),
        context_length=sizes.context_length,
        batch=sizes.batch,
        threads=sizes.threads,
        gpu_layers=gpu_layers,
        each=draft is not None,
    )
    tokens = SentencePieceTokens(model.vocabulary, llama.tokenize)
    speculation = None
    if draft is not None:
        guesser = Llama(
            library,
            draft.path,
            context_length=min(draft.context_length, llama.context_length),
            batch=sizes.batch,
            threads=sizes.threads,
            gpu_layers=gpu_layers,
        )
        weight = draft.parameters / model.parameters
        speculation = Speculation(llama, Draft(guesser, tokens.ends, weight), settings.draft_tokens)
    constrain = ElementConstraints(llama)
    return Session(
        model,
        llama,
        tokens,
        settings.prompt_format,
        constrain=constrain,
        prefix_memory=0 if speculation else settings.prefix_memory,  # a state holds scores of a whole context then
        files=None if speculation else files_for(settings, model, sizes, version=VERSION, gpu_layers=gpu_layers),
        speculation=speculation,
    )


def _library(wanted: GpuLayers, model: ModelFile, sizes: Sizes) -> tuple[Path, int]:
    """Choose the library, and how many layers a GPU takes. Raises `EngineUnavailable`."""
    if wanted == 0:
        return find_library(gpu=False), 0
    try:
        library = find_library(gpu=True)
        load_cuda()
    except EngineUnavailable:
        if wanted != "auto":
            raise
        return find_library(gpu=False), 0
    if wanted != "auto":
        return library, model.block_count + _BESIDES if wanted == "all" else wanted
    fitting = layers_that_fit(model, sizes, free_cuda_memory())
    if not fitting:
        return find_library(gpu=False), 0
    return library, fitting if fitting <= model.block_count else model.block_count + _BESIDES
