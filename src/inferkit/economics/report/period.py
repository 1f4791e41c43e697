"""A period, and its days as the instants between which they lie."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

__all__ = ["Period", "days_of"]


class Period(NamedTuple):
    """From `since` until before `until`, aware instants. Days are those of the time zone `zone`."""

    since: datetime
    until: datetime
    zone: str = "UTC"


def days_of(period: Period) -> tuple[list[str], list[float]]:
    """Give the dates of a period, and the instants at which each begins and the last ends."""
    zone = ZoneInfo(period.zone)
    first, until = period.since.astimezone(zone), period.until.timestamp()
    date, bounds, names = first.date(), [period.since.timestamp()], [first.date().isoformat()]
    while True:
        date += timedelta(days=1)
        begins = datetime.combine(date, time(), zone).timestamp()
        if begins >= until:
            return names, [*bounds, until]
        if begins > bounds[-1]:  # a zone that changes sides of the date line leaves one out
            bounds.append(begins)
            names.append(date.isoformat())
