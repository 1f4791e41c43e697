"""What a store adds up itself is what its entries come to, one by one."""

from __future__ import annotations

import functools
import random
import threading
from datetime import UTC, datetime

import pytest

from economics.bookkeeping import NOVEMBER, USD, assign, at, charge, enter, lose, period, report_of
from inferkit import Price
from inferkit.core.errors import LedgerError
from inferkit.core.usage import UsageDetails
from inferkit.economics.render.document import document_of
from inferkit.economics.report.waste import Reported, Subtotal
from inferkit.ledger.amounts import Amounts, Line
from inferkit.ledger.journal import Attribution, Part
from inferkit.ledger.sqlite import filling, hours
from inferkit.ledger.sqlite.reader import LedgerReader
from inferkit.ledger.sqlite.schema import MIGRATIONS
from inferkit.ledger.summary import Pending
from inferkit.plans.plan import Plan
from inferkit.runtime import yielding

PLANS = (Plan("pro", price="30", allowance="unlimited", target_margin="0.7"), Plan("free", allowance="unlimited"))

SUMS = f"SELECT cell, first, {filling.AMOUNTS} FROM temp.sums ORDER BY cell"


class OneByOne:
    """The same records, from a store that does not add up."""

    def __init__(self, ledger):
        self.entries, self.tallies, self.assignments = ledger.entries, ledger.tallies, ledger.assignments


def fill(ledger, models):
    pick = random.Random(7)
    assign(ledger, "2026-10-01", "pro", user="ana")
    for number in range(600):
        several = (
            Part("primary", "x", "m", "error", 5, 1, 1),
            Part("fallback", "y", "n", "completed", 7, 2, 2),
        )
        enter(
            ledger,
            pick.choice([None, 0, 3, USD, 10**15]),
            f"2026-{pick.choice([10, 11, 11, 11, 12]):02}-{pick.randint(1, 28):02}T{pick.randint(0, 23):02}:30",
            call=str(number),
            user=pick.choice([None, "ana", "ben", "eva"]),
            tenant=pick.choice([None, "acme"]),
            plan=pick.choice([None, "pro", "free", "lost"]),
            feature=pick.choice([None, "chat", "mail"]),
            provider=pick.choice(["x", "local", None]),
            model=f"m{pick.randrange(models)}",
            outcome=pick.choice(["completed", "error", "closed"]),
            finish_reason=pick.choice(["stop", "length", None]),
            estimated=pick.random() < 0.2,
            degraded=pick.random() < 0.2,
            prompt_cache_saved=pick.choice([0, 0, 4, -2]),
            routing_saved=pick.choice([0, 0, 9]),
            overrun=pick.choice([0, 0, 0, 8]),
            parts=several if pick.random() < 0.1 else (),
            details=UsageDetails(reported_nanos=pick.choice([None, 6])),
        )
    lose(ledger, 5 * USD, reserved="2026-10-31", swept="2026-10-31T12:00", call="late", user="ana")
    lose(ledger, 5 * USD, reserved="2026-11-20", swept="2026-11-20T12:00", call="gone", user="ben")
    ledger.settle("late", charge(USD, user="ana"), at=at("2026-11-02"))


def test_a_report_is_the_same_whether_the_store_adds_up_or_every_entry_is_read(ledger):
    fill(ledger, 3)
    for when in (NOVEMBER, period("2026-10-15T12:00", "2026-11-20T06:00", "Asia/Kolkata")):
        for options in ({}, {"baseline": Price("1", "2")}):
            summed = report_of(ledger, when, PLANS, **options)
            assert summed == report_of(OneByOne(ledger), when, PLANS, **options)
            assert summed.total.calls > 100


def test_many_models_are_told_apart_by_day(ledger):
    fill(ledger, 20)
    summed = report_of(ledger, NOVEMBER, PLANS)
    assert summed == report_of(OneByOne(ledger), NOVEMBER, PLANS)
    assert len(summed.by("model")) > 20


def test_calls_that_are_in_no_total_are_the_same_whether_or_not_the_costs_of_days_are_asked_for(ledger):
    fill(ledger, 3)
    bounds = [at("2026-10-01"), at("2026-11-10"), at("2026-12-01")]
    apart = [entry for stretch in ledger.journal.summary(bounds).stretches for entry in stretch.apart]
    assert list(ledger.journal.summary(bounds).apart) == apart
    assert len(apart) > 50


def test_what_providers_say_that_calls_cost_stands_beside_what_was_booked(ledger):
    enter(ledger, 5, details=UsageDetails(reported_nanos=7))
    enter(ledger, 6, details=UsageDetails(reported_nanos=6))
    enter(ledger, None, details=UsageDetails(reported_nanos=1))
    enter(ledger, 9)
    assert report_of(ledger).reported == Reported(2, 13, 11)


def test_what_calls_cost_beyond_what_was_held_is_a_line_of_its_own(ledger):
    enter(ledger, 9 * USD, overrun=2 * USD)
    enter(ledger, 9 * USD)
    report = report_of(ledger)
    assert report.overrun == Subtotal(1, 2 * USD)
    document = document_of(report)
    assert ("Overrun", "$2.00", "of 1 call") in document.figures
    assert any(note.startswith("Overrun: 1 call cost $2.00 more than was held") for note in document.notes)


def test_how_many_dollars_are_estimates_is_said(ledger):
    enter(ledger, 5)
    enter(ledger, 6, estimated=True)
    lose(ledger, 7, reserved="2026-11-20", swept="2026-11-20T12:00", call="gone", user="ben")
    assert report_of(ledger).estimated == Subtotal(2, 13)


def test_what_calls_hold_is_in_a_report_that_lasts_until_now(ledger, monkeypatch):
    now = at("2026-11-15")
    monkeypatch.setattr("inferkit.runtime.clock.time", lambda: now)
    line = Line("all", "month:2026-11-01", usd=10**15)
    for call, seconds in (("runs", 3600), ("gone", 60)):
        held = Amounts(5 * USD, 10, 1)
        ledger.reserve(call, [line], held, held, at=now - 120, lease_seconds=seconds, attribution=Attribution("ana"))
    until_now = NOVEMBER._replace(until=datetime.fromtimestamp(now, UTC))
    assert report_of(ledger, until_now).pending == Pending(2, 10 * USD, 1, 5 * USD)
    past = period("2026-11-01", "2026-11-10")
    assert report_of(ledger, past).pending == Pending()


def test_what_calls_cost_before_revenue_was_known_is_in_no_margin(ledger):
    enter(ledger, 90 * USD, "2026-11-05", user="ana")
    enter(ledger, 2 * USD, "2026-11-05")
    assign(ledger, "2026-11-16", "pro", user="ana")
    enter(ledger, 5 * USD, "2026-11-20", user="ana", plan="pro")
    report = report_of(ledger, NOVEMBER, PLANS)
    assert report.revenue_since == at("2026-11-16")
    assert (report.total.cost, report.total.before, report.total.revenue) == (97 * USD, 92 * USD, 15 * USD)
    assert report.total.margin == 10 * USD
    assert report.unprofitable == []
    assert [(row.name, row.margin) for row in report.by("customer")] == [("ana", 10 * USD), ("(nobody)", 0)]
    assert report_of(ledger, period("2026-11-17", "2026-12-01"), PLANS).revenue_since is None


def test_calls_that_name_nobody_say_nothing_of_when_revenue_is_known(ledger):
    enter(ledger, 2 * USD, "2026-11-05")
    enter(ledger, 5 * USD, "2026-11-20", user="ana", plan="free")
    assert report_of(ledger, NOVEMBER, PLANS).revenue_since is None


def test_entries_of_a_period_are_found_wherever_they_were_written(ledger):
    for number in range(200):
        enter(ledger, 1, f"2026-11-01T00:{number % 60:02}", call=str(number))
    enter(ledger, 1, "2026-10-01", call="written late")
    found = list(ledger.entries(since=at("2026-10-01"), until=at("2026-10-02")))
    assert [entry.call for entry in found] == ["written late"]
    enter(ledger, 1, "2026-10-01", call="first")
    for number in range(200):
        enter(ledger, 1, "2026-12-01", call=f"later {number}")
    enter(ledger, 1, "2026-10-01", call="last")
    found = list(ledger.entries(since=at("2026-10-01"), until=at("2026-10-02")))
    assert [entry.call for entry in found] == ["written late", "first", "last"], "in the order they were written"
    assert list(ledger.entries(since=at("2027-01-01"))) == []


def adding_up():
    return [thread for thread in threading.enumerate() if thread.name == "inferkit-sums"]


def test_who_stops_reading_stops_the_thread_that_adds_up(ledger, monkeypatch):
    fill(ledger, 3)
    monkeypatch.setattr(hours, "_MANY", 0)
    monkeypatch.setattr(yielding, "is_alone", lambda: True)  # as where a command makes a report
    began, goes_on, added, add = threading.Event(), threading.Event(), [], filling.Filling._fill

    def slowly(self, since, until, connection):
        began.set()
        assert goes_on.wait(20)
        added.append((since, until))
        add(self, since, until, connection)

    monkeypatch.setattr(filling.Filling, "_fill", slowly)
    others = adding_up()
    summary = ledger.journal.summary([at("2026-11-01"), at("2026-11-10"), at("2026-11-20")])
    assert began.wait(20)
    (thread,) = [each for each in adding_up() if each not in others]
    next(summary.stretches)
    del summary
    goes_on.set()
    thread.join(20)
    assert not thread.is_alive()
    assert added == [(at("2026-11-01"), at("2026-11-10"))]


def test_sums_that_cannot_be_made_beside_are_an_error_of_who_asks_for_them(ledger, monkeypatch):
    fill(ledger, 3)
    monkeypatch.setattr(hours, "_MANY", 0)
    monkeypatch.setattr(yielding, "is_alone", lambda: True)  # as where a command makes a report
    monkeypatch.setattr(filling, "_ADD", "SELECT nothing FROM nowhere")
    summary = ledger.journal.summary([at("2026-11-01"), at("2026-12-01")])
    assert next(summary.stretches).spent
    with pytest.raises(LedgerError):
        next(summary.totals)
    assert all(thread.join(20) is None and not thread.is_alive() for thread in adding_up())


def test_who_waits_for_sums_helps_to_make_them(ledger, monkeypatch):
    fill(ledger, 3)
    bounds = [at(f"2026-11-{day:02}") for day in range(1, 29)]
    alone = sorted(ledger.journal.summary(bounds).totals, key=repr)
    monkeypatch.setattr(hours, "_MANY", 0)
    monkeypatch.setattr(yielding, "is_alone", lambda: True)  # as where a command makes a report
    is_helped, helped, add = threading.Event(), [], filling.Filling._fill

    def slowly(self, since, until, connection):
        if threading.current_thread() in adding_up():
            assert is_helped.wait(20)
        else:
            helped.append(since)
        add(self, since, until, connection)
        if helped:
            is_helped.set()

    monkeypatch.setattr(filling.Filling, "_fill", slowly)
    assert sorted(ledger.journal.summary(bounds).totals, key=repr) == alone
    assert helped[0] == bounds[-2]
    assert all(thread.join(20) is None for thread in adding_up())


@pytest.mark.parametrize("forks", [False, True])
def test_sums_are_whole_whether_or_not_somebody_forks_before_what_was_helped_is_added(ledger, forks):
    fill(ledger, 3)
    stretches = [(at("2026-11-01"), at("2026-11-10")), (at("2026-11-10"), at("2026-12-01"))]
    path = ledger.journal.database.path
    whole = LedgerReader(path, MIGRATIONS, filling.Filling(stretches, 2**40)).rows(SUMS)
    making = filling.Filling(stretches, 2**40)
    reader, sums = LedgerReader(path, MIGRATIONS), LedgerReader(path, MIGRATIONS, making)
    made = reader.run(functools.partial(making._make_more, []))
    assert sums.rows(SUMS) == []
    if forks:
        sums.hold()
        sums.release()
    sums.run(functools.partial(making._add_more, made))
    assert sums.rows(SUMS) == whole
    assert len(whole) > 50


def test_no_thread_adds_up_beside_those_of_an_application(ledger, monkeypatch):
    fill(ledger, 3)
    monkeypatch.setattr(hours, "_MANY", 0)
    others, ends = adding_up(), threading.Event()
    application = threading.Thread(target=ends.wait)
    application.start()
    try:
        summary = ledger.journal.summary([at("2026-11-01"), at("2026-12-01")])
        assert [thread for thread in adding_up() if thread not in others] == []
        assert sum(total.calls for total in summary.totals) > 100
    finally:
        ends.set()
        application.join()
