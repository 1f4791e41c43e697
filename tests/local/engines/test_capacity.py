from __future__ import annotations

import pytest

import tiny_gguf
from inferkit.core.errors import ConfigurationError, ModelFileError
from inferkit.local.engines import capacity
from inferkit.local.engines.capacity import choose_sizes, load_failure, memory_needed
from inferkit.local.engines.ctransformers.preflight import inspect
from inferkit.local.engines.machine import usable_cores
from inferkit.local.errors import EngineUnavailable


@pytest.fixture
def model(tmp_path):
    return inspect(tiny_gguf.tiny(context=100_000).write(tmp_path / "m.gguf"))


def test_the_context_is_the_trained_one_up_to_a_bound(model, tiny_path):
    assert choose_sizes(model, context_length=None, threads=None, memory=None).context_length == 2048
    assert choose_sizes(inspect(tiny_path), context_length=None, threads=None, memory=None).context_length == 128


def test_a_tiny_model_gets_one_thread_and_a_user_what_he_asks(model, monkeypatch):
    assert choose_sizes(model, context_length=None, threads=None, memory=None).threads == 1
    assert choose_sizes(model, context_length=None, threads=5, memory=None).threads == 5
    monkeypatch.setattr(capacity, "_TINY_PARAMETERS", 0)
    assert choose_sizes(model, context_length=None, threads=None, memory=None).threads == max(1, usable_cores() - 1)


def test_no_batch_is_longer_than_the_context(model):
    assert choose_sizes(model, context_length=7, threads=None, memory=None).batch == 7


@pytest.mark.parametrize("length", [0, 100_001])
def test_a_context_the_model_was_not_trained_for_is_refused(model, length):
    with pytest.raises(ConfigurationError, match="from 1 to the 100000 tokens"):
        choose_sizes(model, context_length=length, threads=None, memory=None)


def test_a_context_that_does_not_fit_into_memory_is_refused_before_it_is_taken(model):
    with pytest.raises(ConfigurationError, match=r"needs about \d+ MiB of memory, and 65 MiB are free; lower context"):
        choose_sizes(model, context_length=100_000, threads=None, memory=65 << 20)
    assert choose_sizes(model, context_length=100, threads=None, memory=80 << 20).context_length == 100


def test_memory_grows_with_context_by_the_keys_and_values(model):
    assert memory_needed(model, 2000, 1) - memory_needed(model, 1000, 1) == 1000 * (2 * 2 * 2 * 16 + 4 * 3 * 4)


def test_a_limit_that_was_set_counts_where_more_is_free(model):
    with pytest.raises(
        EngineUnavailable, match=r"needs about \d+ MiB of memory, and memory_limit allows 65 MiB; raise"
    ):
        choose_sizes(model, context_length=100_000, threads=None, memory=1 << 40, memory_limit=65 << 20)
    sizes = choose_sizes(model, context_length=100, threads=None, memory=None, memory_limit=80 << 20)
    assert sizes.context_length == 100


def test_a_draft_needs_memory_too(model, tiny_path):
    needed, more = memory_needed(model, 1000, 256), memory_needed(inspect(tiny_path), 128, 256)
    sizes = {"context_length": 1000, "threads": None, "memory": None, "memory_limit": needed + more // 2}
    assert choose_sizes(model, **sizes).context_length == 1000
    with pytest.raises(EngineUnavailable, match=rf"1000 tokens and a draft needs about {needed + more >> 20} MiB"):
        choose_sizes(model, **sizes, draft=inspect(tiny_path))


def test_why_a_library_loaded_nothing_decides_what_to_do(tmp_path):
    assert isinstance(load_failure(tmp_path, "cannot allocate memory"), EngineUnavailable)
    assert isinstance(load_failure(tmp_path, "a tensor is missing"), ModelFileError)
    assert "it gave no reason" in str(load_failure(tmp_path, None))
