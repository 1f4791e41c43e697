"""Where in a ledger the entries of a time are, without an index that every call would have to write to.

Entries are numbered as they are written, and what is written within an hour has mostly one instant after the other. So
the file notes with the first entry of each hour, and with each that is of another hour than the one before it (since a
clock was set back, or since it is written late), which hour that is: from there to the next such note, all entries are
of this hour. A trigger does so, whoever writes. An hour here is `CAST(at / 3600 AS INTEGER)`, which grows with `at`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from inferkit.runtime import yielding

if TYPE_CHECKING:
    import sqlite3

__all__ = ["BETWEEN", "STRAYED", "ids_between", "instants", "need_two", "stretch_of"]

_NEXT = "SELECT min(n.first) FROM main.hours AS n WHERE n.first > h.first"
_HOURS = "hour BETWEEN CAST(:since / 3600 AS INTEGER) AND CAST(:before / 3600 AS INTEGER)"
BETWEEN = (
    "main.hours AS h CROSS JOIN main.entries AS e "
    f"ON e.id >= h.first AND e.id < coalesce(({_NEXT}), {2**63 - 1}) "
    f"WHERE h.{_HOURS} AND e.at >= :since AND e.at < :until"
)
"""After FROM: the entries between two instants, which `instants` gives as parameters.

Whoever adds a condition on `id` writes it `+id`: SQLite would look by that alone, and read to the end for each hour.
"""
_RANGES = (
    f"SELECT first, coalesce(({_NEXT}) - 1, (SELECT max(id) FROM main.entries)) FROM main.hours AS h "  # noqa: S608
    f"WHERE {_HOURS} ORDER BY first"
)
_ENDS = f"SELECT min(hour), max(hour) FROM main.hours WHERE {_HOURS}"  # noqa: S608 - names alone
STRAYED = (
    "SELECT count(*) FROM main.entries AS e WHERE id > ? AND id <= ? AND CAST(at / 3600 AS INTEGER) IS NOT "
    "(SELECT hour FROM main.hours WHERE first <= e.id ORDER BY first DESC LIMIT 1)"
)
"""How many of the entries between two ids would not be found by their hour: none, in a ledger that is sound."""
_NEAR = 1000  # so many entries are read faster than found
_MANY = 20_000


def instants(since: float, until: float) -> dict[str, Any]:
    """Give the parameters of `BETWEEN`: from `since` until before `until`, in seconds since the epoch."""
    return {"since": since, "until": until, "before": math.nextafter(until, -math.inf)}


def ids_between(connection: sqlite3.Connection, since: float, until: float) -> list[tuple[int, int]]:
    """Give the first and the last id of each range that has all entries between two instants, and may have others."""
    ranges: list[tuple[int, int]] = []
    for first, last in connection.execute(_RANGES, instants(since, until)):
        if ranges and first - ranges[-1][1] <= _NEAR:
            ranges[-1] = (ranges[-1][0], last)
        else:
            ranges.append((first, last))
    return ranges


def need_two(since: float, until: float, connection: sqlite3.Connection) -> bool:
    """Say whether so many entries lie between two instants that a second thread to read them is worth its while.

    It never is beside threads of an application: these would wait twice as long for a processor.
    """
    return (
        yielding.is_alone() and sum(last - first + 1 for first, last in ids_between(connection, since, until)) >= _MANY
    )


def stretch_of(connection: sqlite3.Connection, since: float, until: float) -> tuple[float, float]:
    """Give a part of the time between two instants that has all entries of it; none, where there are none."""
    first, last = connection.execute(_ENDS, instants(since, until)).fetchone()
    if first is None:
        return until, until
    return max(since, 3600.0 * (first - 1)), min(until, 3600.0 * (last + 2))
