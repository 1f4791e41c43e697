"""A store on disk that fails is left alone for a while, and says so seldom: no failure of a cache is worth a call."""

from __future__ import annotations

import logging
import sqlite3
from typing import TYPE_CHECKING

from inferkit.core.errors import CacheError
from inferkit.runtime import clock

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Rest", "explain", "is_busy"]

_log = logging.getLogger("inferkit")
_REST_SECONDS = {"busy": 1.0, "broken": 60.0}
_SAY_AGAIN_SECONDS = 600.0


class Rest:
    """How long the store in `folder` is left alone. `until` is an instant of the monotonic clock; 0.0: it never was."""

    def __init__(self, folder: Path) -> None:
        self.until = 0.0
        self._folder = folder
        self._said_at: dict[str, float] = {}

    @property
    def lasts(self) -> bool:
        """Whether the store is to be left alone now."""
        return self.until > 0.0 and clock.now() < self.until

    def after(self, error: Exception) -> bool:
        """Log a failure, seldom, and rest. True where the store is to be opened anew after that."""
        if type(error).__name__ == "DamagedRowError":
            self._say("damaged", "a damaged row in the cache at %s was passed by (%s)", self._folder, error)
            return False
        kind = "busy" if is_busy(error) else "broken"
        self.until = clock.now() + _REST_SECONDS[kind]
        if kind == "busy":
            self._say(kind, "the cache at %s is locked by another process; it is passed by", self._folder)
            return False
        self._say(
            kind,
            "the cache on disk at %s cannot be used (%s: %s); calls go on without it. See that the folder is writable "
            "and the disk not full; if the database is damaged, delete the folder",
            self._folder,
            type(error).__name__,
            error,
        )
        return True

    def _say(self, kind: str, message: str, *details: object) -> None:
        now = clock.now()
        seldom = now - self._said_at.get(kind, -_SAY_AGAIN_SECONDS) >= _SAY_AGAIN_SECONDS
        if seldom:
            self._said_at[kind] = now
        _log.log(logging.WARNING if seldom else logging.DEBUG, message, *details)


def explain(folder: Path, error: Exception) -> CacheError:
    """Say what is wrong with a cache on disk that somebody wants to look into or to clear, and what to do."""
    if is_busy(error):
        return CacheError(f"the cache at {folder} was locked by another process; find the program that keeps it so")
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return CacheError(f"there is no room left for the cache at {folder}; make some, or delete the folder")
    if code == sqlite3.SQLITE_READONLY or isinstance(error, PermissionError):
        return CacheError(f"the cache at {folder} is read-only; let this program write to the folder")
    if isinstance(error, sqlite3.DatabaseError):
        return CacheError(f"the cache at {folder} is damaged, or is none ({error}); delete the folder to begin anew")
    return CacheError(f"the cache at {folder} cannot be used ({type(error).__name__}: {error}); delete the folder")


def is_busy(error: Exception) -> bool:
    """Whether another process keeps the database locked."""
    busy = isinstance(error, sqlite3.OperationalError) and "locked" in str(error)
    return busy or type(error).__name__ == "Timeout"  # diskcache's, without importing it
