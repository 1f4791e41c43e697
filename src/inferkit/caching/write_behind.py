"""Gathers writes to the disk tier while there are many, so that they share a transaction.

A lone write is done at once. Those that follow within a quarter of a second wait for the end of it in memory, where
look-ups find them; a thread of its own then writes them together, at a third of the cost. What a killed process had
not yet written is lost, as a cache may lose anything.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from inferkit.runtime import clock
from inferkit.runtime.forks import renew_after_fork
from inferkit.runtime.gathering import Gathering

if TYPE_CHECKING:
    from inferkit.caching.disk import DiskTier
    from inferkit.caching.entry import Entry

__all__ = ["WriteBehind"]

_GATHER_SECONDS = 0.25
_MOST_WAITING = 500


class WriteBehind:
    """A disk tier whose writes may come a little later. Safe for threads; a forked child leaves them to its parent."""

    def __init__(self, tier: DiskTier) -> None:
        self.tier = tier
        self._waiting: dict[bytes, tuple[Entry, float | None]] = {}
        self._lock = threading.Lock()
        self._next_at = 0.0
        self._gathering = Gathering(self._write, name="inferkit-cache-writer", seconds=_GATHER_SECONDS)
        renew_after_fork(self)

    def get(self, key: bytes) -> Entry | None:
        """Look an entry up, whether it was written yet or not."""
        waiting = self._waiting.get(key)
        return self.tier.get(key) if waiting is None else waiting[0]

    def put(self, key: bytes, entry: Entry, *, ttl: float | None = None) -> None:
        """Keep an entry, for `ttl` seconds where given."""
        now = clock.now()
        with self._lock:
            at_once = self._gathering.idle and now >= self._next_at
            self._next_at = now + _GATHER_SECONDS
            if not at_once:
                self._waiting[key] = (entry, ttl)
            too_many = len(self._waiting) >= _MOST_WAITING
        if at_once:
            self.tier.put(key, entry, ttl=ttl)
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
            self.tier.put_all((key, entry, ttl) for key, (entry, ttl) in waiting.items())
            with self._lock:
                for key, written in waiting.items():
                    if self._waiting.get(key) is written:
                        del self._waiting[key]

    def close(self) -> None:
        """Write what waits, and close the database."""
        self._gathering.close()
        self.tier.close()

    def renew(self) -> None:
        """Leave what waits to the parent."""
        self._waiting = {}
        self._lock = threading.Lock()
