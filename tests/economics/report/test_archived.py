"""Reports of a ledger whose entries were archived are what they were, and what only the entries say is refused."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest

from economics.bookkeeping import NOVEMBER, USD, assign, at, charge, enter, lose, period, report_of
from economics.report.test_sums import PLANS, fill
from inferkit import Budget, LedgerError, Price, SqliteLedger
from inferkit.core.usage import UsageDetails
from inferkit.economics.render import render_page
from inferkit.economics.render.as_csv import as_csv
from inferkit.economics.render.as_json import as_json
from inferkit.economics.render.document import document_of
from inferkit.economics.report.period import Period, days_of
from inferkit.economics.report.report import DIMENSIONS
from inferkit.economics.what_if.scenario import Scenario
from inferkit.economics.what_if.what_if import play
from inferkit.ledger.journal import Assignment, Attribution, Tally
from inferkit.ledger.sqlite import compaction
from inferkit.ledger.sqlite.compaction import compact
from inferkit.ledger.sqlite.journal import SqliteRecords

CAP = Scenario("a cap", limits=(Budget(usd="1", per="month", each="user", name="cap"),))
OCTOBER = period("2026-10-01", "2026-11-01")
BASELINE = Price("1", "2")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path):
    with contextlib.closing(SqliteLedger(path)) as ledger:
        yield ledger


def archive(path, before, zone="UTC"):
    """Archive what is before a date."""
    tz = ZoneInfo(zone)
    until = datetime.fromisoformat(before).replace(tzinfo=tz)

    def days(instant):
        since = datetime.combine(datetime.fromtimestamp(instant, tz).date(), time(), tz)
        return days_of(Period(since, until, zone))[1]

    return list(compact(path, until.timestamp(), before, days))


def shown(report):
    """Everything that anybody is shown of a report."""
    return (
        report, as_json(report), as_csv(report, DIMENSIONS), render_page(report),
        document_of(report, by=DIMENSIONS, shown=5, what_if=[]),
    )  # fmt: skip


def of(ledger, periods):
    return [shown(report_of(ledger, each, PLANS, baseline=BASELINE)) for each in periods]


PERIODS = (
    OCTOBER, NOVEMBER, period("2026-10-01", "2027-01-01"), period("2026-11-03", "2026-11-20"),
    period("2026-11-10", "2026-11-11"), period("2026-11-20T12:00", "2026-12-03T06:00"),
)  # fmt: skip


def test_reports_of_archived_entries_are_what_they_were(ledger, path):
    fill(ledger, 3)
    ledger.tally([Tally(int(at("2026-11-03T04:00")), "hit", Attribution("ana"), "fast", "x", "m0", "", 5, USD)])
    before = of(ledger, PERIODS)
    (first,) = archive(path, "2026-11-05")
    assert first.entries > 100
    assert of(ledger, PERIODS) == before
    (second,) = archive(path, "2026-11-20")
    assert second.entries > 50
    assert second.archive != first.archive
    assert of(ledger, PERIODS) == before
    assert archive(path, "2026-11-20") == archive(path, "2026-11-10") == []


def test_days_are_those_of_the_time_zone_that_was_named(ledger, path):
    zone = "Asia/Kolkata"
    periods = [period("2026-10-01", "2026-12-01", zone), period("2026-11-02", "2026-11-05", zone)]
    fill(ledger, 20)
    before = of(ledger, periods)
    archive(path, "2026-11-28", zone)
    assert of(ledger, periods) == before
    with pytest.raises(LedgerError, match=r"whole days of the time zone.*ledger-before-2026-11-28\.db"):
        report_of(ledger, NOVEMBER, PLANS)


def test_a_period_that_begins_in_the_middle_of_an_archived_day_is_refused(ledger, path):
    fill(ledger, 3)
    archive(path, "2026-11-20")
    for since, until in (("2026-11-03T12:00", "2026-12-01"), ("2026-11-01", "2026-11-03T12:00")):
        with pytest.raises(LedgerError, match="are archived, and only their sums are kept here"):
            report_of(ledger, period(since, until), PLANS)
    assert report_of(ledger, period("2026-11-20T12:00", "2026-12-01"), PLANS).total.calls > 0


def test_what_was_spent_before_revenue_was_known_stays_apart(ledger, path):
    for number, (when, plan) in enumerate(
        [("05T09:00", None), ("05T09:30", "free"), ("05T10:00", "free"), ("16T08:00", None), ("16T11:00", "pro")]
    ):
        enter(ledger, (number + 1) * USD, f"2026-11-{when}", user="ana", plan=plan)
    periods = [period(f"2026-11-{day}", "2026-12-01") for day in ("01", "05", "06", "16")]
    before = of(ledger, periods)
    assert before[0][0].revenue_since == at("2026-11-05T09:30")
    archive(path, "2026-11-20")
    assert of(ledger, periods) == before


def test_so_it_does_where_somebody_was_put_on_a_plan_in_the_middle_of_a_day(ledger, path):
    enter(ledger, 90 * USD, "2026-11-16T10:00", user="ana")
    assign(ledger, "2026-11-16T12:34:56", "pro", user="ana")
    enter(ledger, 5 * USD, "2026-11-16T14:00", user="ana", plan="pro")
    enter(ledger, 5 * USD, "2026-11-17T14:00", user="ana", plan="pro")
    periods = [NOVEMBER, period("2026-11-16", "2026-11-18"), period("2026-11-17", "2026-11-18")]
    before = of(ledger, periods)
    assert before[0][0].total.before == 90 * USD
    archive(path, "2026-11-20")
    assert of(ledger, periods) == before


def test_instants_between_two_microseconds_are_cut_where_a_report_cuts_them(ledger, path):
    for number in range(40):
        instant = at("2026-11-05T09:30") + number / 3
        ledger.record(f"{number}", charge(USD, user="ana", plan="free" if number > 19 else None), at=instant)
    enter(ledger, USD, "2026-11-07", user="ana", plan="free")
    ledger.assign(Assignment(at("2026-11-05T09:30:02") + 0.1 / 3, "ana", None, "pro"))
    assigned = of(ledger, [NOVEMBER])
    assert assigned[0][0].total.before < 21 * USD
    archive(path, "2026-11-06")
    assert of(ledger, [NOVEMBER]) == assigned


def test_so_are_those_of_first_calls(ledger, path):
    for number in range(40):
        instant = at("2026-11-05T09:30") + number / 3
        ledger.record(f"{number}", charge(USD, user="ana", plan="free" if number > 19 else None), at=instant)
    enter(ledger, USD, "2026-11-07", user="ana", plan="free")
    before = of(ledger, [NOVEMBER, period("2026-11-05", "2026-11-06")])
    archive(path, "2026-11-06")
    assert of(ledger, [NOVEMBER, period("2026-11-05", "2026-11-06")]) == before


def test_a_call_that_was_lost_stays_until_it_comes_back(ledger, path):
    enter(ledger, USD, "2026-11-02", user="ana")
    lose(ledger, 5 * USD, reserved="2026-11-01", swept="2026-11-03", call="late", user="ana")
    enter(ledger, USD, "2026-11-04", call="last")
    assert [each.stay for each in archive(path, "2026-11-05")] == [2], "the lost call, and the newest of all"
    assert ledger.settle("late", charge(2 * USD, user="ana"), at=at("2026-12-02"))
    assert report_of(ledger, NOVEMBER, PLANS).total.cost == 7 * USD
    assert report_of(ledger, period("2026-12-01", "2027-01-01"), PLANS).total.cost == -3 * USD


def test_what_is_entered_late_counts_in_its_day(ledger, path):
    enter(ledger, USD, "2026-11-02", user="ana")
    enter(ledger, USD, "2026-11-03", user="ana")
    archive(path, "2026-11-10")
    enter(ledger, 7 * USD, "2026-11-02T12:00", user="ben")
    enter(ledger, USD, "2026-11-11")
    day = report_of(ledger, period("2026-11-02", "2026-11-03"), PLANS)
    assert {row.name: row.cost for row in day.by("user")} == {"ana": USD, "ben": 7 * USD}
    assert day.days == {"2026-11-02": {"x:m": 8 * USD}}
    archive(path, "2026-11-12")
    assert report_of(ledger, period("2026-11-02", "2026-11-03"), PLANS) == day


def test_what_needs_each_call_is_refused_and_is_answered_by_the_archive(ledger, path):
    fill(ledger, 3)
    report = report_of(ledger, OCTOBER, PLANS)
    expected = play(ledger, report, CAP)
    (done,) = archive(path, "2026-11-15")
    with pytest.raises(LedgerError, match=r"archived, and this needs each of them.*ledger-before-2026-11-15\.db"):
        play(ledger, report, CAP)
    with pytest.raises(LedgerError, match="this needs each of them"):
        play(ledger, report, Scenario("a price", prices={"x:m0": Price("3", "1")}))
    later = period("2026-12-01", "2027-01-01")
    assert play(ledger, report_of(ledger, later, PLANS), CAP).users
    records = SqliteRecords(done.archive)
    found = play(records, report_of(records, OCTOBER, PLANS), CAP)
    assert (found.before, found.after, found.effects) == (report, expected.after, expected.effects)
    with pytest.raises(LedgerError, match="archived"):
        report_of(records, period("2026-11-01", "2026-12-01"), PLANS)
    records.close()


def test_entries_that_were_archived_are_not_left_out_silently(ledger, path):
    enter(ledger, 1, "2026-11-02", call="gone", user="ana", details=UsageDetails(reported_nanos=1))
    enter(ledger, 2, "2026-11-12", call="here")
    archive(path, "2026-11-10")
    for asked in ({}, {"until": at("2026-11-05")}, {"user": "ana"}, {"call": "gone"}, {"since": at("2026-11-02")}):
        with pytest.raises(LedgerError, match="archived"):
            list(ledger.entries(**asked))
    assert [entry.call for entry in ledger.entries(since=at("2026-11-10"))] == ["here"]
    assert [entry.call for entry in ledger.entries(call="here")] == ["here"]
    assert list(ledger.entries(kind="expired")) == []


def test_reports_and_calls_go_on_while_entries_are_archived(ledger, path, monkeypatch):
    fill(ledger, 3)
    monkeypatch.setattr(compaction, "_BATCH", 60)
    expected = report_of(ledger, OCTOBER, PLANS), report_of(ledger, period("2026-11-03", "2026-11-20"), PLANS)
    found = []

    def meanwhile(seconds):
        if seconds != compaction._PAUSE_SECONDS:
            return
        found.append((report_of(ledger, OCTOBER, PLANS), report_of(ledger, period("2026-11-03", "2026-11-20"), PLANS)))
        ledger.record(f"meanwhile-{len(found)}", charge(1), at=at("2026-12-20"))

    monkeypatch.setattr("inferkit.runtime.clock.sleep", meanwhile)
    archive(path, "2026-11-20")
    assert len(found) > 5
    assert all(each == expected for each in found)


def test_a_report_that_is_being_read_while_its_entries_are_archived_is_whole(ledger, path):
    fill(ledger, 3)
    bounds = days_of(Period(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)))[1]
    expected = [list(each) for each in ledger.journal.summary(bounds)]
    begun = ledger.journal.summary(bounds)
    archive(path, "2026-11-20")
    assert [list(each) for each in begun] == expected
