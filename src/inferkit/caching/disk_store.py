"""Entries on disk, shared by processes and kept between runs.

They may be lost at any time, so no failure here is worth a call: it is logged, and the store rests for a while.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferkit.caching.stored import decode, encode
from inferkit.core.errors import ConfigurationError
from inferkit.runtime import clock, imports
from inferkit.runtime.forks import hold_across_fork

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable

    from inferkit.caching.bytes_disk import BytesStore
    from inferkit.caching.entry import CachedReply

__all__ = ["DiskStore"]

_log = logging.getLogger("inferkit")
_BUSY_SECONDS = 0.05  # how long a write may wait for another process; on an event loop, everybody waits with it
_BUSY_OPENING_SECONDS = 0.5  # opening never happens on an event loop, and every process of a fleet opens at once
_REST_SECONDS = {"busy": 1.0, "broken": 60.0}
_SAY_AGAIN_SECONDS = 600.0
_DATABASE = "cache.db"  # diskcache's name for it


class DiskStore:
    """Keeps entries in an SQLite database in `folder`, up to about `size_limit` bytes; the oldest go first.

    Safe for threads, forks and several processes on one folder. The folder is made readable to its owner alone:
    replies are stored as they are.
    """

    def __init__(self, folder: str | os.PathLike[str], *, size_limit: int = 512 * 2**20) -> None:
        if size_limit < 2**20:
            raise ConfigurationError(f"size_limit is in bytes and at least {2**20} (1 MiB); got {size_limit}")
        self.folder = Path(folder).expanduser().absolute()
        self._size_limit = size_limit
        self._store: BytesStore | None = None
        self._inherited: list[BytesStore] = []
        self._reading = threading.RLock()  # a signal's handler may come to read while its thread does
        self._writing = threading.RLock()
        self._rests_until = 0.0
        self._said_at: dict[str, float] = {}
        hold_across_fork(self)

    @property
    def is_open(self) -> bool:
        """Whether the first use, which takes some milliseconds, is over; also true while the store rests."""
        return self._store is not None or self._rests()

    def open(self) -> None:
        """Open or make the database. May be called at any time, from any thread; failures are logged."""
        self._attempt(self._opened)

    def get(self, key: bytes) -> CachedReply | None:
        """Look an entry up; None also where it is damaged or the store rests."""
        if self._rests_until > 0.0 and self._rests():
            return None
        try:
            store = self._store
            if store is None:  # not by its truth: it has a length, and counts its rows for that
                store = self._opened()
            with self._reading:
                data = store.read(key)
        except Exception as error:
            self._pass_by(error)
            return None
        return None if data is None else decode(data, key)

    def put(self, key: bytes, entry: CachedReply, *, ttl: float | None = None) -> None:
        """Keep an entry, for `ttl` seconds where given, unless it holds what is no JSON."""
        self._attempt(lambda: self._write([(key, encode(entry, key), ttl)]))

    def put_all(self, entries: Iterable[tuple[bytes, CachedReply, float | None]]) -> None:
        """Keep several entries, each with its key and `ttl`, in one transaction."""
        self._attempt(lambda: self._write([(key, encode(entry, key), ttl) for key, entry, ttl in entries]))

    def close(self) -> None:
        """Close the database. Using the store again opens it again."""
        store, self._store = self._store, None
        if store is not None:
            with self._reading:
                store.close_reader()
            with self._writing:
                store.close()

    def hold(self) -> None:
        """Close the connections before a fork: SQLite's locks do not survive it, and a child's would not know."""
        self._reading.acquire()
        self._writing.acquire()
        if self._store is not None:
            self._store.close_reader()
            self._store.close()

    def release(self) -> None:
        """Let the parent's threads go on; the connections are opened again by their next use."""
        self._writing.release()
        self._reading.release()

    def renew(self) -> None:
        """Start afresh in a forked child. What a fork behind Python's back left open is neither used nor closed."""
        if self._store is not None:
            self._inherited.append(self._store)
        self._store = None
        self._reading = threading.RLock()
        self._writing = threading.RLock()

    def _write(self, rows: list[tuple[bytes, bytes | None, float | None]]) -> None:
        sound = [(key, data, ttl) for key, data, ttl in rows if data is not None]
        if not sound:
            return
        store = self._opened()
        with self._writing:
            if not self._rests():  # the thread before this one may have waited for another process in vain
                store.write(sound)

    def _opened(self) -> BytesStore:
        store = self._store
        if store is None:
            imports.load("inferkit.caching.bytes_disk")  # before: a fork waits for both, in this order
            with self._writing:
                store = self._store
                if store is None:
                    store = self._store = self._make()
        return store

    def _make(self) -> BytesStore:
        from inferkit.caching.bytes_disk import BytesStore

        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._probe()
        return BytesStore(self.folder, size_limit=self._size_limit, timeout=_BUSY_SECONDS)

    def _probe(self) -> None:
        """See that the database can be written to: diskcache would wait a minute for one that is locked."""
        connection = sqlite3.connect(self.folder / _DATABASE, timeout=_BUSY_OPENING_SECONDS, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        finally:
            connection.close()

    def _attempt(self, step: Callable[[], Any]) -> Any:
        if self._rests():
            return None
        try:
            return step()
        except Exception as error:
            self._pass_by(error)
            return None

    def _rests(self) -> bool:
        return self._rests_until > 0.0 and clock.now() < self._rests_until

    def _pass_by(self, error: Exception) -> None:
        """Log a failure, seldom, and rest."""
        kind = "busy" if _is_busy(error) else "broken"
        if type(error).__name__ == "DamagedRowError":
            return self._say("damaged", "a damaged row in the cache at %s was passed by (%s)", self.folder, error)
        now = clock.now()
        self._rests_until = now + _REST_SECONDS[kind]
        if kind == "broken":
            with contextlib.suppress(Exception):
                self.close()  # the next try opens it anew
        if kind == "busy":
            return self._say(kind, "the cache at %s is locked by another process; it is passed by", self.folder)
        return self._say(
            kind,
            "the cache on disk at %s cannot be used (%s: %s); calls go on without it. See that the folder is writable "
            "and the disk not full; if the database is damaged, delete the folder",
            self.folder,
            type(error).__name__,
            error,
        )

    def _say(self, kind: str, message: str, *details: object) -> None:
        now = clock.now()
        seldom = now - self._said_at.get(kind, -_SAY_AGAIN_SECONDS) >= _SAY_AGAIN_SECONDS
        if seldom:
            self._said_at[kind] = now
        _log.log(logging.WARNING if seldom else logging.DEBUG, message, *details)


def _is_busy(error: Exception) -> bool:
    busy = isinstance(error, sqlite3.OperationalError) and "locked" in str(error)
    return busy or type(error).__name__ == "Timeout"  # diskcache's, without importing it
