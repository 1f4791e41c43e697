"""How diskcache's rows are read and written here: bytes inside the row, and nothing else.

diskcache's own `Disk`, and `JSONDisk` on top of it, unpickle a row that says it is pickled (CVE-2025-69872) and open
whatever path stands in a row's `filename`. Whoever can write to the folder could run code or read files that way.
This one trusts no column: it takes plain bytes and treats everything else as damage. It never makes a file of its
own, so no file name is ever right, be it read or removed.
"""

from __future__ import annotations

import sqlite3
from typing import Any, NoReturn

import diskcache
from diskcache.core import MODE_RAW, UNKNOWN

__all__ = ["BytesDisk", "DamagedRowError"]


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


def _only_bytes(value: Any) -> bytes:
    if type(value) is not bytes:
        raise DamagedRowError(f"expected bytes, found {type(value).__name__}")
    return value
