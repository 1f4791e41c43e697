"""What one call wants of the cache."""

from __future__ import annotations

from typing import Literal, TypeAlias

from inferkit.core.request import Key

__all__ = ["CACHE", "CACHE_TAGS", "CacheMode"]

CacheMode: TypeAlias = Literal["use", "bypass", "refresh"]
"""To "use" it, to "bypass" it (neither read nor written), or to "refresh" its entry by a call of one's own."""

CACHE: Key[CacheMode] = Key("cache")
"""Carries the mode on a request; without it, the cache is used."""

CACHE_TAGS: Key[tuple[str, ...]] = Key("cache_tags")
"""Carries what the reply is to be found by when some are to be forgotten."""
