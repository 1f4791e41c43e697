"""A period, and its days as the instants between which they lie."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from inferkit.budgets.windows import zone_named
from inferkit.core.errors import ConfigurationError

__all__ = ["Period", "check_period", "days_of"]


class Period(NamedTuple):
    """From `since` until before `until`, aware instants. Days are those of the time zone `zone`."""

    since: datetime
    until: datetime
    zone: str = "UTC"


def check_period(period: Period) -> None:
    """Refuse ends that are no instants, or other ones in each time zone, in the wrong order, or a zone unknown."""
    for name, given in (("since", period.since), ("until", period.until)):
        if not isinstance(given, datetime) or given.tzinfo is None:
            raise ConfigurationError(
                f"{name} of a period is a datetime with its time zone: datetime(2026, 11, 1, tzinfo=UTC); got {given!r}"
            )
    if period.until < period.since:
        raise ConfigurationError(f"the period ends ({period.until}) before it begins ({period.since})")
    zone_named(period.zone)


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
