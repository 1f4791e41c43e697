"""Columns of a chart hold all of the cost, however long the period is."""

from datetime import UTC, date, datetime

import pytest

from economics.render.page.made_reports import DOLLAR, report
from inferkit.economics.render.timeline import timeline


def spent(days, length=None, models=("m",), start=datetime(2026, 11, 1, tzinfo=UTC)):
    calls = [("ana", "pro", model, day, DOLLAR) for day in days for model in models]
    return timeline(report(calls, days=length or max(days) + 1, start=start))


@pytest.mark.parametrize(
    ("length", "unit", "columns"),
    [(1, "day", 1), (62, "day", 62), (63, "week", 9), (400, "week", 58), (434, "week", 62), (436, "month", 15)],
)
def test_there_are_never_too_many_columns_and_none_of_the_cost_is_lost(length, unit, columns):
    line = spent(range(length), start=datetime(2026, 11, 2, tzinfo=UTC))  # a Monday
    assert (line.unit, len(line.starts)) == (unit, columns)
    assert sum(line.series[0].values) == length * DOLLAR
    assert len(list(line.ticks())) <= 10


def test_days_without_calls_have_a_column_too():
    line = spent([1, 28], length=30)
    assert line.starts[0] == date(2026, 11, 1)
    assert line.starts[-1] == date(2026, 11, 30)
    assert [index for index, cost in enumerate(line.series[0].values) if cost] == [1, 28]


def test_a_period_without_end_is_drawn_where_its_calls_are():
    line = spent([19_990, 19_999], length=20_000, start=datetime(1972, 1, 1, tzinfo=UTC))
    assert line.unit == "day"
    assert len(line.starts) == 10


def test_the_six_dearest_models_have_a_colour_and_the_rest_is_one():
    calls = [("ana", "pro", f"model-{number}", number % 3, number * DOLLAR) for number in range(10)]
    line = timeline(report(calls))
    assert [series.name for series in line.series] == [*(f"model-{n}" for n in range(9, 3, -1)), "3 other models"]
    assert [series.other for series in line.series] == [False] * 6 + [True]
    assert sum(line.series[-1].values) == (1 + 2 + 3) * DOLLAR


def test_a_model_that_cost_nothing_has_no_part_of_the_columns():
    assert timeline(report([("ana", "pro", "local:embedded", 0, 0)])).series == ()
    assert timeline(report()).series == ()


def test_columns_say_which_days_they_are():
    assert spent([0], length=30).label(2) == "3 November 2026"
    weeks, months = spent(range(100)), spent(range(600))
    assert weeks.label(1) == "week of 2 November 2026"
    assert next(weeks.ticks()) == (0, "26 Oct 2026")
    assert months.label(2) == "January 2027"
    assert [label for _, label in months.ticks()][:3] == ["Nov 2026", "Jan 2027", "Mar"]


def test_days_are_those_of_the_reports_zone():
    start = datetime(2026, 10, 31, 23, tzinfo=UTC)  # midnight in Zurich
    line = timeline(report([("ana", "pro", "m", 1, DOLLAR)], start=start, zone="Europe/Zurich"))
    assert line.starts[0] == date(2026, 11, 1)
    assert len(line.starts) == 30
