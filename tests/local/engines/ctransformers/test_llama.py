"""The binding to the library, over real files. Only files that the library refuses in an orderly way are used here."""

from __future__ import annotations

import tracemalloc

import pytest

import tiny_gguf
from inferkit.core.errors import ModelFileError
from inferkit.local.engines.ctransformers.library import find_library
from inferkit.local.engines.ctransformers.llama import Llama, _bind
from inferkit.local.engines.ctransformers.preflight import PACKINGS
from inferkit.local.gguf.packing import TENSOR_TYPES


@pytest.fixture
def llama(tiny_path):
    model = load(tiny_path)
    yield model
    model.close()


def load(path):
    return Llama(find_library(gpu=False), path, context_length=128, batch=32, threads=1)


def test_the_structures_have_the_librarys_layout():
    """Its own default values come out where they belong, which no other layout would give."""
    params = _bind(find_library(gpu=False)).llama_context_default_params()
    found = {name: getattr(params, name) for name, *_ in params._fields_}
    assert found == {
        "seed": 0xFFFFFFFF,
        "n_ctx": 512,
        "n_batch": 512,
        "n_gpu_layers": 0,
        "main_gpu": 0,
        "tensor_split": None,
        "rope_freq_base": 10000.0,
        "rope_freq_scale": 1.0,
        "progress_callback": None,
        "progress_callback_user_data": None,
        "low_vram": False,
        "mul_mat_q": False,
        "f16_kv": True,
        "logits_all": False,
        "vocab_only": False,
        "use_mmap": True,
        "use_mlock": False,
        "embedding": False,
    }


def test_scores_do_not_depend_on_how_the_tokens_were_cut(llama):
    tokens = [1, *llama.tokenize(b"hello the world of")]
    llama.evaluate(tokens, 0)
    whole = list(llama.logits)
    for place, token in enumerate(tokens):
        llama.evaluate([token], place)
    assert list(llama.logits) == whole
    llama.evaluate([5, 6, 7], 2)
    llama.evaluate(tokens[2:], 2)
    assert list(llama.logits) == whole


def test_what_a_short_context_holds_is_saved_without_touching_room_for_a_full_one(tmp_path):
    path = tiny_gguf.tiny(context=100_000).write(tmp_path / "m.gguf")
    llama = Llama(find_library(gpu=False), path, context_length=100_000, batch=32, threads=1)
    llama.evaluate([1, *llama.tokenize(b"hello the world of")], 0)
    scores = list(llama.logits)
    tracemalloc.start()
    state = llama.save()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2 * len(state) < llama.library.llama_get_state_size(llama.context)
    llama.evaluate([5, 6, 7], 0)
    assert llama.restore(state)
    assert list(llama.logits) == scores
    llama.close()


def test_the_best_and_the_top_tokens_are_those_with_the_highest_scores(llama):
    llama.evaluate([1, 300], 0)
    scores = list(llama.logits)
    ranked = sorted(range(len(scores)), key=lambda token: -scores[token])
    for _ in range(2):
        assert llama.best() == ranked[0]
        assert llama.top(7) == [(token, scores[token]) for token in ranked[:7]]
    assert len(llama.top(10_000)) == len(scores) - 1


def test_no_text_has_more_tokens_than_bytes_and_a_space(llama):
    for text in ("", "Q Z", "\U0001f600" * 20, "x" * 100, " " * 50):
        assert len(llama.tokenize(text.encode())) <= len(text.encode()) + 2


@pytest.mark.parametrize(("count", "past"), [(0, 0), (33, 0), (1, -1), (1, 128), (2, 127)])
def test_what_the_library_would_not_survive_does_not_reach_it(llama, count, past):
    with pytest.raises(ValueError, match="exceed the batch or the context"):
        llama.evaluate([1] * count, past)


def test_a_file_that_the_library_refuses_is_an_error_with_its_reason(tmp_path):
    spec = tiny_gguf.tiny()
    del spec.tensors["output.weight"]
    with pytest.raises(ModelFileError, match=r"could not load it \(.*output\.weight.*\); lower context_length"):
        load(spec.write(tmp_path / "m.gguf"))


@pytest.mark.parametrize("number", [number for number, kind in TENSOR_TYPES.items() if kind.name in PACKINGS])
def test_every_packing_that_the_checks_accept_runs(tmp_path, number):
    kind = TENSOR_TYPES[number]
    spec = tiny_gguf.tiny(width=256, hidden=256, heads=4, heads_kv=2, blocks=1)
    for name, (shape, _, _) in spec.tensors.items():
        if len(shape) == 2:
            spec.tensors[name] = (shape, number, bytes(shape[0] * shape[1] // kind.block * kind.size))
    model = load(spec.write(tmp_path / "m.gguf"))
    model.evaluate([1, 2, 3], 0)
    assert set(model.logits) == {0.0}
    model.close()


def test_as_many_blocks_as_the_checks_accept_run(tmp_path):
    model = load(tiny_gguf.tiny(blocks=96, width=8, heads=2, heads_kv=1, hidden=8).write(tmp_path / "m.gguf"))
    model.evaluate([1, 2, 3], 0)
    assert 0 <= model.best() < model.vocabulary_size
    model.close()
