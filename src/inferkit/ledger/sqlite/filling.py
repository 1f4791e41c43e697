"""Makes the table of a period's sums inside SQLite, a stretch after the other, so that nobody has to wait for it.

What is alike has the same `cell`. The table is one of the connection's own. Who waits for it helps: he takes stretches
from the end into a table of his own connection, which is added to the first one in an instant.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import sqlite3
from collections import deque
from typing import TYPE_CHECKING

from inferkit.core.errors import LedgerError
from inferkit.ledger.sqlite.hours import BETWEEN, instants
from inferkit.ledger.sqlite.reader import at_once
from inferkit.ledger.sqlite.rollups import refuse_cut

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from inferkit.ledger.sqlite.reader import LedgerReader

__all__ = ["AMOUNTS", "REPORTED", "WITHIN", "Filling"]

AMOUNTS = (
    "calls, usd, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, "
    "prompt_cache_saved, routing_saved, reported"
)
"""The columns of the table `sums` that are added up."""
REPORTED = "json_extract(details, '$.reported_nanos')"
"""What an entry's provider says that it cost."""
WITHIN = f"{BETWEEN} AND +id <= :last"
"""After FROM: the entries of a stretch that the report is of."""
_ADDED = ", ".join(f"{each} = {each} + excluded.{each}" for each in AMOUNTS.split(", "))
_ADDED += ", first = iif(excluded.first < first, excluded.first, first)"  # a call of min() for each entry is slower
_TABLE = f"CREATE TEMP TABLE sums (cell INTEGER PRIMARY KEY, {AMOUNTS}, id INTEGER, first REAL)"
_ALIKE = f"FROM {WITHIN} AND cell IS NOT NULL"
_ADD = (
    "INSERT INTO temp.sums SELECT cell, calls, coalesce(usd, 0), input_tokens, output_tokens, cache_read_tokens, "
    "cache_write_tokens, reasoning_tokens, prompt_cache_saved, routing_saved, "
    f"iif(details IS NULL, 0, coalesce({REPORTED}, 0)), id, at {_ALIKE} ON CONFLICT DO UPDATE SET {_ADDED}"
)
_ADD_ROLLUPS = (
    "INSERT INTO temp.sums SELECT cell, calls, usd, input_tokens, output_tokens, cache_read_tokens, "  # noqa: S608
    "cache_write_tokens, reasoning_tokens, prompt_cache_saved, routing_saved, reported, NULL, first "
    f"FROM main.rollups WHERE since >= ? AND since < ? ON CONFLICT DO UPDATE SET {_ADDED}"
)
_ADD_MORE = f"INSERT INTO temp.sums SELECT * FROM more.sums WHERE true ON CONFLICT DO UPDATE SET {_ADDED}"  # noqa: S608
_CAN_HAND_OVER = hasattr(sqlite3.Connection, "serialize")  # not where SQLite was built without it

_Stretch = tuple[float, float]


class Filling:
    """Makes the table on a connection; on another one it is made anew, of the same entries, without anybody's help."""

    def __init__(self, stretches: Sequence[_Stretch], last: int) -> None:
        self._stretches = stretches
        self._last = last
        self._left = deque(stretches)
        self._helped: sqlite3.Connection | None = None
        self._connection: sqlite3.Connection | None = None
        self._is_stopped = False

    def __call__(self, connection: sqlite3.Connection) -> None:
        """Make it, of all stretches that nobody who helps takes."""
        left = self._left
        if self._helped is None:
            self._helped = connection
        else:
            left.clear()
            left = deque(self._stretches)
        self._connection = connection
        try:
            connection.execute(_TABLE)
            for since, until in _taken(left):
                if self._is_stopped:
                    raise LedgerError("nobody asks for the sums any more")
                at_once(connection, functools.partial(self._fill, since, until))
        finally:
            self._connection = None
            left.clear()

    def _fill(self, since: float, until: float, connection: sqlite3.Connection) -> None:
        refuse_cut(connection, since, until)
        connection.execute(_ADD, {**instants(since, until), "last": self._last})
        connection.execute(_ADD_ROLLUPS, (since, until))

    def help(self, reader: LedgerReader, sums: LedgerReader) -> None:
        """Take stretches that are left, over the connection of `reader`, and add them to the table, which `sums` has.

        Does nothing where none is left.
        """
        mine: list[_Stretch] = []
        if _CAN_HAND_OVER and self._left:
            made = reader.run(functools.partial(self._make_more, mine))
            sums.run(functools.partial(self._add_more, made))

    def _make_more(self, mine: list[_Stretch], connection: sqlite3.Connection) -> bytes:
        """Make a table of stretches; of the same ones again, and more of them, where a fork broke it off."""
        connection.execute(_TABLE)
        for stretch in itertools.chain(tuple(mine), _taken(self._left, last=True)):
            if stretch not in mine:
                mine.append(stretch)
            at_once(connection, functools.partial(self._fill, *stretch))
        made = connection.serialize(name="temp")
        connection.execute("DROP TABLE temp.sums")
        return made

    def _add_more(self, made: bytes, connection: sqlite3.Connection) -> None:
        if connection is not self._helped:  # it was opened after a fork, and has all of it
            return
        connection.execute("ATTACH ':memory:' AS more")
        connection.deserialize(made, name="more")
        at_once(connection, lambda connection: connection.execute(_ADD_MORE))
        connection.execute("DETACH more")

    def stop(self) -> None:
        """Break off."""
        self._is_stopped = True
        connection = self._connection
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.interrupt()


def _taken(left: deque[_Stretch], *, last: bool = False) -> Iterator[_Stretch]:
    """Take one after the other, as long as there are any: somebody else may do so too."""
    with contextlib.suppress(IndexError):
        while True:
            yield left.pop() if last else left.popleft()
