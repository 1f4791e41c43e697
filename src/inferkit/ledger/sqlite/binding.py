"""Runs statements of many values at less cost: a None is written into the statement, as NULL.

Python 3.11's `sqlite3` looks for an adapter of each None and each bool that it binds, and raises and forgets an error
on the way: that took a tenth of what the two transactions of a call take. So bools are given as numbers, too.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

__all__ = ["execute"]


def execute(
    cursor: sqlite3.Cursor, begin: str, known: Sequence[Any], perhaps: Sequence[Any], end: str, *others: Any
) -> sqlite3.Cursor:
    """Run a statement that has, between its `begin` and its `end`, values that are known and others that may be None.

    `others` are for what stands behind that list.
    """
    nulls = tuple([value is None for value in perhaps])
    given = [value for value in perhaps if value is not None]
    return cursor.execute(_statement(begin, len(known), nulls, end), [*known, *given, *others])


@functools.lru_cache(maxsize=256)
def _statement(begin: str, known: int, nulls: tuple[bool, ...], end: str) -> str:
    return f"{begin}{', '.join(['?'] * known + ['NULL' if null else '?' for null in nulls])}{end}"
