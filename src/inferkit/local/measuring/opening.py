"""Loads a model with sizes that are given, for measuring: what is chosen otherwise is what is to be found out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from inferkit.local.engines import choice
from inferkit.local.engines.xllamacpp.preflight import NAME as OF_TODAY

if TYPE_CHECKING:
    from inferkit.local.engines.interface import InferenceEngine, Tokens

__all__ = ["open_model"]


def open_model(
    path: str, *, context_length: int, batch: int, threads: int, engine: str | None = None
) -> tuple[InferenceEngine, Tokens]:
    """Load a checked file on the CPU. Raises `ModelFileError` or `EngineUnavailable`."""
    model = choice.inspect(path, engine)
    if model.engine == OF_TODAY:
        from inferkit.local.engines.xllamacpp.library import find_library
        from inferkit.local.engines.xllamacpp.llama_cpp import LlamaCpp
        from inferkit.local.engines.xllamacpp.tokens import LibraryTokens

        loaded = LlamaCpp(find_library(), Path(path), context_length=context_length, batch=batch, threads=threads)
        return loaded, LibraryTokens(model, loaded)
    from inferkit.local.engines.ctransformers.library import find_library as find_older
    from inferkit.local.engines.ctransformers.llama import Llama
    from inferkit.local.engines.ctransformers.tokens import SentencePieceTokens

    older = Llama(find_older(gpu=False), Path(path), context_length=context_length, batch=batch, threads=threads)
    return older, SentencePieceTokens(model.vocabulary, older.tokenize)
