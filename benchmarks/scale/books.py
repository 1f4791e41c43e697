"""Makes ledgers of many entries and accounts. The rows are written by SQLite itself: a million calls take minutes."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

from inferkit import SqliteLedger

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["make_book"]

_CALLS_OF_A_USER = 5
_MONTH = 30 * 86_400
_NUMBERS = "WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < :last) "
_ENTRIES = (
    "INSERT INTO entries (call, kind, at, calls, usd, provider, model, input_tokens, output_tokens, cache_read_tokens, "
    "cache_write_tokens, attempts, estimated, outcome, user, accounts) "
    f"{_NUMBERS} SELECT lower(hex(randomblob(16))), 'settled', :begin + n * :step, 1, 700, 'openai', 'gpt-4o-mini', "
    "20, 40, 0, 0, 1, 0, 'completed', 'user-' || n % :users, "
    "'[[\"user-' || n % :users || '\", \"month:2026-11-01\"]]' FROM numbers"
)
_BALANCES = (
    "INSERT INTO balances (account, window, usd, tokens, calls, usd_held, tokens_held, calls_held) "
    f"{_NUMBERS} SELECT 'user-' || n, 'month:2026-11-01', 3500, 300, 5, 0, 0, 0 FROM numbers"
)


def make_book(path: Path, entries: int) -> None:
    """Make a ledger at `path` with so many entries, of one user for each five, from a month ago until now."""
    SqliteLedger(path).close()
    now, users = time.time(), max(1, entries // _CALLS_OF_A_USER)
    values = {"last": entries - 1, "begin": now - _MONTH, "step": _MONTH / entries, "users": users}
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        (index,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'entries_call'").fetchone()
        connection.execute("BEGIN")
        connection.execute("DROP INDEX entries_call")  # made anew in one go
        connection.execute(_ENTRIES, values)
        connection.execute(index)
        connection.execute(_BALANCES, {"last": users - 1})
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
