"""How long something takes, as servers write it: pure functions of texts. What makes no sense is None."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from inferkit.runtime import imports

__all__ = ["date", "duration", "number", "sensible", "time_left"]

_LONGEST_SECONDS = 7 * 86400.0
_NUMBER = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?")
_DURATION = re.compile(
    r"(?:([0-9]{1,6})d)?(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m(?!s))?"
    r"(?:([0-9]{1,9}(?:\.[0-9]{1,9})?)s)?(?:([0-9]{1,9}(?:\.[0-9]{1,9})?)ms)?"
)
_DURATION_UNITS = (86400.0, 3600.0, 60.0, 1.0, 0.001)
_INSTANT = re.compile(r"[0-9]{10}(?:\.[0-9]{1,9})?|[0-9]{13}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]")
_LONGEST_TEXT = 64
_MILLISECONDS = 1e11  # since the epoch: as seconds that would be in the year 5138


def number(text: str | None, unit: float = 1.0) -> float | None:
    """Read a plain number of so many seconds each."""
    if text is None or not _NUMBER.fullmatch(text.strip()):
        return None
    return sensible(float(text) * unit)


def duration(text: str | None) -> float | None:
    """Read seconds, or the parts of a time such as `6m0s`, `1d2h` and `12ms`."""
    if not text:
        return None
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        return number(text)
    parts = zip(match.groups(), _DURATION_UNITS, strict=True)
    return sensible(sum(float(amount) * unit for amount, unit in parts if amount))


def date(text: str | None, wall_clock: float) -> float | None:
    """Read the seconds until an HTTP date; `wall_clock` is in seconds since the epoch."""
    if text is None:
        return None
    with imports.lock:
        from email.utils import parsedate_to_datetime

    try:
        instant = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return _until(instant, wall_clock)


def time_left(text: str | None, wall_clock: float) -> float | None:
    """Read the seconds that are left, however a server says when: as a duration, or as an instant.

    An instant is an RFC 3339 date (Anthropic), or seconds or milliseconds since the epoch (OpenRouter, DigitalOcean).
    """
    if text is None or len(text) > _LONGEST_TEXT:
        return None
    text = text.strip()
    if _INSTANT.fullmatch(text):
        instant = float(text)
        return sensible(max(0.0, (instant / 1000 if instant > _MILLISECONDS else instant) - wall_clock))
    if _DAY.match(text):
        try:
            return _until(datetime.fromisoformat(text), wall_clock)
        except ValueError:
            return None
    return duration(text)


def sensible(seconds: float) -> float | None:
    """Give a time that is none in the past and within a week; of others, nothing."""
    return seconds if 0.0 <= seconds <= _LONGEST_SECONDS else None


def _until(instant: datetime, wall_clock: float) -> float | None:
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    return sensible(max(0.0, instant.timestamp() - wall_clock))
