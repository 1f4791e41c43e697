"""The functions and structures of llama.h that a reply needs, as they are in the release that `library` names."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING, Any, ClassVar

from inferkit.local.errors import EngineUnavailable

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Batch", "Candidate", "Candidates", "ContextParams", "LogCallback", "ModelParams", "bind"]

LogCallback = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)

_int, _uint, _float, _bool = ctypes.c_int32, ctypes.c_uint32, ctypes.c_float, ctypes.c_bool
_pointer, _size, _text = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p


class ModelParams(ctypes.Structure):
    """How a model is loaded."""

    _fields_: ClassVar = [
        ("devices", _pointer),
        ("tensor_buft_overrides", _pointer),
        ("n_gpu_layers", _int),
        ("split_mode", _int),
        ("load_mode", _int),
        ("lazy_mode", _int),
        ("main_gpu", _int),
        ("tensor_split", _pointer),
        ("progress_callback", _pointer),
        ("progress_callback_user_data", _pointer),
        ("kv_overrides", _pointer),
        ("vocab_only", _bool),
        ("check_tensors", _bool),
        ("use_extra_bufts", _bool),
        ("no_host", _bool),
        ("no_alloc", _bool),
        ("load_mtp", _bool),
    ]


class ContextParams(ctypes.Structure):
    """What a context is made with."""

    _fields_: ClassVar = [
        ("n_ctx", _uint),
        ("n_batch", _uint),
        ("n_ubatch", _uint),
        ("n_seq_max", _uint),
        ("n_rs_seq", _uint),
        ("n_outputs_max", _uint),
        ("n_outputs_max_per_seq", _uint),
        ("n_threads", _int),
        ("n_threads_batch", _int),
        ("ctx_type", _int),
        ("rope_scaling_type", _int),
        ("pooling_type", _int),
        ("attention_type", _int),
        ("flash_attn_type", _int),
        ("rope_freq_base", _float),
        ("rope_freq_scale", _float),
        ("yarn_ext_factor", _float),
        ("yarn_attn_factor", _float),
        ("yarn_beta_fast", _float),
        ("yarn_beta_slow", _float),
        ("yarn_orig_ctx", _uint),
        ("defrag_thold", _float),
        ("cb_eval", _pointer),
        ("cb_eval_user_data", _pointer),
        ("type_k", _int),
        ("type_v", _int),
        ("abort_callback", _pointer),
        ("abort_callback_data", _pointer),
        ("reserved", _pointer),  # eight bytes that are zero by default, and left so
        ("embeddings", _bool),
        ("offload_kqv", _bool),
        ("no_perf", _bool),
        ("op_offload", _bool),
        ("swa_full", _bool),
        ("kv_unified", _bool),
        ("samplers", _pointer),
        ("n_samplers", _size),
        ("ctx_other", _pointer),
    ]


class Batch(ctypes.Structure):
    """Tokens to compute. Without positions they follow what is there; without flags the last one's scores are kept."""

    _fields_: ClassVar = [
        ("n_tokens", _int),
        ("token", _pointer),
        ("embd", _pointer),
        ("pos", _pointer),
        ("n_seq_id", _pointer),
        ("seq_id", _pointer),
        ("logits", _pointer),
    ]


class Candidate(ctypes.Structure):
    """A token that may come next."""

    _fields_: ClassVar = [("id", _int), ("logit", _float), ("p", _float)]


class Candidates(ctypes.Structure):
    """The tokens that may come next."""

    _fields_: ClassVar = [("data", _pointer), ("size", _size), ("selected", ctypes.c_int64), ("sorted", _bool)]


_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "ggml_backend_dev_count": (_size, []),
    "ggml_backend_dev_get": (_pointer, [_size]),
    "ggml_backend_dev_type": (_int, [_pointer]),
    "ggml_backend_dev_memory": (None, [_pointer, _pointer, _pointer]),
    "llama_backend_init": (None, []),
    "llama_log_set": (None, [LogCallback, _pointer]),
    "llama_supports_gpu_offload": (_bool, []),
    "llama_model_default_params": (ModelParams, []),
    "llama_context_default_params": (ContextParams, []),
    "llama_model_load_from_file": (_pointer, [_text, ModelParams]),
    "llama_model_free": (None, [_pointer]),
    "llama_model_get_vocab": (_pointer, [_pointer]),
    "llama_model_has_encoder": (_bool, [_pointer]),
    "llama_model_is_recurrent": (_bool, [_pointer]),
    "llama_model_is_hybrid": (_bool, [_pointer]),
    "llama_init_from_model": (_pointer, [_pointer, ContextParams]),
    "llama_free": (None, [_pointer]),
    "llama_n_ctx": (_uint, [_pointer]),
    "llama_get_memory": (_pointer, [_pointer]),
    "llama_memory_seq_rm": (_bool, [_pointer, _int, _int, _int]),
    "llama_decode": (_int, [_pointer, Batch]),
    "llama_get_logits_ith": (_pointer, [_pointer, _int]),
    "llama_get_embeddings_seq": (_pointer, [_pointer, _int]),
    "llama_model_n_embd_out": (_int, [_pointer]),
    "llama_vocab_n_tokens": (_int, [_pointer]),
    "llama_vocab_bos": (_int, [_pointer]),
    "llama_vocab_get_add_bos": (_bool, [_pointer]),
    "llama_vocab_is_eog": (_bool, [_pointer, _int]),
    "llama_vocab_is_control": (_bool, [_pointer, _int]),
    "llama_tokenize": (_int, [_pointer, _text, _int, _pointer, _int, _bool, _bool]),
    "llama_token_to_piece": (_int, [_pointer, _int, _pointer, _int, _int, _bool]),
    "llama_sampler_init_grammar": (_pointer, [_pointer, _text, _text]),
    "llama_sampler_accept": (None, [_pointer, _int]),
    "llama_state_seq_get_size": (_size, [_pointer, _int]),
    "llama_state_seq_get_data": (_size, [_pointer, _pointer, _size, _int]),
    "llama_state_seq_set_data": (_size, [_pointer, _pointer, _size, _int]),
    "llama_sampler_init_greedy": (_pointer, []),
    "llama_sampler_init_dist": (_pointer, [_uint]),
    "llama_sampler_init_top_k": (_pointer, [_int]),
    "llama_sampler_sample": (_int, [_pointer, _pointer, _int]),
    "llama_sampler_apply": (None, [_pointer, _pointer]),
    "llama_sampler_free": (None, [_pointer]),
}

_DEFAULTS: dict[str, dict[str, Any]] = {
    "llama_model_default_params": {"n_gpu_layers": -1, "main_gpu": 0, "vocab_only": False, "use_extra_bufts": True},
    "llama_context_default_params": {"n_batch": 2048, "n_ubatch": 512, "flash_attn_type": -1, "type_k": 1, "type_v": 1}
    | {"reserved": None, "embeddings": False, "offload_kqv": True, "n_samplers": 0, "ctx_other": None},
}
"""What these structures hold by default, where the layout is the one above."""


_SPINS = "1000"
"""How often a thread of OpenMP looks for work before it sleeps. Its own default, 300,000, keeps a core for itself, and
where another process wants that core, each step then waits for a turn of the system's scheduler."""


def bind(path: Path) -> Any:
    """Load the library and give it its functions' types. Raises `EngineUnavailable`."""
    os.environ["GGML_NO_BACKTRACE"] = "1"  # or a failed assertion starts a debugger that looks into this process
    os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
    try:
        library = ctypes.CDLL(str(path))
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(library, name)
            function.restype = result
            function.argtypes = arguments
    except (OSError, AttributeError) as error:
        raise EngineUnavailable(f"the llama library {path} cannot be used: {error}") from error
    for name, expected in _DEFAULTS.items():
        params = getattr(library, name)()
        if {field: getattr(params, field) for field in expected} != expected:
            raise EngineUnavailable(f"the llama library {path} is not the one of its release; install it again")
    return library
