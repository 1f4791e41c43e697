"""A ledger of the first version of the format is brought up to date with everything that is in it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from inferkit.core.errors import LedgerError
from inferkit.ledger.amounts import Amounts, Balance, Grant, Line, Refusal
from inferkit.ledger.journal import Attribution, Charge
from inferkit.ledger.sqlite import schema
from inferkit.ledger.sqlite.ledger import SqliteLedger
from worlds import in_threads

WORKER = Path(__file__).with_name("ledger_worker.py")
W = "month:2026-11-01"
# as it was released, so that a change of the schema that forgets old files is noticed
VERSION_1 = """
    PRAGMA page_size = 1024;
    PRAGMA journal_mode = WAL;
    CREATE TABLE balances (
        account TEXT NOT NULL, window TEXT NOT NULL,
        usd INTEGER NOT NULL, tokens INTEGER NOT NULL, calls INTEGER NOT NULL,
        usd_held INTEGER NOT NULL, tokens_held INTEGER NOT NULL, calls_held INTEGER NOT NULL,
        PRIMARY KEY (account, window)
    ) WITHOUT ROWID, STRICT;
    CREATE TABLE holds (
        call TEXT PRIMARY KEY, usd INTEGER NOT NULL, tokens INTEGER NOT NULL, calls INTEGER NOT NULL,
        accounts TEXT NOT NULL, lease REAL NOT NULL, sent INTEGER NOT NULL, user TEXT, tenant TEXT
    ) WITHOUT ROWID, STRICT;
    CREATE TABLE expired (
        call TEXT PRIMARY KEY, usd INTEGER NOT NULL, tokens INTEGER NOT NULL, calls INTEGER NOT NULL,
        accounts TEXT NOT NULL
    ) WITHOUT ROWID, STRICT;
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY, call TEXT NOT NULL, kind TEXT NOT NULL, at REAL NOT NULL, calls INTEGER NOT NULL,
        usd INTEGER, provider TEXT, model TEXT,
        input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
        cache_read_tokens INTEGER NOT NULL, cache_write_tokens INTEGER NOT NULL,
        attempts INTEGER NOT NULL, estimated INTEGER NOT NULL, outcome TEXT, user TEXT, tenant TEXT,
        accounts TEXT NOT NULL
    ) STRICT;
    CREATE INDEX entries_call ON entries (call);
    PRAGMA application_id = 534949900;
    PRAGMA user_version = 1;

    INSERT INTO balances VALUES ('free:alice', 'month:2026-11-01', 85, 7, 2, 10, 5, 1);
    INSERT INTO balances VALUES ('everything', 'month:2026-10-01', 500, 50, 5, 0, 0, 0);
    INSERT INTO holds VALUES ('runs', 10, 5, 1, '[["free:alice", "month:2026-11-01"]]', 90.0, 1, 'alice', 'acme');
    INSERT INTO expired VALUES ('late', 60, 0, 1, '[["free:alice", "month:2026-11-01"]]');
    INSERT INTO entries VALUES (1, 'done', 'settled', 5.0, 1, 25, 'openai', 'm', 3, 4, 0, 0, 1, 0, 'completed',
        'alice', NULL, '[["free:alice", "month:2026-11-01"]]');
    INSERT INTO entries VALUES (2, 'late', 'expired', 60.0, 1, 60, NULL, NULL, 0, 0, 0, 0, 1, 1, NULL,
        'alice', 'acme', '[["free:alice", "month:2026-11-01"]]');
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "ledger.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(VERSION_1)
    connection.close()
    return path


def content(path):
    connection = sqlite3.connect(path)
    found = [*connection.execute("PRAGMA user_version"), *connection.iterdump()]
    connection.close()
    return found


def alice(ledger):
    return ledger.balance("free:alice", W)


def test_what_was_spent_and_what_is_held_is_kept(path):
    ledger = SqliteLedger(path)
    assert alice(ledger) == Balance(Amounts(85, 7, 2), Amounts(10, 5, 1))
    assert [account for account, _, _ in ledger.balances()] == ["everything", "free:alice"]
    assert [(entry.call, entry.charge.usd, entry.charge.attribution) for entry in ledger.entries()] == [
        ("done", 25, Attribution("alice")),
        ("late", 60, Attribution("alice", "acme")),
    ]
    ledger.check()
    ledger.close()
    assert content(path)[0] == (len(schema.MIGRATIONS),)


def test_calls_that_ran_or_had_expired_meanwhile_are_settled(path):
    ledger = SqliteLedger(path)
    assert ledger.settle("runs", Charge(4), at=70)
    assert ledger.settle("late", Charge(50), at=70)
    assert not ledger.settle("done", Charge(99), at=70)
    assert alice(ledger).posted == Amounts(85 + 4 + 50 - 60, 7, 2 + 1)
    assert alice(ledger).pending == Amounts()
    ledger.close()


def test_the_limit_holds_and_everything_new_works(path):
    ledger = SqliteLedger(path)
    line = Line("free:alice", W, usd=100, warn_at=(800,))
    assert isinstance(ledger.reserve("new", [line], Amounts(6), Amounts(6), at=80, lease_seconds=9), Refusal)
    ledger.top_up(line, Amounts(usd=5), at=80)
    assert isinstance(ledger.reserve("new", [line], Amounts(6), Amounts(6), at=80, lease_seconds=9), Grant)
    assert [crossing.share for crossing in ledger.warn([line])] == [800]
    december = Line("free:alice", "month:2026-12-01", 100, previous=W, carry=Amounts(100))
    assert ledger.reserve("next", [december], Amounts(), Amounts(), at=85, lease_seconds=9).remaining[0] == 100 + 4
    ledger.close()


def test_processes_and_threads_that_open_it_at_once_bring_it_up_to_date_once(path):
    command = [sys.executable, WORKER, path, "spend", "4", "5", "1000000", "normal"]
    workers = [subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True) for _ in range(3)]
    ledgers = []
    in_threads(lambda _: ledgers.append(SqliteLedger(path)), range(4))
    spent = sum(int(worker.communicate(timeout=60)[0]) for worker in workers)
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    assert len(ledgers) == 4
    assert alice(ledgers[0]).posted.usd == 85 + spent
    ledgers[0].check()
    for ledger in ledgers:
        ledger.close()


def test_an_upgrade_that_fails_leaves_the_file_as_it_was(path, monkeypatch):
    before = content(path)
    broken = (schema.MIGRATIONS[0], f"{schema.MIGRATIONS[1]}; CREATE TABLE balances (x INTEGER)")
    with monkeypatch.context() as patched:
        patched.setattr("inferkit.ledger.sqlite.ledger.MIGRATIONS", broken)
        with pytest.raises(LedgerError, match="failed"):
            SqliteLedger(path)
    assert content(path) == before
    ledger = SqliteLedger(path)
    assert alice(ledger).posted.usd == 85
    ledger.close()


def test_a_file_that_is_locked_while_it_should_be_upgraded_is_an_error_and_stays(path, monkeypatch):
    before = content(path)
    monkeypatch.setattr("inferkit.ledger.sqlite.database._WAIT_SECONDS", 0.05)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerError, match="locked by another process"):
        SqliteLedger(path)
    other.close()
    assert content(path) == before


def test_a_new_file_has_the_tables_of_one_that_was_upgraded(path, tmp_path):
    SqliteLedger(path).close()
    SqliteLedger(tmp_path / "new.db").close()
    tables = []
    for each in (path, tmp_path / "new.db"):
        connection = sqlite3.connect(each)
        names = ("balances", "holds", "expired", "entries", "credits")
        tables.append({name: connection.execute(f"PRAGMA table_info({name})").fetchall() for name in names})
        connection.close()
    assert tables[0] == tables[1]
    assert all(tables[0].values())
