"""How wires say what becomes of their fields: what several of them have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from inferkit.pricing.terms import PLAIN, Terms, WireField

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from inferkit.pricing.terms import Becomes

__all__ = ["LENGTH", "OUTSIDE", "all_of", "lifetime", "region", "speed", "tier", "tools_of", "unmeasured"]

OUTSIDE = "or make the call outside of the budget"
LENGTH = "pass max_output_tokens=... with the call instead"


def all_of(becomes: Becomes, says: str, names: str) -> dict[str, WireField]:
    """Say the same of several fields, whose names are parted by blanks."""
    return {name: WireField(becomes, says) for name in names.split()}


def unmeasured(name: str, *kinds: str) -> WireField:
    """Say that a field stands for input that nobody here knows the size of, with kinds of tokens in it."""
    terms = Terms(kinds=frozenset(kinds), unmeasured=name)
    return WireField("priced", "held for as much as fits into the model", lambda _: terms)


def tier(value: Any) -> Terms | None:
    """Read a service tier."""
    return Terms(service_tier=value) if isinstance(value, str | None) else None


def speed(value: Any) -> Terms | None:
    """Read a speed."""
    return Terms(speed=value) if isinstance(value, str | None) else None


def region(value: Any) -> Terms | None:
    """Read a region."""
    return Terms(region=value) if isinstance(value, str | None) else None


def lifetime(value: Any) -> Terms | None:
    """Say how long a prompt is to stay in the cache; the shortest time is what writing to the cache costs anyway."""
    asked = value.get("ttl") if isinstance(value, Mapping) else value
    if asked in (None, "5m", "30m"):
        return PLAIN
    return Terms(kinds=frozenset({f"cache_write_{asked}"})) if asked in ("1h", "12h") else None


def tools_of(kinds: Collection[str | None]) -> Callable[[Any], Terms | None]:
    """Let tools of these kinds pass: they run in the application, and their results are messages."""

    def read(value: Any) -> Terms | None:
        if value is None:
            return PLAIN
        if not isinstance(value, Sequence) or isinstance(value, str):
            return None
        asked = [one.get("type") if isinstance(one, Mapping) else 0 for one in value]
        return PLAIN if all(kind in kinds for kind in asked) else None

    return read
