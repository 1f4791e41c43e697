import multiprocessing
import subprocess
import sys
import threading

import pytest

from inferkit.caching import disk
from inferkit.caching.disk import DiskStore, DiskTier
from inferkit.caching.entry import CachedReply
from inferkit.core.chunks import Chunk
from inferkit.runtime.direct import DirectRuntime, drive

RUNTIME = DirectRuntime()
ENTRY = CachedReply((Chunk(text="Hello"), Chunk(finish_reason="stop")), stored_at=1.0)


def key(number):
    return number.to_bytes(32, "big")


def put(tier, number, entry=ENTRY):
    drive(tier.put(RUNTIME, key(number), entry))


def get(tier, number):
    return drive(tier.get(RUNTIME, key(number)))


@pytest.fixture
def store(tmp_path):
    """What another process sees of the folder."""
    store = DiskStore(tmp_path / "cache")
    yield store
    store.close()


@pytest.fixture
def slow(monkeypatch):
    """Let the writer's thread wait longer than any test, so that what waits is seen to wait."""
    monkeypatch.setattr(disk, "_GATHER_SECONDS", 3600.0)


@pytest.fixture
def tier(tmp_path, slow):
    tier = DiskTier(tmp_path / "cache")
    yield tier
    tier.close()


def test_a_lone_write_is_on_disk_at_once(tier, store):
    put(tier, 1)
    assert store.get(key(1)) == ENTRY


def test_writes_that_follow_closely_wait_and_are_found_meanwhile(tier, store):
    for number in range(3):
        put(tier, number)
    assert [store.get(key(number)) for number in range(3)] == [ENTRY, None, None]
    assert [get(tier, number) for number in range(3)] == [ENTRY] * 3
    tier.flush()
    assert [store.get(key(number)) for number in range(3)] == [ENTRY] * 3


def test_what_waits_is_written_by_itself(tmp_path, store, monkeypatch):
    tier, written, put_all = DiskTier(tmp_path / "cache"), threading.Event(), DiskStore.put_all

    def put_and_tell(self, entries):
        put_all(self, entries)
        written.set()

    monkeypatch.setattr(DiskStore, "put_all", put_and_tell)
    for number in range(3):
        put(tier, number)
    assert written.wait(10)
    assert [store.get(key(number)) for number in range(3)] == [ENTRY] * 3
    put(tier, 4)
    tier.close()
    assert store.get(key(4)) == ENTRY


def test_closing_writes_what_waits(tier, store):
    for number in range(3):
        put(tier, number)
    tier.close()
    assert store.get(key(2)) == ENTRY


def test_no_more_than_some_hundred_entries_wait(tier, store, monkeypatch):
    monkeypatch.setattr(disk, "_MOST_WAITING", 3)
    for number in range(4):
        put(tier, number)
    assert store.get(key(3)) == ENTRY


def test_an_entry_that_is_put_again_while_it_is_written_is_written_again(tier, store, monkeypatch):
    later = CachedReply((Chunk(text="Hello again"), Chunk(finish_reason="stop")), stored_at=2.0)
    put(tier, 0)
    put(tier, 1)
    write = DiskStore.put_all

    def write_slowly(self, entries):
        write(self, entries)
        monkeypatch.setattr(DiskStore, "put_all", write)
        put(tier, 1, later)

    monkeypatch.setattr(DiskStore, "put_all", write_slowly)
    tier.flush()
    assert get(tier, 1) == later
    tier.flush()
    assert store.get(key(1)) == later


def test_the_end_of_the_process_writes_what_waits(tmp_path, store):
    program = """
import sys
from inferkit.caching.disk import DiskTier
from inferkit.caching.entry import CachedReply
from inferkit.core.chunks import Chunk
from inferkit.runtime.direct import DirectRuntime, drive

tier = DiskTier(sys.argv[1])
entry = CachedReply((Chunk(text="Hello"), Chunk(finish_reason="stop")), stored_at=1.0)
for number in range(3):
    drive(tier.put(DirectRuntime(), number.to_bytes(32, "big"), entry))
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "cache")], check=True)
    assert [store.get(key(number)) for number in range(3)] == [ENTRY] * 3


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_leaves_what_waits_to_its_parent(tier, store):
    for number in range(3):
        put(tier, number)
    child = multiprocessing.get_context("fork").Process(target=tier.flush)
    child.start()
    child.join(10)
    assert child.exitcode == 0
    assert store.get(key(2)) is None
    tier.flush()
    assert store.get(key(2)) == ENTRY
