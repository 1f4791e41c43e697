"""The cost of a period as a series for each model: by day, or by week or month where days would be too many to see."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Literal, NamedTuple
from zoneinfo import ZoneInfo

from inferkit.economics.formatting import MONTHS, day, name, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from inferkit.economics.report.report import Report

__all__ = ["Series", "Timeline", "timeline"]

ColumnUnit = Literal["day", "week", "month"]
_MOST_COLUMNS = 62
_MODELS = 6
_LABELS = 10
_STEPS: dict[ColumnUnit, tuple[int, ...]] = {
    "day": (1, 2, 7, 14, 21),
    "week": (1, 2, 4, 8, 16, 24),
    "month": (1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200, 2400),
}


class Series(NamedTuple):
    """A name, and nano-dollars for each column. `other` is what is left of smaller ones."""

    name: str
    values: tuple[int, ...]
    other: bool = False


class Timeline(NamedTuple):
    """Columns that begin at `starts`; those that cost most have a series of their own, the dearest first."""

    unit: ColumnUnit
    starts: tuple[date, ...]
    series: tuple[Series, ...]

    @property
    def totals(self) -> list[int]:
        """What each column costs, in nano-dollars."""
        return [sum(each) for each in zip(*(series.values for series in self.series), strict=True)]

    def label(self, index: int) -> str:
        """Say in full which days a column is."""
        start = self.starts[index]
        if self.unit == "month":
            return f"{MONTHS[start.month - 1]} {start.year}"
        return f"week of {day(start)}" if self.unit == "week" else day(start)

    def ticks(self, most: int = _LABELS) -> Iterator[tuple[int, str]]:
        """Give the columns, at most so many, that have a label below them, and the label; the year where it is new."""
        step = next(step for step in _STEPS[self.unit] if len(self.starts) / step <= most)
        year = 0
        for index in range(0, len(self.starts), step):
            start = self.starts[index]
            month = MONTHS[start.month - 1][:3]
            label = month if self.unit == "month" else f"{start.day} {month}"
            yield index, label if start.year == year else f"{label} {start.year}"
            year = start.year


def timeline(report: Report) -> Timeline:
    """Put the days of a report into at most 62 columns, or months if it is longer than 62 weeks.

    A period that is too long for days begins and ends with its calls.
    """
    costs = {date.fromisoformat(each): models for each, models in report.days.items()}
    if not costs:
        return Timeline("day", (), ())
    first, last = _ends(report, costs)
    unit: ColumnUnit = "day"
    if (last - first).days >= _MOST_COLUMNS:
        first, last = min(costs), max(costs)
        weeks = (_start(last, "week") - _start(first, "week")).days // 7 + 1
        unit = "day" if (last - first).days < _MOST_COLUMNS else "week" if weeks <= _MOST_COLUMNS else "month"
    starts = tuple(_starts(first, last, unit))
    place = {start: index for index, start in enumerate(starts)}
    sums: dict[str | None, list[int]] = {}
    for when, models in costs.items():
        for model, cost in models.items():
            sums.setdefault(model, [0] * len(starts))[place[_start(when, unit)]] += cost
    return Timeline(unit, starts, tuple(_series(sums)))


def _ends(report: Report, costs: Iterable[date]) -> tuple[date, date]:
    zone = ZoneInfo(report.period.zone)
    first = report.period.since.astimezone(zone).date()
    last = (report.period.until.astimezone(zone) - timedelta(microseconds=1)).date()
    return min([first, *costs]), max([first, last, *costs])


def _start(when: date, unit: ColumnUnit) -> date:
    if unit == "month":
        return when.replace(day=1)
    return when - timedelta(days=when.weekday()) if unit == "week" else when


def _starts(first: date, last: date, unit: ColumnUnit) -> Iterator[date]:
    at = _start(first, unit)
    while at <= last:
        yield at
        at = (
            _start(at + timedelta(days=32), unit)
            if unit == "month"
            else at + timedelta(days=7 if unit == "week" else 1)
        )


def _series(sums: dict[str | None, list[int]]) -> Iterator[Series]:
    ranked = sorted(sums.items(), key=lambda each: (-sum(each[1]), each[0] or ""))
    costly = [each for each in ranked if sum(each[1]) > 0]
    for model, values in costly[:_MODELS]:
        yield Series(name(model, "(model not known)"), tuple(values))
    if rest := costly[_MODELS:]:
        together = tuple(map(sum, zip(*(values for _, values in rest), strict=True)))
        yield Series(plural(len(rest), "other model"), together, other=True)
