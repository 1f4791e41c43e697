"""A model of today in the llama library that xllamacpp ships, by ctypes.

Only checked files (see `preflight`) and checked sizes reach it. It computes without flash attention, with which a
prefix that was kept gives other words than one that was computed anew. What it computes for a token is the same to the
last bit among any number of others, but not alone (see `exact_batches` in `engines.interface`). The calls release the
interpreter's lock while they compute.
"""

from __future__ import annotations

import array
import ctypes
import math
import os
from typing import TYPE_CHECKING, Any

from inferkit.local.engines.capacity import load_failure
from inferkit.local.engines.xllamacpp.binding import Batch, Candidate, Candidates, LogCallback, bind

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["LlamaCpp"]

_ERROR_LEVEL = 4
_REASONS_LIMIT = 20
_CANDIDATE_WORDS = 3
_LAST = -1
_WITHOUT_FLASH = 0


class LlamaCpp:
    """A loaded model with its context (without one where `context_length` is None). One call at a time.

    With `vocabulary_only` nothing is read but what splits texts into tokens. `close` frees both.
    """

    exact_batches = True
    narrow = 0.05  # many times what a batch was seen to change in a score

    def __init__(
        self,
        library: Path,
        model: Path,
        *,
        context_length: int | None,
        batch: int = 1,
        threads: int = 1,
        prompt_threads: int | None = None,
        gpu_layers: int = 0,
        vocabulary_only: bool = False,
    ) -> None:
        self.library = bind(library)
        self._errors: list[str] = []
        self._callback = LogCallback(self._log)  # kept: the library holds only its address
        self.library.llama_log_set(self._callback, None)
        self.library.llama_backend_init()
        self.gpu_layers = gpu_layers
        self.model: int | None = None
        self._context: int | None = None
        self._samplers: list[int] = []
        self.batch = batch
        params = self.library.llama_context_default_params()
        params.n_ctx = context_length or 0
        params.n_batch = params.n_ubatch = batch
        params.n_threads = threads
        params.n_threads_batch = prompt_threads or threads
        params.flash_attn_type = _WITHOUT_FLASH
        params.swa_full = True  # or a model with a sliding window cannot go back
        how = self.library.llama_model_default_params()
        how.n_gpu_layers, how.vocab_only = gpu_layers, vocabulary_only
        self._load(model, how, None if context_length is None else params)
        self.vocabulary = self.library.llama_model_get_vocab(self.model)
        self.vocabulary_size: int = self.library.llama_vocab_n_tokens(self.vocabulary)
        self.context_length = 0
        self._memory: int | None = None
        if context_length is not None:
            self.context_length = min(self.library.llama_n_ctx(self._context), context_length)
            self._memory = self.library.llama_get_memory(self._context)
        self._greedy = self._sampler("greedy")
        self._softmax: int | None = None
        self._top: tuple[int, int] = (0, 0)
        self._table: Any = None

    def _log(self, level: int, text: bytes | None, _data: Any) -> None:
        if level == _ERROR_LEVEL and text and len(self._errors) < _REASONS_LIMIT:
            self._errors.append(text.decode("utf-8", "replace").strip())

    def _load(self, path: Path, how: Any, params: Any) -> None:
        """Load the model, with a context of these parameters (None: without one)."""
        self.model = self.library.llama_model_load_from_file(os.fsencode(path), how)
        if self.model and self.library.llama_model_has_encoder(self.model):
            self._errors.insert(0, "it has an encoder, and is no chat model")
            params = None
            self.close()
        elif self.model and params is not None:
            self._context = self.library.llama_init_from_model(self.model, params)
        if not (self.model if params is None else self._context):
            self.close()
            raise load_failure(path, self._errors[0] if self._errors else None)

    def _sampler(self, kind: str, *arguments: Any) -> int:
        made: int = getattr(self.library, f"llama_sampler_init_{kind}")(*arguments)
        self._samplers.append(made)
        return made

    def tokenize(self, text: bytes, *, add_special: bool = False) -> list[int]:
        """Split UTF-8 text into tokens. Control pieces are no such to it, but pieces that are user-defined are.

        With `add_special`, those that begin and end a text are put around it, where the model has them.
        """
        room = len(text) + 16
        found = (ctypes.c_int32 * room)()
        count: int = self.library.llama_tokenize(self.vocabulary, text, len(text), found, room, add_special, False)
        return list(found[: max(count, 0)])

    def piece(self, token: int) -> bytes:
        """Give what a token adds to a reply: nothing for one that controls."""
        room = 128
        while True:
            found = ctypes.create_string_buffer(room)
            count: int = self.library.llama_token_to_piece(self.vocabulary, token, found, room, 0, False)
            if count >= 0:
                return found.raw[:count]
            room = -count

    @property
    def goes_back(self) -> bool:
        """Whether its state can be cut back to fewer tokens: that of a recurrent model cannot."""
        library = self.library
        return not (library.llama_model_is_recurrent(self.model) or library.llama_model_is_hybrid(self.model))

    def ends_reply(self, token: int) -> bool:
        """Say whether a token ends a reply."""
        found: bool = self.library.llama_vocab_is_eog(self.vocabulary, token)
        return found

    def controls(self, token: int) -> bool:
        """Say whether a token controls something, and spells nothing."""
        found: bool = self.library.llama_vocab_is_control(self.vocabulary, token)
        return found

    @property
    def bos(self) -> int | None:
        """The token that begins a prompt, if there is one."""
        token: int = self.library.llama_vocab_bos(self.vocabulary)
        return token if token >= 0 else None

    @property
    def add_bos(self) -> bool:
        """Whether a prompt begins with it."""
        found: bool = self.library.llama_vocab_get_add_bos(self.vocabulary)
        return found

    def keep(self, length: int) -> int:
        """See `InferenceEngine`. A model whose state cannot go back (a recurrent one) begins anew."""
        if self._memory is None or self.library.llama_memory_seq_rm(self._memory, 0, length, -1):
            return length
        self.library.llama_memory_seq_rm(self._memory, 0, -1, -1)
        return 0

    def evaluate(self, tokens: Sequence[int], past: int, *, each: bool = False) -> None:
        """See `InferenceEngine`. The library knows itself what came before. With `each`, see `Verifier`."""
        count = len(tokens)
        if not 0 < count <= self.batch or not 0 <= past <= self.context_length - count:
            raise ValueError(f"{count} tokens after {past} exceed the batch or the context")
        given = (ctypes.c_int32 * count)(*tokens)
        flags = (ctypes.c_int8 * count)(*[1] * count) if each else None
        batch = Batch(count, ctypes.addressof(given), None, None, None, None, flags and ctypes.addressof(flags))
        if self.library.llama_decode(self._context, batch):
            raise RuntimeError("the engine could not compute the tokens")

    def evaluate_each(self, tokens: Sequence[int], past: int) -> None:
        """See `Verifier`."""
        self.evaluate(tokens, past, each=True)

    def best_at(self, place: int) -> tuple[int, float]:
        """See `Verifier`."""
        (token, best), (_, second) = self.top(2, place=place)
        return token, best - second

    @property
    def logits(self) -> memoryview[float]:
        """See `InferenceEngine`."""
        return self._row(_LAST)

    def _row(self, place: int) -> memoryview[float]:
        address = self.library.llama_get_logits_ith(self._context, place)
        row = (ctypes.c_float * self.vocabulary_size).from_address(address)
        view: memoryview[float] = memoryview(row).cast("B").cast("f")
        return view

    def best(self) -> int:
        """See `InferenceEngine`."""
        token: int = self.library.llama_sampler_sample(self._greedy, self._context, _LAST)
        return token

    def top(self, count: int, grammar: int | None = None, *, place: int = _LAST) -> list[tuple[int, float]]:
        """See `InferenceEngine`. With a grammar's sampler, only of the tokens that it takes. `place` is of a batch."""
        count = min(count, self.vocabulary_size)
        if self._top[0] != count:
            self._top = (count, self._sampler("top_k", count))
        candidates = self._candidates(place)
        if grammar is not None:
            self.library.llama_sampler_apply(grammar, ctypes.byref(candidates))
        self.library.llama_sampler_apply(self._top[1], ctypes.byref(candidates))
        best = (Candidate * candidates.size).from_address(candidates.data)
        found = [(row.id, row.logit) for row in best if row.logit > -math.inf]
        found.sort(key=lambda one: -one[1])
        return found

    def log_sum_exp(self) -> float:
        """See `InferenceEngine`. The sampler that draws by the probabilities of all tokens writes them down."""
        if self._softmax is None:
            self._softmax = self._sampler("dist", 0)
        best = self.best()
        candidates = self._candidates()
        self.library.llama_sampler_apply(self._softmax, ctypes.byref(candidates))
        highest = self._table[best]
        return float(highest.logit - math.log(highest.p)) if highest.p > 0 else math.nan

    def _candidates(self, place: int = _LAST) -> Candidates:
        """Give every token with its score."""
        size = self.vocabulary_size
        if self._table is None:
            self._table = (Candidate * size)()
            words = memoryview(self._table).cast("B")
            self._table_ids = words.cast("i")[0::_CANDIDATE_WORDS]
            self._table_logits = words.cast("f")[1::_CANDIDATE_WORDS]
            self._ids = memoryview(array.array("i", range(size)))
        self._table_ids[:] = self._ids
        self._table_logits[:] = self._row(place)
        return Candidates(ctypes.addressof(self._table), size, -1, False)

    def save(self) -> bytearray:
        """See `InferenceEngine`."""
        state = bytearray(self.library.llama_state_seq_get_size(self._context, 0))
        view = (ctypes.c_char * len(state)).from_buffer(state)
        written = self.library.llama_state_seq_get_data(self._context, ctypes.addressof(view), len(state), 0)
        del view
        del state[written:]
        return state

    def restore(self, state: bytearray) -> bool:
        """See `InferenceEngine`."""
        view = (ctypes.c_char * len(state)).from_buffer(state)
        self.library.llama_memory_seq_rm(self._memory, 0, -1, -1)
        read: int = self.library.llama_state_seq_set_data(self._context, ctypes.addressof(view), len(state), 0)
        return read > 0

    def close(self) -> None:
        """Free the context and the model."""
        samplers, self._samplers = self._samplers, []
        for sampler in samplers:
            self.library.llama_sampler_free(sampler)
        context, self._context = self._context, None
        model, self.model = self.model, None
        if context:
            self.library.llama_free(context)
        if model:
            self.library.llama_model_free(model)
