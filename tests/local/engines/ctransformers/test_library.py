from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from inferkit.local.engines import machine
from inferkit.local.engines.ctransformers import library
from inferkit.local.engines.ctransformers.library import VERSION, find_library, load_cuda, variant
from inferkit.local.engines.machine import cpu_features
from inferkit.local.errors import EngineUnavailable

FAST = frozenset({"avx", "avx2", "fma", "f16c"})


@pytest.mark.parametrize(
    ("features", "name"),
    [
        (FAST, "avx2"),
        (FAST - {"fma"}, "avx"),
        (FAST - {"f16c"}, "basic"),
        (FAST - {"avx2"}, "avx"),
        (frozenset(), "basic"),
    ],
)
def test_the_build_fits_the_processor(features, name):
    assert variant(features, gpu=False) == name
    assert find_library(gpu=False, features=features).parts[-2] == name


def test_the_cuda_build_needs_a_fast_processor():
    assert variant(FAST, gpu=True) == "cuda"
    with pytest.raises(EngineUnavailable, match=r"needs a processor with AVX2.*gpu_layers=0"):
        variant(FAST - {"avx2"}, gpu=True)


def test_the_builds_for_a_slower_processor_run_here_too(tiny_path):
    """In a process each, since two builds in one process could mix their symbols."""
    code = """
import sys
from pathlib import Path
from inferkit.local.engines.ctransformers.library import find_library
from inferkit.local.engines.ctransformers.llama import Llama
found = find_library(gpu=False, features=frozenset(sys.argv[2].split()))
llama = Llama(found, Path(sys.argv[1]), context_length=64, batch=32, threads=1)
llama.evaluate([1, 300, 301], 0)
print(llama.best(), [token for token, _ in llama.top(5)])
llama.close()
llama.close()
"""
    answers = set()
    for features in ("avx avx2 fma f16c", "avx f16c", ""):
        command = [sys.executable, "-c", code, str(tiny_path), features]
        environment = {"PYTHONPATH": ":".join(filter(None, sys.path))}
        run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        answers.add(run.stdout)
    assert len(answers) == 1


def test_features_are_read_from_the_kernel():
    flags = Path("/proc/cpuinfo").read_text()
    assert ("avx2" in cpu_features()) == (" avx2 " in flags)


def test_a_kernel_that_tells_nothing_gets_the_build_that_runs_anywhere(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "_PROCESSOR", tmp_path / "cpuinfo")
    assert variant(cpu_features(), gpu=False) == "basic"
    (tmp_path / "cpuinfo").write_text("model name: x\n")
    assert variant(cpu_features(), gpu=False) == "basic"


def a_package(monkeypatch, folder):
    """Make the installed package lie in another folder, without its description beside it."""
    spec = SimpleNamespace(submodule_search_locations=[str(folder / "ctransformers")])
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)


def test_without_the_package_the_error_names_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(EngineUnavailable, match=f"install ctransformers=={VERSION}"):
        find_library(gpu=False)


def test_another_release_of_the_package_is_refused(monkeypatch, tmp_path):
    a_package(monkeypatch, tmp_path)
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "0.3.0")
    with pytest.raises(EngineUnavailable, match=f"made for ctransformers {VERSION}, and 0.3.0 is installed"):
        find_library(gpu=False)


def test_a_folder_that_nothing_describes_is_not_trusted(monkeypatch, tmp_path):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    a_package(monkeypatch, tmp_path)
    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(EngineUnavailable, match="and an unknown release is installed"):
        find_library(gpu=False)


def test_a_machine_without_a_library_is_told_how_to_build_one(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(EngineUnavailable, match="no library for Linux aarch64; build it from source"):
        find_library(gpu=False)


def test_a_library_built_on_the_machine_is_preferred(monkeypatch, tmp_path):
    own = tmp_path / "ctransformers" / "lib" / "local" / "libctransformers.so"
    own.parent.mkdir(parents=True)
    own.touch()
    a_package(monkeypatch, tmp_path)
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert find_library(gpu=False) == own


def test_a_broken_installation_is_told_to_reinstall(monkeypatch, tmp_path):
    a_package(monkeypatch, tmp_path)
    with pytest.raises(EngineUnavailable, match="is missing; reinstall ctransformers"):
        find_library(gpu=False)


class TestCuda:
    """No test machine is sure to have a GPU, so the driver is played; its absence is real where there is none."""

    @pytest.fixture
    def driver(self, monkeypatch):
        calls = []

        class Driver:
            devices = 1
            status = 0
            missing = ()

            def __init__(self, name, mode=0):
                calls.append((name, mode))
                if any(part in name for part in self.missing):
                    raise OSError(name)

            def cuInit(self, flags):
                return self.status

            def cuDeviceGetCount(self, out):
                out._obj.value = self.devices
                return 0

        monkeypatch.setattr(library.ctypes, "CDLL", Driver)
        Driver.calls = calls
        return Driver

    def test_with_a_device_the_libraries_are_loaded_for_others_to_find(self, driver):
        load_cuda()
        names = [name for name, mode in driver.calls if mode == ctypes.RTLD_GLOBAL]
        assert names == ["libcudart.so.12", "libcublasLt.so.12", "libcublas.so.12"]

    def test_without_a_driver_the_error_says_what_to_install(self, driver):
        driver.missing = ("libcuda.so.1",)
        with pytest.raises(EngineUnavailable, match="install the driver or run on the CPU with gpu_layers=0"):
            load_cuda()

    def test_without_a_device_the_cuda_build_is_not_touched(self, driver):
        driver.devices = 0
        with pytest.raises(EngineUnavailable, match=r"the driver reports 0 .*CUDA_VISIBLE_DEVICES"):
            load_cuda()
        assert [name for name, _ in driver.calls] == ["libcuda.so.1"]

    def test_a_driver_that_does_not_start_is_reported(self, driver):
        driver.status = 999
        with pytest.raises(EngineUnavailable, match="status 999"):
            load_cuda()

    def test_without_the_runtime_the_error_names_its_packages(self, driver):
        driver.missing = ("libcublas.so.12",)
        with pytest.raises(EngineUnavailable, match=r"needs libcublas.so.12.*install nvidia-cuda-runtime-cu12"):
            load_cuda()

    def test_libraries_of_nvidias_packages_are_found(self, driver, monkeypatch, tmp_path):
        place = tmp_path / "nvidia" / "cublas" / "lib" / "libcublas.so.12"
        place.parent.mkdir(parents=True)
        place.touch()
        monkeypatch.syspath_prepend(str(tmp_path))
        real = driver.__init__

        def only_by_path(self, name, mode=0):
            if name == "libcublas.so.12":
                raise OSError(name)
            real(self, name, mode)

        monkeypatch.setattr(driver, "__init__", only_by_path)
        load_cuda()
        assert (str(place), ctypes.RTLD_GLOBAL) in driver.calls


def test_a_file_that_is_no_library_is_refused(tmp_path, tiny_path):
    from inferkit.local.engines.ctransformers.llama import Llama

    with pytest.raises(EngineUnavailable, match="cannot be used"):
        Llama(tiny_path, tiny_path, context_length=8, batch=8, threads=1)
