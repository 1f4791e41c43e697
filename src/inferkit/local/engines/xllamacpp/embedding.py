"""Vectors of texts, by today's llama library: a context of its own beside the one that chats, over the same weights."""

from __future__ import annotations

import array
import ctypes
import math
from typing import TYPE_CHECKING

from inferkit.core.errors import InvalidRequest
from inferkit.local.engines.interface import Vector
from inferkit.local.engines.xllamacpp.binding import Batch
from inferkit.local.errors import PROVIDER, EngineUnavailable, context_overflow

if TYPE_CHECKING:
    from inferkit.local.engines.xllamacpp.llama_cpp import LlamaCpp

__all__ = ["Embedder"]

_POOLED = -1
"""As the file says; what says nothing is not pooled."""
_MEAN = 1
_WITHOUT_FLASH = 0


class Embedder:
    """Gives vectors. The vectors of a text's tokens become one as the file says, or else by their mean."""

    def __init__(self, llama: LlamaCpp, *, pooled: bool, context_length: int, threads: int) -> None:
        self._llama = llama
        self._library = library = llama.library
        params = library.llama_context_default_params()
        # a text is read at once, or not at all
        params.n_ctx = params.n_batch = params.n_ubatch = context_length
        params.n_threads = params.n_threads_batch = threads
        params.flash_attn_type = _WITHOUT_FLASH
        params.embeddings = True
        params.pooling_type = _POOLED if pooled else _MEAN
        self._context: int | None = library.llama_init_from_model(llama.model, params)
        if not self._context:
            raise EngineUnavailable(
                f"there is no room for a context of {context_length} tokens that gives embeddings; lower context_length"
            )
        self._limit = context_length
        self._memory = library.llama_get_memory(self._context)
        self._size: int = library.llama_model_n_embd_out(llama.model)

    def vector(self, text: str) -> Vector:
        """Give the vector of a text. Raises `InvalidRequest` where it is too long, or the model computes no numbers."""
        tokens = self._llama.tokenize(text.encode("utf-8", "replace"), add_special=True)
        if not tokens:
            raise InvalidRequest("an empty text has no vector", provider=PROVIDER)
        if len(tokens) > self._limit:
            raise context_overflow(len(tokens), self._limit)
        if self._memory:
            self._library.llama_memory_seq_rm(self._memory, 0, -1, -1)
        given = (ctypes.c_int32 * len(tokens))(*tokens)
        batch = Batch(len(tokens), ctypes.addressof(given), None, None, None, None, None)
        if self._library.llama_decode(self._context, batch):
            raise RuntimeError("the engine could not compute the tokens")
        address = self._library.llama_get_embeddings_seq(self._context, 0)
        if not address:
            raise InvalidRequest("the model ranks texts and gives no vectors", provider=PROVIDER, code="unsupported")
        values = (ctypes.c_float * self._size).from_address(address)
        length = math.sqrt(math.fsum(value * value for value in values))
        if not 0 < length < math.inf:
            raise InvalidRequest("the model gives no vector for this text", provider=PROVIDER, code="no_vector")
        return Vector(array.array("f", [value / length for value in values]).tobytes(), len(tokens))

    def close(self) -> None:
        """Free the context."""
        context, self._context = self._context, None
        if context:
            self._library.llama_free(context)
