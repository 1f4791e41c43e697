"""What becomes of holds that last, and of calls that are entered late.

Holds are extended or given back, and of some the lease runs out, since their processes died.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, NamedTuple

from inferkit.core.errors import LedgerError
from inferkit.ledger.amounts import NOTHING, Amounts, Grant, Line, Refusal
from inferkit.ledger.journal import Attribution, Charge
from inferkit.ledger.sqlite.postings import IS_ENTERED, RELEASE, RELEASE_EXPIRED, correct, enter, hold, move, post
from inferkit.runtime import clock

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from inferkit.ledger.unwritten import Unwritten

__all__ = ["Swept", "earliest_lease", "enter_late", "extend", "mark_sent", "record", "sweep", "void"]

_HOLD = "INSERT INTO holds VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_EXTEND = "UPDATE holds SET usd = usd + ?, tokens = tokens + ?, calls = calls + ?, lease = max(lease, ?) WHERE call = ?"
_EARLIEST_LEASE = "SELECT min(lease) FROM holds"  # an index would cost every call more than this costs those refused
_DUE = (
    "SELECT call, usd, tokens, calls, accounts, sent, user, tenant, feature, plan FROM holds WHERE lease <= ? LIMIT ?"
)
_ATTRIBUTION = "SELECT user, tenant, feature, plan FROM entries WHERE call = ? ORDER BY id LIMIT 1"
_END = "DELETE FROM holds WHERE call = ?"


class Swept(NamedTuple):
    """How many holds were ended, and whether there may be others left."""

    ended: int
    are_more: bool


def extend(
    cursor: sqlite3.Cursor, call: str, lines: Sequence[Line], more: Amounts, *, at: float, lease: float
) -> Grant | Refusal:
    """Add to a hold, or leave it."""
    answer = hold(cursor, lines, more, more, at)
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
    held = cursor.execute(RELEASE, (call,)).fetchall()
    for *amounts, accounts in held:
        move(cursor, NOTHING, amounts, accounts)
    return bool(held) or correct(cursor, call, Charge(0, attempts=0, attribution=attribution_of(cursor, call)), at, 0)


def record(cursor: sqlite3.Cursor, call: str, charge: Charge, at: float) -> bool:
    """Enter a call without accounts, once."""
    if cursor.execute(IS_ENTERED, (call,)).fetchone():
        return False
    enter(cursor, call, "settled", at, calls=1, charge=charge)
    return True


def enter_late(cursor: sqlite3.Cursor, one: Unwritten) -> bool:
    """Do a step that could not be done before, unless it was."""
    if one.charge is None:
        return void(cursor, one.call, one.at)
    if one.step == "record":
        return record(cursor, one.call, one.charge, one.at)
    return post(cursor, one.call, one.charge, one.at, 1)


def attribution_of(cursor: sqlite3.Cursor, call: str) -> Attribution:
    """Find whom a call was entered for when its lease ran out."""
    return Attribution(*(cursor.execute(_ATTRIBUTION, (call,)).fetchone() or ()))


def earliest_lease(cursor: sqlite3.Cursor) -> float:
    """Give the instant at which the first lease runs out. Reads all holds."""
    (lease,) = cursor.execute(_EARLIEST_LEASE).fetchone()
    return inf if lease is None else float(lease)


def sweep(cursor: sqlite3.Cursor, at: float, most: int, seconds: float = inf) -> Swept:
    """End `most` holds whose lease ran out: what was sent is posted at the amount held, as an estimate.

    After so many seconds it leaves the others: on a slow machine, too, calls wait for little longer than that.
    """
    give_up = clock.now() + seconds
    rows = cursor.execute(_DUE, (at, most)).fetchall()
    for number, (call, usd, tokens, calls, accounts, sent, *attribution) in enumerate(rows):
        if number and clock.now() >= give_up:
            return Swept(number, are_more=True)
        held = Amounts(usd, tokens, calls)
        posted = held if sent else NOTHING
        cursor.execute(_END, (call,))
        move(cursor, posted, held, accounts)
        cursor.execute("INSERT INTO expired VALUES (?, ?, ?, ?, ?)", (call, *posted, accounts))
        if sent:
            charge = Charge(usd, output_tokens=tokens, estimated=True, attribution=Attribution(*attribution))
            enter(cursor, call, "expired", at, calls=calls, charge=charge, accounts=accounts)
    return Swept(len(rows), are_more=len(rows) == most)


def _revive(cursor: sqlite3.Cursor, call: str, lease: float, at: float) -> None:
    """Hold again what was posted when the lease ran out, since the call turns out to be running."""
    posted = cursor.execute(RELEASE_EXPIRED, (call,)).fetchall()
    if not posted:
        raise LedgerError(f"call {call} holds nothing that could be extended; it was settled or never reserved")
    usd, tokens, number, accounts = posted[0]
    back = Amounts(-usd, -tokens, -number)
    move(cursor, back, back, accounts)
    attribution = attribution_of(cursor, call)
    charge = Charge(-usd, output_tokens=-tokens, attempts=0, attribution=attribution)
    enter(cursor, call, "corrected", at, calls=-number, charge=charge, accounts=accounts)
    cursor.execute(_HOLD, (call, usd, tokens, number, accounts, lease, True, *attribution))
