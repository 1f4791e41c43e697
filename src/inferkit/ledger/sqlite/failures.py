"""What SQLite's failures mean for the ledger's file, and what to do about them."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from inferkit.core.errors import LedgerError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["UNREADABLE", "LedgerBusy", "damaged", "explain", "primary_code", "unreadable"]

UNREADABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What reading a row raises that nobody here can have written."""


class LedgerBusy(LedgerError):
    """Somebody else is writing, and has done so for longer than the caller wanted to wait."""


def primary_code(error: sqlite3.Error) -> int:
    """Give the primary result code."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def damaged(path: Path) -> LedgerError:
    """Give the error for a file that cannot be read."""
    return LedgerError(
        f"the ledger {path} is damaged; stop the programs that use it and restore it from a backup, or move "
        "it away to begin with an empty one, which forgets what was spent"
    )


def unreadable(path: Path, error: Exception) -> LedgerError:
    """Give the error for a row that cannot be read, although the file can."""
    if isinstance(error, UnicodeEncodeError):
        return LedgerError(f"the ledger {path} takes text alone, and no half of a surrogate pair")
    return LedgerError(
        f"the ledger {path} holds what cannot be read ({type(error).__name__}); see what `inferkit doctor` says of it, "
        "and restore it from a backup if it is damaged"
    )


def explain(path: Path, error: sqlite3.Error) -> LedgerError:
    """Give the error that says what is wrong with a ledger's file and what to do."""
    code = primary_code(error)
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return damaged(path)
    if code == sqlite3.SQLITE_READONLY:
        return LedgerError(f"the ledger {path} is read-only; let this program write to the file and its folder")
    if code == sqlite3.SQLITE_FULL:
        return LedgerError(f"there is no room left for the ledger {path}; make room on its disk")
    if code == sqlite3.SQLITE_CANTOPEN:
        return LedgerError(
            f"the ledger {path} cannot be opened; choose a file in a folder that this program may write to"
        )
    if code == sqlite3.SQLITE_IOERR:
        return LedgerError(f"the disk failed the ledger {path} ({error}); check its room and its health")
    return LedgerError(f"the ledger {path} failed: {error}")
