"""Asks after a name that nobody knows whether one like it was meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["near"]

_NEAR = 0.81  # of 1: top_k is further from top_p, and no slip of the pen


def near(unknown: set[str], known: Iterable[str]) -> str:
    """Ask for a name that was misspelt whether one that is like it was meant; nothing where none is."""
    from difflib import get_close_matches

    listed = list(known)
    found: list[str] = []
    for name in sorted(unknown):
        swapped = [each for each in listed if sorted(each) == sorted(name) and len(name) > 1]  # as typing does
        found += swapped[:1] or get_close_matches(name, listed, 1, _NEAR)
    return f" (did you mean {', '.join(found)}?)" if found else ""
