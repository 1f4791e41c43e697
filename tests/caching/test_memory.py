import os
import threading

import pytest

from inferkit.caching.entry import Entry
from inferkit.caching.memory import MemoryTier
from inferkit.core.chunks import Chunk
from inferkit.core.errors import ConfigurationError


def entry(text="reply"):
    return Entry((Chunk(text),), stored_at=1.0)


def test_the_least_recently_used_entry_goes_first():
    tier = MemoryTier(max_entries=2)
    tier.put(b"a", entry())
    tier.put(b"b", entry())
    tier.get(b"a")
    tier.put(b"c", entry())
    assert tier.get(b"b") is None
    assert tier.get(b"a") is not None
    assert tier.get(b"c") is not None


def test_the_bytes_are_bounded():
    tier = MemoryTier(max_bytes=20_000)
    for number in range(100):
        tier.put(bytes([number]), entry("x" * 1000))
    size = entry("x" * 1000).memory_bytes
    assert len(tier) * size <= 20_000 < (len(tier) + 1) * size


def test_an_entry_larger_than_the_tier_pushes_nothing_out():
    tier = MemoryTier(max_bytes=20_000)
    tier.put(b"a", entry())
    tier.put(b"b", entry("x" * 20_000))
    assert tier.get(b"a") is not None
    assert tier.get(b"b") is None


def test_an_entry_too_large_to_replace_the_old_one_removes_it():
    tier = MemoryTier(max_bytes=20_000)
    tier.put(b"a", entry())
    tier.put(b"a", entry("x" * 20_000))
    assert tier.get(b"a") is None
    assert len(tier) == 0


def test_what_was_replaced_or_cleared_takes_no_room():
    size = entry("x" * 1000).memory_bytes
    tier = MemoryTier(max_bytes=2 * size)
    for _ in range(5):
        tier.put(b"a", entry("x" * 1000))
    tier.put(b"b", entry("x" * 1000))
    assert len(tier) == 2
    tier.clear()
    assert len(tier) == 0
    tier.put(b"c", entry("x" * 1000))
    tier.put(b"d", entry("x" * 1000))
    assert len(tier) == 2


def test_many_threads_leave_the_counts_right():
    tier = MemoryTier(max_entries=8)
    start = threading.Barrier(4)

    def work(seed):
        start.wait(20)
        for number in range(2000):
            name = bytes([(number * seed) % 16])
            tier.put(name, entry("x" * (number % 7)))
            tier.get(name)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 3, 5, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(tier) <= 8
    for number in range(8, 16):
        tier.put(bytes([number]), entry())
    assert len(tier) == 8


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_forked_while_another_thread_held_the_lock_can_use_the_tier():
    tier = MemoryTier()
    tier.put(b"a", entry())
    tier._lock.acquire()
    pid = os.fork()
    if pid == 0:
        free = tier._lock.acquire(timeout=5)
        os._exit(0 if free and len(tier) == 0 else 1)
    tier._lock.release()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert tier.get(b"a") is not None


@pytest.mark.parametrize("sizes", [{"max_bytes": 0}, {"max_entries": 0}])
def test_a_tier_without_room_is_refused(sizes):
    with pytest.raises(ConfigurationError, match="memory=None"):
        MemoryTier(**sizes)
