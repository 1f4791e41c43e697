"""Packing numbers with either engine's library."""

from __future__ import annotations

import ctypes
import random

import pytest

from inferkit.local.engines.ctransformers.library import find_library as find_older
from inferkit.local.engines.ctransformers.preflight import PACKINGS
from inferkit.local.engines.xllamacpp import library as of_today
from inferkit.local.errors import EngineUnavailable
from inferkit.local.gguf.packing import TENSOR_TYPES, TYPE_NUMBERS
from inferkit.local.quantising.kernels import Kernels, check_packings
from inferkit.local.quantising.recipes import RECIPES

ROWS, WIDTH = 4, 512
WANTED = sorted({one.packing for one in RECIPES.values()} | {one.scores for one in RECIPES.values()})
ERRORS = {"F32": 0, "F16": 0.001, "BF16": 0.003, "Q8_0": 0.01, "Q6_K": 0.03, "Q3_K": 0.2}
"""How far packed numbers may be from what they were, in parts of their size; the others lose a tenth at most."""


@pytest.fixture(scope="module")
def numbers():
    chance = random.Random(5)
    return (ctypes.c_float * (ROWS * WIDTH))(*(chance.gauss(0, 0.3) for _ in range(ROWS * WIDTH)))


@pytest.fixture(scope="module")
def today():
    if not of_today.is_installed():
        pytest.skip("PACKING WITH THE EXTRA'S LIBRARY WAS NOT TESTED: xllamacpp is not installed")
    return Kernels(of_today.find_library(), modern=True)


@pytest.fixture(scope="module")
def older():
    return Kernels(find_older(gpu=False), modern=False)


def packed(kernels, packing, numbers):
    kind = TENSOR_TYPES[TYPE_NUMBERS[packing]]
    target = (ctypes.c_char * (ROWS * WIDTH // kind.block * kind.size))()
    made = kernels.pack(packing, ctypes.addressof(numbers), ctypes.addressof(target), ROWS, WIDTH)
    assert made == len(target)
    return target


@pytest.mark.parametrize("packing", ["F32", *WANTED])
def test_what_was_packed_is_nearly_what_it_was(today, numbers, packing):
    target = packed(today, packing, numbers)
    back = (ctypes.c_float * len(numbers))()
    today.unpack(packing, ctypes.addressof(target), ctypes.addressof(back), len(numbers))
    off = sum((one - other) ** 2 for one, other in zip(numbers, back, strict=True))
    assert (off / sum(one * one for one in numbers)) ** 0.5 <= ERRORS.get(packing, 0.1)


@pytest.mark.parametrize("packing", sorted(PACKINGS & set(WANTED)))
def test_both_libraries_pack_alike(today, older, numbers, packing):
    """Of the K kinds they round a few of their scales differently."""
    one, other = bytes(packed(today, packing, numbers)), bytes(packed(older, packing, numbers))
    allowed = len(one) // 20 if packing.endswith("_K") else 0
    assert sum(a != b for a, b in zip(one, other, strict=True)) <= allowed


def test_both_unpack_sixteen_bits_alike(today, older, numbers):
    halves = packed(today, "F16", numbers)
    found = []
    for kernels in (today, older):
        back = (ctypes.c_float * len(numbers))()
        kernels.unpack("F16", ctypes.addressof(halves), ctypes.addressof(back), len(numbers))
        found.append(list(back))
    assert found[0] == found[1]


def test_what_the_core_alone_cannot_pack_names_what_to_install(monkeypatch):
    monkeypatch.setattr(of_today, "is_installed", lambda: False)
    check_packings(frozenset({"Q8_0", "Q4_K"}), unpacked=frozenset({"F16"}))
    for packings, unpacked in (({"IQ4_NL"}, {"F16"}), ({"Q8_0"}, {"BF16"})):
        with pytest.raises(EngineUnavailable, match=r"does not know .*run: pip install 'inferkit\[llama\]'"):
            check_packings(frozenset(packings), unpacked=frozenset(unpacked))
