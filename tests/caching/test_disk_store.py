import contextlib
import io
import logging
import os
import pickle
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from inferkit.caching import disk
from inferkit.caching.bytes_disk import BytesStore, DamagedRowError
from inferkit.caching.disk import DiskStore
from inferkit.caching.entry import CachedReply
from inferkit.core.chunks import Chunk
from inferkit.core.errors import ConfigurationError
from inferkit.core.usage import Usage
from inferkit.runtime import clock, writer
from worlds import in_threads

DESCRIPTORS = Path("/proc/self/fd")
KEY = b"k" * 32
ENTRY = CachedReply((Chunk("Hello"), Chunk(finish_reason="stop", usage=Usage(7, 2))), stored_at=1.5, cost_nanos=9)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


def bytes_store(folder):
    return contextlib.closing(BytesStore(folder, size_limit=2**20, timeout=1))


@pytest.fixture
def tier(folder):
    tier = DiskStore(folder)
    yield tier
    tier.close()


@contextlib.contextmanager
def database(folder):
    connection = sqlite3.connect(folder / "cache.db", isolation_level=None, timeout=10)
    try:
        yield connection
    finally:
        connection.close()


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self._path = str(path)

    def __reduce__(self):
        return open, (self._path, "w")


def test_an_entry_is_found_by_another_tier_on_the_same_folder(tier, folder):
    tier.put(KEY, ENTRY)
    other = DiskStore(folder)
    assert other.get(KEY) == ENTRY
    assert other.get(b"l" * 32) is None
    other.close()


def test_an_entry_is_gone_when_its_time_is_over(tier, folder):
    tier.put(KEY, ENTRY, ttl=60)
    assert tier.get(KEY) == ENTRY
    with database(folder) as connection:
        ((expires,),) = connection.execute("SELECT expire_time FROM Cache").fetchall()
        assert time.time() + 50 < expires < time.time() + 70
        connection.execute("UPDATE Cache SET expire_time = 1")
    assert tier.get(KEY) is None


def test_an_entry_takes_the_place_of_the_one_under_its_key_with_all_that_belongs_to_it(folder):
    with bytes_store(folder) as store, database(folder) as connection:
        store.write([(KEY, b"old", 60.0, "one:model"), (b"l" * 32, b"other", None, "one:model")])
        connection.execute("UPDATE Cache SET mode = 3, filename = 'x', size = 5, access_count = 2 WHERE key = ?", [KEY])
        before = time.time()
        store.write([(KEY, b"new", None, "two:model")])
        rows = connection.execute("SELECT * FROM Cache WHERE key = ?", [KEY])
        ((_, key, raw, stored, expires, used, *others),) = rows.fetchall()
        assert before <= stored == used <= time.time()
        assert (key, raw, expires, others) == (KEY, 1, None, [0, "two:model", 0, 1, None, b"new"])
        assert len(store) == 2, "what diskcache counts itself"


def test_entries_that_are_kept_together_are_all_kept_or_none_is(folder):
    with bytes_store(folder) as store, pytest.raises(DamagedRowError):
        store.write([(KEY, b"sound", None, "a:model"), (b"l" * 32, "no bytes", None, "a:model")])
    with bytes_store(folder) as store:
        assert len(store) == 0


def test_a_large_entry_makes_no_file_of_its_own(tier, folder):
    large = CachedReply((Chunk("x" * 300_000),), stored_at=1.0)
    tier.put(KEY, large)
    assert tier.get(KEY) == large
    assert {path.name for path in folder.iterdir()} <= {"cache.db", "cache.db-wal", "cache.db-shm"}


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_only_the_owner_can_look_into_the_folder(tier, folder):
    tier.put(KEY, ENTRY)
    assert folder.stat().st_mode & 0o077 == 0


def test_the_database_writes_ahead_and_evicts_what_was_stored_first(tier, folder):
    tier.put(KEY, ENTRY)
    with database(folder) as connection:
        settings = dict(connection.execute("SELECT key, value FROM Settings").fetchall())
        ((mode,),) = connection.execute("PRAGMA journal_mode").fetchall()
    assert mode == "wal"
    assert settings["eviction_policy"] == "least-recently-stored"
    assert settings["size_limit"] == 512 * 2**20
    assert settings["statistics"] == 0


def make_room(tier):
    """Wait until the background has removed what is too much."""
    assert writer.disk.flush(30)
    while tier._making_room:
        assert writer.disk.flush(30)


def test_where_the_limit_was_lowered_by_much_no_put_waits_for_what_is_removed(folder, connections):
    roomy = DiskStore(folder)
    entry = CachedReply((Chunk("x" * 10_000),), stored_at=1.0)
    for number in range(600):
        roomy.put(number.to_bytes(32), entry)
    roomy.close()
    assert (folder / "cache.db").stat().st_size > 5 * 2**20
    tier, gate, statements = DiskStore(folder, size_limit=2**20), threading.Event(), []
    writer.disk.take(lambda: gate.wait(30))
    tier.open()
    connections[-2].set_trace_callback(statements.append)
    for number in range(100):
        tier.put((1000 + number).to_bytes(32), entry)
    assert not any(each.startswith("DELETE") for each in statements), "the background has not come round to it"
    gate.set()
    make_room(tier)
    connections[-2].set_trace_callback(None)
    removals = sum("FROM Cache ORDER BY store_time" in each for each in statements)
    assert removals > 500 / 16, "a few at a time"
    assert tier.get((1099).to_bytes(32)) == entry
    tier.close()
    assert (folder / "cache.db").stat().st_size < 2 * 2**20


def test_a_store_that_is_closed_while_room_is_made_stays_closed(folder):
    tier = DiskStore(folder, size_limit=2**20)
    for number in range(300):
        tier.put(number.to_bytes(32), CachedReply((Chunk("x" * 10_000),), stored_at=1.0))
    tier.close()
    make_room(tier)
    assert tier._store is None


def test_the_folder_stays_near_its_size_limit(folder):
    tier = DiskStore(folder, size_limit=2**20)
    keys = [number.to_bytes(32) for number in range(400)]
    for key in keys:
        tier.put(key, CachedReply((Chunk("x" * 10_000),), stored_at=1.0))
    make_room(tier)
    kept = [key for key in keys if tier.get(key) is not None]
    assert 0 < len(kept) < 200
    assert kept[-1] == keys[-1]
    tier.close()  # which moves what was removed out of the file, too
    assert (folder / "cache.db").stat().st_size < 2 * 2**20


@pytest.mark.parametrize("mode", [1, 4])
def test_a_pickled_value_is_never_unpickled(tier, folder, tmp_path, mode, caplog):
    tier.put(KEY, ENTRY)
    trap = tmp_path / "trap"
    with database(folder) as connection:
        connection.execute("UPDATE Cache SET mode = ?, value = ?", (mode, pickle.dumps(Bomb(trap))))
    assert tier.get(KEY) is None
    tier.put(KEY, ENTRY)
    assert tier.get(KEY) == ENTRY
    assert not trap.exists()


def test_a_pickled_value_in_a_file_is_never_unpickled(tier, folder, tmp_path):
    tier.put(KEY, ENTRY)
    trap, file = tmp_path / "trap", folder / "x.val"
    file.write_bytes(pickle.dumps(Bomb(trap)))
    with database(folder) as connection:
        connection.execute("UPDATE Cache SET mode = 4, value = NULL, filename = 'x.val'")
    assert tier.get(KEY) is None
    assert not trap.exists()


def test_a_pickled_key_is_never_unpickled(tier, folder, tmp_path):
    trap = tmp_path / "trap"
    tier.put(KEY, ENTRY)
    with database(folder) as connection:
        connection.execute("UPDATE Cache SET key = ?, raw = 0", (pickle.dumps(Bomb(trap)),))
    assert tier.get(KEY) is None
    with bytes_store(folder) as store, pytest.raises(DamagedRowError, match="plain bytes"):
        list(store)
    assert not trap.exists()


@pytest.mark.parametrize("mode", [2, 3])
@pytest.mark.parametrize("absolute", [True, False])
def test_a_row_that_names_a_file_outside_reads_and_removes_nothing(tier, folder, tmp_path, mode, absolute):
    outside = tmp_path / "outside"
    tier.put(KEY, ENTRY)
    with database(folder) as connection:
        ((value,),) = connection.execute("SELECT value FROM Cache").fetchall()
        outside.write_bytes(value)  # a good entry: it would be served if it were read
        name = str(outside) if absolute else "../outside"
        connection.execute("UPDATE Cache SET mode = ?, value = NULL, filename = ?", (mode, name))
    assert tier.get(KEY) is None
    tier.put(KEY, ENTRY)  # replaces the row, which is when diskcache removes the row's file
    assert tier.get(KEY) == ENTRY
    assert outside.exists()


@pytest.mark.parametrize("value", ["text", 5, 1.5, None])
def test_a_value_of_another_type_is_passed_by(tier, folder, value):
    tier.put(KEY, ENTRY)
    with database(folder) as connection:
        connection.execute("UPDATE Cache SET value = ?", (value,))
    assert tier.get(KEY) is None


def test_a_truncated_value_is_passed_by(tier, folder):
    tier.put(KEY, ENTRY)
    with database(folder) as connection:
        connection.execute("UPDATE Cache SET value = substr(value, 1, 60)")
    assert tier.get(KEY) is None


def test_a_damaged_row_is_said_once_and_the_rest_of_the_cache_goes_on(tier, folder, caplog):
    tier.put(KEY, ENTRY)
    tier.put(b"l" * 32, ENTRY)
    with database(folder) as connection:
        connection.execute("UPDATE Cache SET mode = 4 WHERE key = ?", (KEY,))
    for _ in range(3):
        assert tier.get(KEY) is None
    assert tier.get(b"l" * 32) == ENTRY
    assert [record.levelno for record in caplog.records if record.levelno >= logging.WARNING] == [logging.WARNING]


@pytest.mark.parametrize(
    "damage", [b"this is not a database at all, sorry" * 100, b"\0" * 50_000, b"SQLite format 3\0"]
)
def test_a_damaged_database_is_one_warning_and_no_cache(folder, caplog, damage):
    folder.mkdir()
    (folder / "cache.db").write_bytes(damage)
    tier = DiskStore(folder)
    for _ in range(3):
        tier.put(KEY, ENTRY)
        assert tier.get(KEY) is None
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "delete the folder" in warning.getMessage()
    tier.close()


def test_a_database_damaged_while_in_use_is_no_error(tier, folder):
    for number in range(200):
        tier.put(number.to_bytes(32), ENTRY)
    tier.close()
    data = bytearray((folder / "cache.db").read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    (folder / "cache.db").write_bytes(data)
    for number in range(200):
        assert tier.get(number.to_bytes(32)) in (None, ENTRY)
    tier.put(KEY, ENTRY)


def test_a_truncated_database_is_no_error(tier, folder):
    for number in range(200):
        tier.put(number.to_bytes(32), ENTRY)
    tier.close()
    path = folder / "cache.db"
    os.truncate(path, path.stat().st_size // 2)
    for number in range(200):
        assert tier.get(number.to_bytes(32)) in (None, ENTRY)
    tier.put(KEY, ENTRY)


def test_a_folder_that_cannot_be_made_is_one_warning_and_no_cache(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    tier = DiskStore(tmp_path / "file" / "cache")
    for _ in range(3):
        tier.put(KEY, ENTRY)
        assert tier.get(KEY) is None
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "writable" in warning.getMessage()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_folder_is_one_warning_and_no_cache(folder, caplog):
    folder.mkdir(mode=0o500)
    tier = DiskStore(folder)
    tier.put(KEY, ENTRY)
    assert tier.get(KEY) is None
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "writable" in warning.getMessage()


def test_a_full_disk_is_one_warning_and_no_cache(connections, tier, caplog):
    tier.put(KEY, ENTRY)
    writing, _ = connections[-2:]
    ((pages,),) = writing.execute("PRAGMA page_count").fetchall()
    writing.execute(f"PRAGMA max_page_count = {pages}")  # SQLite then says what it says on a full disk
    for number in range(3):
        tier.put(number.to_bytes(32), CachedReply((Chunk("x" * 100_000),), stored_at=1.0))
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "disk not full" in warning.getMessage()


def test_a_tier_that_failed_is_tried_again_after_a_rest(tmp_path, caplog, monkeypatch):
    blocker = tmp_path / "cache"
    blocker.write_text("in the way")
    tier = DiskStore(blocker)
    tier.put(KEY, ENTRY)
    assert tier.is_open  # nothing to open while it rests
    blocker.unlink()
    tier.put(KEY, ENTRY)
    assert tier.get(KEY) is None
    later = clock.now() + 61
    monkeypatch.setattr(clock, "now", lambda: later)
    assert not tier.is_open
    tier.put(KEY, ENTRY)
    assert tier.get(KEY) == ENTRY
    tier.close()


def test_deleting_a_damaged_folder_repairs_the_cache_of_a_running_process(tier, folder, monkeypatch):
    for number in range(200):
        tier.put(number.to_bytes(32), ENTRY)
    (folder / "cache.db-wal").write_bytes(b"")
    (folder / "cache.db").write_bytes(os.urandom(100_000))
    for number in range(200):
        tier.get(number.to_bytes(32))
    tier.put(KEY, ENTRY)
    shutil.rmtree(folder)
    later = clock.now() + 61
    monkeypatch.setattr(clock, "now", lambda: later)
    tier.put(KEY, ENTRY)
    assert DiskStore(folder).get(KEY) == ENTRY


def test_a_locked_database_is_passed_by_quickly_and_said_once(tier, folder, caplog):
    tier.put(KEY, ENTRY)
    with database(folder) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for number in range(3):
            tier.put(number.to_bytes(32), ENTRY)
        connection.execute("ROLLBACK")
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "locked" in warning.getMessage()
    assert tier.get(b"\0" * 32) is None


def test_a_database_locked_before_its_first_use_is_passed_by(tier, folder, caplog):
    tier.put(KEY, ENTRY)
    other = DiskStore(folder)
    with database(folder) as connection:
        connection.execute("BEGIN IMMEDIATE")
        assert other.get(KEY) is None  # diskcache alone would wait for a minute
        connection.execute("ROLLBACK")
    assert any("locked" in record.getMessage() for record in caplog.records)


def test_logs_hold_nothing_of_a_reply(tier, folder, caplog):
    caplog.set_level(logging.DEBUG)
    tier.put(KEY, CachedReply((Chunk("my secret"),), stored_at=1.0))
    with database(folder) as connection:
        connection.execute("UPDATE Cache SET mode = 3, filename = 'x', value = 'my secret'")
    assert tier.get(KEY) is None
    assert caplog.records
    assert "my secret" not in caplog.text


def test_nothing_but_bytes_is_ever_written(folder):
    with bytes_store(folder) as store:
        for write in (
            lambda: store.write([("text", b"x", None, "a:model")]),
            lambda: store.write([(KEY, Bomb("trap"), None, "a:model")]),
            lambda: store.set("text", b"x"),
            lambda: store.set(KEY, Bomb("trap")),
            lambda: store.set(KEY, io.BytesIO(b"x"), read=True),
            store.disk.filename,
        ):
            with pytest.raises((DamagedRowError, TypeError)):
                write()
        assert len(store) == 0


def test_many_threads_share_a_tier(tier):
    start = threading.Barrier(4)
    wrong = []

    def work(seed):
        start.wait(20)
        for number in range(50):
            key = ((number * seed) % 20).to_bytes(32)
            tier.put(key, ENTRY)
            if tier.get(key) not in (ENTRY, None):
                wrong.append(key)
        tier.close()

    in_threads(work, (1, 3, 7, 9))
    assert wrong == []


@pytest.mark.skipif(not DESCRIPTORS.is_dir(), reason="counts this process's open files")
def test_threads_that_ended_leave_no_connection_behind(tier, folder):
    tier.put(KEY, ENTRY)

    def descriptors():
        return sum(os.path.realpath(each).startswith(str(folder)) for each in DESCRIPTORS.iterdir())

    before = descriptors()
    found = []
    for _ in range(5):
        thread = threading.Thread(target=lambda: found.append(tier.get(KEY)))
        thread.start()
        thread.join(60)
    assert found == [ENTRY] * 5
    assert descriptors() == before > 0
    tier.close()
    assert descriptors() == 0


def test_a_look_up_does_not_wait_for_a_write(tier, monkeypatch):
    tier.put(KEY, ENTRY)
    found = []

    def look_up_meanwhile(store, rows, write=BytesStore.write):
        with store.transact():
            write(store, rows)
            thread = threading.Thread(target=lambda: found.append(tier.get(KEY)))
            thread.start()
            thread.join(60)

    monkeypatch.setattr(BytesStore, "write", look_up_meanwhile)
    tier.put(b"l" * 32, ENTRY)
    assert found == [ENTRY]


def test_a_transaction_that_an_interrupt_left_open_is_undone_by_the_next(connections, tier, folder):
    tier.put(KEY, ENTRY)
    writing, _ = connections[-2:]
    writing.execute("BEGIN IMMEDIATE")
    tier.put(b"l" * 32, ENTRY)
    other = DiskStore(folder)
    assert other.get(b"l" * 32) == ENTRY
    other.put(b"m" * 32, ENTRY)
    assert tier.get(b"m" * 32) == ENTRY
    other.close()


_WORK = """
import sys
from inferkit.core.chunks import Chunk
from inferkit.caching.bytes_disk import DamagedRowError
from inferkit.caching.disk import DiskStore
from inferkit.caching.entry import CachedReply
tier = DiskStore(sys.argv[1])
for number in range(int(sys.argv[2]), int(sys.argv[2]) + 200):
    key = number.to_bytes(32)
    while tier.get(key) is None:  # the other process may be in the way
        tier.put(key, CachedReply((Chunk(f"reply {number}"),), stored_at=1.0))
"""


def test_two_processes_share_a_folder(tier, folder):
    commands = [[sys.executable, "-c", _WORK, str(folder), first] for first in ("0", "1000")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    workers = [subprocess.Popen(command, env=environment) for command in commands]
    assert [worker.wait(60) for worker in workers] == [0, 0]
    for number in (*range(200), *range(1000, 1200)):
        assert tier.get(number.to_bytes(32)).chunks == (Chunk(f"reply {number}"),)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_uses_connections_of_its_own(connections, tier):
    tier.put(KEY, ENTRY)
    inherited = len(connections)
    pid = os.fork()
    if pid == 0:
        fine = tier.get(KEY) == ENTRY and len(connections) > inherited
        tier.put(b"c" * 32, ENTRY)
        os._exit(0 if fine else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert tier.get(b"c" * 32) == ENTRY


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_fork_while_a_thread_writes_takes_no_lock_along(tier, monkeypatch):
    writing = threading.Event()

    def entries():
        for number in range(100):
            yield number.to_bytes(32), ENTRY, None

    def announce(store, rows, write=BytesStore.write):
        with store.transact():
            writing.set()
            write(store, rows)

    monkeypatch.setattr(BytesStore, "write", announce)
    monkeypatch.setattr(disk, "_BUSY_SECONDS", 30.0)  # the child is to wait for its parent, however slow that is
    tier.open()
    thread = threading.Thread(target=tier.put_all, args=(entries(),))
    thread.start()
    assert writing.wait(30)
    pid = os.fork()
    if pid == 0:
        tier.put(b"c" * 32, ENTRY)
        os._exit(0 if tier.get(b"c" * 32) == tier.get((99).to_bytes(32)) == ENTRY else 1)
    thread.join(30)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert tier.get(b"c" * 32) == ENTRY


def test_the_disk_library_is_not_loaded_before_it_is_used():
    code = (
        "import sys, inferkit.layers.cache; from inferkit.caching.disk import DiskStore; DiskStore('x');"
        "print('diskcache' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout == "False\n"


def test_a_size_limit_too_small_to_be_meant_is_refused(folder):
    with pytest.raises(ConfigurationError, match="bytes"):
        DiskStore(folder, size_limit=512)
