"""How providers count requests a minute: as a bucket that a minute fills."""

from __future__ import annotations

__all__ = ["PerMinute"]

_MINUTE = 60.0


class PerMinute:
    """Lets so many through a minute, as many of them at once. Instants are seconds on one clock."""

    def __init__(self, most: float) -> None:
        self._most = most
        self._left = most
        self._at = 0.0

    def take(self, now: float) -> bool:
        """Let one through, if there is room."""
        self._left = min(self._most, self._left + (now - self._at) * self._most / _MINUTE)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
