import multiprocessing
import subprocess
import sys
import threading

import pytest

from inferkit.caching import write_behind
from inferkit.caching.disk import DiskTier
from inferkit.caching.entry import Entry
from inferkit.caching.write_behind import WriteBehind
from inferkit.core.chunks import Chunk

ENTRY = Entry((Chunk(text="Hello"), Chunk(finish_reason="stop")), stored_at=1.0)


def key(number):
    return number.to_bytes(32, "big")


@pytest.fixture
def tier(tmp_path):
    tier = DiskTier(tmp_path / "cache")
    yield tier
    tier.close()


@pytest.fixture
def slow(monkeypatch):
    """Let the writer's thread wait longer than any test, so that what waits is seen to wait."""
    monkeypatch.setattr(write_behind, "_GATHER_SECONDS", 3600.0)


@pytest.fixture
def behind(tier, slow):
    behind = WriteBehind(tier)
    yield behind
    behind.close()


def test_a_lone_write_is_on_disk_at_once(behind, tier):
    behind.put(key(1), ENTRY)
    assert tier.get(key(1)) == ENTRY


def test_writes_that_follow_closely_wait_and_are_found_meanwhile(behind, tier):
    for number in range(3):
        behind.put(key(number), ENTRY)
    assert [tier.get(key(number)) for number in range(3)] == [ENTRY, None, None]
    assert [behind.get(key(number)) for number in range(3)] == [ENTRY] * 3
    behind.flush()
    assert [tier.get(key(number)) for number in range(3)] == [ENTRY] * 3


def test_what_waits_is_written_by_itself(tier, monkeypatch):
    behind, written, put_all = WriteBehind(tier), threading.Event(), tier.put_all

    def put_and_tell(entries):
        put_all(entries)
        written.set()

    monkeypatch.setattr(tier, "put_all", put_and_tell)
    for number in range(3):
        behind.put(key(number), ENTRY)
    assert written.wait(10)
    assert [tier.get(key(number)) for number in range(3)] == [ENTRY] * 3
    behind.put(key(4), ENTRY)
    behind.close()
    assert tier.get(key(4)) == ENTRY


def test_closing_writes_what_waits(behind, tier):
    for number in range(3):
        behind.put(key(number), ENTRY)
    behind.close()
    assert tier.get(key(2)) == ENTRY


def test_no_more_than_some_hundred_entries_wait(behind, tier, monkeypatch):
    monkeypatch.setattr(write_behind, "_MOST_WAITING", 3)
    for number in range(4):
        behind.put(key(number), ENTRY)
    assert tier.get(key(3)) == ENTRY


def test_an_entry_that_is_put_again_while_it_is_written_is_written_again(behind, tier, monkeypatch):
    later = Entry((Chunk(text="Hello again"), Chunk(finish_reason="stop")), stored_at=2.0)
    behind.put(key(0), ENTRY)
    behind.put(key(1), ENTRY)
    write = tier.put_all

    def write_slowly(entries):
        write(entries)
        monkeypatch.setattr(tier, "put_all", write)
        behind.put(key(1), later)

    monkeypatch.setattr(tier, "put_all", write_slowly)
    behind.flush()
    assert behind.get(key(1)) == later
    behind.flush()
    assert tier.get(key(1)) == later


def test_the_end_of_the_process_writes_what_waits(tmp_path):
    program = """
import sys
from pathlib import Path
from inferkit.core.chunks import Chunk
from inferkit.caching.disk import DiskTier
from inferkit.caching.entry import Entry
from inferkit.caching.write_behind import WriteBehind

behind = WriteBehind(DiskTier(Path(sys.argv[1])))
for number in range(3):
    behind.put(number.to_bytes(32, "big"), Entry((Chunk(text="Hello"), Chunk(finish_reason="stop")), stored_at=1.0))
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "cache")], check=True)
    tier = DiskTier(tmp_path / "cache")
    assert [tier.get(key(number)) for number in range(3)] == [ENTRY] * 3
    tier.close()


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_leaves_what_waits_to_its_parent(behind, tier):
    for number in range(3):
        behind.put(key(number), ENTRY)
    child = multiprocessing.get_context("fork").Process(target=behind.flush)
    child.start()
    child.join(10)
    assert child.exitcode == 0
    assert tier.get(key(2)) is None
    behind.flush()
    assert tier.get(key(2)) == ENTRY
