"""Moves what was written from a ledger's log into its file, in the background, so that no call has to."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["AT_ONCE_BYTES", "LOG_BYTES", "checkpoint", "connect", "log_of"]

LOG_BYTES = 16 * 2**20
"""Above this size, the log is begun anew, though writers have to wait for that."""
AT_ONCE_BYTES = 48 * 2**20
"""Above this size, whoever commits moves it himself; should the background not come round to it."""
_RESTART_SECONDS = 1.0


def checkpoint(path: Path) -> None:
    """Move the log of the ledger at `path` into its file. Raises `sqlite3.Error`.

    Where writers never pause, all of the log is never in the file at one time, so it would grow without end: the last
    of it is moved while they are kept out.
    """
    with contextlib.closing(connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        if log_of(path) > LOG_BYTES:
            connection.execute(f"PRAGMA busy_timeout={int(_RESTART_SECONDS * 1000)}")
            connection.execute("PRAGMA wal_checkpoint(RESTART)")


def connect(path: Path) -> sqlite3.Connection:
    """Open the file beside the connection that calls wait for."""
    return sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=0)


def log_of(path: Path) -> int:
    """Give the size of the log, in bytes."""
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size
    except OSError:
        return 0
