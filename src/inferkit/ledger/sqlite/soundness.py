"""Finds rows that nobody here can have written: a damaged file may be readable, and hold other types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from inferkit.core.errors import LedgerError
from inferkit.ledger.sqlite.failures import FAILURES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["NUMBER", "PERHAPS_NUMBER", "PERHAPS_TEXT", "TEXT", "TIME", "sound"]

T = TypeVar("T")
TEXT, PERHAPS_TEXT = (str,), (str, type(None))
NUMBER, PERHAPS_NUMBER = (int,), (int, type(None))
TIME = (float, int)


def sound(read: Callable[[Sequence[Any]], T], *allowed: tuple[type, ...]) -> Callable[[Sequence[Any]], T]:
    """Give what reads a row as `read` does, and raises `LedgerError` where its columns have not the types `allowed`."""
    known: set[tuple[type, ...]] = set()

    def guarded(row: Sequence[Any]) -> T:
        kinds = tuple(map(type, row))
        try:
            if kinds not in known:
                if not all(kind in each for kind, each in zip(kinds, allowed, strict=True)):
                    raise TypeError("another type than was written")
                known.add(kinds)
            return read(row)
        except FAILURES as error:
            raise LedgerError(
                f"the ledger holds a row that cannot be read ({type(error).__name__}); see what `inferkit doctor` says "
                "of it, and restore it from a backup if it is damaged"
            ) from error

    return guarded
