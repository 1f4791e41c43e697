"""Gathers writes to the disk tier while there are many, so that they share a transaction.

A lone write is done at once. Those that follow within a quarter of a second wait for the end of it in memory, where
look-ups find them; a thread of its own then writes them together, at a third of the cost. What a killed process had
not yet written is lost, as a cache may lose anything.
"""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from typing import TYPE_CHECKING

from inferkit._forks import renew_after_fork

if TYPE_CHECKING:
    from inferkit.caching.disk import DiskTier
    from inferkit.caching.entry import Entry

__all__ = ["WriteBehind"]

_GATHER_SECONDS = 0.25
_MOST_WAITING = 500
_all: weakref.WeakSet[WriteBehind] = weakref.WeakSet()


class WriteBehind:
    """A disk tier whose writes may come a little later. Safe for threads; a forked child leaves them to its parent."""

    def __init__(self, tier: DiskTier) -> None:
        self.tier = tier
        self._waiting: dict[bytes, tuple[Entry, float | None]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._next_at = 0.0
        renew_after_fork(self)
        _all.add(self)

    def get(self, key: bytes) -> Entry | None:
        """Look an entry up, whether it was written yet or not."""
        waiting = self._waiting.get(key)
        return self.tier.get(key) if waiting is None else waiting[0]

    def put(self, key: bytes, entry: Entry, *, ttl: float | None = None) -> None:
        """Keep an entry, for `ttl` seconds where given."""
        now = time.monotonic()
        with self._lock:
            at_once = self._thread is None and now >= self._next_at
            self._next_at = now + _GATHER_SECONDS
            if not at_once:
                self._waiting[key] = (entry, ttl)
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="inferkit-cache-writer", daemon=True)
                    self._thread.start()
            too_many = len(self._waiting) >= _MOST_WAITING
        if at_once:
            self.tier.put(key, entry, ttl=ttl)
        elif too_many:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        with self._lock:
            waiting = dict(self._waiting)
        if waiting:
            self.tier.put_all((key, entry, ttl) for key, (entry, ttl) in waiting.items())
            with self._lock:
                for key, written in waiting.items():
                    if self._waiting.get(key) is written:
                        del self._waiting[key]

    def close(self) -> None:
        """Write what waits, and close this thread's connection."""
        self.flush()
        self.tier.close()

    def renew(self) -> None:
        """Leave what waits to the parent."""
        self._waiting = {}
        self._lock = threading.Lock()
        self._thread = None

    def _run(self) -> None:
        while True:
            time.sleep(_GATHER_SECONDS)
            self.flush()
            with self._lock:
                if not self._waiting:
                    self._thread = None
                    break
        self.tier.leave()


@atexit.register
def _flush_all() -> None:
    for behind in list(_all):
        behind.flush()
