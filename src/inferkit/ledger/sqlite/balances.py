"""What is left of an account in a window: the limit, and what was topped up or carried over, less what is used.

A calendar window has one row. When its first call comes, what may be carried over moves there from the window before,
so that the sum of both windows stays as it was and a clock set back finds nothing twice. A rolling window is the sum of
short ones. What was topped up is used last, and stays until it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.ledger.amounts import NOTHING, Amounts, Balance, Credit, Crossing, Line, NotedLimit, Refusal
from inferkit.ledger.decisions import ALL_SHARES, Shortage, carried, crossed, refused
from inferkit.ledger.sqlite.soundness import NUMBER, PERHAPS_NUMBER, TEXT, TIME, sound

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

__all__ = [
    "ALL", "BALANCES_OF", "CREDITS", "LIMITS", "LIMITS_OF", "USED", "as_balance", "as_credit", "as_limit", "balance",
    "crossings", "names_of", "note_limits", "refusal", "top_up", "used", "warn",
]  # fmt: skip

USED = (
    "SELECT usd + usd_held - usd_extra, tokens + tokens_held - tokens_extra, calls + calls_held - calls_extra "
    "FROM balances WHERE account = ? AND window = ?"
)
_WHOLE = "usd, tokens, calls, usd_held, tokens_held, calls_held, usd_extra, tokens_extra, calls_extra"
_ONE = f"SELECT {_WHOLE}, warned, window FROM balances WHERE account = ? AND window = ?"  # noqa: S608 - columns alone
_SUMS = ", ".join(f"sum({column})" for column in _WHOLE.split(", "))
_RANGE = "FROM balances WHERE account = ? AND window >= ? AND window < ?"
_ROLLING = f"SELECT {_SUMS}, max(warned), min(CASE WHEN usd + tokens + calls > 0 THEN window END) {_RANGE}"
_BEFORE = f"SELECT window, {_WHOLE}, usd_credit, tokens_credit, calls_credit {_RANGE} ORDER BY window DESC LIMIT 1"
_LAST = f"SELECT max(window) {_RANGE}"  # where clocks differ, the next window may be open already
_OPEN = "INSERT INTO balances (account, window, usd, tokens, calls, usd_held, tokens_held, calls_held) VALUES (?, ?, 0, 0, 0, 0, 0, 0) ON CONFLICT DO NOTHING"  # noqa: E501
_ADD = (
    "UPDATE balances SET usd_extra = usd_extra + ?, tokens_extra = tokens_extra + ?, calls_extra = calls_extra + ?, "
    "usd_credit = usd_credit + ?, tokens_credit = tokens_credit + ?, calls_credit = calls_credit + ? "
    "WHERE account = ? AND window = ?"
)
_CREDIT = "INSERT INTO credits VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)"
_FORGET = (
    "DELETE FROM balances WHERE account = ? AND window >= ? AND window < ? "
    "AND usd_held = 0 AND tokens_held = 0 AND calls_held = 0"
)
_KEPT = 7 * 60  # short windows, beside those that count: a clock that steps back by seven lengths finds them again
_WARNED = "UPDATE balances SET warned = max(warned, ?) WHERE account = ? AND window = ?"
ALL = (
    f"SELECT account, window, {_WHOLE} FROM balances WHERE account = coalesce(?, account) "  # noqa: S608
    "AND (account, window) > (?, ?) ORDER BY account, window LIMIT ?"
)
CREDITS = (
    "SELECT id, at, kind, account, window, usd, tokens, calls FROM credits WHERE account = coalesce(?, account) "
    "AND id > ? ORDER BY id LIMIT ?"
)
LIMITS = (
    "SELECT account, period, usd, tokens, calls, at FROM limits WHERE (account, period) > (?, ?) "
    "ORDER BY account, period LIMIT ?"
)
_OF_BUDGET = "account >= ? AND account < ? AND (account = ? OR account >= ?)"
BALANCES_OF = (
    f"SELECT account, window, {_WHOLE} FROM balances WHERE {_OF_BUDGET} AND (account, window) > (?, ?) "  # noqa: S608
    "ORDER BY account, window LIMIT ?"
)
LIMITS_OF = LIMITS.replace("WHERE", f"WHERE {_OF_BUDGET} AND")
_NOTE_LIMIT = (
    "INSERT INTO limits VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET usd = excluded.usd, "
    "tokens = excluded.tokens, calls = excluded.calls, at = excluded.at "
    "WHERE usd IS NOT excluded.usd OR tokens IS NOT excluded.tokens OR calls IS NOT excluded.calls"
)


def used(cursor: sqlite3.Cursor, line: Line, at: float) -> Sequence[int]:
    """Give what is spent and held, less what was added to the limit; the first call of a window opens it."""
    if line.since is not None:
        cursor.execute(_FORGET, (line.account, *_long_over(line.since)))
        whole = _row(cursor, line)
        return [whole[unit] + whole[unit + 3] - whole[unit + 6] for unit in range(3)]
    row: Sequence[int] | None = cursor.execute(USED, (line.account, line.window)).fetchone()
    if row is None and _open(cursor, line, at):
        row = cursor.execute(USED, (line.account, line.window)).fetchone()
    return row or NOTHING


def refusal(cursor: sqlite3.Cursor, shortage: Shortage) -> Refusal:
    """Say why a line cannot spare what is needed."""
    row = _row(cursor, shortage.line)
    return refused(shortage, as_balance(row[:9]), row[10])


def balance(cursor: sqlite3.Cursor, line: Line) -> Balance:
    """Give the balance of a line's account and window."""
    return as_balance(_row(cursor, line)[:9])


def _as_balance(amounts: Sequence[Any]) -> Balance:
    return Balance(Amounts(*amounts[:3]), Amounts(*amounts[3:6]), Amounts(*amounts[6:9]))


as_balance = sound(_as_balance, *[NUMBER] * 9)
"""Read nine columns."""


def _as_credit(row: Sequence[Any]) -> Credit:
    _, at, kind, name, window, *amounts = row
    return Credit(at, kind, name, window, Amounts(*amounts))


as_credit = sound(_as_credit, NUMBER, TIME, TEXT, TEXT, TEXT, NUMBER, NUMBER, NUMBER)
"""Read a row of `CREDITS`."""


as_limit = sound(lambda row: NotedLimit(*row), TEXT, TEXT, PERHAPS_NUMBER, PERHAPS_NUMBER, PERHAPS_NUMBER, TIME)
"""Read a row of `LIMITS`."""


def names_of(budget: str) -> tuple[str, ...]:
    """Give the parameters of `BALANCES_OF` and `LIMITS_OF`: the accounts of a budget are its name, or begin so."""
    return budget, f"{budget};", budget, f"{budget}:"  # a semicolon is what comes after a colon


def note_limits(cursor: sqlite3.Cursor, lines: Sequence[Line], at: float) -> None:
    """Note what accounts are held to: calls bring their limits, and whoever looks into the ledger has none."""
    for line in lines:
        period, _, _ = line.window.partition(":")
        cursor.execute(_NOTE_LIMIT, (line.account, period, *line[2:5], at))


def top_up(cursor: sqlite3.Cursor, line: Line, amounts: Amounts, at: float) -> None:
    """Add to what an account may use from now on."""
    used(cursor, line, at)
    cursor.execute(_OPEN, (line.account, line.window))
    (window,) = cursor.execute(_LAST, (line.account, line.window, _after_all(line.window))).fetchone()
    _add(cursor, line.account, window, amounts, amounts)
    _note(cursor, Credit(at, "topped up", line.account, window, amounts))


def crossings(cursor: sqlite3.Cursor, lines: Sequence[Line]) -> list[Crossing]:
    """Give the shares of limits that what is spent has passed, and that nobody was told of."""
    found: list[Crossing] = []
    for line in lines:
        if line.warn_at:
            row = _row(cursor, line)
            found += crossed(line, as_balance(row[:9]), row[9])
    return found


def warn(cursor: sqlite3.Cursor, lines: Sequence[Line]) -> list[Crossing]:
    """Give them, and note that they were told."""
    found = crossings(cursor, lines)
    for crossing in found:
        account, window = crossing.line[:2]
        cursor.execute(_OPEN, (account, window))  # after a refusal the running part of a rolling window has no row yet
        cursor.execute(_WARNED, (crossing.share, account, window))
    return found


def _row(cursor: sqlite3.Cursor, line: Line) -> Sequence[Any]:
    """Give amounts, what was told, and the first window with any use."""
    if line.since is None:
        return cursor.execute(_ONE, (line.account, line.window)).fetchone() or (0,) * 10 + (None,)
    row = cursor.execute(_ROLLING, (line.account, line.since, _after_all(line.window))).fetchone()
    return (0,) * 10 + (None,) if row[0] is None else row


def _long_over(since: str) -> tuple[str, str]:
    """Give the range of short windows that no longer count, and will not: a window of a minute has one a second."""
    kind, _, number = since.partition(":")
    return f"{kind}:", f"{kind}:{max(0, int(number) - _KEPT):0{len(number)}d}"


def _after_all(window: str) -> str:
    """Give what sorts behind all windows of the same kind: "month;" comes after every "month:..."."""
    return f"{window.partition(':')[0]};"


def _open(cursor: sqlite3.Cursor, line: Line, at: float) -> bool:
    """Bring what may be carried over into a window that has no row yet; False where there is nothing."""
    kind, colon, _ = line.window.partition(":")
    if not colon:
        return False
    before = cursor.execute(_BEFORE, (line.account, f"{kind}:", line.window)).fetchone()
    if before is None:
        return False
    if line.previous is not None and before[0] < line.previous:  # all of the window before was left over
        idle = line._replace(window=line.previous, previous=None)
        cursor.execute(_OPEN, (line.account, line.previous))
        _carry(cursor, idle, before, at)
        before = cursor.execute(_BEFORE, (line.account, f"{kind}:", line.window)).fetchone()
    cursor.execute(_OPEN, (line.account, line.window))
    _carry(cursor, line, before, at)
    return True


def _carry(cursor: sqlite3.Cursor, line: Line, before: Sequence[Any], at: float) -> None:
    """Move what was topped up and is not used, and of the rest what `line.carry` allows, into this line's window."""
    moved, credit = carried(line, as_balance(before[1:10]), Amounts(*before[10:13]))
    if not any(moved):
        return
    _add(cursor, line.account, before[0], Amounts(*(-each for each in moved)), Amounts(*(-each for each in credit)))
    _add(cursor, line.account, line.window, moved, credit)
    cursor.execute(_WARNED, (ALL_SHARES, line.account, before[0]))  # a share of what stayed behind would say nothing
    _note(cursor, Credit(at, "carried out", line.account, before[0], Amounts(*(-each for each in moved))))
    _note(cursor, Credit(at, "carried in", line.account, line.window, moved))


def _add(cursor: sqlite3.Cursor, account: str, window: str, extra: Amounts, credit: Amounts) -> None:
    cursor.execute(_ADD, (*extra, *credit, account, window))


def _note(cursor: sqlite3.Cursor, credit: Credit) -> None:
    *fields, amounts = credit
    cursor.execute(_CREDIT, (*fields, *amounts))
