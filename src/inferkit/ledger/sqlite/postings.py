"""What happens to the ledger's rows in each step, given a cursor inside a transaction.

The same amounts are held on all lines of a call, so one row holds them for the call, and a balance's pending part is
the sum of the holds on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferkit.core.errors import LedgerError
from inferkit.ledger.amounts import NOTHING, Amounts, Grant, Line, Refusal
from inferkit.ledger.decisions import grant
from inferkit.ledger.journal import Attribution, Charge
from inferkit.ledger.sqlite import balances
from inferkit.ledger.sqlite.entries import NO_ACCOUNTS, accounts_of, accounts_text, enter

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

__all__ = [
    "MIGRATIONS",
    "extend",
    "mark_sent",
    "record",
    "reserve",
    "settle",
    "sweep",
    "void",
]

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
    ALTER TABLE entries ADD COLUMN cell INTEGER;
    CREATE INDEX entries_at ON entries (at);
    CREATE INDEX entries_apart ON entries (at) WHERE cell IS NULL
    """,
)

_HOLD_BALANCE = (
    "INSERT INTO balances (account, window, usd, tokens, calls, usd_held, tokens_held, calls_held) "
    "VALUES (?, ?, 0, 0, 0, ?, ?, ?) ON CONFLICT DO UPDATE SET "
    "usd_held = usd_held + excluded.usd_held, tokens_held = tokens_held + excluded.tokens_held, "
    "calls_held = calls_held + excluded.calls_held"
)
_MOVE = (
    "UPDATE balances SET usd = usd + ?, tokens = tokens + ?, calls = calls + ?, "
    "usd_held = usd_held - ?, tokens_held = tokens_held - ?, calls_held = calls_held - ? "
    "WHERE account = ? AND window = ?"
)
_HOLD = "INSERT INTO holds VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_EXTEND = "UPDATE holds SET usd = usd + ?, tokens = tokens + ?, calls = calls + ?, lease = max(lease, ?) WHERE call = ?"
_RELEASE = "DELETE FROM holds WHERE call = ? RETURNING usd, tokens, calls, accounts"
_RELEASE_EXPIRED = "DELETE FROM expired WHERE call = ? RETURNING usd, tokens, calls, accounts"
_SWEEP = (
    "DELETE FROM holds WHERE lease <= ? RETURNING call, usd, tokens, calls, accounts, sent, user, tenant, feature, plan"
)
_IS_KNOWN = (
    "SELECT 1 FROM holds WHERE call = ? UNION ALL SELECT 1 FROM entries WHERE call = ? "
    "UNION ALL SELECT 1 FROM expired WHERE call = ? LIMIT 1"
)
_ATTRIBUTION = "SELECT user, tenant, feature, plan FROM entries WHERE call = ? ORDER BY id LIMIT 1"
_IS_ENTERED = "SELECT 1 FROM entries WHERE call = ? LIMIT 1"


def reserve(
    cursor: sqlite3.Cursor,
    call: str,
    lines: Sequence[Line],
    wanted: Amounts,
    minimum: Amounts,
    *,
    at: float,
    lease: float,
    sent: bool,
    attribution: Attribution,
) -> Grant | Refusal:
    """Hold what every line can spare, or nothing."""
    if cursor.execute(_IS_KNOWN, (call,) * 3).fetchone():
        raise LedgerError(f"call {call} was reserved before; give every call an id of its own")
    answer = _hold(cursor, lines, wanted, minimum, at)
    if isinstance(answer, Grant):
        cursor.execute(_HOLD, (call, *answer.amounts, accounts_text(lines), lease, sent, *attribution))
    return answer


def extend(
    cursor: sqlite3.Cursor, call: str, lines: Sequence[Line], more: Amounts, *, at: float, lease: float
) -> Grant | Refusal:
    """Add to a hold, or leave it."""
    answer = _hold(cursor, lines, more, more, at)
    if isinstance(answer, Grant):
        cursor.execute(_EXTEND, (*more, lease, call))
        if not cursor.rowcount:
            _revive(cursor, call, lease, at)
            cursor.execute(_EXTEND, (*more, lease, call))
    return answer


def mark_sent(cursor: sqlite3.Cursor, call: str) -> None:
    """Note that a call is on its way."""
    cursor.execute("UPDATE holds SET sent = 1 WHERE call = ?", (call,))


def void(cursor: sqlite3.Cursor, call: str, at: float) -> bool:
    """Give back what a call holds, or take back what was posted when its lease ran out."""
    held = cursor.execute(_RELEASE, (call,)).fetchall()
    for *amounts, accounts in held:
        _move(cursor, NOTHING, amounts, accounts)
    return bool(held) or _correct(cursor, call, Charge(0, attempts=0, attribution=_attribution(cursor, call)), at, 0)


def record(cursor: sqlite3.Cursor, call: str, charge: Charge, at: float) -> bool:
    """Enter a call without accounts, once."""
    if cursor.execute(_IS_ENTERED, (call,)).fetchone():
        return False
    enter(cursor, call, "settled", at, calls=1, charge=charge)
    return True


def _hold(
    cursor: sqlite3.Cursor, lines: Sequence[Line], wanted: Amounts, minimum: Amounts, at: float
) -> Grant | Refusal:
    if len(lines) == 1:
        whole = balances.hold_whole(cursor, lines[0], wanted)
        if whole is not None:
            return whole
    answer = _decide(cursor, lines, wanted, minimum, at)
    if isinstance(answer, Refusal) and sweep(cursor, at):
        answer = _decide(cursor, lines, wanted, minimum, at)
    if isinstance(answer, Grant):
        for line in lines:
            cursor.execute(_HOLD_BALANCE, (line.account, line.window, *answer.amounts))
    return answer


def _decide(
    cursor: sqlite3.Cursor, lines: Sequence[Line], wanted: Amounts, minimum: Amounts, at: float
) -> Grant | Refusal:
    found = grant(lines, wanted, minimum, lambda line: balances.used(cursor, line, at))
    return found if isinstance(found, Grant) else balances.refusal(cursor, found)


def settle(cursor: sqlite3.Cursor, call: str, charge: Charge, at: float, calls: int) -> bool:
    """Post what a call cost in place of what it held, once."""
    held = cursor.execute(_RELEASE, (call,)).fetchall()
    if held:
        *released, accounts = held[0]
        tokens = charge.input_tokens + charge.output_tokens
        _move(cursor, (charge.usd or 0, tokens, calls), released, accounts)
    elif _correct(cursor, call, charge, at, calls):
        return True
    elif cursor.execute(_IS_ENTERED, (call,)).fetchone():
        return False
    else:
        accounts = NO_ACCOUNTS  # nothing was reserved; the journal keeps the cost all the same
    enter(cursor, call, "settled", at, calls=calls, charge=charge, accounts=accounts)
    return True


def _correct(cursor: sqlite3.Cursor, call: str, charge: Charge, at: float, calls: int) -> bool:
    """Settle a call whose lease ran out, by the difference to what was posted then."""
    posted = cursor.execute(_RELEASE_EXPIRED, (call,)).fetchall()
    for usd, tokens, number, accounts in posted:
        known = charge.usd is not None or usd
        charge = charge._replace(
            usd=(charge.usd or 0) - usd if known else None, output_tokens=charge.output_tokens - tokens
        )
        _move(cursor, Amounts(charge.usd or 0, charge.tokens, calls - number), NOTHING, accounts)
        enter(cursor, call, "corrected", at, calls=calls - number, charge=charge, accounts=accounts)
    return bool(posted)


def _revive(cursor: sqlite3.Cursor, call: str, lease: float, at: float) -> None:
    """Hold again what was posted when the lease ran out, since the call turns out to be running."""
    posted = cursor.execute(_RELEASE_EXPIRED, (call,)).fetchall()
    if not posted:
        raise LedgerError(f"call {call} holds nothing that could be extended; it was settled or never reserved")
    usd, tokens, number, accounts = posted[0]
    back = Amounts(-usd, -tokens, -number)
    _move(cursor, back, back, accounts)
    attribution = _attribution(cursor, call)
    charge = Charge(-usd, output_tokens=-tokens, attempts=0, attribution=attribution)
    enter(cursor, call, "corrected", at, calls=-number, charge=charge, accounts=accounts)
    cursor.execute(_HOLD, (call, usd, tokens, number, accounts, lease, True, *attribution))


def _attribution(cursor: sqlite3.Cursor, call: str) -> Attribution:
    """Find whom a call was entered for when its lease ran out."""
    return Attribution(*(cursor.execute(_ATTRIBUTION, (call,)).fetchone() or ()))


def sweep(cursor: sqlite3.Cursor, at: float) -> int:
    """End the holds whose lease ran out: what was sent is posted at the amount held, as an estimate."""
    rows = cursor.execute(_SWEEP, (at,)).fetchall()
    for call, usd, tokens, calls, accounts, sent, *attribution in rows:
        held = Amounts(usd, tokens, calls)
        posted = held if sent else NOTHING
        _move(cursor, posted, held, accounts)
        cursor.execute("INSERT INTO expired VALUES (?, ?, ?, ?, ?)", (call, *posted, accounts))
        if sent:
            charge = Charge(usd, output_tokens=tokens, estimated=True, attribution=Attribution(*attribution))
            enter(cursor, call, "expired", at, calls=calls, charge=charge, accounts=accounts)
    return len(rows)


def _move(cursor: sqlite3.Cursor, posted: Sequence[int], released: Sequence[int], accounts: str) -> None:
    for account, window in accounts_of(accounts):
        cursor.execute(_MOVE, (*posted, *released, account, window))
