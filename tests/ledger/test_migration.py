"""A ledger of an earlier version of the format is brought up to date with everything that is in it."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from inferkit.core.errors import LedgerError
from inferkit.core.usage import UsageDetails
from inferkit.ledger.amounts import Amounts, Balance, Grant, Line, Refusal
from inferkit.ledger.journal import Attribution, Charge, Part
from inferkit.ledger.sqlite import schema
from inferkit.ledger.sqlite.checkup import check_up
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


# the second version, as it was released
VERSION_2 = """
    ALTER TABLE balances ADD COLUMN usd_extra INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE balances ADD COLUMN tokens_extra INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE balances ADD COLUMN calls_extra INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE balances ADD COLUMN usd_credit INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE balances ADD COLUMN tokens_credit INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE balances ADD COLUMN calls_credit INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE balances ADD COLUMN warned INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE credits (
        id INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, account TEXT NOT NULL, window TEXT NOT NULL,
        usd INTEGER NOT NULL, tokens INTEGER NOT NULL, calls INTEGER NOT NULL
    ) STRICT;
    ALTER TABLE holds ADD COLUMN feature TEXT;
    ALTER TABLE holds ADD COLUMN plan TEXT;
    ALTER TABLE entries ADD COLUMN reasoning_tokens INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE entries ADD COLUMN finish_reason TEXT;
    ALTER TABLE entries ADD COLUMN asked TEXT;
    ALTER TABLE entries ADD COLUMN degraded INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE entries ADD COLUMN prompt_cache_saved INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE entries ADD COLUMN routing_saved INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE entries ADD COLUMN parts TEXT;
    ALTER TABLE entries ADD COLUMN feature TEXT;
    ALTER TABLE entries ADD COLUMN plan TEXT;
    CREATE TABLE tallies (
        hour INTEGER NOT NULL, kind TEXT NOT NULL, user TEXT NOT NULL, tenant TEXT NOT NULL, feature TEXT NOT NULL,
        plan TEXT NOT NULL, asked TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL, scope TEXT NOT NULL,
        calls INTEGER NOT NULL, usd INTEGER NOT NULL,
        PRIMARY KEY (hour, kind, user, tenant, feature, plan, asked, provider, model, scope)
    ) WITHOUT ROWID, STRICT;
    CREATE TABLE assignments (
        id INTEGER PRIMARY KEY, at REAL NOT NULL, user TEXT, tenant TEXT, plan TEXT, seats INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX assignments_user ON assignments (user, tenant);
    CREATE TABLE definitions (
        id INTEGER PRIMARY KEY, at REAL NOT NULL, plan TEXT NOT NULL, definition TEXT NOT NULL
    ) STRICT;
    PRAGMA user_version = 2;

    INSERT INTO entries (call, kind, at, calls, usd, provider, model, input_tokens, output_tokens, cache_read_tokens,
        cache_write_tokens, reasoning_tokens, attempts, estimated, outcome, finish_reason, asked, parts, user, accounts)
    VALUES ('two', 'settled', 61.0, 1, 30, 'openai', 'm', 7, 8, 1, 2, 3, 2, 0, 'completed', 'stop', 'fast',
        '[["primary", "p", "m", "error", 10, 1, 2, 0, 0, 0], ["retry", "p", "m", "completed", 20, 6, 6, 1, 2, 3]]',
        'bob', '[]');
"""


# the third and the fourth, as they were released
VERSION_4 = """
    ALTER TABLE entries ADD COLUMN details TEXT;
    ALTER TABLE entries ADD COLUMN overrun INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE entries ADD COLUMN cell INTEGER;
    CREATE INDEX entries_at ON entries (at);
    CREATE INDEX entries_apart ON entries (at) WHERE cell IS NULL;
    PRAGMA user_version = 3;
    CREATE TABLE cells (
        cell INTEGER PRIMARY KEY, user TEXT, tenant TEXT, feature TEXT, plan TEXT, provider TEXT, model TEXT,
        outcome TEXT, finish_reason TEXT, priced INTEGER NOT NULL, estimated INTEGER NOT NULL,
        degraded INTEGER NOT NULL, is_detailed INTEGER NOT NULL, is_reported INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE stretches (
        since REAL PRIMARY KEY, until REAL NOT NULL, archive INTEGER NOT NULL
    ) WITHOUT ROWID, STRICT;
    CREATE TABLE rollups (
        since REAL NOT NULL, cell INTEGER NOT NULL, first REAL NOT NULL, calls INTEGER NOT NULL, usd INTEGER NOT NULL,
        input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, cache_read_tokens INTEGER NOT NULL,
        cache_write_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL, prompt_cache_saved INTEGER NOT NULL,
        routing_saved INTEGER NOT NULL, reported INTEGER NOT NULL,
        PRIMARY KEY (since, cell)
    ) WITHOUT ROWID, STRICT;
    CREATE TABLE archived (call TEXT PRIMARY KEY) WITHOUT ROWID, STRICT;
    CREATE VIEW entered AS SELECT call FROM entries;
    CREATE TABLE archived_sums (
        accounts TEXT PRIMARY KEY, usd INTEGER NOT NULL, tokens INTEGER NOT NULL, calls INTEGER NOT NULL
    ) WITHOUT ROWID, STRICT;
    CREATE TABLE archives (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL, state TEXT NOT NULL, since REAL NOT NULL, before REAL NOT NULL,
        last INTEGER NOT NULL, bounds TEXT NOT NULL, entries INTEGER NOT NULL, moved INTEGER NOT NULL
    ) STRICT;
    PRAGMA user_version = 4;

    INSERT INTO entries (id, call, kind, at, calls, usd, provider, model, input_tokens, output_tokens,
        cache_read_tokens, cache_write_tokens, attempts, estimated, outcome, user, accounts, cell)
    WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < 499)
    SELECT 10 + n, 'four-' || n, iif(n % 100 = 3, 'expired', 'settled'),
        iif(n % 97 = 5, 3600 * (n % 7 - 3), 1792000000 + 200 * n + 3600 * (n % 31 = 4)), 1, n, 'openai', 'm', 1, 2,
        0, 0, 1, 0, 'completed', 'cleo', '[]', iif(n % 50 = 7 OR n % 100 = 3, NULL, 12345) FROM numbers;
"""


def written(path, *scripts):
    connection = sqlite3.connect(path, isolation_level=None)
    for script in scripts:
        connection.executescript(script)
    connection.close()
    return path


@pytest.fixture
def path(tmp_path):
    return written(tmp_path / "ledger.db", VERSION_1)


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


def test_what_the_second_version_wrote_is_read_as_it_was_and_goes_on(tmp_path):
    ledger = SqliteLedger(written(tmp_path / "ledger.db", VERSION_1, VERSION_2))
    details = UsageDetails(cache_write_1h_tokens=4, service_tier="flex", reported_nanos=9)
    parts = (
        Part("primary", "p", "m", "error", 10, 1, 2),
        Part("retry", "p", "m", "completed", 20, 6, 6, 1, 2, 3),
    )
    charge = Charge(
        30, "openai", "m", 7, 8, 1, 2, 3, 2, outcome="completed", finish_reason="stop", asked="fast", parts=parts,
        attribution=Attribution("bob"),
    )  # fmt: skip
    assert ledger.settle("runs", Charge(4, details=details), at=70)
    found = {entry.call: entry.charge for entry in ledger.entries()}
    assert (found["two"], found["runs"].details) == (charge, details)
    assert alice(ledger) == Balance(Amounts(85 + 4, 7, 3))
    ledger.close()


def test_what_the_fourth_version_wrote_is_found_by_its_time(tmp_path):
    path = written(tmp_path / "ledger.db", VERSION_1, VERSION_2, VERSION_4)
    with contextlib.closing(SqliteLedger(path)) as ledger:
        ledger.record("new", Charge(1), at=1_792_000_000)
        with contextlib.closing(sqlite3.connect(path)) as older:  # one that was open, and goes on as it did
            for number in range(3):
                older.execute(
                    "INSERT INTO entries (call, kind, at, calls, input_tokens, output_tokens, cache_read_tokens, "
                    "cache_write_tokens, attempts, estimated, accounts) "
                    f"VALUES ('older-{number}', 'settled', {1_792_000_000 + 3600 * number}, 1, 0, 0, 0, 0, 1, 0, '[]')"
                )
            older.commit()
        everything = list(ledger.entries())
        assert len(everything) == 3 + 500 + 1 + 3
        for since in (-20_000, -10_800, 0, 3600, *range(1_792_000_000 - 5400, 1_792_110_000, 2700)):
            until = since + 3600
            among = [entry for entry in everything if since <= entry.at < until]
            assert list(ledger.entries(since=since, until=until)) == among, since
            lost = [entry for entry in among if entry.kind == "expired"]
            assert list(ledger.entries(since=since, until=until, kind="expired")) == lost
            summary = ledger.journal.summary([since, until])
            calls = sum(total.calls for total in summary.totals)
            (stretch,) = summary.stretches
            usd, apart = sum(stretch.spent.values()), stretch.apart
            assert calls + len(apart) == len(among)
            assert usd + sum(entry.charge.usd or 0 for entry in apart) == sum(each.charge.usd or 0 for each in among)
    assert [each.level for each in check_up(path, 0) if each.about == "hours"] == []


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
    broken = (*schema.MIGRATIONS[:-1], f"{schema.MIGRATIONS[-1]}; CREATE TABLE balances (x INTEGER)")
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
    monkeypatch.setattr("inferkit.ledger.sqlite.database.PATIENCE", 0.05)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerError, match="locked by another process"):
        SqliteLedger(path)
    other.close()
    assert content(path) == before


@pytest.mark.parametrize("versions", [1, 2, 3], ids=["1", "2", "4"])
def test_a_new_file_has_the_tables_of_one_that_was_upgraded(tmp_path, versions):
    path = written(tmp_path / "ledger.db", *(VERSION_1, VERSION_2, VERSION_4)[:versions])
    SqliteLedger(path).close()
    SqliteLedger(tmp_path / "new.db").close()
    tables = []
    for each in (path, tmp_path / "new.db"):
        connection = sqlite3.connect(each)
        names = ("balances", "holds", "expired", "entries", "credits", "hours")
        tables.append({name: connection.execute(f"PRAGMA table_info({name})").fetchall() for name in names})
        others = "SELECT name FROM sqlite_master WHERE type IN ('index', 'trigger', 'view') ORDER BY name"
        tables[-1]["others"] = connection.execute(others).fetchall()
        connection.close()
    assert tables[0] == tables[1]
    assert all(tables[0].values())
