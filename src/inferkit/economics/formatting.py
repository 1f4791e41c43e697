"""How reports write amounts, shares, names and periods for people: the same on a page and in a terminal.

Nothing here depends on the machine's locale, so that a report reads the same everywhere.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from inferkit.core.money import NANOS_PER_USD, to_usd
from inferkit.core.printable import printable

if TYPE_CHECKING:
    from datetime import date

    from inferkit.economics.report.period import Period

__all__ = ["MONTHS", "NOTHING", "count", "day", "instant", "money", "name", "period", "plural", "printable", "share"]

NOTHING = "\N{EN DASH}"
_JOINED = "\N{NO-BREAK SPACE}"
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip

_CENT = Decimal("0.01")
_CENT_NANOS = NANOS_PER_USD // 100
_TENTH = Decimal("0.1")
_EXACT = Context(prec=60)
_TWO_DIGITS = Context(prec=2, rounding=ROUND_HALF_EVEN)


def money(nanos: int) -> str:
    """Write nano-dollars to the cent; what is less than a cent, and not zero, to two significant digits."""
    sign, size = ("-", -nanos) if nanos < 0 else ("", nanos)
    usd = to_usd(size)
    if 0 < size < _CENT_NANOS:
        usd = _TWO_DIGITS.plus(usd)
        if usd < _CENT:
            return f"{sign}${usd.normalize():f}"
    return f"{sign}${usd.quantize(_CENT, ROUND_HALF_UP, _EXACT):,}"


def share(value: Decimal | None, *, digits: int = 1) -> str:
    """Write a share of one as per cent; `NOTHING` where there is none."""
    if value is None:
        return NOTHING
    percent = (value * 100).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP, _EXACT)
    return f"{abs(percent) if percent == 0 else percent:,}{_JOINED}%"


def count(number: int) -> str:
    """Write a number with thousands separators."""
    return f"{number:,}"


def plural(number: int, one: str, many: str | None = None) -> str:
    """Write a number of things: "1 call", "2 calls"."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def name(value: str | None, otherwise: str = "(none)") -> str:
    """Write a name that came from outside: what cannot be printed as its escape, so that it can do nothing."""
    return otherwise if value is None else printable(value)


def day(date: date) -> str:
    """Write a day: "3 November 2026"."""
    return f"{date.day} {MONTHS[date.month - 1]} {date.year}"


def period(period: Period) -> str:
    """Write a period with its zone: "November 2026 (UTC)", "3 to 9 November 2026 (UTC)"; with times if it has any."""
    zone = ZoneInfo(period.zone)
    since, until = period.since.astimezone(zone), period.until.astimezone(zone)
    if any((moment.hour, moment.minute, moment.second) != (0, 0, 0) for moment in (since, until)):
        return f"{_moment(since)} to {_moment(until)} ({period.zone})"
    return f"{_days(since.date(), until.date() - timedelta(days=1))} ({period.zone})"


def instant(at: float, zone: str) -> str:
    """Write an instant, in seconds since the epoch: "3 November 2026, 09:30"."""
    return _moment(datetime.fromtimestamp(at, ZoneInfo(zone)))


def _days(first: date, last: date) -> str:
    if last <= first:
        return day(first)
    if (first.year, first.month) == (last.year, last.month):
        whole = first.day == 1 and (last + timedelta(days=1)).day == 1
        return f"{MONTHS[last.month - 1]} {last.year}" if whole else f"{first.day} to {day(last)}"
    if first.year == last.year:
        return f"{first.day} {MONTHS[first.month - 1]} to {day(last)}"
    return f"{day(first)} to {day(last)}"


def _moment(moment: datetime) -> str:
    return f"{day(moment.date())}, {moment:%H:%M}"
