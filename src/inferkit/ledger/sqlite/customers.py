"""The rest of the journal as rows: tallies of what cost nothing, who is on which plan, and what the plans were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.ledger.journal import Assignment, Attribution, Tally
from inferkit.ledger.sqlite.soundness import NUMBER, PERHAPS_TEXT, TEXT, TIME, sound

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "ASSIGNMENT",
    "ASSIGNMENTS",
    "DEFINITIONS",
    "TALLIES",
    "as_assignment",
    "as_tally",
    "assign",
    "define",
    "defined",
    "tally",
]

_TALLY = (
    "INSERT INTO tallies VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
    "calls = calls + excluded.calls, usd = usd + excluded.usd"
)
_COUNTED = "hour, kind, user, tenant, feature, plan, asked, provider, model, scope"
TALLIES = (
    f"SELECT {_COUNTED}, calls, usd FROM tallies WHERE hour >= ? AND hour < ? "  # noqa: S608 - columns alone
    f"AND ({_COUNTED}) > (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ORDER BY {_COUNTED} LIMIT ?"
)
_FIELDS = "SELECT at, user, tenant, plan, seats FROM assignments"
ASSIGNMENT = f"{_FIELDS} WHERE user IS ? AND tenant IS ? AND at <= ? ORDER BY at DESC, id DESC LIMIT 1"
ASSIGNMENTS = (
    "SELECT at, id, user, tenant, plan, seats FROM assignments WHERE (at, id) > (?, ?) ORDER BY at, id LIMIT ?"
)
DEFINITIONS = "SELECT plan, definition, at FROM definitions ORDER BY id"


def tally(cursor: sqlite3.Cursor, tallies: Iterable[Tally]) -> None:
    """Add counts. A missing name is an empty text here, since NULLs are never equal."""
    for hour, kind, attribution, *names, calls, usd in tallies:
        cursor.execute(_TALLY, (hour, kind, *(name or "" for name in attribution), *names, calls, usd))


def _as_tally(row: Sequence[Any]) -> Tally:
    hour, kind, *names = row[:6]
    return Tally(hour, kind, Attribution(*(name or None for name in names)), *row[6:])


as_tally = sound(_as_tally, NUMBER, *[TEXT] * 9, NUMBER, NUMBER)
"""Read a row of counts."""


def _as_assignment(row: Sequence[Any]) -> Assignment:
    at, _, *fields = row
    return Assignment(at, *fields)


as_assignment = sound(_as_assignment, TIME, NUMBER, PERHAPS_TEXT, PERHAPS_TEXT, PERHAPS_TEXT, NUMBER)
"""Read a row of `ASSIGNMENTS`."""


_sound_definition = sound(tuple, TEXT, TEXT, TIME)


def assign(cursor: sqlite3.Cursor, assignment: Assignment) -> None:
    """Write an assignment down, unless it says what the latest one says."""
    at, user, tenant, plan, seats = assignment
    latest = cursor.execute(ASSIGNMENT, (user, tenant, at)).fetchone()
    if latest is None or tuple(latest[3:]) != (plan, seats):
        cursor.execute("INSERT INTO assignments VALUES (NULL, ?, ?, ?, ?, ?)", (at, user, tenant, plan, seats))


def defined(rows: Iterable[Sequence[Any]], before: float | None) -> dict[str, str]:
    """Find what each plan was just before an instant; one that was defined later is what it was at first."""
    found: dict[str, str] = {}
    for plan, definition, at in map(_sound_definition, rows):
        if before is None or at < before or plan not in found:
            found[plan] = definition
    return found


def define(cursor: sqlite3.Cursor, definitions: Mapping[str, str], at: float) -> None:
    """Write down the definitions that are new."""
    known = defined(cursor.execute(DEFINITIONS).fetchall(), None)
    for plan, definition in definitions.items():
        if known.get(plan) != definition:
            cursor.execute("INSERT INTO definitions VALUES (NULL, ?, ?, ?)", (at, plan, definition))
