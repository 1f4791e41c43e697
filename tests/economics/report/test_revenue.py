"""What customers owe: the part of each billing period that they were on a plan, with the seats they had."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, strategies as st

from economics.bookkeeping import DECEMBER, NOVEMBER, USD, assign, at, enter, period, report_of, revenues
from inferkit.economics.report.revenue import Customer, SubscriptionPeriod, revenue_of, subscription_periods
from inferkit.ledger.journal import Assignment
from inferkit.plans.plan import Plan

PRO = Plan("pro", price="30", allowance="unlimited")
TEAM = Plan("team", price="10", per_seat=True, seats=5, allowance="unlimited")
FREE = Plan("free", allowance="unlimited")
PLANS = (PRO, TEAM, FREE)


def owed(plan, start, end, *, seats=1, zone="UTC"):
    subscription = SubscriptionPeriod(Customer("ana"), plan.name, seats, at(start, zone), at(end, zone))
    return revenue_of(subscription, {plan.name: plan})


@pytest.mark.parametrize(
    ("start", "end", "price"),
    [("2026-02-01", "2026-03-01", 28), ("2026-11-01", "2026-12-01", 30), ("2026-12-01", "2027-01-01", 31)],
)
def test_a_whole_month_brings_the_whole_price_however_long_it_is(start, end, price):
    assert owed(PRO, start, end) == 30 * USD
    days = Plan("daily", price=price, allowance="unlimited")
    assert owed(days, start, f"{start[:-1]}2") == USD  # its first day
    assert owed(days, f"{start[:-1]}2", end) == (price - 1) * USD


def test_the_29th_of_february_counts():
    assert owed(Plan("p", price=29, allowance="unlimited"), "2028-02-29", "2028-03-01") == USD


def test_a_month_in_a_zone_is_as_long_as_it_is_there():
    plan = Plan("p", price=745, zone="Europe/Zurich", allowance="unlimited")  # October 2026 has 31 * 24 + 1 hours
    assert owed(plan, "2026-10-01", "2026-11-01", zone="Europe/Zurich") == 745 * USD
    assert owed(plan, "2026-10-25", "2026-10-26", zone="Europe/Zurich") == 25 * USD
    march = Plan("p", price=743, zone="Europe/Zurich", allowance="unlimited")
    assert owed(march, "2026-03-29", "2026-03-30", zone="Europe/Zurich") == 23 * USD


def test_a_year_is_paid_by_its_days():
    assert owed(Plan("p", price=365, per="year", allowance="unlimited"), "2026-11-01", "2026-12-01") == 30 * USD
    assert owed(Plan("p", price=366, per="year", allowance="unlimited"), "2028-02-01", "2028-03-01") == 29 * USD


def test_days_and_weeks_are_paid_one_by_one():
    assert owed(Plan("p", price=1, per="day", allowance="unlimited"), "2026-11-01", "2026-11-04T12:00") == 7 * USD // 2
    assert owed(Plan("p", price=7, per="week", allowance="unlimited"), "2026-11-01", "2026-12-01") == 30 * USD


def test_seats_are_paid_where_the_price_is_per_seat():
    assert owed(TEAM, "2026-11-01", "2026-12-01", seats=7) == 70 * USD
    assert owed(PRO, "2026-11-01", "2026-12-01", seats=7) == 30 * USD


def test_a_plan_that_is_not_known_or_free_brings_nothing():
    assert revenue_of(SubscriptionPeriod(Customer("ana"), "gone", 1, 0, 10), {}) == 0
    assert owed(FREE, "2026-11-01", "2026-12-01") == 0


@given(
    st.integers(1, 10**9 * USD),
    st.lists(st.floats(at("2026-01-01"), at("2026-04-01")), min_size=2, max_size=6, unique=True),
    st.sampled_from(["day", "week", "month", "year"]),
)
def test_periods_that_adjoin_bring_what_one_period_would(nanos, instants, per):
    plan = Plan("p", price=str(nanos // USD), per=per, allowance="unlimited", zone="America/New_York")
    instants = sorted(instants)
    parts = [SubscriptionPeriod(Customer("ana"), "p", 1, *bounds) for bounds in itertools.pairwise(instants)]
    whole = SubscriptionPeriod(Customer("ana"), "p", 1, instants[0], instants[-1])
    assert sum(revenue_of(part, {"p": plan}) for part in parts) == revenue_of(whole, {"p": plan})


def test_a_subscription_period_begins_and_ends_with_assignments_and_is_cut_to_the_reports():
    def assignment(when, plan, seats=1):
        return Assignment(when, "ana", None, plan, seats)

    ana = Customer("ana")
    found = subscription_periods(
        [assignment(5, "free"), assignment(20, "pro"), assignment(30, "pro", 4), assignment(40, None)], 10, 100
    )
    assert found == [
        SubscriptionPeriod(ana, "free", 1, 10, 20),
        SubscriptionPeriod(ana, "pro", 1, 20, 30),
        SubscriptionPeriod(ana, "pro", 4, 30, 40),
    ]
    assert subscription_periods([assignment(5, "pro"), assignment(5, "free")], 0, 10) == [
        SubscriptionPeriod(ana, "free", 1, 5, 10)
    ]
    assert subscription_periods([assignment(100, "pro")], 10, 100) == []  # the period was over
    assert subscription_periods([assignment(5, "pro"), assignment(10, None)], 10, 100) == []  # it had not begun
    assert subscription_periods([assignment(50, None), assignment(60, None)], 10, 100) == []


def test_a_change_of_plans_in_the_middle_of_a_month_is_paid_by_the_day(ledger):
    assign(ledger, "2026-10-20", "free", user="ana")
    assign(ledger, "2026-11-11", "pro", user="ana")
    assign(ledger, "2026-11-21", "team", user="ana", seats=3)
    enter(ledger, 5, "2026-11-05", user="ana", plan="free")
    enter(ledger, 7, "2026-11-15", user="ana", plan="pro")
    report = report_of(ledger, plans=PLANS)
    assert revenues(report, "plan") == {"free": 0, "pro": 10 * USD, "team": 10 * USD}
    assert report.total.revenue == 20 * USD
    assert report_of(ledger, DECEMBER, PLANS).total.revenue == 30 * USD


def test_a_customer_without_calls_pays_all_the_same(ledger):
    assign(ledger, "2026-10-20", "pro", user="ben")
    assign(ledger, "2026-10-20", "team", tenant="acme", seats=2)
    report = report_of(ledger, plans=PLANS)
    assert revenues(report, "customer") == {"ben": 30 * USD, "acme": 20 * USD}
    assert revenues(report, "tenant") == {None: 30 * USD, "acme": 20 * USD}
    assert report.total.calls == 0
    assert report.total.margin_share == 1


def test_a_tenant_pays_for_its_users_and_a_user_with_a_plan_for_itself(ledger):
    assign(ledger, "2026-10-20", "team", tenant="acme", seats=4)
    assign(ledger, "2026-10-20", "pro", user="eva")
    enter(ledger, 1, user="ana", tenant="acme", plan="team")
    enter(ledger, 2, user="ben", tenant="acme", plan="team")
    enter(ledger, 3, user="ben", tenant="acme", plan="team")
    enter(ledger, 4, user="ben", tenant="acme", plan="team")
    enter(ledger, 5, user="eva", tenant="acme", plan="pro")
    report = report_of(ledger, plans=PLANS)
    assert revenues(report, "customer") == {"acme": 40 * USD, "eva": 30 * USD}
    assert revenues(report, "user") == {"ana": 10 * USD, "ben": 30 * USD, "eva": 30 * USD}
    assert revenues(report, "tenant") == {"acme": 70 * USD}


def test_those_who_were_assigned_none_pay_from_their_first_call_under_the_default_plan_on(ledger):
    enter(ledger, 1, "2026-11-21", user="ana", plan="pro")
    enter(ledger, 1, "2026-11-16", user="ana", plan="pro")  # entered later, made earlier
    enter(ledger, 1, "2026-11-10", user="ben")
    report = report_of(ledger, plans=PLANS)
    assert revenues(report, "user") == {"ana": 15 * USD, "ben": 0}


def test_a_default_plan_is_paid_for_all_its_seats_and_by_nobody_for_calls_that_name_nobody(ledger):
    enter(ledger, 1, "2026-11-01", tenant="acme", plan="team")
    enter(ledger, 1, "2026-11-01", plan="team")
    report = report_of(ledger, plans=PLANS)
    assert revenues(report, "customer") == {"acme": 50 * USD, "(nobody)": 0}


def test_a_plan_whose_price_is_not_known_is_named(ledger):
    assign(ledger, "2026-10-20", "gone", user="ana")
    enter(ledger, 1, user="ben", plan="lost")
    enter(ledger, 1, "2026-11-11", user="eva", plan="pro")
    report = report_of(ledger, plans=PLANS)
    assert report.unknown_plans == ("gone", "lost")
    assert report.total.revenue == 20 * USD


def test_a_period_of_parts_of_months_adds_up(ledger):
    plan = Plan("pro", price="31", allowance="unlimited")
    assign(ledger, "2026-10-11", "pro", user="ana")
    months = period("2026-10-01", "2026-12-16")
    assert report_of(ledger, months, [plan]).total.revenue == (21 + 31 + 15) * USD
    assert report_of(ledger, NOVEMBER, [plan]).total.revenue == 31 * USD
