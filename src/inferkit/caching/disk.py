"""The cache's second tier: a store on disk, whose writes are gathered while there are many.

A lone write is done at once. Those that follow within a quarter of a second wait for the end of it in memory, where
look-ups find them; a thread of its own then writes them together, at a third of the cost. What a killed process had
not yet written is lost, as a cache may lose anything.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from inferkit.caching.disk_store import DiskStore
from inferkit.runtime import clock
from inferkit.runtime.forks import renew_after_fork
from inferkit.runtime.gathering import Gathering

if TYPE_CHECKING:
    import os

    from inferkit.caching.entry import CachedReply
    from inferkit.runtime.protocol import Runtime

__all__ = ["DiskTier"]

_GATHER_SECONDS = 0.25
_MOST_WAITING = 500


class DiskTier:
    """Keeps entries in an SQLite database in `folder`, up to about `size_limit` bytes; the oldest go first.

    Safe for threads, forks and several processes on one folder. The folder is made readable to its owner alone:
    replies are stored as they are. A forked child leaves to its parent what waits to be written.
    """

    name = "disk"

    def __init__(self, folder: str | os.PathLike[str], *, size_limit: int = 512 * 2**20) -> None:
        self._store = DiskStore(folder, size_limit=size_limit)
        self._waiting: dict[bytes, tuple[CachedReply, float | None]] = {}
        self._lock = threading.Lock()
        self._next_at = 0.0
        self._gathering = Gathering(self._write, name="inferkit-cache-writer", seconds=_GATHER_SECONDS)
        renew_after_fork(self)

    async def get(self, runtime: Runtime, key: bytes, /) -> CachedReply | None:
        """Look an entry up, whether it was written yet or not."""
        if not self._store.is_open:
            await runtime.run_blocking(self._store.open)
        waiting = self._waiting.get(key)
        return self._store.get(key) if waiting is None else waiting[0]

    async def put(self, _: Runtime, key: bytes, entry: CachedReply, /, *, ttl: float | None = None) -> None:
        """Keep an entry, for `ttl` seconds where given."""
        now = clock.now()
        with self._lock:
            at_once = self._gathering.idle and now >= self._next_at
            self._next_at = now + _GATHER_SECONDS
            if not at_once:
                self._waiting[key] = (entry, ttl)
            too_many = len(self._waiting) >= _MOST_WAITING
        if at_once:
            self._store.put(key, entry, ttl=ttl)
            return
        self._gathering.more()
        if too_many:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        self._gathering.flush()

    def _write(self) -> None:
        with self._lock:
            waiting = dict(self._waiting)
        if waiting:
            self._store.put_all((key, entry, ttl) for key, (entry, ttl) in waiting.items())
            with self._lock:
                for key, written in waiting.items():
                    if self._waiting.get(key) is written:
                        del self._waiting[key]

    def open(self) -> None:
        """Open or make the database, which takes some milliseconds."""
        self._store.open()

    def close(self) -> None:
        """Write what waits, and close the database. Using the tier again opens it again."""
        self._gathering.close()
        self._store.close()

    def renew(self) -> None:
        """Leave what waits to the parent."""
        self._waiting = {}
        self._lock = threading.Lock()
