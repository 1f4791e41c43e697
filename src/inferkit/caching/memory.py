"""The cache's first tier: the entries used last, in this process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from inferkit.core.errors import ConfigurationError
from inferkit.runtime.forks import renew_after_fork

if TYPE_CHECKING:
    from inferkit.caching.entry import Entry

__all__ = ["MemoryTier"]


class MemoryTier:
    """Keeps up to `max_bytes` and `max_entries` of entries; the least recently used go first. Safe for threads."""

    def __init__(self, *, max_bytes: int = 64 * 2**20, max_entries: int = 10_000) -> None:
        if max_bytes <= 0 or max_entries <= 0:
            raise ConfigurationError("max_bytes and max_entries are above 0; for no memory tier, pass memory=None")
        self._max_bytes = max_bytes
        self._max_entries = max_entries
        self._entries: OrderedDict[bytes, tuple[Entry, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        renew_after_fork(self)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def bytes_used(self) -> int:
        """About how many bytes the entries take."""
        return self._bytes

    def get(self, key: bytes) -> Entry | None:
        """Look an entry up; it becomes the one used last."""
        with self._lock:
            found = self._entries.get(key)
            if found is None:
                return None
            self._entries.move_to_end(key)
            return found[0]

    def put(self, key: bytes, entry: Entry) -> None:
        """Keep an entry, unless it alone is larger than the tier."""
        size = entry.memory_bytes
        with self._lock:
            self._drop(key)
            if size > self._max_bytes:
                return
            self._entries[key] = (entry, size)
            self._bytes += size
            while self._bytes > self._max_bytes or len(self._entries) > self._max_entries:
                _, (_, freed) = self._entries.popitem(last=False)
                self._bytes -= freed

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self._bytes = 0

    def renew(self) -> None:
        """Start afresh in a forked child if another thread was in the middle of a change."""
        if self._lock.locked():
            self._entries.clear()
            self._bytes = 0
        self._lock = threading.Lock()

    def _drop(self, key: bytes) -> None:
        old = self._entries.pop(key, None)
        if old is not None:
            self._bytes -= old[1]
