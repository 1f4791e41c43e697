"""The library of the second engine: found without its package, and refused where it is another one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import tiny_gguf
from inferkit.core.errors import ModelFileError
from inferkit.local.engines.xllamacpp import binding, library
from inferkit.local.engines.xllamacpp.library import VERSION, find_library, is_installed
from inferkit.local.errors import EngineUnavailable

pytest.importorskip("xllamacpp", reason="THE SECOND ENGINE WAS NOT TESTED: xllamacpp is not installed")

from inferkit.local.engines.xllamacpp.llama_cpp import LlamaCpp


@pytest.fixture
def made(tmp_path):
    """Load a file with small sizes; freed after the test."""
    loaded = []

    def load(spec=None, **sizes):
        path = (spec or tiny_gguf.tiny()).write(tmp_path / "m.gguf")
        loaded.append(LlamaCpp(find_library(), path, **{"context_length": 64, "batch": 16, "threads": 1} | sizes))
        return loaded[-1]

    yield load
    for llama in loaded:
        llama.close()


def test_the_library_is_found_without_importing_its_package():
    assert find_library().name == "xllamacpp.abi3.so"
    assert is_installed()


def test_a_package_that_is_not_there_is_named_with_the_command(monkeypatch):
    monkeypatch.setattr(library.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(EngineUnavailable, match=r"needs the package xllamacpp; run: pip install 'inferkit\[llama\]'"):
        find_library()
    assert not is_installed()


@pytest.mark.parametrize("installed", ["2027.1.1", None])
def test_another_release_is_refused_with_the_one_that_is_bound(tmp_path, monkeypatch, installed):
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path / "xllamacpp")])
    monkeypatch.setattr(library.importlib.util, "find_spec", lambda _: spec)

    def version(_):
        if installed is None:
            raise library.importlib.metadata.PackageNotFoundError
        return installed

    monkeypatch.setattr(library.importlib.metadata, "version", version)
    named = installed or "an unknown release"
    with pytest.raises(EngineUnavailable, match=f"{named} is installed; run: pip install xllamacpp=={VERSION}"):
        find_library()


def test_an_installation_without_its_library_is_told(tmp_path, monkeypatch):
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path / "xllamacpp")])
    monkeypatch.setattr(library.importlib.util, "find_spec", lambda _: spec)
    (tmp_path / f"xllamacpp-{VERSION}.dist-info").mkdir()
    with pytest.raises(EngineUnavailable, match="is missing; run: pip install --force-reinstall"):
        find_library()


def test_a_library_that_is_none_is_refused(tmp_path):
    (tmp_path / "x.so").write_bytes(b"no library")
    with pytest.raises(EngineUnavailable, match="cannot be used"):
        binding.bind(tmp_path / "x.so")


def test_a_library_of_another_layout_is_refused(monkeypatch):
    monkeypatch.setitem(binding._DEFAULTS["llama_context_default_params"], "n_batch", 17)
    with pytest.raises(EngineUnavailable, match="is not the one of its release; install it again"):
        binding.bind(find_library())


def test_the_pinned_release_is_the_one_of_the_extra():
    project = (Path(__file__).parents[4] / "pyproject.toml").read_text(encoding="utf-8")
    assert f'llama = ["xllamacpp=={VERSION}"]' in project


def test_no_listener_no_thread_that_stays_and_no_import_of_the_package(tmp_path):
    """Nothing but the library is loaded: no socket is opened, and the package's own code does not run."""
    path = tiny_gguf.tiny().write(tmp_path / "m.gguf")
    code = """
import os, sys
from pathlib import Path
from inferkit.local.engines.choice import load
from inferkit.local.engines.interface import EngineSettings
session = load(EngineSettings(sys.argv[1], engine="xllamacpp"))
nobody = type("Nobody", (), {"gone": lambda self: False, "send": lambda self, frame: None})()
session.serve({"prompt": "hello", "max_tokens": 4}, nobody)
names = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
links = [os.readlink(name) for name in names if os.path.islink(name)]
assert not [link for link in links if link.startswith("socket:")], links
assert "xllamacpp" not in sys.modules
assert os.environ["GGML_NO_BACKTRACE"] == "1"
print("fine")
"""
    ran = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, env=os.environ)
    assert ran.stdout == "fine\n", ran.stderr


def test_what_was_computed_at_once_or_in_parts_is_the_same_to_the_last_bit(made):
    llama = made(context_length=64)
    tokens = [*range(260, 300)]

    def scores(*parts):
        llama.keep(0)
        past = 0
        for part in parts:
            llama.evaluate(tokens[past : past + part], past)
            past += part
        return bytes(llama.logits.cast("B"))

    whole = scores(16, 16, 8)
    for parts in ((10, 10, 10, 10), (2, 16, 16, 6), (16, 15, 7, 2)):
        assert scores(*parts) == whole


def test_going_back_forgets_what_came_after(made):
    llama = made()
    llama.evaluate([1, 270, 271, 272], 0)
    once = bytes(llama.logits.cast("B"))
    llama.evaluate([280, 281], 4)
    assert bytes(llama.logits.cast("B")) != once
    assert llama.keep(2) == 2
    llama.evaluate([271, 272], 2)
    assert bytes(llama.logits.cast("B")) == once


def test_the_best_tokens_come_first_and_changed_scores_count(made):
    llama = made()
    llama.evaluate([1, 270, 271], 0)
    best = llama.top(5)
    assert [score for _, score in best] == sorted((score for _, score in best), reverse=True)
    assert best[0][0] == llama.best()
    assert llama.top(5) == best
    assert len(llama.top(10_000)) == llama.vocabulary_size
    llama.logits[best[0][0]] = -1e9
    assert llama.best() == best[1][0]
    assert llama.top(4)[0][0] == best[1][0]


@pytest.mark.parametrize(("count", "past"), [(0, 0), (17, 0), (2, 63), (1, -1)])
def test_sizes_that_the_library_would_assert_are_refused_here(made, count, past):
    with pytest.raises(ValueError, match="exceed the batch or the context"):
        made().evaluate([1] * count, past)


def test_a_file_that_the_library_refuses_is_told_with_its_reason(made):
    spec = tiny_gguf.tiny()
    del spec.tensors["blk.1.ffn_up.weight"]
    with pytest.raises(ModelFileError, match=r"could not load it \(.*blk.1.ffn_up.weight.*\); lower context_length"):
        made(spec)


def test_an_architecture_that_the_library_does_not_know_is_told(made):
    with pytest.raises(ModelFileError, match="unknown model architecture: 'newest'"):
        made(tiny_gguf.tiny().set("general.architecture", "string", "newest"))
