"""The ledger's tables, as each version added to them: a file is brought up to the last one when it is opened."""

from __future__ import annotations

__all__ = ["ENTERED_OR_ARCHIVED", "MIGRATIONS"]

ENTERED_OR_ARCHIVED = "CREATE VIEW entered AS SELECT call FROM entries UNION ALL SELECT call FROM archived"
"""What `entered` is in a ledger that was compacted; in others no call pays for looking there."""

MIGRATIONS = (
    """
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
    CREATE INDEX entries_call ON entries (call)
    """,
    """
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
    ) STRICT
    """,
    """
    ALTER TABLE entries ADD COLUMN details TEXT;
    ALTER TABLE entries ADD COLUMN overrun INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE entries ADD COLUMN cell INTEGER;
    CREATE INDEX entries_at ON entries (at);
    CREATE INDEX entries_apart ON entries (at) WHERE cell IS NULL
    """,
    """
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
    ) STRICT
    """,
    """
    DROP INDEX entries_at;
    DROP INDEX entries_apart;
    CREATE INDEX entries_lost ON entries (at) WHERE kind != 'settled';
    CREATE TABLE hours (first INTEGER PRIMARY KEY, hour INTEGER NOT NULL) STRICT;
    CREATE INDEX hours_hour ON hours (hour);
    INSERT INTO hours SELECT id, hour FROM (
        SELECT id, CAST(at / 3600 AS INTEGER) AS hour, lag(CAST(at / 3600 AS INTEGER)) OVER (ORDER BY id) AS before
        FROM entries
    ) WHERE hour IS NOT before;
    CREATE TRIGGER entries_hour AFTER INSERT ON entries
    WHEN (SELECT CAST(at / 3600 AS INTEGER) FROM entries WHERE id = new.id - 1) IS NOT CAST(new.at / 3600 AS INTEGER)
    BEGIN INSERT INTO hours VALUES (new.id, CAST(new.at / 3600 AS INTEGER)); END
    """,
    """
    CREATE TABLE limits (
        account TEXT NOT NULL, period TEXT NOT NULL, usd INTEGER, tokens INTEGER, calls INTEGER, at REAL NOT NULL,
        PRIMARY KEY (account, period)
    ) WITHOUT ROWID, STRICT
    """,
    """
    CREATE TABLE notices (
        id INTEGER PRIMARY KEY AUTOINCREMENT, teller TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
        at REAL NOT NULL, until REAL NOT NULL, facts TEXT NOT NULL,
        UNIQUE (teller, kind, name)
    ) STRICT
    """,
)
