"""The llama library of September 2023 by ctypes: the few functions of its llama.h that a reply needs.

Only checked files (see `preflight`) and checked sizes reach it, since it asserts by ending the process. The calls
release the interpreter's lock while they compute.
"""

from __future__ import annotations

import array
import ctypes
import math
import mmap
import os
from typing import TYPE_CHECKING, Any, ClassVar

from inferkit.local.engines.capacity import load_failure
from inferkit.local.errors import EngineUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["CandidateOf2023", "CandidatesOf2023", "Llama"]

_LogCallback = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
_ERROR_LEVEL = 2
_CANDIDATE_WORDS = 3


class _ContextParams(ctypes.Structure):
    _fields_: ClassVar = [
        ("seed", ctypes.c_uint32),
        ("n_ctx", ctypes.c_int32),
        ("n_batch", ctypes.c_int32),
        ("n_gpu_layers", ctypes.c_int32),
        ("main_gpu", ctypes.c_int32),
        ("tensor_split", ctypes.c_void_p),
        ("rope_freq_base", ctypes.c_float),
        ("rope_freq_scale", ctypes.c_float),
        ("progress_callback", ctypes.c_void_p),
        ("progress_callback_user_data", ctypes.c_void_p),
        ("low_vram", ctypes.c_bool),
        ("mul_mat_q", ctypes.c_bool),
        ("f16_kv", ctypes.c_bool),
        ("logits_all", ctypes.c_bool),
        ("vocab_only", ctypes.c_bool),
        ("use_mmap", ctypes.c_bool),
        ("use_mlock", ctypes.c_bool),
        ("embedding", ctypes.c_bool),
    ]


class CandidateOf2023(ctypes.Structure):
    """A token that may come next."""

    _fields_: ClassVar = [("id", ctypes.c_int32), ("logit", ctypes.c_float), ("p", ctypes.c_float)]


class CandidatesOf2023(ctypes.Structure):
    """The tokens that may come next."""

    _fields_: ClassVar = [("data", ctypes.c_void_p), ("size", ctypes.c_size_t), ("sorted", ctypes.c_bool)]


_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "ggml_cpu_has_cublas": (ctypes.c_int, []),
    "llama_backend_init": (None, [ctypes.c_bool]),
    "llama_context_default_params": (_ContextParams, []),
    "llama_load_model_from_file": (ctypes.c_void_p, [ctypes.c_char_p, _ContextParams]),
    "llama_new_context_with_model": (ctypes.c_void_p, [ctypes.c_void_p, _ContextParams]),
    "llama_free": (None, [ctypes.c_void_p]),
    "llama_free_model": (None, [ctypes.c_void_p]),
    "llama_n_vocab": (ctypes.c_int, [ctypes.c_void_p]),
    "llama_n_ctx": (ctypes.c_int, [ctypes.c_void_p]),
    "llama_eval": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_int]),
    "llama_get_logits": (ctypes.c_void_p, [ctypes.c_void_p]),
    "llama_tokenize": (
        ctypes.c_int,
        [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_bool],
    ),
    "llama_sample_token_greedy": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_void_p]),
    "llama_sample_softmax": (None, [ctypes.c_void_p, ctypes.c_void_p]),
    "llama_sample_top_k": (None, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]),
    "llama_grammar_init": (ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t]),
    "llama_grammar_free": (None, [ctypes.c_void_p]),
    "llama_grammar_accept_token": (None, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32]),
    "llama_sample_grammar": (None, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]),
    "llama_get_state_size": (ctypes.c_size_t, [ctypes.c_void_p]),
    "llama_copy_state_data": (ctypes.c_size_t, [ctypes.c_void_p, ctypes.c_void_p]),
    "llama_set_state_data": (ctypes.c_size_t, [ctypes.c_void_p, ctypes.c_void_p]),
    "llama_log_set": (None, [_LogCallback, ctypes.c_void_p]),
}


def _bind(path: Path) -> Any:
    try:
        library = ctypes.CDLL(str(path))
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(library, name)
            function.restype = result
            function.argtypes = arguments
    except (OSError, AttributeError) as error:
        raise EngineUnavailable(f"the llama library {path} cannot be used: {error}") from error
    return library


class Llama:
    """A loaded model with its context. One call at a time; `close` frees both.

    Where `context_length` is None, nothing is read but what splits texts into tokens. With `each` it keeps the scores
    behind every token of a batch, and not just behind the last: then it is a `Verifier` too. What it computes for a
    token is the same to the last bit in any batch.
    """

    exact_batches = False
    narrow = 0.0

    def __init__(
        self,
        library: Path,
        model: Path,
        *,
        context_length: int | None,
        batch: int = 1,
        threads: int = 1,
        gpu_layers: int = 0,
        each: bool = False,
    ) -> None:
        self.library = _bind(library)
        self.gpu_layers = gpu_layers
        if gpu_layers and not self.library.ggml_cpu_has_cublas():
            raise EngineUnavailable(
                f"gpu_layers={gpu_layers} needs a build of ctransformers with GPU support, and {library} computes on "
                "the CPU alone; run: CT_CUBLAS=1 pip install --no-binary ctransformers ctransformers, or use "
                "gpu_layers=0"
            )
        self._errors: list[str] = []
        self._callback = _LogCallback(self._log)  # kept: the library holds only its address
        self.library.llama_log_set(self._callback, None)
        self.library.llama_backend_init(False)
        self._model: int | None = None
        self.context: int | None = None
        self._threads = threads
        self.batch = batch
        params = self.library.llama_context_default_params()
        params.n_ctx = context_length or 1
        params.vocab_only = context_length is None
        params.logits_all = each
        self._keeps_each = each
        self._last = 0
        params.n_batch = batch
        params.n_gpu_layers = gpu_layers
        params.mul_mat_q = True
        self._load(model, params)
        self.context_length: int = self.library.llama_n_ctx(self.context)
        self.vocabulary_size: int = self.library.llama_n_vocab(self.context)
        if context_length is not None:
            self._prepare_candidates()

    def _log(self, level: int, text: bytes | None, _data: Any) -> None:
        if level == _ERROR_LEVEL and text:
            self._errors.append(text.decode("utf-8", "replace").strip())

    def _load(self, path: Path, params: _ContextParams) -> None:
        self._model = self.library.llama_load_model_from_file(os.fsencode(path), params)
        if self._model:
            self.context = self.library.llama_new_context_with_model(self._model, params)
        if not self.context:
            self.close()
            raise load_failure(path, self._errors[0] if self._errors else None)

    def _prepare_candidates(self) -> None:
        size = self.vocabulary_size
        self._table = (CandidateOf2023 * size)()
        words = memoryview(self._table).cast("B")
        self._table_ids = words.cast("i")[0::_CANDIDATE_WORDS]
        self._table_logits = words.cast("f")[1::_CANDIDATE_WORDS]
        self._ids = memoryview(array.array("i", range(size)))
        self._table_ids[:] = self._ids
        self._candidates = CandidatesOf2023(ctypes.addressof(self._table), size, False)

    def tokenize(self, text: bytes) -> list[int]:
        """Split UTF-8 text into tokens. The library puts a space before it, and reads no further than a zero byte."""
        if not text:
            return []
        room = len(text) + 2  # a token stands for at least a byte, and the space in front for one
        found = (ctypes.c_int32 * room)()
        count: int = self.library.llama_tokenize(self.context, text, found, room, False)
        return list(found[: max(count, 0)])

    def keep(self, length: int) -> int:
        """See `InferenceEngine`: this library is told the position with each batch, so going back costs nothing."""
        return length

    def evaluate(self, tokens: Sequence[int], past: int) -> None:
        """Compute up to `batch` tokens behind the first `past` ones, in place of what was computed there."""
        count = len(tokens)
        if not 0 < count <= self.batch or not 0 <= past <= self.context_length - count:
            raise ValueError(f"{count} tokens after {past} exceed the batch or the context")
        given = (ctypes.c_int32 * count)(*tokens)
        if self.library.llama_eval(self.context, given, count, past, self._threads):
            raise RuntimeError("the engine could not compute the tokens")
        self._last = count - 1 if self._keeps_each else 0

    def evaluate_each(self, tokens: Sequence[int], past: int) -> None:
        """See `Verifier`."""
        self.evaluate(tokens, past)

    def best_at(self, place: int) -> tuple[int, float]:
        """See `Verifier`."""
        (token, best), (_, second) = self.top(2, place=place)[:2]
        return token, best - second

    @property
    def logits(self) -> memoryview[float]:
        """The scores of every token as the next one. They may be changed, and are gone after the next `evaluate`."""
        return self._row(self._last)

    def _row(self, place: int) -> memoryview[float]:
        row_type = ctypes.c_float * self.vocabulary_size
        address = self.library.llama_get_logits(self.context) + place * ctypes.sizeof(row_type)
        row = row_type.from_address(address)
        view: memoryview[float] = memoryview(row).cast("B").cast("f")
        return view

    def best(self) -> int:
        """Give the token with the highest score."""
        self._table_logits[:] = self.logits
        token: int = self.library.llama_sample_token_greedy(None, ctypes.byref(self._candidates))
        return token

    def top(self, count: int, *, place: int | None = None) -> list[tuple[int, float]]:
        """See `InferenceEngine`. `place` is that of a token of the last batch (None: its last)."""
        self._table_logits[:] = self._row(self._last if place is None else place)
        self._candidates.size, self._candidates.sorted = self.vocabulary_size, False
        self.library.llama_sample_top_k(None, ctypes.byref(self._candidates), min(count, self.vocabulary_size - 1), 1)
        found = [(row.id, row.logit) for row in self._table[: self._candidates.size]]
        self._candidates.size, self._candidates.sorted = self.vocabulary_size, False
        self._table_ids[:] = self._ids
        return found

    def log_sum_exp(self) -> float:
        """See `InferenceEngine`. The library's softmax takes the first score for the highest where all are sorted."""
        best, scores = self.best(), self._table_logits
        scores[0], scores[best] = scores[best], scores[0]
        self._candidates.size, self._candidates.sorted = self.vocabulary_size, True
        self.library.llama_sample_softmax(None, ctypes.byref(self._candidates))
        self._candidates.sorted = False
        highest = self._table[0]
        return float(highest.logit - math.log(highest.p)) if highest.p > 0 else math.nan

    def save(self) -> bytearray:
        """See `InferenceEngine`. The library wants room for a full context: only what it writes is touched."""
        size = self.library.llama_get_state_size(self.context)
        try:
            room = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except OSError as error:
            raise MemoryError from error
        with room:
            view = (ctypes.c_char * size).from_buffer(room)
            written = self.library.llama_copy_state_data(self.context, ctypes.addressof(view))
            del view
            with memoryview(room) as whole, whole[:written] as state:
                return bytearray(state)

    def restore(self, state: bytearray) -> bool:
        """See `InferenceEngine`."""
        view = (ctypes.c_char * len(state)).from_buffer(state)
        read: int = self.library.llama_set_state_data(self.context, ctypes.addressof(view))
        return read > 0

    def close(self) -> None:
        """Free the context and the model."""
        context, self.context = self.context, None
        model, self._model = self._model, None
        if context:
            self.library.llama_free(context)
        if model:
            self.library.llama_free_model(model)
