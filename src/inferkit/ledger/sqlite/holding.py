"""What is held for a call on its lines: all that it wants where each has room, or what the scarcest can spare."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferkit.ledger.amounts import Amounts, Grant, Line, Refusal
from inferkit.ledger.decisions import grant
from inferkit.ledger.sqlite import balances

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    Left = tuple[int | None, int | None, int | None]

__all__ = ["hold"]

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


def hold(
    cursor: sqlite3.Cursor, lines: Sequence[Line], wanted: Amounts, minimum: Amounts, at: float
) -> Grant | Refusal:
    """Hold what every line can spare on all of them, or nothing."""
    whole = _hold_whole(cursor, lines, wanted)
    if whole is not None:
        return whole
    found = grant(lines, wanted, minimum, lambda line: balances.used(cursor, line, at))
    if not isinstance(found, Grant):
        return balances.refusal(cursor, found)
    for line in lines:
        cursor.execute(_HOLD_BALANCE, (line.account, line.window, *found.amounts))
    return found


def _hold_whole(cursor: sqlite3.Cursor, lines: Sequence[Line], wanted: Amounts) -> Grant | None:
    """Hold all that is wanted, if each line has it, as nearly all calls are held: what `grant` works out, in less."""
    scarcest = None
    for line in lines:
        left = _left_on(cursor, line, wanted)
        if left is None:
            return None
        scarcest = left if scarcest is None else _scarcer(scarcest, left)
    for line in lines:
        cursor.execute(_HOLD_MORE, (*wanted, line[0], line[1]))
    return None if scarcest is None else Grant(wanted, scarcest)


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
