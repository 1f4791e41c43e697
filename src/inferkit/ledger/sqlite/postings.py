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
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import LedgerError
from inferkit.core.usage import NO_DETAILS
from inferkit.ledger.amounts import NOTHING, Amounts, Grant, Line, Refusal, Settled
from inferkit.ledger.decisions import grant
from inferkit.ledger.sqlite import balances
from inferkit.ledger.sqlite.entries import NO_ACCOUNTS, accounts_json, accounts_of, cell_number, part_as_json

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from inferkit.ledger.journal import Attribution, Charge, EntryKind

    Left = tuple[int | None, int | None, int | None]

__all__ = [
    "IS_ENTERED", "RELEASE", "RELEASE_EXPIRED", "cell_of", "correct", "enter", "hold", "move", "post",
    "reserve", "settle",
]  # fmt: skip

_HOLD_BALANCE = (
    "INSERT INTO balances (account, window, usd, tokens, calls, usd_held, tokens_held, calls_held) "
    "VALUES (?, ?, 0, 0, 0, ?, ?, ?) ON CONFLICT DO UPDATE SET "
    "usd_held = usd_held + excluded.usd_held, tokens_held = tokens_held + excluded.tokens_held, "
    "calls_held = calls_held + excluded.calls_held"
)
_HOLD_MORE = (
    "UPDATE balances SET usd_held = usd_held + ?, tokens_held = tokens_held + ?, calls_held = calls_held + ? "
    "WHERE account = ? AND window = ?"
)
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
    "accounts, user, tenant, feature, plan, cell, provider, model, outcome, finish_reason, asked, usd, parts, details) "
    "VALUES ("
)
_ALWAYS = 16  # of its columns, which no entry leaves out
_LARGE = 2**40  # nano-dollars, a thousand dollars for one call; or tokens
RELEASE = "DELETE FROM holds WHERE call = ? RETURNING usd, tokens, calls, accounts"
RELEASE_EXPIRED = "DELETE FROM expired WHERE call = ? RETURNING usd, tokens, calls, accounts"
_IS_KNOWN = (
    "SELECT 1 FROM holds WHERE call = ? UNION ALL SELECT 1 FROM entered WHERE call = ? "
    "UNION ALL SELECT 1 FROM expired WHERE call = ? LIMIT 1"
)
IS_ENTERED = "SELECT 1 FROM entered WHERE call = ? LIMIT 1"
_NONES = repeat(None)
_NO_LIMITS = (None, None, None)
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
        statement, whom = _holding_for(attribution)
        is_new = cursor.execute(statement, (call, *answer[0], accounts, lease, +sent, *whom, call, call)).rowcount
    else:
        is_new = cursor.execute(_IS_KNOWN, (call,) * 3).fetchone() is None
    if not is_new:
        raise LedgerError(f"call {call} was reserved before; give every call an id of its own")
    return answer


def hold(
    cursor: sqlite3.Cursor, lines: Sequence[Line], wanted: Amounts, minimum: Amounts, at: float
) -> Grant | Refusal:
    """Hold all that is wanted, if each line has it, as nearly all calls are held; or what every line can spare."""
    left: Left = _NO_LIMITS
    for line in lines:
        more = _left_on(cursor, line, wanted)
        if more is None:
            return _hold_some(cursor, lines, wanted, minimum, at)
        left = more if left is _NO_LIMITS else _scarcer(left, more)
    for line in lines:
        cursor.execute(_HOLD_MORE, (*wanted, line[0], line[1]))
    return Grant(wanted, left)


def _hold_some(
    cursor: sqlite3.Cursor, lines: Sequence[Line], wanted: Amounts, minimum: Amounts, at: float
) -> Grant | Refusal:
    found = grant(lines, wanted, minimum, lambda line: balances.used(cursor, line, at))
    if not isinstance(found, Grant):
        return balances.refusal(cursor, found)
    for line in lines:
        cursor.execute(_HOLD_BALANCE, (line.account, line.window, *found.amounts))
    return found


def _left_on(cursor: sqlite3.Cursor, line: Line, wanted: Amounts) -> Left | None:
    """Give what is left on a line without what is wanted; None where that is not there, or may have to be opened."""
    account, window, usd, tokens, calls, grace, since = line[:7]
    if since is not None:
        return None
    used: tuple[int, int, int] | None = cursor.execute(balances.USED, (account, window)).fetchone()
    if used is None:
        return None
    if usd is not None:
        usd += grace[0] - used[0] - wanted[0]
        if usd < 0 and wanted[0]:  # what costs nothing is free, also after the limit
            return None
    if tokens is not None:
        tokens += grace[1] - used[1] - wanted[1]
        if tokens < 0 and wanted[1]:
            return None
    if calls is not None:
        calls += grace[2] - used[2] - wanted[2]
        if calls < 0 and wanted[2]:
            return None
    return usd, tokens, calls


def _scarcer(one: Left, other: Left) -> Left:
    """Give unit by unit the lesser of what is left on two lines."""
    a, b, c = one
    u, t, k = other
    return (
        u if a is None or (u is not None and u < a) else a,
        t if b is None or (t is not None and t < b) else b,
        k if c is None or (k is not None and k < c) else c,
    )


def settle(
    cursor: sqlite3.Cursor, call: str, charge: Charge, at: float, *, calls: int, watched: Sequence[Line] = ()
) -> Settled:
    """Post what a call cost in place of what it held, once, and note which shares of the lines to watch it passed."""
    if not post(cursor, call, charge, at, calls):
        return _BEFORE
    if watched:
        crossings = balances.warn(cursor, watched)
        if crossings:
            return Settled(now=True, crossings=tuple(crossings))
    return _NOW


def post(cursor: sqlite3.Cursor, call: str, charge: Charge, at: float, calls: int) -> bool:
    """Post what a call cost in place of what it held; False where that was done before."""
    held = cursor.execute(RELEASE, (call,)).fetchall()
    if held:
        *released, accounts = held[0]
        tokens = charge.input_tokens + charge.output_tokens
        move(cursor, (charge.usd or 0, tokens, calls), released, accounts)
    elif correct(cursor, call, charge, at, calls):
        return True
    elif cursor.execute(IS_ENTERED, (call,)).fetchone():
        return False
    else:
        accounts = NO_ACCOUNTS  # nothing was reserved; the journal keeps the cost all the same
    enter(cursor, call, "settled", at, calls=calls, charge=charge, accounts=accounts)
    return True


def correct(cursor: sqlite3.Cursor, call: str, charge: Charge, at: float, calls: int) -> bool:
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
    statement, row, _ = _entry(call, kind, at, calls, charge, accounts)
    cursor.execute(statement, row)


def cell_of(kind: EntryKind, charge: Charge) -> int | None:
    """Give the number of what a call has in common with others, by which a report adds them up; None for others.

    Those are calls of several attempts, whose lease ran out, that cost more than was held, or so large that few of them
    make more than 64 bits.
    """
    _, _, cell = _entry("", kind, 0, 1, charge, NO_ACCOUNTS)
    return cell


def _entry(  # noqa: PLR0917 - those of `enter`
    call: str, kind: EntryKind, at: float, calls: int, charge: Charge, accounts: str
) -> tuple[str, list[object], int | None]:
    """Give what enters a call: the statement, its values, and the call's cell."""
    (
        usd, provider, model, input_tokens, output_tokens, cache_read, cache_write, reasoning, attempts, estimated,
        outcome, finish_reason, asked, degraded, cache_saved, routing_saved, overrun, parts, attribution, details,
    ) = charge  # fmt: skip
    reported = details.reported_nanos
    is_usual = kind == "settled" and not parts and not overrun and max(
        input_tokens, output_tokens, usd or 0, reported or 0, cache_saved, -cache_saved, routing_saved, -routing_saved
    ) < _LARGE  # fmt: skip
    facts = (
        attribution, provider, model, outcome, finish_reason, usd is None, estimated, degraded, details is NO_DETAILS,
        reported is None, (cache_saved != 0, routing_saved != 0, False),
    )  # fmt: skip
    statement, said, cell = _saying(facts, asked, is_usual, not parts)
    row = [
        call, kind, at, calls, input_tokens, output_tokens, cache_read, cache_write, reasoning, attempts, +estimated,
        +degraded, cache_saved, routing_saved, overrun, accounts, *said,
    ]  # fmt: skip
    if usd is not None:
        row.append(usd)
    if parts:
        row.append(json.dumps([part_as_json(part) for part in parts]))
    if details is not NO_DETAILS:
        row.append(json.dumps(details.as_json()))
    return statement, row, cell


@functools.lru_cache(maxsize=4096)
def _saying(
    facts: tuple[Any, ...],
    asked: str | None,
    is_usual: bool,
    is_one: bool,
) -> tuple[str, tuple[object, ...], int | None]:
    """Give the statement that enters a call of which this is said, what of that it takes, and its cell."""
    attribution, provider, model, outcome, finish_reason, is_unpriced, _, _, is_plain, _, _ = facts
    cell = cell_number(*facts) if is_usual else None
    perhaps = (*attribution, cell, provider, model, outcome, finish_reason, asked)
    given = (*map(is_not, perhaps, _NONES), not is_unpriced, not is_one, not is_plain)
    return _with_nulls(_ENTER, _ALWAYS, given, ")"), tuple(compress(perhaps, given)), cell


@functools.lru_cache(maxsize=4096)
def _holding_for(attribution: Attribution) -> tuple[str, tuple[object, ...]]:
    """Give the statement that holds for such a call, and what of the attribution it takes."""
    given = tuple(map(is_not, attribution, _NONES))
    return _with_nulls(_HOLD_NEW, 7, given, _UNLESS_KNOWN), tuple(compress(attribution, given))


@functools.lru_cache(maxsize=256)
def _with_nulls(begin: str, known: int, given: tuple[bool, ...], end: str) -> str:
    """Give a statement with a list of known values, and of others that are given or NULL."""
    return f"{begin}{', '.join(['?'] * known + ['?' if each else 'NULL' for each in given])}{end}"
