"""How long to wait before asking again: by chance, under a ceiling that doubles."""

from __future__ import annotations

__all__ = ["backoff", "ceiling"]


def backoff(round_number: int, *, base: float, longest: float, spread: float, asked: float = 0.0) -> float:
    """Give the wait in seconds before a round of retries (the first retry is round 1).

    Full jitter: its ceiling doubles from `base` up to `longest`, and `spread` (0 to 1) says how much of that is waited,
    so that clients that failed together do not return together. A provider's own `asked` wait comes before it.
    """
    return asked + spread * ceiling(round_number, base, longest)


def ceiling(round_number: int, base: float, longest: float) -> float:
    """Give the longest wait in seconds before a round, beside what a provider asks for."""
    return min(longest, base * 2.0 ** min(round_number - 1, 60))
