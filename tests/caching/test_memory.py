import os
import signal
import threading

import pytest

from inferkit.caching.entry import CachedReply
from inferkit.caching.memory import MemoryTier
from inferkit.core.chunks import Chunk
from inferkit.core.errors import ConfigurationError
from inferkit.runtime.direct import DirectRuntime, drive
from worlds import in_threads

RUNTIME = DirectRuntime()


def entry(text="reply"):
    return CachedReply((Chunk(text),), stored_at=1.0)


def test_the_least_recently_used_entry_goes_first():
    tier = MemoryTier(max_entries=2)
    drive(tier.put(RUNTIME, b"a", entry()))
    drive(tier.put(RUNTIME, b"b", entry()))
    drive(tier.get(RUNTIME, b"a"))
    drive(tier.put(RUNTIME, b"c", entry()))
    assert drive(tier.get(RUNTIME, b"b")) is None
    assert drive(tier.get(RUNTIME, b"a")) is not None
    assert drive(tier.get(RUNTIME, b"c")) is not None


def test_the_bytes_are_bounded():
    tier = MemoryTier(max_bytes=20_000)
    for number in range(100):
        drive(tier.put(RUNTIME, bytes([number]), entry("x" * 1000)))
    size = entry("x" * 1000).memory_bytes
    assert len(tier) * size <= 20_000 < (len(tier) + 1) * size


def test_an_entry_larger_than_the_tier_pushes_nothing_out():
    tier = MemoryTier(max_bytes=20_000)
    drive(tier.put(RUNTIME, b"a", entry()))
    drive(tier.put(RUNTIME, b"b", entry("x" * 20_000)))
    assert drive(tier.get(RUNTIME, b"a")) is not None
    assert drive(tier.get(RUNTIME, b"b")) is None


def test_an_entry_too_large_to_replace_the_old_one_removes_it():
    tier = MemoryTier(max_bytes=20_000)
    drive(tier.put(RUNTIME, b"a", entry()))
    drive(tier.put(RUNTIME, b"a", entry("x" * 20_000)))
    assert drive(tier.get(RUNTIME, b"a")) is None
    assert len(tier) == 0


def test_what_was_replaced_or_cleared_takes_no_room():
    size = entry("x" * 1000).memory_bytes
    tier = MemoryTier(max_bytes=2 * size)
    for _ in range(5):
        drive(tier.put(RUNTIME, b"a", entry("x" * 1000)))
    drive(tier.put(RUNTIME, b"b", entry("x" * 1000)))
    assert len(tier) == 2
    tier.clear()
    assert len(tier) == 0
    drive(tier.put(RUNTIME, b"c", entry("x" * 1000)))
    drive(tier.put(RUNTIME, b"d", entry("x" * 1000)))
    assert len(tier) == 2


def test_many_threads_leave_the_counts_right():
    tier = MemoryTier(max_entries=8)
    start = threading.Barrier(4)

    def work(seed):
        start.wait(20)
        for number in range(2000):
            name = bytes([(number * seed) % 16])
            drive(tier.put(RUNTIME, name, entry("x" * (number % 7))))
            drive(tier.get(RUNTIME, name))

    in_threads(work, (1, 3, 5, 7))
    assert len(tier) <= 8
    for number in range(8, 16):
        drive(tier.put(RUNTIME, bytes([number]), entry()))
    assert len(tier) == 8


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_forked_while_another_thread_held_the_lock_can_use_the_tier():
    tier = MemoryTier()
    drive(tier.put(RUNTIME, b"a", entry()))
    with tier._lock:  # as another thread may; it belongs to nobody
        pid = os.fork()
        if pid == 0:
            signal.alarm(20)  # a child that hangs is killed
            os._exit(0 if drive(tier.get(RUNTIME, b"a")) is None and len(tier) == 0 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert drive(tier.get(RUNTIME, b"a")) is not None


@pytest.mark.parametrize("sizes", [{"max_bytes": 0}, {"max_entries": 0}])
def test_a_tier_without_room_is_refused(sizes):
    with pytest.raises(ConfigurationError, match="memory=None"):
        MemoryTier(**sizes)
