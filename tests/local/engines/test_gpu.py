"""How many layers a GPU takes, where no GPU is sure to be: its memory is a number here, and devices are played."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import tiny_gguf
from inferkit.core.errors import ConfigurationError
from inferkit.local.engines.capacity import choose_sizes
from inferkit.local.engines.ctransformers import library as ctransformers, loading
from inferkit.local.engines.ctransformers.library import find_library, free_cuda_memory
from inferkit.local.engines.ctransformers.llama import Llama
from inferkit.local.engines.ctransformers.preflight import inspect
from inferkit.local.engines.gpu import layers_that_fit
from inferkit.local.engines.interface import EngineSettings
from inferkit.local.engines.xllamacpp.devices import gpu_layers_for
from inferkit.local.errors import EngineUnavailable


@pytest.fixture
def model(tmp_path):
    return inspect(tiny_gguf.tiny(blocks=3).write(tmp_path / "m.gguf"))


@pytest.fixture
def sizes(model):
    return choose_sizes(model, context_length=None, threads=1, memory=None)


@pytest.mark.parametrize("value", [-1, True, 1.5, "2", "ALL", None])
def test_what_is_no_count_of_layers_is_refused(value):
    with pytest.raises(ConfigurationError, match='gpu_layers is a whole number from 0, "all" or "auto"'):
        EngineSettings("m.gguf", gpu_layers=value)


def test_as_many_layers_fit_as_the_memory_that_is_free_holds(model, sizes):
    counts = [layers_that_fit(model, sizes, free) for free in range(0, 1 << 30, 10_000)]
    assert counts == sorted(counts)
    assert set(counts) == set(range(5)), "four layers: three blocks, and the scores"


def devices(*kinds, free=1 << 34, built=True):
    """A library that sees devices of these kinds (0: the CPU, 1: a GPU)."""

    def memory(device, left, total):
        left._obj.value = free

    return SimpleNamespace(
        llama_supports_gpu_offload=lambda: built,
        ggml_backend_dev_count=lambda: len(kinds),
        ggml_backend_dev_get=lambda number: number,
        ggml_backend_dev_type=lambda device: kinds[device],
        ggml_backend_dev_memory=memory,
    )


@pytest.mark.parametrize(("wanted", "taken"), [(0, 0), (2, 2), ("all", 4), ("auto", 4)])
def test_a_gpu_takes_what_was_asked_for(model, sizes, wanted, taken):
    assert gpu_layers_for(wanted, devices(1, 0), model, sizes) == taken


def test_a_gpu_without_memory_takes_none_by_itself(model, sizes):
    assert gpu_layers_for("auto", devices(1, 0, free=1 << 20), model, sizes) == 0
    assert gpu_layers_for("auto", devices(0), model, sizes) == 0
    assert gpu_layers_for("auto", devices(1, built=False), model, sizes) == 0


@pytest.mark.parametrize("wanted", [3, "all"])
def test_a_library_that_sees_no_gpu_says_what_to_do(model, sizes, wanted):
    with pytest.raises(EngineUnavailable, match="this build of xllamacpp sees none; install the GPU's driver"):
        gpu_layers_for(wanted, devices(0), model, sizes)
    with pytest.raises(EngineUnavailable, match="pip install --force-reinstall --no-deps xllamacpp=="):
        gpu_layers_for(wanted, devices(0, built=False), model, sizes)


def test_the_library_of_2023_on_the_cpu_takes_no_layers_silently(tmp_path):
    path = tiny_gguf.tiny().write(tmp_path / "m.gguf")
    with pytest.raises(EngineUnavailable, match="computes on the CPU alone; run: CT_CUBLAS=1 pip install"):
        Llama(find_library(gpu=False), path, context_length=8, batch=8, threads=1, gpu_layers=1)


class TestTheLibraryOf2023:
    @pytest.fixture(autouse=True)
    def _a_gpu(self, monkeypatch):
        monkeypatch.setattr(loading, "find_library", lambda gpu: Path("cuda" if gpu else "cpu"))
        monkeypatch.setattr(loading, "load_cuda", lambda: None)
        monkeypatch.setattr(loading, "free_cuda_memory", lambda: self.free)
        self.free = 1 << 34

    @pytest.mark.parametrize(("wanted", "taken"), [(0, 0), (2, 2), ("all", 6), ("auto", 6)])
    def test_it_takes_what_was_asked_for(self, model, sizes, wanted, taken):
        assert loading._library(wanted, model, sizes) == (Path("cuda" if taken else "cpu"), taken)

    def test_one_without_memory_takes_none_by_itself(self, model, sizes):
        self.free = 0
        assert loading._library("auto", model, sizes) == (Path("cpu"), 0)


def test_the_free_memory_of_a_device_is_what_its_driver_says(monkeypatch):
    class Driver:
        broken = False

        def __init__(self, name):
            pass

        def __getattr__(self, name):
            return lambda *given: int(self.broken)

        def cuMemGetInfo_v2(self, free, total):
            free._obj.value = 123
            return 0

    monkeypatch.setattr(ctransformers.ctypes, "CDLL", Driver)
    assert free_cuda_memory() == 123
    monkeypatch.setattr(Driver, "broken", True)
    assert free_cuda_memory() == 0


def test_the_check_on_a_real_gpu_says_where_there_is_none():
    if Path("/proc/driver/nvidia").exists():
        pytest.skip("there is a GPU: run tools/check_gpu.py")
    program = Path(__file__).parents[3] / "tools" / "check_gpu.py"
    ran = subprocess.run([sys.executable, program, ""], capture_output=True, text=True)
    assert ran.returncode == 77, ran.stderr
    assert "NOT CHECKED" in ran.stdout
    assert ran.stdout.endswith("Nothing was checked: no engine here sees a GPU.\n")
