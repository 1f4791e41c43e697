"""What happens to the ledger's rows in each step, given a cursor inside a transaction.

The same amounts are held on all lines of a call, so one row holds them for the call, and a balance's pending part is
the sum of the holds on it.

What may be None is not bound but written into the statement as NULL, and bools are bound as numbers: Python 3.11's
`sqlite3` looks for an adapter of all others, and raises and forgets an error on the way, which took a tenth of what the
two transactions of a call take.
"""

from __future__ import annotations

import functools
import json
from itertools import compress, repeat
from operator import is_not
from typing import TYPE_CHECKING

from inferkit.core.errors import LedgerError
from inferkit.core.usage import NO_DETAILS
from inferkit.ledger.amounts import NOTHING, Amounts, Grant, Line, Refusal, Settled
from inferkit.ledger.journal import Attribution, Charge
from inferkit.ledger.sqlite import balances
from inferkit.ledger.sqlite.entries import NO_ACCOUNTS, accounts_json, accounts_of, cell_number, part_as_json
from inferkit.ledger.sqlite.holding import hold

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from inferkit.ledger.journal import EntryKind
    from inferkit.ledger.unwritten import Unwritten

__all__ = [
    "RELEASE_EXPIRED", "attribution_of", "cell_of", "enter", "enter_late", "mark_sent", "move", "record",
    "reserve", "settle", "void",
]  # fmt: skip

_MOVE = (
    "UPDATE balances SET usd = usd + ?, tokens = tokens + ?, calls = calls + ?, "
    "usd_held = usd_held - ?, tokens_held = tokens_held - ?, calls_held = calls_held - ? "
    "WHERE account = ? AND window = ?"
)
_HOLD_NEW = "INSERT OR FAIL INTO holds SELECT "
_UNLESS_KNOWN = (
    " WHERE NOT EXISTS (SELECT 1 FROM entered WHERE call = ?) "
    "AND NOT EXISTS (SELECT 1 FROM expired WHERE call = ?) ON CONFLICT (call) DO NOTHING"
)
# OR FAIL: to undo what a trigger did, others would keep the pages as they were
_ENTER = (
    "INSERT OR FAIL INTO entries (call, kind, at, calls, input_tokens, output_tokens, cache_read_tokens, "
    "cache_write_tokens, reasoning_tokens, attempts, estimated, degraded, prompt_cache_saved, routing_saved, overrun, "
    "accounts, user, tenant, feature, plan, cell, usd, provider, model, outcome, finish_reason, asked, parts, details) "
    "VALUES ("
)
_LARGE = 2**40  # nano-dollars, a thousand dollars for one call; or tokens
_RELEASE = "DELETE FROM holds WHERE call = ? RETURNING usd, tokens, calls, accounts"
RELEASE_EXPIRED = "DELETE FROM expired WHERE call = ? RETURNING usd, tokens, calls, accounts"
_IS_KNOWN = (
    "SELECT 1 FROM holds WHERE call = ? UNION ALL SELECT 1 FROM entered WHERE call = ? "
    "UNION ALL SELECT 1 FROM expired WHERE call = ? LIMIT 1"
)
_ATTRIBUTION = "SELECT user, tenant, feature, plan FROM entries WHERE call = ? ORDER BY id LIMIT 1"
_IS_ENTERED = "SELECT 1 FROM entered WHERE call = ? LIMIT 1"
_NONES = repeat(None)
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
    answer = hold(cursor, lines, wanted, minimum, at)
    if isinstance(answer, Grant):
        accounts = accounts_json(tuple([line[:2] for line in lines]))
        given = tuple(map(is_not, attribution, _NONES))
        row = (call, *answer.amounts, accounts, lease, +sent, *compress(attribution, given), call, call)
        is_new = cursor.execute(_with_nulls(_HOLD_NEW, 7, given, _UNLESS_KNOWN), row).rowcount
    else:
        is_new = cursor.execute(_IS_KNOWN, (call,) * 3).fetchone() is None
    if not is_new:
        raise LedgerError(f"call {call} was reserved before; give every call an id of its own")
    return answer


def mark_sent(cursor: sqlite3.Cursor, call: str) -> None:
    """Note that a call is on its way."""
    cursor.execute("UPDATE holds SET sent = 1 WHERE call = ?", (call,))


def void(cursor: sqlite3.Cursor, call: str, at: float) -> bool:
    """Give back what a call holds, or take back what was posted when its lease ran out."""
    held = cursor.execute(_RELEASE, (call,)).fetchall()
    for *amounts, accounts in held:
        move(cursor, NOTHING, amounts, accounts)
    return bool(held) or _correct(cursor, call, Charge(0, attempts=0, attribution=attribution_of(cursor, call)), at, 0)


def record(cursor: sqlite3.Cursor, call: str, charge: Charge, at: float) -> bool:
    """Enter a call without accounts, once."""
    if cursor.execute(_IS_ENTERED, (call,)).fetchone():
        return False
    enter(cursor, call, "settled", at, calls=1, charge=charge)
    return True


def enter_late(cursor: sqlite3.Cursor, one: Unwritten) -> bool:
    """Do a step that could not be done before, unless it was."""
    if one.charge is None:
        return void(cursor, one.call, one.at)
    if one.step == "record":
        return record(cursor, one.call, one.charge, one.at)
    return _settle(cursor, one.call, one.charge, one.at, 1)


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
        move(cursor, (charge.usd or 0, tokens, calls), released, accounts)
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
    posted = cursor.execute(RELEASE_EXPIRED, (call,)).fetchall()
    for usd, tokens, number, accounts in posted:
        known = charge.usd is not None or usd
        charge = charge._replace(
            usd=(charge.usd or 0) - usd if known else None, output_tokens=charge.output_tokens - tokens
        )
        move(cursor, Amounts(charge.usd or 0, charge.tokens, calls - number), NOTHING, accounts)
        enter(cursor, call, "corrected", at, calls=calls - number, charge=charge, accounts=accounts)
    return bool(posted)


def attribution_of(cursor: sqlite3.Cursor, call: str) -> Attribution:
    """Find whom a call was entered for when its lease ran out."""
    return Attribution(*(cursor.execute(_ATTRIBUTION, (call,)).fetchone() or ()))


def move(cursor: sqlite3.Cursor, posted: Sequence[int], released: Sequence[int], accounts: str) -> None:
    """Post amounts to accounts, and release others."""
    for account, window in accounts_of(accounts):
        cursor.execute(_MOVE, (*posted, *released, account, window))


def enter(
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
    given = tuple(map(is_not, perhaps, _NONES))
    cursor.execute(_with_nulls(_ENTER, len(known), given, ")"), (*known, *compress(perhaps, given)))


@functools.lru_cache(maxsize=256)
def _with_nulls(begin: str, known: int, given: tuple[bool, ...], end: str) -> str:
    """Give a statement with a list of known values, and of others that are given or NULL."""
    return f"{begin}{', '.join(['?'] * known + ['?' if each else 'NULL' for each in given])}{end}"


def cell_of(kind: EntryKind, charge: Charge) -> int | None:
    """Give the number of what a call has in common with others, by which a report adds them up; None for others.

    Those are calls of several attempts, whose lease ran out, that cost more than was held, or so large that few of them
    make more than 64 bits.
    """
    (
        usd, provider, model, input_tokens, output_tokens, _, _, _, _, estimated, outcome, finish_reason, _, degraded,
        cache_saved, routing_saved, overrun, parts, attribution, details,
    ) = charge  # fmt: skip
    reported = details.reported_nanos
    if kind != "settled" or parts or overrun or input_tokens >= _LARGE or output_tokens >= _LARGE:
        return None
    if (usd or 0) >= _LARGE or (reported or 0) >= _LARGE:
        return None
    if not -_LARGE < cache_saved < _LARGE or not -_LARGE < routing_saved < _LARGE:
        return None
    return cell_number(
        attribution, provider, model, outcome, finish_reason, usd is None, estimated, degraded, details is NO_DETAILS,
        reported is None, (cache_saved != 0, routing_saved != 0, False),
    )  # fmt: skip
