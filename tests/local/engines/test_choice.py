"""Which engine runs a file, told from its header, and what is said where none does."""

from __future__ import annotations

import pytest

import tiny_gguf
from inferkit.core.errors import ConfigurationError, ModelFileError
from inferkit.local import Local
from inferkit.local.engines import choice
from inferkit.local.engines.choice import inspect
from inferkit.local.errors import EngineUnavailable


def of_today(**options):
    """A file that the library of 2023 does not know: the same model under another architecture's name."""
    spec = tiny_gguf.tiny(**options)
    spec.metadata = {
        key.replace("llama.", "qwen2.", 1) if key.startswith("llama.") else key: value
        for key, value in spec.metadata.items()
    }
    return spec.set("general.architecture", "string", "qwen2")


def test_a_llama_file_with_sentence_pieces_goes_to_the_core_and_others_to_the_extra(tmp_path):
    plain = inspect(tiny_gguf.tiny().write(tmp_path / "a.gguf"))
    assert (plain.engine, plain.architecture, plain.tokeniser) == ("ctransformers", "llama", "llama")
    other = inspect(of_today().write(tmp_path / "b.gguf"))
    assert (other.engine, other.architecture, other.vocabulary_size) == ("xllamacpp", "qwen2", plain.vocabulary_size)
    assert other.key_value_width == plain.key_value_width
    assert inspect(plain.path, "xllamacpp").engine == "xllamacpp"


def test_without_the_extra_the_error_names_what_the_file_is_and_the_command(tmp_path, monkeypatch):
    path = of_today().write(tmp_path / "m.gguf")

    def missing():
        raise EngineUnavailable("this engine needs the package xllamacpp")

    monkeypatch.setattr(choice, "find_library", missing)
    with pytest.raises(EngineUnavailable) as caught:
        inspect(path)
    for part in (str(path), "architecture 'qwen2'", "tokeniser 'llama'", "quantisation F32", "inferkit[llama]"):
        assert part in str(caught.value)
    assert inspect(tiny_gguf.tiny().write(tmp_path / "a.gguf")).engine == "ctransformers"


def test_an_engine_that_cannot_run_a_file_says_so_with_what_the_file_is(tmp_path):
    path = of_today().write(tmp_path / "m.gguf")
    with pytest.raises(ModelFileError, match="'qwen2', tokeniser 'llama', quantisation F32: the engine ctransformers"):
        inspect(path, "ctransformers")
    spec = of_today()
    del spec.tensors["token_embd.weight"]
    with pytest.raises(ModelFileError, match="no engine runs it, since the tensor token_embd.weight is miss"):
        inspect(spec.write(tmp_path / "n.gguf"))


def test_a_damaged_file_is_damaged_for_every_engine(tmp_path):
    spec = tiny_gguf.tiny().set("llama.block_count", "uint32", 0)
    with pytest.raises(ModelFileError, match="llama.block_count is 0, and not from 1 to 96; the file is damaged"):
        inspect(spec.write(tmp_path / "m.gguf"))


def test_a_model_says_what_it_is_before_the_first_call(tmp_path):
    local = Local(of_today(prompt_format=None).write(tmp_path / "m.gguf"))
    with pytest.raises(ModelFileError, match="no chat template"):
        local.describe()
    local = Local(of_today().write(tmp_path / "m.gguf"))
    assert local.describe().engine == "xllamacpp"
    local.close()


def test_an_engine_that_nobody_knows_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="engine is one of ctransformers, xllamacpp"):
        Local(tiny_gguf.tiny().write(tmp_path / "m.gguf"), engine="vllm")
