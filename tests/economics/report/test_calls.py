"""Each call counts once, also where its process died and it came back later, and each entry in its own period."""

from __future__ import annotations

from economics.bookkeeping import DECEMBER, NOVEMBER, at, charge, costs, enter, lose, period, report_of, some
from inferkit.ledger.amounts import Amounts, Grant, Line
from inferkit.ledger.journal import Part

PARTS = (Part("primary", "x", "dear", "error", 30, 10, 0), Part("retry", "x", "m", "completed", 12, 10, 5))


def figures(report):
    total = report.total
    return total.calls, total.cost, total.input_tokens, total.output_tokens


def test_a_call_whose_process_died_counts_at_what_was_held_and_as_an_estimate(ledger):
    lose(ledger, 100, reserved="2026-11-05", swept="2026-11-06", call="a", user="ana")
    report = report_of(ledger)
    assert figures(report) == (1, 100, 0, 7)
    assert costs(report, "user") == {"ana": 100}
    assert costs(report, "model") == {None: 100}
    assert some(report.waste.kinds) == {"died": (1, 100)}
    assert report.estimated.calls == 1


def test_a_call_that_comes_back_in_the_same_period_is_as_if_it_had_never_been_lost(ledger):
    lose(ledger, 100, reserved="2026-11-05", swept="2026-11-06", call="a", user="ana", feature="chat")
    assert ledger.settle("a", charge(42, attempts=2, parts=PARTS), at=at("2026-11-07"))
    report = report_of(ledger)
    assert figures(report) == (1, 42, 20, 5)
    assert costs(report, "user") == {"ana": 42}
    assert costs(report, "feature") == {"chat": 42}
    assert costs(report, "model") == {"x:dear": 30, "x:m": 12}
    assert some(report.waste.kinds) == {"failed attempts": (1, 30)}
    assert report.estimated.calls == 0


def test_a_correction_in_a_later_period_counts_there_and_the_closed_period_stays_as_it_was(ledger):
    lose(ledger, 100, reserved="2026-11-30T23:00", swept="2026-11-30T23:30", call="a", user="ana")
    before = report_of(ledger)
    assert ledger.settle("a", charge(42, attempts=2, parts=PARTS), at=at("2026-12-01T00:10"))
    assert report_of(ledger) == before

    december = report_of(ledger, DECEMBER)
    assert figures(december) == (0, 42 - 100, 20, 5 - 7)
    assert costs(december, "user") == {"ana": -58}
    assert costs(december, "model") == {"x:dear": 30, "x:m": 12, None: -100}
    assert some(december.waste.kinds) == {"failed attempts": (1, 30), "died": (-1, -100)}
    assert sum(sum(costs.values()) for costs in december.days.values()) == -58

    both = report_of(ledger, period("2026-11-01", "2027-01-01"))
    assert both.total.cost == before.total.cost + december.total.cost == 42
    assert both.waste.usd == before.waste.usd + december.waste.usd


def test_a_call_that_was_given_back_late_costs_nothing_and_is_none(ledger):
    lose(ledger, 100, reserved="2026-11-05", swept="2026-11-06", call="a", user="ana")
    assert ledger.void("a", at=at("2026-11-07"))
    report = report_of(ledger)
    assert figures(report) == (0, 0, 0, 0)
    assert report.by("user") == []


def test_a_call_that_was_lost_twice_and_came_back_twice_counts_once(ledger):
    line = Line("all", "month:2026-11-01", usd=10**15)
    lose(ledger, 100, reserved="2026-11-05", swept="2026-11-06", call="a", user="ana")
    more = Amounts(50, 0, 0)
    assert isinstance(ledger.extend("a", [line], more, at=at("2026-11-07"), lease_seconds=60), Grant)
    assert ledger.sweep(at("2026-11-08")) == 1
    lost = report_of(ledger)
    assert figures(lost) == (1, 150, 0, 7)
    assert some(lost.waste.kinds) == {"died": (1, 150)}
    assert ledger.settle("a", charge(42, user="ana"), at=at("2026-11-09"))
    found = report_of(ledger)
    assert figures(found) == (1, 42, 10, 5)
    assert some(found.waste.kinds) == {}
    # wherever a period begins or ends, what is before and after it adds up
    for day in ("2026-11-05", "2026-11-06T12:00", "2026-11-07T12:00", "2026-11-08T12:00", "2026-11-09T12:00"):
        halves = [report_of(ledger, period(*bounds)) for bounds in (("2026-11-01", day), (day, "2026-12-01"))]
        assert sum(half.total.cost for half in halves) == 42
        assert sum(half.total.calls for half in halves) == 1
        assert sum(half.waste.usd for half in halves) == 0


def test_a_call_of_unknown_price_that_comes_back_is_still_of_unknown_price(ledger):
    lose(ledger, 0, reserved="2026-11-05", swept="2026-11-06", call="a", user="ana")
    assert ledger.settle("a", charge(None), at=at("2026-11-07"))
    assert report_of(ledger).unpriced == 1


def test_only_the_calls_of_the_period_count(ledger):
    enter(ledger, 1, "2026-10-31T23:59:59.999")
    enter(ledger, 10, "2026-11-01")
    enter(ledger, 100, "2026-11-30T23:59:59.999")
    enter(ledger, 1000, "2026-12-01")
    assert report_of(ledger, NOVEMBER).total.cost == 110
