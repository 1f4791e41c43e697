"""What SQLite's failures mean for the ledger's file, and what to do about them."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from inferkit.core.errors import LedgerError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FAILURES", "LedgerBusy", "damaged", "explain", "primary_code"]

FAILURES = (sqlite3.Error, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What a step raises that finds something wrong: with the file, or in a row that nobody here can have written."""


class LedgerBusy(LedgerError):
    """Somebody else is writing, and has done so for longer than the caller wanted to wait."""


def primary_code(error: Exception) -> int:
    """Give the primary result code."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def damaged(path: Path) -> LedgerError:
    """Give the error for a file that cannot be read."""
    return LedgerError(
        f"the ledger {path} is damaged; stop the programs that use it and restore it from a backup, or move "
        "it away to begin with an empty one, which forgets what was spent"
    )


def explain(path: Path, error: Exception) -> LedgerError:
    """Give the error that says what is wrong with a ledger's file and what to do."""
    if isinstance(error, UnicodeEncodeError):
        return LedgerError(f"the ledger {path} takes text alone, and no half of a surrogate pair")
    if isinstance(error, OverflowError) and "SQLite" in str(error):  # what was to be written, and not what is there
        return LedgerError(
            f"the ledger {path} keeps numbers of 64 bits, and this call needs a larger one; ask for fewer tokens, or "
            "look at the price of its model"
        )
    if not isinstance(error, sqlite3.Error):
        return LedgerError(
            f"the ledger {path} holds what cannot be read ({type(error).__name__}); see what `inferkit doctor` says of "
            "it, and restore it from a backup if it is damaged"
        )
    code = primary_code(error)
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return damaged(path)
    if code == sqlite3.SQLITE_FULL:
        return LedgerError(f"there is no room left for the ledger {path}; make room on its disk")
    return LedgerError(f"the ledger {path} {_WRONG.get(code, f'failed: {error}')}")


_WRONG = {
    sqlite3.SQLITE_READONLY: "is read-only; let this program write to the file and its folder",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; choose a file in a folder that this program may write to",
    sqlite3.SQLITE_IOERR: "was failed by its disk; check the room that is left there, and its health",
}
