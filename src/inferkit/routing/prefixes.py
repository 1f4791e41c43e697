"""Which provider has the beginning of which prompt in its cache, as far as can be told from here.

Providers keep the beginnings of prompts for some minutes and charge a tenth for them. A prompt is remembered by
one-way prints of its beginnings, one for each message, never by its text.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from cachetools import LRUCache

from inferkit.caching.keys import beginnings
from inferkit.core.errors import ConfigurationError
from inferkit.runtime.forks import renew_after_fork

if TYPE_CHECKING:
    from inferkit.core.attempt import Attempt
    from inferkit.core.request import Request

__all__ = ["Prefixes"]

_MOST = 16_384  # prints that are kept
_SHORTEST = 4_096  # bytes: providers cache nothing of shorter prompts


class Prefixes:
    """Remembers for `warm_for` seconds who was sent which beginnings. Safe from any thread."""

    def __init__(self, warm_for: float) -> None:
        if not warm_for > 0:
            raise ConfigurationError(f"warm_for is in seconds, above 0; got {warm_for!r}")
        self._warm_for = warm_for
        self._sent: LRUCache[tuple[str, bytes], float] = LRUCache(_MOST)
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Renew the lock in a forked child."""
        self._lock = threading.Lock()

    def learn(self, request: Request, attempt: Attempt) -> None:
        """Take in that an attempt was answered."""
        if attempt.outcome == "error" or attempt.first_chunk_seconds is None:
            return
        name, now = attempt.name, request.runtime.now()
        with self._lock:
            for length, beginning in beginnings(request):
                if length >= _SHORTEST:
                    self._sent[name, beginning] = now

    def warm_share(self, request: Request, name: str) -> float:
        """Give the share of the prompt (0 to 1) that a model is likely to have in its cache."""
        if not self._sent:
            return 0.0
        now, whole, warm = request.runtime.now(), 0, 0
        with self._lock:
            for length, beginning in beginnings(request):
                whole = length
                at = self._sent.get((name, beginning))
                if at is not None and now - at < self._warm_for:
                    warm = length
        return warm / whole if whole else 0.0
