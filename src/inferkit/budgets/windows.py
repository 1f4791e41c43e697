"""Which period an instant belongs to: calendar periods in a named time zone.

A month is a month, not thirty days; a day lasts 23 to 25 hours where the clocks change. Instants are seconds since the
epoch, as every process on every machine counts them.
"""

from __future__ import annotations

import calendar
import functools
import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal, get_args
from zoneinfo import ZoneInfo

from inferkit.core.errors import ConfigurationError

__all__ = [
    "PERIODS",
    "Period",
    "Window",
    "end_of_label",
    "rolling_end",
    "rolling_window",
    "window",
    "window_before",
    "zone_named",
]

Period = Literal["call", "hour", "day", "week", "month", "year", "total"]
PERIODS: tuple[str, ...] = get_args(Period)
_HOUR = 3600
_CALENDAR = ("day", "week", "month", "year")


@dataclass(frozen=True, slots=True)
class Window:
    """A period: `label` names it in the ledger; `start` is in it, `end` is not. Both None: it never ends."""

    label: str
    start: datetime | None = None
    end: datetime | None = None


@functools.lru_cache(maxsize=256)
def zone_named(name: str) -> ZoneInfo:
    """Find a time zone by its IANA name. Raises `ConfigurationError` if there is none of that name."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError, TypeError) as error:
        raise ConfigurationError(
            f'there is no time zone {name!r}; use an IANA name, for example "UTC" or "Europe/Berlin" '
            "(on a system without a time zone database, install tzdata)"
        ) from error


def window(per: Period, at: float, zone: str = "UTC", anchor_day: int = 1) -> Window:
    """Give the period that contains the instant `at`.

    An hour is an hour of UTC; weeks begin on Monday, years on 1 January, months on `anchor_day`, or on the last day of
    a month that is shorter. "call" and "total" have no bounds.
    """
    if per in ("call", "total"):
        return Window(per)
    if per == "hour":
        start = datetime.fromtimestamp(at - at % _HOUR, UTC)
        return Window(f"hour:{start:%Y-%m-%dT%H}Z", start, start + timedelta(hours=1))
    tz = zone_named(zone)
    moment = datetime.fromtimestamp(at, UTC)
    first = _first_day(per, moment.astimezone(tz).date(), anchor_day)
    while True:
        following = _next(per, first, anchor_day)
        end = _midnight(following, tz)
        if moment < end:
            return Window(f"{per}:{first.isoformat()}", _midnight(first, tz), end)
        first = following  # clocks set back across midnight show the day before once more; it is over all the same


@functools.lru_cache(maxsize=256)
def window_before(per: Period, start: datetime, zone: str, anchor_day: int) -> Window:
    """Give the period that ends where the one that begins at `start` begins."""
    return window(per, start.timestamp() - 1, zone, anchor_day)


def end_of_label(label: str, anchor_day: int = 1) -> datetime | None:
    """Give when the calendar window of this label ends, as its own zone's clocks show it; None: never, or it rolls.

    A label says no zone, so that of the result is only known for an hour: UTC. `anchor_day` counts for a month that
    begins on one of the last days, which are not in every month. Raises `ValueError` for what is no label.
    """
    per, _, start = label.partition(":")
    if per == "hour":
        return datetime.strptime(start, "%Y-%m-%dT%HZ").replace(tzinfo=UTC) + timedelta(hours=1)
    if per not in _CALENDAR:
        return None
    first = date.fromisoformat(start)
    following = _next(per, first, max(anchor_day, first.day))
    return datetime(following.year, following.month, following.day)  # noqa: DTZ001 - the zone is not known


def _first_day(per: Period, day: date, anchor_day: int) -> date:
    if per == "day":
        return day
    if per == "week":
        return day - timedelta(days=day.weekday())
    if per == "year":
        return date(day.year, 1, 1)
    anchored = _anchored(day.year, day.month, anchor_day)
    if day >= anchored:
        return anchored
    before = date(day.year, day.month, 1) - timedelta(days=1)
    return _anchored(before.year, before.month, anchor_day)


def _next(per: str, first: date, anchor_day: int) -> date:
    if per == "day":
        return first + timedelta(days=1)
    if per == "week":
        return first + timedelta(days=7)
    if per == "year":
        return date(first.year + 1, 1, 1)
    months = first.year * 12 + first.month
    return _anchored(months // 12, months % 12 + 1, anchor_day)


def _anchored(year: int, month: int, anchor_day: int) -> date:
    return date(year, month, min(anchor_day, calendar.monthrange(year, month)[1]))


def _midnight(day: date, tz: ZoneInfo) -> datetime:
    """Give the first instant of a day: its first midnight, or where the clocks skip that, the instant they do."""
    return datetime(day.year, day.month, day.day, tzinfo=tz).astimezone(UTC)


_SHORT_WINDOWS = 60


def rolling_window(length: timedelta, at: float) -> tuple[Window, str]:
    """Give the short window of a rolling one that contains `at`, and the label of the oldest that still counts.

    A rolling window is the sum of sixty short ones and the running one. What was spent in the oldest counts until all
    of it is over, so that no stretch of time of this length ever sees more than the limit; it is free again up to a
    sixtieth of the length late. Labels sort by time.
    """
    seconds = int(length.total_seconds())
    number = int(at * _SHORT_WINDOWS) // seconds  # whole numbers, so that its end is not missed by a rounding
    start, end = (datetime.fromtimestamp(each * seconds / _SHORT_WINDOWS, UTC) for each in (number, number + 1))
    kind = f"rolling-{seconds}s"
    return Window(f"{kind}:{number:015d}", start, end), f"{kind}:{max(0, number - _SHORT_WINDOWS):015d}"


def rolling_end(length: timedelta, label: str) -> datetime:
    """Give the first full second at which what was spent in the short window of this label no longer counts."""
    over = int(label.partition(":")[2]) + _SHORT_WINDOWS + 1
    return datetime.fromtimestamp(math.ceil(over * length.total_seconds() / _SHORT_WINDOWS), UTC)
