"""Files that are made smaller: the same model, whole, tried, and never in the place of another."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

import tiny_gguf
from inferkit import Client
from inferkit.core.errors import ConfigurationError, ModelFileError
from inferkit.local.engines.choice import inspect
from inferkit.local.engines.xllamacpp import library as of_today
from inferkit.local.errors import EngineUnavailable, JobDied
from inferkit.local.gguf.container import read_container
from inferkit.local.quantising.quantise import quantise, target_name

CHAIN = ["▁a", "b", "c", "d", "e", "f"]


@pytest.fixture(scope="module", autouse=True)
def _one_core(one_core):
    """Models of several tests at once do not wait for each other."""


def half(spec):
    """Put the matrices of a model into 16 bits."""
    import struct

    for name, (shape, kind, raw) in spec.tensors.items():
        if kind == tiny_gguf.F32 and len(shape) > 1:
            values = struct.unpack(f"<{len(raw) // 4}f", raw)
            spec.tensors[name] = (shape, tiny_gguf.F16, tiny_gguf.packed(values, tiny_gguf.F16))
    return spec


@pytest.fixture
def source(tmp_path):
    spec = half(tiny_gguf.scripted(CHAIN, prompt_format="plain")).set("general.file_type", "uint32", 1)
    return spec.write(tmp_path / "model-f16.gguf")


def quietly(*_):
    pass


def names(folder):
    return sorted(each.name for each in folder.iterdir())


def says(path):
    with Client(models={"m": f"local:{path}"}, ledger=False, cache=False) as llm:
        return llm.complete("m", "a", max_output_tokens=5).text


def test_each_kind_is_the_same_model_in_fewer_bytes(source):
    seen = []
    made = quantise(source, ["q8_0", "Q4_0"], threads=2, progress=lambda *step: seen.append(step))
    assert [(one.kind, one.path.name) for one in made] == [("q8_0", "model-q8_0.gguf"), ("q4_0", "model-q4_0.gguf")]
    assert source.stat().st_size > made[0].size > made[1].size == made[1].path.stat().st_size
    assert [one.model.quantisation for one in made] == ["Q8_0", "Q4_0"]
    assert says(made[0].path) == says(made[1].path) == says(source) == "bcdef"
    assert names(source.parent) == sorted([source.name, *(one.path.name for one in made)])
    for kind in ("q8_0", "q4_0"):
        steps = [(done, total) for name, done, total in seen if name == kind]
        assert steps == sorted(steps)
        assert steps[-1][0] == steps[-1][1] > 0


def test_the_metadata_is_that_of_the_source_but_for_the_packing(source):
    (made,) = quantise(source, ["q8_0"], progress=quietly)
    before, after = read_container(source), read_container(made.path)
    of_packing = ("general.file_type", "general.quantization_version")
    assert {key: after.metadata[key].value for key in of_packing} == {of_packing[0]: 7, of_packing[1]: 2}
    for key, value in before.metadata.items():
        if key not in of_packing:
            assert after.metadata[key] == value
    assert {name: one.shape for name, one in after.tensors.items()} == {
        name: one.shape for name, one in before.tensors.items()
    }


@pytest.mark.parametrize(
    "kind", ["f16", "bf16", "q6_k", "q5_k_m", "q5_1", "q5_0", "q4_k_m", "q4_1", "iq4_nl", "iq4_xs", "q3_k_m"]
)
def test_every_kind_is_made_and_runs(tmp_path, kind):
    if not of_today.is_installed():
        pytest.skip("NOT EVERY KIND WAS TESTED: xllamacpp is not installed")
    spec = tiny_gguf.tiny(width=256, heads=8, heads_kv=8, hidden=256, blocks=1)
    zeros = bytes(4 * 256 * 256)
    for name, (shape, _, raw) in spec.tensors.items():
        if len(shape) > 1:
            spec.tensors[name] = (shape, tiny_gguf.F32, (zeros + zeros)[: len(raw)])
    source = spec.write(tmp_path / "m-f32.gguf")
    (made,) = quantise(source, [kind], progress=quietly)
    assert made.path.name == f"m-{kind}.gguf"
    assert read_container(made.path).metadata["general.file_type"].value > 0
    assert made.size < source.stat().st_size * 0.7


def test_the_core_alone_makes_what_it_can(source, monkeypatch):
    monkeypatch.setattr(of_today, "VERSION", "0.0.1")
    with pytest.raises(EngineUnavailable, match="IQ4_NL; the engine that does is an extra"):
        quantise(source, ["iq4_nl"], progress=quietly)


def test_a_file_that_is_there_stays_unless_it_is_forced(source):
    target = source.with_name("model-q8_0.gguf")
    target.write_bytes(b"mine")
    with pytest.raises(ConfigurationError, match="model-q8_0.gguf is there already; say --force to replace it"):
        quantise(source, ["q4_0", "q8_0"], progress=quietly)
    assert not source.with_name("model-q4_0.gguf").exists(), "nothing is made where something cannot be"
    assert target.read_bytes() == b"mine"
    quantise(source, ["q8_0"], force=True, progress=quietly)
    assert inspect(target).quantisation == "Q8_0"


def test_a_file_that_comes_meanwhile_stays(source):
    target = source.with_name("model-q8_0.gguf")
    with pytest.raises(ConfigurationError, match="has come meanwhile"):
        quantise(source, ["q8_0"], progress=lambda *_: target.write_bytes(b"mine"))
    assert target.read_bytes() == b"mine"
    assert len(names(source.parent)) == 2, "nothing half is left"


def test_what_is_packed_already_is_refused_unless_that_is_meant(source):
    (made,) = quantise(source, ["q8_0"], progress=quietly)
    with pytest.raises(ModelFileError, match="packed as Q8_0 already, and packing it again loses twice"):
        quantise(made.path, ["q4_0"], progress=quietly)
    if of_today.is_installed():
        (again,) = quantise(made.path, ["q4_0"], requantise=True, progress=quietly)
        assert again.path.name == "model-q8_0-q4_0.gguf"
        assert says(again.path) == "bcdef"


def test_the_source_is_never_its_own_target(source):
    same = source.with_name("model-f16.gguf")
    with pytest.raises(ConfigurationError, match="is the source itself"):
        quantise(same, ["f16"], force=True, progress=quietly)


def test_what_cannot_be_is_refused_before_anything_is_written(source, tmp_path):
    for kinds, match in (([], "say what to make"), (["q4"], "no quantisation 'q4'")):
        with pytest.raises(ConfigurationError, match=match):
            quantise(source, kinds, progress=quietly)
    with pytest.raises(ConfigurationError, match="there is no folder"):
        quantise(source, ["q8_0"], folder=tmp_path / "absent", progress=quietly)
    assert names(tmp_path) == [source.name]


def test_weights_that_are_no_numbers_make_no_file(tmp_path):
    spec = half(tiny_gguf.scripted(CHAIN))
    shape, kind, raw = spec.tensors["output.weight"]
    spec.tensors["output.weight"] = (shape, kind, b"\x00\x7e" * (len(raw) // 2))
    source = spec.write(tmp_path / "m.gguf")
    with pytest.raises(ModelFileError, match="cannot be run, and was removed: .*computes no numbers"):
        quantise(source, ["q8_0"], progress=quietly)
    assert names(tmp_path) == ["m.gguf"]


def test_a_process_that_is_killed_is_an_error_and_leaves_nothing(source):
    def killed(*_):
        for child in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
            if b"inferkit.local.quantising" in Path(f"/proc/{child}/cmdline").read_bytes():
                os.kill(int(child), signal.SIGKILL)
                done.append(child)

    done = []
    try:
        quantise(source, ["q8_0"], progress=killed)
    except JobDied as error:
        assert "it was ended by SIGKILL" in str(error)
        assert names(source.parent) == [source.name]
    assert done


def test_an_interrupt_ends_the_process_and_leaves_nothing(source):
    def interrupted(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quantise(source, ["q8_0"], progress=interrupted)
    assert names(source.parent) == [source.name]


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("model-f16.gguf", "model-q4_0.gguf"),
        ("Model.BF16.gguf", "Model-q4_0.gguf"),
        ("model.gguf", "model-q4_0.gguf"),
        ("model-f16-v2.gguf", "model-f16-v2-q4_0.gguf"),
    ],
)
def test_a_file_is_named_after_its_source_and_its_kind(tmp_path, name, made):
    assert target_name(tmp_path / name, "q4_0") == made
