"""What a ledger keeps of entries that were archived: their sums, by stretches of time and by what is alike.

A stretch is a day, or a part of one where a report has to tell the two apart. Sums of it are all that is known here of
its archived calls: whoever asks for less than a stretch, or for the calls themselves, is told where they are.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from inferkit.core.errors import LedgerError

if TYPE_CHECKING:
    import sqlite3

__all__ = ["MODELS", "refuse_archived_call", "refuse_calls", "refuse_cut"]

_CUT = (
    "SELECT s.since, s.until, a.name FROM stretches AS s JOIN archives AS a ON a.id = s.archive "
    "WHERE s.since < ? AND s.until > ? LIMIT 1"
)
_WITHIN = (
    "SELECT min(s.since), max(s.until), group_concat(DISTINCT a.name) FROM stretches AS s "
    "JOIN archives AS a ON a.id = s.archive WHERE s.since < ? AND s.until > ?"
)
_HAS_CALL = "SELECT 1 FROM archived WHERE call = ?"
MODELS = (
    "SELECT c.provider, c.model, sum(r.usd) FROM main.rollups AS r "
    "JOIN main.cells AS c ON c.cell = r.cell WHERE r.since >= ? AND r.since < ? GROUP BY c.provider, c.model"
)
"""What the archived calls of some stretches cost, by model."""


def refuse_cut(connection: sqlite3.Connection, *bounds: float) -> None:
    """Raise `LedgerError` for an instant in the middle of a stretch that was archived."""
    for bound in bounds:
        found = connection.execute(_CUT, (bound, bound)).fetchone()
        if found is not None:
            since, until, name = found
            raise LedgerError(
                f"the calls from {_text(since)} to {_text(until)} are archived, and only their sums are kept here, so "
                f"no period and no day can begin or end at {_text(bound)}; ask for whole days of the time zone that "
                f"they were archived in, or ask the archive, which is a ledger too: {name}"
            )


def refuse_calls(connection: sqlite3.Connection, since: float, until: float) -> None:
    """Raise `LedgerError` where calls between two instants were archived, and each of them is asked for."""
    first, last, names = connection.execute(_WITHIN, (until, since)).fetchone()
    if first is not None:
        raise LedgerError(
            f"calls from {_text(first)} to {_text(last)} are archived, and this needs each of them rather than their "
            f"sum; ask the archive, which is a ledger too: {names.replace(',', ', ')}"
        )


def refuse_archived_call(connection: sqlite3.Connection, call: str) -> None:
    """Raise `LedgerError` for a call that was archived."""
    if connection.execute(_HAS_CALL, (call,)).fetchone() is not None:
        names = [row[0] for row in connection.execute("SELECT name FROM archives ORDER BY id")]
        raise LedgerError(f"call {call} is archived; it is in {' or '.join(names)}, which can be read as a ledger")


def _text(at: Any) -> str:
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):  # an archive holds nothing of what is before it and after it
        return "the beginning" if at < 0 else "the end"
