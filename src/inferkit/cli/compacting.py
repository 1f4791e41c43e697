"""What `inferkit ledger compact` does: finds the days that are over, and archives what was entered in them."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING

from inferkit.budgets.windows import zone_named
from inferkit.cli.configured import existing_ledger
from inferkit.core.errors import ConfigurationError
from inferkit.economics.formatting import count, plural
from inferkit.economics.report.period import Period, days_of
from inferkit.ledger.sqlite.compaction import compact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inferkit.ledger.sqlite.compaction import Compacted

__all__ = ["archive_days", "compact_ledger"]


def compact_ledger(*, ledger: str | None, before: str, zone: str) -> Iterator[str]:
    """Do what the command does, and say what was done. Raises `ConfigurationError` and `LedgerError`."""
    done = False
    for found in archive_days(ledger=ledger, before=before, zone=zone):
        done = True
        stay = f"; {count(found.stay)} of that time stay, which reports look at one by one" if found.stay else ""
        yield f"{plural(found.entries, 'entry', 'entries')} archived in {found.archive}{stay}"
    if not done:
        yield f"nothing before {before} is left to archive"


def archive_days(*, ledger: str | None, before: str, zone: str) -> Iterator[Compacted]:
    """Archive the days that are over, and give what was done. Raises `ConfigurationError` and `LedgerError`."""
    file = existing_ledger(ledger)
    tz = zone_named(zone)
    until = datetime.combine(_date(before), time(), tz)
    if until > datetime.now(UTC):
        raise ConfigurationError(f"{before} has not begun in {zone}; archive what was before a day that has")

    def days(at: float) -> list[float]:
        since = datetime.combine(datetime.fromtimestamp(at, tz).date(), time(), tz)
        return days_of(Period(since, until, zone))[1]

    yield from compact(file, until.timestamp(), f"{until:%Y-%m-%d}", days)


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f'before is a date, written 2026-11-01; got "{text}"') from None
