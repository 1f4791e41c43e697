"""What a machine has is what its kernel says, and what the process's control groups leave of it."""

from __future__ import annotations

import os

import pytest

from inferkit.local.engines import machine
from inferkit.local.engines.machine import available_memory, killed_for_memory, tells_of_memory, usable_cores


@pytest.fixture
def kernel(monkeypatch, tmp_path):
    """A kernel's tables, which a test writes: nothing is in them yet."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    for name, place in (("_GROUPS", "groups"), ("_OWN_GROUP", "own"), ("_MEMORY", "meminfo"), ("_EVENTS", "vmstat")):
        monkeypatch.setattr(machine, name, tmp_path / place)

    def write(**tables):
        for name, text in tables.items():
            folder, _, file = name.rpartition("__")
            place = tmp_path / folder.replace("__", "/") / file.replace("_", ".", 1)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)

    return write


def test_a_containers_share_of_time_counts_as_cores(kernel):
    assert usable_cores() == 8
    for quota, cores in (("max 100000", 8), ("250000 100000", 2), ("50000 100000", 1), ("rubbish", 8)):
        kernel(groups__cpu_max=quota + "\n")
        assert usable_cores() == cores


def test_free_memory_is_what_the_kernel_says(kernel):
    assert available_memory() is None
    kernel(meminfo="MemTotal: 9 kB\nMemAvailable:   2048 kB\n")
    assert available_memory() == 2 << 20
    kernel(meminfo="MemTotal: 9 kB\nMemAvailable:\n")
    assert available_memory() is None


def test_the_tightest_of_the_groups_around_a_process_counts(kernel):
    kernel(meminfo="MemAvailable: 4096 kB\n", own="9:memory:/x\n0::/outer/inner\n")
    kernel(groups__outer__memory_max="3000000", groups__outer__memory_current="2000000")
    kernel(groups__outer__inner__memory_max="max", groups__outer__inner__cpu_max="300000 100000")
    assert available_memory() == 1_000_000
    assert usable_cores() == 3
    kernel(groups__outer__memory_stat="anon 5\ninactive_file 500000\n")
    assert available_memory() == 1_500_000
    kernel(groups__outer__memory_current="9000000", groups__memory_max="7", groups__memory_current="1")
    assert available_memory() == 0


def test_a_group_that_lies_outside_of_what_is_seen_is_passed_by(kernel):
    kernel(own="0::/../../elsewhere\n", meminfo="MemAvailable: 1 kB\n")
    assert available_memory() == 1024


def test_groups_of_version_1_count_too(kernel):
    """There each controller has a tree of its own, and a limit that is none is a very large number."""
    kernel(
        meminfo="MemAvailable: 4096 kB\n", own="9:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n1:name=systemd:/\n0::/\n"
    )
    kernel(groups__memory__memory_limit_in_bytes="9223372036854771712", groups__memory__memory_usage_in_bytes="5000")
    kernel(groups__cpu__cpu_cfs_quota_us="-1\n", groups__cpu__cpu_cfs_period_us="100000\n")
    assert (available_memory(), usable_cores()) == (4 << 20, 8)
    inner = "groups__memory__docker__x__"
    kernel(**{f"{inner}memory_limit_in_bytes": "3000000\n", f"{inner}memory_usage_in_bytes": "2000000\n"})
    kernel(groups__cpu__docker__x__cpu_cfs_quota_us="250000\n", groups__cpu__docker__x__cpu_cfs_period_us="100000\n")
    assert (available_memory(), usable_cores()) == (1_000_000, 2)
    kernel(**{f"{inner}memory_stat": "inactive_file 1\ntotal_inactive_file 500000\n"})
    assert available_memory() == 1_500_000


def test_a_container_that_sees_its_own_group_of_version_1_as_the_root_is_limited(kernel):
    kernel(meminfo="MemAvailable: 4096 kB\n", own="9:memory:/docker/of-the-host\n")
    kernel(groups__memory__memory_limit_in_bytes="700000", groups__memory__memory_usage_in_bytes="500000")
    assert available_memory() == 200_000


def test_processes_that_were_ended_for_memory_are_counted(kernel):
    assert killed_for_memory() == 0
    kernel(vmstat="pgfault 12\noom_kill 3\n")
    assert killed_for_memory() == 3


@pytest.mark.parametrize(
    ("words", "memory"),
    [
        ("terminate called after throwing an instance of 'std::bad_alloc'", True),
        ("ggml.c:1644: GGML_ASSERT(ctx->mem_buffer != NULL) failed", True),
        ("MemoryError", True),
        ("cannot allocate memory for thread-local data: ABORT", True),
        ("ImportError: _struct.so: failed to map segment from shared object", True),
        ("ImportError: _struct.so: failed to map segment from shared object: Operation not permitted", False),
        ("RuntimeError: can't start new thread", True),
        ("ImportError: Frozen object named 'site' is invalid", True),
        ("SystemError: error return without exception set", True),
        ("GGML_ASSERT(n > 0) failed", False),
        ("", False),
    ],
)
def test_last_words_that_mean_a_want_of_memory_are_known(words, memory):
    assert tells_of_memory(words) is memory
