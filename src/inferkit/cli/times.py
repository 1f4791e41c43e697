"""How a command reads and writes instants."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from inferkit.budgets.windows import zone_named
from inferkit.core.errors import ConfigurationError
from inferkit.runtime import clock

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

__all__ = ["instant_of", "iso", "short_times"]

_AGO = re.compile(r"(\d{1,6})(s|m|h|d|w)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_FIRST_YEAR, _LAST_YEAR = 1970, 9000  # what lies outside overflows in one zone or the other


def instant_of(text: str | None, zone: str) -> float | None:
    """Read an instant as seconds since the epoch: a date, a date with a time, or "2h" for so long ago.

    Dates begin at midnight in `zone`. Raises `ConfigurationError`.
    """
    tz = zone_named(zone)
    if text is None:
        return None
    ago = _AGO.fullmatch(text.strip())
    if ago is not None:
        return clock.time() - timedelta(**{_UNITS[ago[2]]: int(ago[1])}).total_seconds()
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        moment = None
    if moment is None or not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise ConfigurationError(
            f'an instant is written 2026-11-01 or 2026-11-01T12:00, or 2h or 7d for so long ago; got "{text}"'
        )
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=tz)).timestamp()


def iso(at: float | None, tz: ZoneInfo) -> str | None:
    """Write an instant for other programs."""
    return None if at is None else _moment(at, tz).isoformat()


def short_times(instants: list[float], tz: ZoneInfo) -> list[str]:
    """Write instants for people, alike: with the year where one is of another than this."""
    moments = [_moment(at, tz) for at in instants]
    this_year = _moment(clock.time(), tz).year
    if all(moment.year == this_year for moment in moments):
        return [f"{moment:%d %b %H:%M:%S}" for moment in moments]
    return [f"{moment:%Y-%m-%d %H:%M:%S}" for moment in moments]


def _moment(at: float, tz: ZoneInfo) -> datetime:
    try:
        return datetime.fromtimestamp(at, UTC).astimezone(tz)
    except (OverflowError, ValueError, OSError):  # no clock says so; a journal may
        return datetime(1970, 1, 1, tzinfo=UTC).astimezone(tz)
