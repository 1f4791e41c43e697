"""How diskcache is used here: bytes inside its rows and nothing else, over connections that all threads share.

diskcache's own `Disk`, and `JSONDisk` on top of it, unpickle a row that says it is pickled (CVE-2025-69872) and open
whatever path stands in a row's `filename`. Whoever can write to the folder could run code or read files that way.
This one trusts no column: it takes plain bytes and treats everything else as damage. It never makes a file of its
own, so no file name is ever right, be it read or removed.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, NoReturn

import diskcache
from diskcache.core import DBNAME, MODE_RAW, UNKNOWN

from inferkit.runtime import clock
from inferkit.runtime.dropped import when_dropped

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import CodeType

__all__ = ["BytesDisk", "BytesStore", "DamagedRowError"]

_PUT = (
    "INSERT INTO Cache(key, raw, store_time, expire_time, access_time, access_count, tag, size, mode, filename, value) "
    "VALUES (?, 1, ?, ?, ?, 0, ?, 0, ?, NULL, ?) ON CONFLICT(key, raw) DO UPDATE SET "
    "store_time = excluded.store_time, expire_time = excluded.expire_time, access_time = excluded.access_time, "
    "access_count = 0, tag = excluded.tag, size = 0, mode = excluded.mode, filename = NULL, value = excluded.value"
)
_WRITES_BETWEEN_CULLS = 64
_ROWS_AT_ONCE = 16
_REMOVE_EXPIRED = (
    "DELETE FROM Cache WHERE rowid IN "
    "(SELECT rowid FROM Cache WHERE expire_time IS NOT NULL AND expire_time < ? ORDER BY expire_time LIMIT ?)"
)
_REMOVE_OLDEST = "DELETE FROM Cache WHERE rowid IN (SELECT rowid FROM Cache ORDER BY store_time LIMIT ?)"
_ROWS_TO_CLEAR = 64
_REMOVE_SOME = (
    "DELETE FROM Cache WHERE rowid IN (SELECT rowid FROM Cache WHERE rowid > ? AND {} ORDER BY rowid LIMIT ?) "
    "RETURNING rowid"
)
_UNLABELLED = (
    "SELECT rowid, key, mode, filename, value FROM Cache WHERE rowid > ? AND tag IS NULL ORDER BY rowid LIMIT ?"
)
_SETTINGS = {
    "eviction_policy": "least-recently-stored",  # "used" would make a write of every read; the memory tier does that
    "statistics": 0,
    "tag_index": 0,
    "cull_limit": 0,  # culled here, once in a while instead of at each write
    "sqlite_journal_mode": "wal",
    "sqlite_synchronous": 1,
    "sqlite_trusted_schema": 0,
    "sqlite_secure_delete": 2,  # zeros over what is removed, where that costs no reading or writing more
    "sqlite_cache_size": 512,  # pages of 4 KiB for each connection; diskcache's own 32 MiB would come to fill memory
    "sqlite_mmap_size": 4 * 2**20,  # of diskcache's 64 MiB
}
_OWN_PRAGMAS = (
    "cache_size",
    "mmap_size",
    "synchronous",
    "trusted_schema",
    "secure_delete",
)  # a connection's, not the file's
_OPENING_SECONDS = 0.5  # how long opening may wait for another process; every process of a fleet opens at once


class DamagedRowError(Exception):
    """A row that this class cannot have written."""


class BytesDisk(diskcache.Disk):  # type: ignore[misc]
    """Stores bytes under bytes, in the database itself."""

    def put(self, key: Any) -> tuple[memoryview, bool]:
        """Turn a key into columns."""
        return sqlite3.Binary(_only_bytes(key)), True

    def get(self, key: Any, raw: Any) -> bytes:
        """Turn columns into a key."""
        if not raw:
            raise DamagedRowError("a key that is not plain bytes")
        return _only_bytes(key)

    def store(self, value: Any, read: bool, key: Any = UNKNOWN) -> tuple[int, int, None, memoryview]:  # noqa: ARG002
        """Turn a value into columns."""
        if read:
            raise TypeError("the cache on disk stores bytes; it reads no files")
        return 0, MODE_RAW, None, sqlite3.Binary(_only_bytes(value))

    def fetch(self, mode: Any, filename: Any, value: Any, read: bool) -> bytes:
        """Turn columns into a value."""
        if mode != MODE_RAW or filename is not None or read:
            raise DamagedRowError("a value that is not plain bytes")
        return _only_bytes(value)

    def filename(self, key: Any = UNKNOWN, value: Any = UNKNOWN) -> NoReturn:  # noqa: ARG002
        """Refuse: there are no files."""
        raise TypeError("the cache on disk keeps everything in its database")

    def remove(self, file_path: Any) -> None:
        """Leave every file alone: a row that names one was not written here."""


class BytesStore(diskcache.Cache):  # type: ignore[misc]
    """diskcache's database over two connections, one to read and one to write, for threads that take turns at each.

    diskcache itself opens one for every thread, and nobody closes those of the threads that end.
    """

    def __init__(self, folder: Path, *, size_limit: int, timeout: float) -> None:
        self.reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None
        self._path = folder / DBNAME
        self._close_when_dropped: list[CodeType] = []
        self._written = 0
        super().__init__(str(folder), timeout=timeout, disk=BytesDisk, size_limit=size_limit, **_SETTINGS)
        self.reader = self._connect()

    @property
    def _con(self) -> sqlite3.Connection:
        """What diskcache takes its connection from."""
        if self._writer is None:
            self._writer = self._connect()
        return self._writer

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=_OPENING_SECONDS, isolation_level=None, check_same_thread=False
        )
        self._close_when_dropped.append(when_dropped(connection.close))
        for name in _OWN_PRAGMAS:
            connection.execute(f"PRAGMA {name}={_SETTINGS[f'sqlite_{name}']}")
        connection.execute(f"PRAGMA busy_timeout={int(self._timeout * 1000)}")
        return connection

    def open_reader(self) -> sqlite3.Connection:
        """Open the connection that reads, after it was closed."""
        self.reader = self._connect()
        return self.reader

    def value(self, mode: Any, filename: Any, value: Any) -> bytes:
        """Give the bytes of a row's columns. Raises `DamagedRowError` where they are none."""
        found: bytes = self._disk.fetch(mode, filename, value, read=False)
        return found

    def write(self, rows: Sequence[tuple[bytes, bytes, float | None, str]]) -> None:
        """Keep values under their keys, for so many seconds where given, with labels, in one transaction.

        diskcache's own `set` looks each key up first, for a file to remove: twice the work, and more turns with other
        threads while the database is locked.
        """
        if self._txn_id is None and self._con.in_transaction:  # an interrupt came between its begin and its end
            self._con.rollback()
        now = clock.time()
        columns = [
            (_only_bytes(key), now, None if ttl is None else now + ttl, now, label, MODE_RAW, _only_bytes(value))
            for key, value, ttl, label in rows
        ]
        with self.transact():
            self._con.executemany(_PUT, columns)
        self._written += len(rows)

    @property
    def is_due(self) -> bool:
        """Whether so much was written that it is time to look whether there is room."""
        return self._written >= _WRITES_BETWEEN_CULLS

    def make_room(self) -> bool:
        """Remove some of what has expired, or of the oldest where there is too much; True where that may not be all.

        diskcache's own `cull` removes all of it, which takes half a minute where the limit was lowered by much.
        """
        self._written = 0
        with self.transact():
            removed = self._con.execute(_REMOVE_EXPIRED, (clock.time(), _ROWS_AT_ONCE)).rowcount
            if not removed and self.volume() > self.size_limit:
                removed = self._con.execute(_REMOVE_OLDEST, (_ROWS_AT_ONCE,)).rowcount
        return bool(removed)

    def remove_some(self, condition: str, values: Sequence[str], after: int) -> tuple[int, int]:
        """Remove some of the rows after a row that fulfil a condition: how many there were, and the last of them."""
        query = _REMOVE_SOME.format(condition)
        with self.transact():
            found = self._con.execute(query, (after, *values, _ROWS_TO_CLEAR)).fetchall()
        return len(found), max((row for (row,) in found), default=after)

    def unlabelled(self, after: int) -> list[tuple[int, bytes, Any, Any, Any]]:
        """Give some of the rows after a row that an older version wrote: with its number, key and columns."""
        found: list[Any] = self._con.execute(_UNLABELLED, (after, _ROWS_TO_CLEAR)).fetchall()
        return found

    def remove_rows(self, rows: Sequence[int]) -> None:
        """Remove rows by their numbers."""
        with self.transact():
            self._con.executemany("DELETE FROM Cache WHERE rowid = ?", [(row,) for row in rows])

    def tidy(self) -> None:
        """Leave nothing of what was removed in the files, where nobody else reads them now."""
        self._con.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close_reader(self) -> None:
        """Close the connection that reads. It is opened again when it is needed."""
        reader, self.reader = self.reader, None
        if reader is not None:
            reader.close()

    def close(self) -> None:
        """Close the connection that writes. It is opened again when it is needed."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()


def _only_bytes(value: Any) -> bytes:
    if type(value) is not bytes:
        raise DamagedRowError(f"expected bytes, found {type(value).__name__}")
    return value
