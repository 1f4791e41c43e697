"""Moves what was written from a ledger's log into its file: in the background, so that no call has to.

Where writers never pause, all of the log is never in the file at one time, so it would grow without end. Above a size,
the last of it is moved while they are kept out; and above another, should that not come about in time, they wait for it
themselves.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from typing import TYPE_CHECKING

from inferkit.ledger.sqlite.failures import LedgerBusy
from inferkit.runtime import clock, writer
from inferkit.runtime.dropped import when_dropped

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FULL_BYTES", "LOG_BYTES", "LOOK_EVERY", "LogKeeper", "connect", "log_of"]

LOG_BYTES = 16 * 2**20
"""Above this size, the log is begun anew, though writers have to wait for that."""
FULL_BYTES = 32 * 2**20
"""Above this size, nobody writes to it before it is begun anew: for `ROOM_SECONDS` at most."""
LOOK_EVERY = 64
"""After so many transactions one looks at it."""
ROOM_SECONDS = 1.0
"""For somebody may read what is in the log, and as long as he does, it cannot be begun anew."""
_log = logging.getLogger("inferkit")
_MOVE_EVERY = 512  # transactions; done in the background, where the disk may take its time
_FULL_AGAIN_SECONDS = 10.0  # how long nobody waits again, after there was no room in time
_RESTART_MILLISECONDS = 1000
_TRY_MILLISECONDS = 100
_PAUSE_SECONDS = 0.002


class LogKeeper:
    """Keeps the log of the ledger at `path` small, over a connection of its own."""

    def __init__(self, path: Path) -> None:
        self.is_open = False
        self.is_full = False
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._full_again_at = 0.0
        self.renew()

    def renew(self) -> None:
        """Start again, in a child."""
        self.lock = threading.Lock()  # of who moves the log, and who closes what he uses
        self._is_tending = False

    def look(self, number: int) -> None:
        """See what is to be done after so many transactions."""
        if number % _MOVE_EVERY == 0 and not self._is_tending:
            self._is_tending = True
            writer.disk.take(self.tend)
        if log_of(self._path) > FULL_BYTES and clock.now() >= self._full_again_at:
            self.is_full = True

    def tend(self) -> None:
        """Move the log into the file, in the background."""
        try:
            with self.lock:
                if self.is_open:  # what was closed is in the file, which may be gone by now
                    self._move()
        except sqlite3.Error as error:  # it is busy, or the next call finds what is wrong
            _log.debug("the ledger's log was not moved into its file: %s", error)
        finally:
            self._is_tending = False

    def make_room(self, *, wait: bool) -> None:
        """Wait until the log is not full any more. Raises `LedgerBusy` for who must not wait, and `sqlite3.Error`."""
        if not wait:
            raise LedgerBusy(f"the log of the ledger {self._path} is being moved into its file")
        with self.lock:
            if self.is_full and self.is_open and not self._begin_anew():
                self._full_again_at = clock.now() + _FULL_AGAIN_SECONDS
            self.is_full = False

    def close(self) -> None:
        """Close the connection. The caller holds `lock`."""
        self.is_open = False
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def inherited(self) -> list[object]:
        """Give what a child must neither use nor close."""
        connection, self._connection = self._connection, None
        return [] if connection is None else [connection, self._closes_when_dropped]

    def _move(self) -> None:
        connection = self._connected()
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        if log_of(self._path) > LOG_BYTES:
            connection.execute(f"PRAGMA busy_timeout={_RESTART_MILLISECONDS}")
            connection.execute("PRAGMA wal_checkpoint(RESTART)")

    def _begin_anew(self) -> bool:
        """Do so, or wait until another process has; false if that takes too long."""
        connection = self._connected()
        connection.execute(f"PRAGMA busy_timeout={_TRY_MILLISECONDS}")
        end = clock.now() + ROOM_SECONDS
        while log_of(self._path) > FULL_BYTES:
            if clock.now() >= end:
                return False
            (is_busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if is_busy:
                clock.sleep(_PAUSE_SECONDS)
        return True

    def _connected(self) -> sqlite3.Connection:
        connection = self._connection
        if connection is None:
            connection = self._connection = connect(self._path)
            self._closes_when_dropped = when_dropped(connection.close)
        return connection


def connect(path: Path) -> sqlite3.Connection:
    """Open the file beside the connection that calls wait for."""
    return sqlite3.connect(
        f"{path.as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=0, check_same_thread=False
    )


def log_of(path: Path) -> int:
    """Give the size of the log, in bytes."""
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size
    except OSError:
        return 0
