"""Reading a ledger never writes to it, or beside it, and keeps nobody waiting."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
import threading
from pathlib import Path

import pytest

from inferkit.core.errors import LedgerError
from inferkit.ledger.journal import Attribution, Charge
from inferkit.ledger.sqlite.journal import SqliteRecords
from inferkit.ledger.sqlite.ledger import SqliteLedger
from inferkit.ledger.sqlite.reader import LedgerReader
from inferkit.ledger.sqlite.schema import MIGRATIONS
from ledger.test_migration import VERSION_1

NOBODY = 65534
COUNT = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT count(*) FROM n"


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "ledger.db"
    fill(path)
    return path


def fill(path):
    ledger = SqliteLedger(path)
    for number in range(3):
        ledger.record(str(number), Charge(number, "x", "m", 1, 1, attribution=Attribution("ana")), at=number)
    ledger.close()


def seen(path):
    records = SqliteRecords(path)
    try:
        total = next(records.summary([0, 10]).totals)
        return [entry.call for entry in records.entries()], total.usd
    finally:
        records.close()


def files(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@contextlib.contextmanager
def who_may_not_write(folder):
    """Be somebody who may read what is in a folder, and nothing else."""
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(0o555)
    root = os.geteuid() == 0
    try:
        if root:
            os.seteuid(NOBODY)
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)


def test_a_ledger_that_nobody_has_open_is_read_and_stays_as_it_is(path):
    before = files(path.parent)
    assert seen(path) == (["0", "1", "2"], 3)
    assert files(path.parent) == before


def test_a_ledger_in_a_folder_that_cannot_be_written_to_is_read():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fill(folder / "ledger.db")
        with who_may_not_write(folder):
            assert seen(folder / "ledger.db") == (["0", "1", "2"], 3)


def test_what_a_killed_process_left_in_the_log_is_read_and_left_there(path, tmp_path):
    ledger = SqliteLedger(path)
    ledger.record("3", Charge(7, "x", "m", 1, 1, attribution=Attribution("ana")), at=3)
    copy = tmp_path / "killed"
    copy.mkdir()
    for file in path.parent.glob("ledger.db*"):
        if not file.name.endswith("-shm"):
            (copy / file.name).write_bytes(file.read_bytes())
    ledger.close()
    before = files(copy)
    assert seen(copy / "ledger.db") == (["0", "1", "2", "3"], 10)
    after = files(copy)
    assert {name: after[name] for name in before} == before


def test_an_empty_file_is_said_and_left_empty(tmp_path):
    path = tmp_path / "ledger.db"
    path.touch()
    with pytest.raises(LedgerError, match="is empty, which no ledger ever is"):
        seen(path)
    assert files(tmp_path) == {"ledger.db": b""}
    with pytest.raises(LedgerError, match="there is no ledger at"):
        seen(tmp_path / "none.db")


def test_a_ledger_of_an_older_format_is_read_and_keeps_it(tmp_path):
    path = tmp_path / "ledger.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(VERSION_1)
    before = path.read_bytes()
    records = SqliteRecords(path)
    summary = records.summary([0, 100])
    assert list(summary.totals) == []
    (stretch,) = summary.stretches
    assert stretch.spent == {}
    assert [entry.call for entry in stretch.apart] == ["done", "late"]
    records.close()
    assert path.read_bytes() == before


def test_a_reader_goes_on_after_a_fork_and_begins_what_it_read_again(path):
    reader = LedgerReader(path, MIGRATIONS)
    began, found = threading.Event(), []

    def count(connection):
        began.set()
        return connection.execute(COUNT, (500_000_000 if not found else 3,)).fetchone()

    def read():
        found.append(reader.run(lambda connection: count(connection) if not again else ("again",)))

    again = []
    thread = threading.Thread(target=read)
    thread.start()
    assert began.wait(20)
    again.append(True)
    reader.hold()  # as a fork does: nobody reads now
    assert found == []
    reader.release()
    thread.join(20)
    assert found == [("again",)]
    reader.close()


def test_a_child_reads_with_a_connection_of_its_own(path):
    reader = LedgerReader(path, MIGRATIONS)
    assert reader.rows("SELECT count(*) FROM entries") == [(3,)]
    reader.hold()
    reader.renew()  # in a child there is no other thread
    assert reader.rows("SELECT count(*) FROM entries") == [(3,)]
    reader.close()
    assert reader.rows("SELECT count(*) FROM entries") == [(3,)], "it is opened again"
    reader.close()


def test_what_cannot_be_prepared_is_said_and_nothing_stays_open(path):
    reader = LedgerReader(path, MIGRATIONS, lambda connection: connection.execute("SELECT * FROM no_table"))
    with pytest.raises(LedgerError, match="no such table: no_table"):
        reader.rows("SELECT 1")
    reader.close()
