"""The cache's first tier: the entries used last, in this process."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from cachetools import LRUCache

from inferkit.caching.choice import EVERY_REPLY, Chosen
from inferkit.core.errors import ConfigurationError
from inferkit.runtime.forks import renew_after_fork

if TYPE_CHECKING:
    from inferkit.caching.entry import CachedReply
    from inferkit.runtime.protocol import Runtime

__all__ = ["MemoryTier"]


class MemoryTier:
    """Keeps up to `max_bytes` and `max_entries` of entries; the least recently used go first. Safe for threads."""

    name = "memory"

    def __init__(self, *, max_bytes: int = 64 * 2**20, max_entries: int = 10_000) -> None:
        if max_bytes <= 0 or max_entries <= 0:
            raise ConfigurationError("max_bytes and max_entries are above 0; for no memory tier, pass memory=None")
        self._max_bytes = max_bytes
        self._max_entries = max_entries
        self._entries: LRUCache[bytes, CachedReply] = LRUCache(max_bytes, getsizeof=_size)
        self._lock = threading.Lock()
        renew_after_fork(self)

    def __repr__(self) -> str:
        return f"MemoryTier({len(self)} of at most {self._max_entries} replies)"

    def __len__(self) -> int:
        return len(self._entries)

    async def get(self, _: Runtime, key: bytes, /) -> CachedReply | None:
        """Look an entry up; it becomes the one used last."""
        with self._lock:
            return self._entries.get(key)

    async def put(self, _: Runtime, key: bytes, entry: CachedReply, /, *, ttl: float | None = None) -> None:  # noqa: ARG002
        """Keep an entry, unless it alone is larger than the tier; the one it replaces goes either way.

        The cache looks at the age of what it finds, so a `ttl` needs no clock here.
        """
        with self._lock:
            try:
                self._entries[key] = entry
            except ValueError:  # it is larger than the tier
                self._entries.pop(key, None)
            while len(self._entries) > self._max_entries:
                self._entries.popitem()

    def open(self) -> None:
        """See `Tier`."""

    def close(self) -> None:
        """See `Tier`."""

    def clear(self, *, model: str | None = None, tag: str | None = None) -> int:
        """See `Tier`."""
        chosen = Chosen.of(model, tag)
        with self._lock:
            if chosen == EVERY_REPLY:
                count = len(self._entries)
                self._entries.clear()
                return count
            keys = [key for key, entry in self._entries.items() if chosen.fits(entry)]
            for key in keys:
                del self._entries[key]
        return len(keys)

    def renew(self) -> None:
        """Start afresh in a forked child if another thread was in the middle of a change."""
        if self._lock.locked():
            self._entries = LRUCache(self._max_bytes, getsizeof=_size)
        self._lock = threading.Lock()


def _size(entry: CachedReply) -> int:
    return entry.memory_bytes
