"""Makes ledgers of many entries: a month's calls of users who each use two features, a few of them of many attempts.

The rows are written by SQLite itself, since a million calls through the ledger would take minutes.
"""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

from inferkit import SqliteLedger
from inferkit.ledger.journal import Attribution, Charge
from inferkit.ledger.sqlite.postings import cell_of
from inferkit.plans.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["DAYS", "PLANS", "make_book"]

DAYS = 30
PLANS = (
    Plan("free", allowance="unlimited"),
    Plan("pro", price="20", target_margin="0.7"),
    Plan("team", price="60", allowance="unlimited"),
)
_CALLS_OF_A_USER = 100
_CALLS_OF_AN_ACCOUNT = 5
_BALANCES = (
    "INSERT INTO balances (account, window, usd, tokens, calls, usd_held, tokens_held, calls_held) "
    "WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < :last) "
    "SELECT 'user-' || n, 'month:2026-11-01', 3500, 300, 5, 0, 0, 0 FROM numbers"
)
_FEATURES = {
    "chat": ("openai", "gpt-5-mini"),
    "mail": ("openai", "gpt-5"),
    "search": ("openai", "gpt-5-mini"),
    "summary": ("anthropic", "claude-sonnet-4"),
    "triage": ("local", "embedded"),
}
_KINDS = 32  # of calls that a user makes: feature, model, how it ended
_ROW = """
    INSERT INTO entries (call, kind, at, calls, usd, provider, model, input_tokens, output_tokens, cache_read_tokens,
        cache_write_tokens, attempts, estimated, outcome, finish_reason, asked, parts, user, feature, plan, accounts,
        cell)
    WITH RECURSIVE numbers(n, r) AS (
        SELECT 0, 12345 UNION ALL SELECT n + 1, (r * 1103515245 + 12345) % 2147483648 FROM numbers WHERE n < :last
    )
    SELECT lower(hex(randomblob(16))), 'settled', :begin + n * :step, 1, (50 + r % 2000) * 250 + (5 + r % 700) * 2000,
        provider, model, 50 + r % 2000, 5 + r % 700, 0, 0, 1 + (n % 50 = 7), 0, outcome, 'stop', 'fast',
        CASE n % 50 WHEN 7 THEN :parts END, user, feature, plan, accounts, CASE n % 50 WHEN 7 THEN NULL ELSE cell END
    FROM numbers JOIN kinds ON kinds.id = ((r / 64) % :users) * :kinds + r / 4194304 % :kinds
"""


def make_book(path: Path, entries: int) -> None:
    """Make a ledger at `path` with so many entries, of one user for each hundred, from a month ago until now."""
    users = max(1, entries // _CALLS_OF_A_USER)
    now = time.time()
    begin = now - DAYS * 86400
    ledger = SqliteLedger(path)
    ledger.define({plan.name: plan.definition() for plan in PLANS}, at=begin)
    ledger.close()
    parts = [
        ("primary", "openai", "gpt-5", "error", 0),
        ("fallback", "openai", "gpt-5-mini", "completed", 400_000, 600, 100),
    ]
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        run = connection.execute
        run("PRAGMA synchronous=OFF")
        (index,) = run("SELECT sql FROM sqlite_master WHERE name = 'entries_call'").fetchone()
        run(
            "CREATE TEMP TABLE kinds "
            "(id INTEGER PRIMARY KEY, user, feature, plan, provider, model, outcome, accounts, cell)"
        )
        run("BEGIN")
        connection.executemany("INSERT INTO kinds VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", _kinds(users))
        run("DROP INDEX entries_call")  # made anew in one go
        values = {"last": entries - 1, "begin": begin, "step": (now - begin) / entries, "users": users, "kinds": _KINDS}
        run(_ROW, {**values, "parts": json.dumps(parts)})
        run(index)
        run(_BALANCES, {"last": entries // _CALLS_OF_AN_ACCOUNT})
        connection.executemany(
            "INSERT INTO assignments (at, user, plan, seats) VALUES (?, ?, ?, ?)",
            [(begin, _name(user), _plan(user), 1) for user in range(users) if user % 3],
        )
        run("COMMIT")
        run("PRAGMA wal_checkpoint(TRUNCATE)")


def _name(user: int) -> str:
    return f"user-{user:06}"


def _plan(user: int) -> str:
    return PLANS[user % 3].name


def _kinds(users: int) -> Iterator[tuple[object, ...]]:
    """Give each user's kinds of calls: mostly of two features; a few taken elsewhere, a few left early."""
    names = list(_FEATURES)
    for user in range(users):
        for number in range(_KINDS):
            feature = names[(user + (number % 3 == 0)) % len(names)]
            provider, model = ("openai", "gpt-5") if number == 17 else _FEATURES[feature]
            outcome = "closed" if number == 5 else "completed"
            who = Attribution(_name(user), None, feature, _plan(user))
            charge = Charge(1, provider, model, 1, 1, outcome=outcome, finish_reason="stop", attribution=who)
            accounts = json.dumps([(f"{_plan(user)}:{_name(user)}", "month:2026-11-01")])
            yield (
                user * _KINDS + number, _name(user), feature, _plan(user), provider, model, outcome, accounts,
                cell_of("settled", charge),
            )  # fmt: skip
