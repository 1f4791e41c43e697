"""Loads a model: chooses the sizes, and hands file and sizes to llama."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from inferkit.core.errors import ConfigurationError
from inferkit.local.engines.capacity import choose_sizes
from inferkit.local.engines.machine import available_memory, usable_cores
from inferkit.local.engines.prefix_files import files_for
from inferkit.local.engines.prompt_tokens import PromptCounter, PromptTokens
from inferkit.local.engines.session import Session
from inferkit.local.engines.speculation import Draft, Speculation
from inferkit.local.engines.xllamacpp.binding import bind
from inferkit.local.engines.xllamacpp.constraint import LibraryConstraint
from inferkit.local.engines.xllamacpp.devices import gpu_layers_for
from inferkit.local.engines.xllamacpp.embedding import Embedder
from inferkit.local.engines.xllamacpp.library import VERSION, find_library
from inferkit.local.engines.xllamacpp.llama_cpp import LlamaCpp
from inferkit.local.engines.xllamacpp.tokens import LibraryTokens

if TYPE_CHECKING:
    from inferkit.local.engines.interface import EngineSettings
    from inferkit.local.gguf.model_file import ModelFile

__all__ = ["load"]

_BATCH = 128
"""Tokens of a prompt at once. More is no faster on a CPU, and a caller who leaves waits for one batch at most."""


_EMBEDDING_CONTEXT = 1024
"""Tokens of a text that is embedded, where nobody says otherwise: it is computed at once, in memory of their square."""


def load(settings: EngineSettings, model: ModelFile, draft: ModelFile | None = None) -> Session:
    """Give a session with a checked model, and a draft with its vocabulary.

    Raises `ModelFileError`, `EngineUnavailable` or `ConfigurationError`.
    """
    library = find_library()
    sizes = choose_sizes(
        model,
        context_length=settings.context_length,
        threads=settings.threads,
        memory=available_memory(),
        memory_limit=settings.memory_limit,
        draft=draft,
    )
    prompt_threads = settings.prompt_threads or settings.threads or usable_cores()
    llama = LlamaCpp(
        library,
        model.path,
        context_length=None if model.embeds and settings.prompt_format is None else sizes.context_length,
        batch=min(_BATCH, sizes.batch),
        threads=sizes.threads,
        prompt_threads=prompt_threads,
        gpu_layers=gpu_layers_for(settings.gpu_layers, bind(library), model, sizes),
    )
    tokens = LibraryTokens(model, llama)
    speculation = None
    if draft is not None:
        if not llama.goes_back:
            raise ConfigurationError(f"{model.path}: its state cannot go back behind a wrong guess; leave draft= out")
        guesser = LlamaCpp(
            library,
            draft.path,
            context_length=min(draft.context_length, llama.context_length),
            batch=llama.batch,
            threads=sizes.threads,
            prompt_threads=prompt_threads,
            gpu_layers=llama.gpu_layers and draft.block_count + 1,
        )
        weight = draft.parameters / model.parameters
        speculation = Speculation(llama, Draft(guesser, tokens.ends, weight), settings.draft_tokens)
    return Session(
        model,
        llama,
        tokens,
        settings.prompt_format,
        constrain=partial(LibraryConstraint, llama),
        prefix_memory=settings.prefix_memory,
        files=files_for(settings, model, sizes, version=VERSION, gpu_layers=llama.gpu_layers),
        embedder=partial(
            Embedder,
            llama,
            pooled=model.embeds,
            context_length=settings.context_length or min(sizes.context_length, _EMBEDDING_CONTEXT),
            threads=prompt_threads,
        ),
        speculation=speculation,
    )


def load_vocabulary(settings: EngineSettings, model: ModelFile) -> PromptCounter:
    """Give what counts the tokens of prompts, without the weights. Raises as `load` does."""
    llama = LlamaCpp(find_library(), model.path, context_length=None, vocabulary_only=True)
    return PromptCounter(PromptTokens(model, LibraryTokens(model, llama), settings.prompt_format))
