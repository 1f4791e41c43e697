"""A ledger that cannot be read or written says so, and never starts over with an empty one."""

import errno
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from inferkit.core.errors import LedgerError
from inferkit.ledger.journal import Charge
from inferkit.ledger.sqlite import checkpoints
from inferkit.ledger.sqlite.database import Database
from inferkit.ledger.sqlite.ledger import SqliteLedger
from inferkit.ledger.sqlite.schema import MIGRATIONS
from inferkit.runtime import writer

WORKER = Path(__file__).with_name("ledger_worker.py")


def worker(*arguments):
    done = subprocess.run(
        [sys.executable, WORKER, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def filled(path, entries=200):
    ledger = SqliteLedger(path)
    for number in range(entries):
        ledger.record(str(number), Charge(1), at=0)
    assert writer.disk.flush(30)  # while it still moves the log into the file, closing does not
    ledger.close()


def test_a_file_that_is_no_database_is_refused(tmp_path):
    path = tmp_path / "ledger.db"
    path.write_bytes(b"my shopping list" * 1000)
    with pytest.raises(LedgerError, match=r"damaged.*backup"):
        SqliteLedger(path)
    assert path.read_bytes().startswith(b"my shopping list")


def test_another_programs_database_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "app.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE users (name TEXT)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(LedgerError, match="another program's database"):
        SqliteLedger(path)
    assert path.read_bytes() == before


def test_damage_is_found(tmp_path):
    path = tmp_path / "ledger.db"
    filled(path, 1000)  # so that the half that is damaged holds entries alone
    content = bytearray(path.read_bytes())
    pages = len(content) // 1024
    for page in range(pages // 2, pages):
        content[page * 1024 : page * 1024 + 64] = b"\xff" * 64
    path.write_bytes(content)
    ledger = SqliteLedger(path)
    with pytest.raises(LedgerError, match="damaged"):
        ledger.check()
    with pytest.raises(LedgerError, match="damaged"):
        list(ledger.entries())
    ledger.close()


def test_a_newer_format_is_refused(tmp_path):
    path = tmp_path / "ledger.db"
    filled(path, 1)
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version=99")
    other.close()
    with pytest.raises(LedgerError, match=rf"newer inferkit \(version 99 .* knows {len(MIGRATIONS)}\); upgrade"):
        SqliteLedger(path)


def test_an_older_format_is_brought_up_to_date(tmp_path):
    path = tmp_path / "ledger.db"
    first = ("CREATE TABLE one (x INTEGER)",)
    database = Database(path, first, "normal")
    database.write(lambda cursor: cursor.execute("INSERT INTO one VALUES (7)"))
    database.close()
    second = (*first, "ALTER TABLE one ADD COLUMN y INTEGER DEFAULT 8; CREATE INDEX ix ON one (y)")
    database = Database(path, second, "normal")
    assert database.read("SELECT * FROM one") == [(7, 8)]
    assert database.read("PRAGMA user_version") == [(2,)]
    database.close()


def test_an_upgrade_that_fails_changes_nothing(tmp_path):
    path = tmp_path / "ledger.db"
    first = ("CREATE TABLE one (x INTEGER)",)
    Database(path, first, "normal").close()
    with pytest.raises(LedgerError, match="failed"):
        Database(path, (*first, "CREATE TABLE two (y INTEGER); CREATE TABLE one (z INTEGER)"), "normal")
    database = Database(path, first, "normal")
    assert database.read("SELECT name FROM sqlite_master") == [("one",)]
    database.close()


def test_a_folder_is_made_and_one_that_cannot_be_is_an_error(tmp_path):
    SqliteLedger(tmp_path / "deep" / "down" / "ledger.db").close()
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match="folder of the ledger"):
        SqliteLedger(tmp_path / "file" / "ledger.db")
    with pytest.raises(LedgerError, match="cannot be opened"):
        SqliteLedger(tmp_path)


def test_a_full_disk_is_an_error_and_what_was_written_before_stays(tmp_path):
    path = tmp_path / "ledger.db"
    settled, message = worker(path, "full", 200_000).splitlines()
    assert "room" in message
    assert "ledger.db" in message
    ledger = SqliteLedger(path)
    ledger.check()
    balance = ledger.balance("free:alice", "month:2026-11-01")
    assert balance.posted.usd == int(settled)
    assert balance.posted.usd + balance.pending.usd <= int(settled) + 1000
    ledger.close()


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="needs users")
def test_a_file_or_folder_that_may_not_be_written_is_an_error(tmp_path):
    path = tmp_path / "ledger.db"
    for each in (tmp_path, *tmp_path.parents):
        if each.stat().st_uid == os.getuid() and not each.stat().st_mode & 0o005:
            each.chmod(each.stat().st_mode | 0o055)
    filled(path, 1)
    path.chmod(0o444)
    tmp_path.chmod(0o755 if os.getuid() == 0 else 0o555)
    try:
        assert any(word in worker(path, "once") for word in ("read-only", "cannot be opened"))
        assert "cannot be" in worker(tmp_path / "new" / "ledger.db", "once")
    finally:
        tmp_path.chmod(0o755)


def test_a_ledger_deleted_while_in_use_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("inferkit.ledger.sqlite.database._LOOK_SECONDS", 0.0)
    path = tmp_path / "ledger.db"
    ledger = SqliteLedger(path)
    ledger.record("1", Charge(1), at=0)
    path.unlink()
    for _ in range(2):
        with pytest.raises(LedgerError, match="deleted or replaced"):
            ledger.record("2", Charge(1), at=0)
    for left in path.parent.glob("ledger.db-*"):
        left.unlink()
    filled(path, 1)
    with pytest.raises(LedgerError, match="deleted or replaced"):
        ledger.record("2", Charge(1), at=0)
    ledger.close()


def test_a_closed_ledger_is_one_file_also_if_it_was_just_being_tended(tmp_path, monkeypatch):
    ledger = SqliteLedger(tmp_path / "ledger.db")
    ledger.record("1", Charge(1), at=0)
    database, names, open_one = ledger.accounts.database, [], checkpoints.connect

    def close():
        ledger.close()
        names.extend(sorted(path.name for path in tmp_path.iterdir()))

    closing = threading.Thread(target=close)

    def open_while_it_is_closed(path):
        connection = open_one(path)
        connection.execute("SELECT count(*) FROM balances").fetchone()
        closing.start()
        closing.join(0.2)  # it is over by then unless it waits for the tending, as it should
        return connection

    monkeypatch.setattr(checkpoints, "connect", open_while_it_is_closed)
    database.log.tend()
    closing.join()
    assert names == ["ledger.db"]


def test_what_was_to_be_done_for_a_ledger_that_is_closed_by_now_makes_no_file_anew(tmp_path):
    """The background comes round to it when the file may have been moved away."""
    ledger = SqliteLedger(tmp_path / "ledger.db")
    ledger.close()
    (tmp_path / "ledger.db").unlink()
    ledger.accounts.database.log.tend()  # as the background does, too late
    assert list(tmp_path.iterdir()) == []


def test_a_ledger_that_cannot_be_made_where_nothing_can_be_removed_either_says_so(tmp_path, monkeypatch):
    unlink = Path.unlink

    def refuse(path, missing_ok=False):  # a disk that is only read refuses to remove even what is not there
        if path.name.startswith(".ledger.db.new-"):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        unlink(path, missing_ok=missing_ok)

    def fail(file, **_):
        error = sqlite3.OperationalError("unable to open database file")
        error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
        raise error

    monkeypatch.setattr(Path, "unlink", refuse)
    monkeypatch.setattr("inferkit.ledger.sqlite.opening.sqlite3.connect", fail)
    with pytest.raises(LedgerError, match=r"cannot be opened.*may write to"):
        SqliteLedger(tmp_path / "ledger.db")


def test_a_number_too_large_to_be_written_is_no_damage(tmp_path):
    ledger = SqliteLedger(tmp_path / "ledger.db")
    with pytest.raises(LedgerError, match="numbers of 64 bits, and this call needs a larger one"):
        ledger.record("call", Charge(2**63), at=0)
    assert ledger.record("call", Charge(1), at=0)
    ledger.close()
