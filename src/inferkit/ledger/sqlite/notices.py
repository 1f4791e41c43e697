"""The notices that processes leave each other in the ledger's file: a table of its own, which no balance depends on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.ledger.notices import MOST_NOTICES, Notice
from inferkit.ledger.sqlite.database import READING, WRITING, Database
from inferkit.ledger.sqlite.soundness import NUMBER, TEXT, TIME, sound

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

__all__ = ["SqliteNotices"]

_PUT = "INSERT OR REPLACE INTO notices (teller, kind, name, at, until, facts) VALUES (?, ?, ?, ?, ?, ?)"
_OVER = "DELETE FROM notices WHERE until <= ? OR at > ?"
_BEYOND = "DELETE FROM notices WHERE id <= (SELECT id FROM notices ORDER BY id DESC LIMIT 1 OFFSET ?)"
_LATEST = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'notices'), 0)"
_SINCE = (
    "SELECT id, teller, kind, name, at, until, facts FROM notices "
    "WHERE id > ? AND teller != ? AND until > ? AND at <= ? ORDER BY id"
)
_TIDY_SECONDS = 30.0
_AHEAD_SECONDS = 60.0  # by which a clock that was set back may have been before

_sound = sound(tuple, NUMBER, TEXT, TEXT, TEXT, TIME, TIME, TEXT)


class SqliteNotices:
    """See `Noticeboard`."""

    def __init__(self, database: Database) -> None:
        self._board = database
        self._tidy_at = 0.0

    def exchange(
        self, notices: Sequence[Notice], *, teller: str, since: int, at: float, patience: float
    ) -> tuple[list[Notice], int]:
        """See `Noticeboard`. Nothing is locked where there is nothing to tell."""
        given = list(notices)

        def step(cursor: sqlite3.Cursor) -> tuple[list[Any], int]:
            if given:
                cursor.executemany(_PUT, given)
                if not self._tidy_at - _TIDY_SECONDS <= at < self._tidy_at:
                    cursor.execute(_OVER, (at, at + _AHEAD_SECONDS))
                    cursor.execute(_BEYOND, (MOST_NOTICES,))
                    self._tidy_at = at + _TIDY_SECONDS
            latest = int(cursor.execute(_LATEST).fetchone()[0])
            begin = since if since <= latest else 0  # the file is an older one than it was
            return cursor.execute(_SINCE, (begin, teller, at, at + _AHEAD_SECONDS)).fetchall(), latest

        rows, latest = self._board.write(step, begin=WRITING if given else READING, patience=patience)
        return [Notice(*_sound(row)[1:]) for row in rows], latest
