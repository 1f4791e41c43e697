"""How providers count requests a minute: as a bucket that a minute fills, of which their headers tell."""

from __future__ import annotations

import math

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
        self._fill(now)
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def wait(self, now: float) -> float:
        """Give the whole seconds until there is room for another one, as `Retry-After` has them."""
        self._fill(now)
        return float(math.ceil((1 - self._left) * _MINUTE / self._most)) if self._left < 1 else 0.0

    def headers(self, now: float) -> dict[str, str]:
        """Say what is left, as OpenAI and most others do."""
        self._fill(now)
        full = (self._most - self._left) * _MINUTE / self._most
        return {
            "x-ratelimit-limit-requests": f"{math.floor(self._most)}",
            "x-ratelimit-remaining-requests": f"{math.floor(self._left)}",
            "x-ratelimit-reset-requests": f"{full:.3f}s",
        }

    def _fill(self, now: float) -> None:
        self._left = min(self._most, self._left + (now - self._at) * self._most / _MINUTE)
        self._at = now
