"""What happens to the ledger's rows in each step, given a cursor inside a transaction.

The same amounts are held on all lines of a call, so one row holds them for the call, and a balance's pending part is
the sum of the holds on it.
"""

from __future__ import annotations

import functools
import json
from math import inf
from typing import TYPE_CHECKING

from inferkit.core.errors import LedgerError
from inferkit.core.usage import NO_DETAILS
from inferkit.ledger.amounts import NOTHING, Amounts, Grant, Line, Refusal, Settled
from inferkit.ledger.decisions import grant
from inferkit.ledger.journal import Attribution, Charge
from inferkit.ledger.sqlite import balances
from inferkit.ledger.sqlite.binding import execute
from inferkit.ledger.sqlite.entries import ENTER, NO_ACCOUNTS, accounts_json, accounts_of, cell_of, part_as_json

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from inferkit.ledger.journal import EntryKind
    from inferkit.ledger.unwritten import Unwritten

__all__ = [
    "earliest_lease", "enter_late", "extend", "mark_sent", "record", "reserve", "settle", "sweep", "void",
]  # fmt: skip

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
_HOLD_NEW = "INSERT OR FAIL INTO holds SELECT "
_UNLESS_KNOWN = (
    " WHERE NOT EXISTS (SELECT 1 FROM entered WHERE call = ?) "
    "AND NOT EXISTS (SELECT 1 FROM expired WHERE call = ?) ON CONFLICT (call) DO NOTHING"
)
_EXTEND = "UPDATE holds SET usd = usd + ?, tokens = tokens + ?, calls = calls + ?, lease = max(lease, ?) WHERE call = ?"
_HOLD_WHOLE = (
    "UPDATE balances SET usd_held = usd_held + ?, tokens_held = tokens_held + ?, calls_held = calls_held + ? "
    "WHERE account = ? AND window = ?{} "
    "RETURNING usd + usd_held - usd_extra, tokens + tokens_held - tokens_extra, calls + calls_held - calls_extra"
)
_IF_ROOM = " AND {0} + {0}_held - {0}_extra <= ?"
_RELEASE = "DELETE FROM holds WHERE call = ? RETURNING usd, tokens, calls, accounts"
_RELEASE_EXPIRED = "DELETE FROM expired WHERE call = ? RETURNING usd, tokens, calls, accounts"
_EARLIEST_LEASE = "SELECT min(lease) FROM holds"  # an index would cost every call more than this costs those refused
_SWEEP = (
    "DELETE FROM holds WHERE call IN (SELECT call FROM holds WHERE lease <= ? LIMIT ?) "
    "RETURNING call, usd, tokens, calls, accounts, sent, user, tenant, feature, plan"
)
_IS_KNOWN = (
    "SELECT 1 FROM holds WHERE call = ? UNION ALL SELECT 1 FROM entered WHERE call = ? "
    "UNION ALL SELECT 1 FROM expired WHERE call = ? LIMIT 1"
)
_ATTRIBUTION = "SELECT user, tenant, feature, plan FROM entries WHERE call = ? ORDER BY id LIMIT 1"
_IS_ENTERED = "SELECT 1 FROM entered WHERE call = ? LIMIT 1"
_NOW, _BEFORE = Settled(now=True), Settled(now=False)


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
    answer = _hold(cursor, lines, wanted, minimum, at)
    if isinstance(answer, Grant):
        accounts = accounts_json(tuple([line[:2] for line in lines]))
        hold = (call, *answer.amounts, accounts, lease, +sent)
        is_new = execute(cursor, _HOLD_NEW, hold, attribution, _UNLESS_KNOWN, call, call).rowcount
    else:
        is_new = cursor.execute(_IS_KNOWN, (call,) * 3).fetchone() is None
    if not is_new:
        raise LedgerError(f"call {call} was reserved before; give every call an id of its own")
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
    _enter(cursor, call, "settled", at, calls=1, charge=charge)
    return True


def enter_late(cursor: sqlite3.Cursor, one: Unwritten) -> bool:
    """Do a step that could not be done before, unless it was."""
    if one.charge is None:
        return void(cursor, one.call, one.at)
    if one.step == "record":
        return record(cursor, one.call, one.charge, one.at)
    return _settle(cursor, one.call, one.charge, one.at, 1)


def _hold(
    cursor: sqlite3.Cursor, lines: Sequence[Line], wanted: Amounts, minimum: Amounts, at: float
) -> Grant | Refusal:
    if len(lines) == 1:
        whole = _hold_whole(cursor, lines[0], wanted)
        if whole is not None:
            return whole
    found = grant(lines, wanted, minimum, lambda line: balances.used(cursor, line, at))
    if not isinstance(found, Grant):
        return balances.refusal(cursor, found)
    for line in lines:
        cursor.execute(_HOLD_BALANCE, (line.account, line.window, *found.amounts))
    return found


def _hold_whole(cursor: sqlite3.Cursor, line: Line, wanted: Amounts) -> Grant | None:
    """Hold all that is wanted on the one line of a call, if it is there: in one step, as nearly all calls are held."""
    if line.since is not None:
        return None
    grace = line.grace
    usd = None if line.usd is None else line.usd + grace.usd
    tokens = None if line.tokens is None else line.tokens + grace.tokens
    calls = None if line.calls is None else line.calls + grace.calls
    values: list[int | str] = [*wanted, line.account, line.window]
    units = ""
    for unit, limit, amount in zip("utc", (usd, tokens, calls), wanted, strict=True):
        if limit is not None and amount:  # what costs nothing is free, also after the limit
            units += unit
            values.append(limit - amount)
    row = cursor.execute(_if_room(units), values).fetchone()
    if row is None:
        return None
    left = (
        None if usd is None else usd - row[0],
        None if tokens is None else tokens - row[1],
        None if calls is None else calls - row[2],
    )
    return Grant(wanted, left)


@functools.cache
def _if_room(units: str) -> str:
    """Give the statement for those of the units, by their first letters, that there has to be room for."""
    rooms = [_IF_ROOM.format(unit) for unit in ("usd", "tokens", "calls") if unit[0] in units]
    return _HOLD_WHOLE.format("".join(rooms))


def settle(
    cursor: sqlite3.Cursor, call: str, charge: Charge, at: float, *, calls: int, watched: Sequence[Line] = ()
) -> Settled:
    """Post what a call cost in place of what it held, once, and note which shares of the lines to watch it passed."""
    if not _settle(cursor, call, charge, at, calls):
        return _BEFORE
    if watched:
        crossings = balances.warn(cursor, watched)
        if crossings:
            return Settled(now=True, crossings=tuple(crossings))
    return _NOW


def _settle(cursor: sqlite3.Cursor, call: str, charge: Charge, at: float, calls: int) -> bool:
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
    _enter(cursor, call, "settled", at, calls=calls, charge=charge, accounts=accounts)
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
        _enter(cursor, call, "corrected", at, calls=calls - number, charge=charge, accounts=accounts)
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
    _enter(cursor, call, "corrected", at, calls=-number, charge=charge, accounts=accounts)
    cursor.execute(_HOLD, (call, usd, tokens, number, accounts, lease, True, *attribution))


def _attribution(cursor: sqlite3.Cursor, call: str) -> Attribution:
    """Find whom a call was entered for when its lease ran out."""
    return Attribution(*(cursor.execute(_ATTRIBUTION, (call,)).fetchone() or ()))


def earliest_lease(cursor: sqlite3.Cursor) -> float:
    """Give the instant at which the first lease runs out. Reads all holds."""
    (lease,) = cursor.execute(_EARLIEST_LEASE).fetchone()
    return inf if lease is None else float(lease)


def sweep(cursor: sqlite3.Cursor, at: float, most: int) -> int:
    """End `most` holds whose lease ran out: what was sent is posted at the amount held, as an estimate."""
    rows = cursor.execute(_SWEEP, (at, most)).fetchall()
    for call, usd, tokens, calls, accounts, sent, *attribution in rows:
        held = Amounts(usd, tokens, calls)
        posted = held if sent else NOTHING
        _move(cursor, posted, held, accounts)
        cursor.execute("INSERT INTO expired VALUES (?, ?, ?, ?, ?)", (call, *posted, accounts))
        if sent:
            charge = Charge(usd, output_tokens=tokens, estimated=True, attribution=Attribution(*attribution))
            _enter(cursor, call, "expired", at, calls=calls, charge=charge, accounts=accounts)
    return len(rows)


def _move(cursor: sqlite3.Cursor, posted: Sequence[int], released: Sequence[int], accounts: str) -> None:
    for account, window in accounts_of(accounts):
        cursor.execute(_MOVE, (*posted, *released, account, window))


def _enter(
    cursor: sqlite3.Cursor,
    call: str,
    kind: EntryKind,
    at: float,
    *,
    calls: int,
    charge: Charge,
    accounts: str = NO_ACCOUNTS,
) -> None:
    """Write an entry."""
    (
        usd, provider, model, input_tokens, output_tokens, cache_read, cache_write, reasoning, attempts, estimated,
        outcome, finish_reason, asked, degraded, cache_saved, routing_saved, overrun, parts, attribution, details,
    ) = charge  # fmt: skip
    known = (
        call, kind, at, calls, input_tokens, output_tokens, cache_read, cache_write, reasoning, attempts, +estimated,
        +degraded, cache_saved, routing_saved, overrun, accounts,
    )  # fmt: skip
    perhaps = (
        *attribution, cell_of(kind, charge), usd, provider, model, outcome, finish_reason, asked,
        json.dumps([part_as_json(part) for part in parts]) if parts else None,
        None if details is NO_DETAILS else json.dumps(details.as_json()),
    )  # fmt: skip
    execute(cursor, ENTER, known, perhaps, ")")
