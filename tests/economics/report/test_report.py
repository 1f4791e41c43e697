"""The tables of a report add up, and say who is unprofitable."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from economics.bookkeeping import (
    NOVEMBER,
    USD,
    assign,
    at,
    charge,
    costs,
    enter,
    period,
    report_of,
    summarise,
)
from inferkit.core.errors import ConfigurationError
from inferkit.core.usage import UsageDetails
from inferkit.economics.render import render_page
from inferkit.economics.render.as_json import as_json
from inferkit.economics.render.document import notes
from inferkit.economics.report.period import Period
from inferkit.economics.report.report import DIMENSIONS, build_report
from inferkit.economics.report.revenue import Customer, SubscriptionPeriod
from inferkit.economics.report.waste import Reported, Subtotal
from inferkit.ledger.journal import Entry, Part
from inferkit.plans.plan import Plan

PRO = Plan("pro", price="30", allowance="unlimited", target_margin="0.7")
FREE = Plan("free", allowance="unlimited")

names = st.sampled_from([None, "ana", "ben"])
plans = st.sampled_from([None, "pro", "free", "lost"])
amounts = st.one_of(st.none(), st.integers(0, 10**18))
parts = st.lists(
    st.builds(
        Part,
        st.just("retry"),
        st.sampled_from(["x", ""]),
        st.sampled_from(["m", "n", ""]),
        st.sampled_from(["completed", "error", "cancelled"]),
        amounts,
        st.integers(0, 100),
        st.integers(0, 100),
    ),
    min_size=2,
    max_size=4,
)


@st.composite
def entries(draw):
    fields = {
        "user": draw(names),
        "tenant": draw(names),
        "feature": draw(names),
        "plan": draw(plans),
        "finish_reason": draw(st.sampled_from([None, "stop", "length", "budget"])),
        "outcome": draw(st.sampled_from([None, "completed", "error", "abandoned"])),
    }
    usd, several = draw(amounts), tuple(draw(st.one_of(st.just([]), parts)))
    if several:
        usd = None if any(part.usd is None for part in several) else sum(part.usd for part in several)
    when = draw(st.floats(at("2026-11-01"), at("2026-11-30")))
    return Entry("call", draw(st.sampled_from(["settled", "expired"])), when, 1, charge(usd, parts=several, **fields))


@st.composite
def some_subscriptions(draw):
    user = draw(st.sampled_from(["ana", "eva"]))
    customer = Customer(user=user) if draw(st.booleans()) else Customer(tenant=user)
    return SubscriptionPeriod(customer, draw(st.sampled_from(["pro", "free", "lost"])), draw(st.integers(1, 9)), *[
        at("2026-11-01") + day * 86400 for day in sorted(draw(st.lists(st.integers(0, 30), min_size=2, max_size=2)))
    ])  # fmt: skip


@given(st.lists(entries(), max_size=20), st.lists(some_subscriptions(), max_size=6))
def test_every_grouping_sums_to_the_same_totals(calls, assigned):
    report = summarise(calls, assigned, [], NOVEMBER, plans={"pro": PRO, "free": FREE}, baseline=None)
    total = report.total
    assert total.calls == len(calls)
    assert total.cost == sum(
        sum(part.usd or 0 for part in entry.charge.parts) if entry.charge.parts else entry.charge.usd or 0
        for entry in calls
    )
    for dimension in DIMENSIONS:
        rows = report.by(dimension)
        for figure in ("calls", "input_tokens", "output_tokens", "cost", "revenue", "margin"):
            assert sum(getattr(row, figure) for row in rows) == getattr(total, figure), (dimension, figure)
    assert sum(sum(costs.values()) for costs in report.days.values()) == total.cost
    assert 0 <= report.waste.usd <= total.cost
    assert all(row.margin < 0 for row in report.unprofitable)


def test_an_empty_ledger_is_all_zeros(ledger):
    report = report_of(ledger, plans=[PRO])
    assert (report.total.calls, report.total.cost, report.total.revenue, report.total.margin_share) == (0, 0, 0, None)
    assert [report.by(dimension) for dimension in DIMENSIONS] == [[]] * len(DIMENSIONS)
    assert (report.unprofitable, report.below_target, report.unknown_plans) == ([], [], ())
    assert report.savings.usd == report.waste.usd == 0


def test_retries_are_charged_to_their_own_models_and_the_call_to_the_one_that_served(ledger):
    attempts = (
        Part("primary", "x", "dear", "error", 30, 10, 0),
        Part("fallback", "y", "m", "completed", 12, 8, 5),
    )
    enter(ledger, 42, provider="y", model="m", input_tokens=18, output_tokens=5, attempts=2, parts=attempts)
    rows = {row.name: row for row in report_of(ledger).by("model")}
    assert {name: (row.calls, row.cost, row.input_tokens) for name, row in rows.items()} == {
        "x:dear": (0, 30, 10),
        "y:m": (1, 12, 8),
    }


def test_calls_of_unknown_price_and_estimates_are_counted(ledger):
    enter(ledger, None)
    enter(ledger, 5, estimated=True)
    enter(ledger, 5)
    report = report_of(ledger)
    assert (report.unpriced, report.estimated, report.total.cost) == (1, Subtotal(1, 5), 10)


def test_a_user_and_a_tenant_of_one_name_are_two_customers(ledger):
    assign(ledger, "2026-10-01", "pro", user="acme")
    assign(ledger, "2026-10-01", "free", tenant="acme")
    enter(ledger, 1 * USD, user="acme", plan="pro")
    enter(ledger, 2 * USD, user="eva", tenant="acme", plan="free")
    report = report_of(ledger, plans=[PRO, FREE])
    assert [(row.name, row.cost, row.revenue) for row in report.by("customer")] == [
        ("acme", 2 * USD, 0),
        ("acme", 1 * USD, 30 * USD),
    ]
    assert report.unprofitable == []
    assert [row.margin for row in report.customers.free] == [-2 * USD]


def test_customers_that_cost_more_than_they_bring_in_are_named_the_worst_first(ledger):
    for user, usd in (("ana", 31), ("ben", 45), ("eva", 30), ("leo", 1)):
        assign(ledger, "2026-10-01", "pro", user=user)
        enter(ledger, usd * USD, user=user, plan="pro")
    enter(ledger, 1, user="guest")
    enter(ledger, 1000 * USD)  # nobody's, so nobody is to blame
    report = report_of(ledger, plans=[PRO])
    assert [row.name for row in report.unprofitable] == ["ben", "ana"]
    assert [row.name for row in report.customers.free] == ["guest"], "who was never going to pay"
    assert report.unprofitable[0].margin_share == Decimal("-0.5")
    assert report.unprofitable[0].plans == ("pro",)
    assert costs(report, "customer")["(nobody)"] == 1000 * USD


def test_customers_below_their_plans_target_margin_are_named(ledger):
    for user, usd in (("ana", 9), ("ben", 10), ("eva", 30)):  # a tenth of a dollar below, above, all of it
        assign(ledger, "2026-10-01", "pro", user=user)
        enter(ledger, usd * USD, user=user, plan="pro")
    report = report_of(ledger, plans=[PRO])
    assert [row.name for row in report.below_target] == ["eva", "ben"]
    assert report.unprofitable == []


def test_the_most_expensive_comes_first_and_ties_are_by_name(ledger):
    for user, usd in (("b", 1), ("a", 1), ("c", 2)):
        enter(ledger, usd, user=user)
    assert [row.name for row in report_of(ledger).by("user")] == ["c", "a", "b"]


def test_days_are_those_of_the_zone_also_where_the_clocks_change(ledger):
    zone = "Europe/Zurich"
    for when in ("2026-10-24T21:59:59", "2026-10-24T22:00", "2026-10-25T22:59", "2026-10-25T23:00"):  # UTC
        enter(ledger, 1, when)
    report = report_of(ledger, period("2026-10-01", "2026-11-01", zone))
    assert {day: sum(costs.values()) for day, costs in report.days.items()} == {
        "2026-10-24": 1,
        "2026-10-25": 2,
        "2026-10-26": 1,
    }


def test_days_of_a_zone_off_the_hour_are_kept_apart(ledger):
    enter(ledger, 1, "2026-11-01T18:14:59")
    enter(ledger, 1, "2026-11-01T18:15")
    report = report_of(ledger, period("2026-11-01", "2026-11-03", "Asia/Kathmandu"))
    assert list(report.days) == ["2026-11-01", "2026-11-02"]


def test_numbers_beyond_64_bits_are_exact(ledger):
    for _ in range(3):
        enter(ledger, 9 * 10**18, user="ana")
    assert report_of(ledger).total.cost == 27 * 10**18


def test_what_providers_say_that_calls_cost_stands_beside_what_was_booked(ledger):
    enter(ledger, USD, details=UsageDetails(reported_nanos=3 * USD // 2))
    enter(ledger, 2 * USD, details=UsageDetails(reported_nanos=USD))
    enter(ledger, 4 * USD, details=UsageDetails(service_tier="flex"))
    enter(ledger, None, details=UsageDetails(reported_nanos=USD))
    report = report_of(ledger)
    assert report.reported == Reported(2, 5 * USD // 2, 3 * USD)
    said = "2 calls cost $2.50 as providers say, and $3.00 as booked."
    assert said in list(notes(report))
    assert said in render_page(report)
    assert json.loads(as_json(report))["reported"] == {"calls": 2, "usd": "2.500000000", "booked": "3.000000000"}


def test_where_no_provider_says_so_nothing_is_said(ledger):
    enter(ledger, USD)
    assert not any("providers say" in note for note in notes(report_of(ledger)))


FIRST = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("period", "words"),
    [
        (Period(datetime(2026, 11, 1), datetime(2026, 12, 1)), "since of a period is a datetime with its time zone"),  # noqa: DTZ001 - what is refused
        (Period(FIRST, date(2026, 12, 1)), "until of a period is a datetime with its time zone"),
        (Period(FIRST, FIRST - timedelta(days=1)), "before it begins"),
        (Period(FIRST, FIRST, "Mars"), "there is no time zone 'Mars'"),
    ],
)
def test_a_period_that_is_none_is_refused_and_no_empty_report_is_made_of_it(ledger, period, words):
    with pytest.raises(ConfigurationError, match=words):
        build_report(ledger, period, plans=[])


def test_a_report_by_what_it_is_not_by_says_what_it_is_by(ledger):
    found = build_report(ledger, Period(FIRST, FIRST + timedelta(days=30)), plans=[])
    with pytest.raises(ConfigurationError, match="a report is by customer, user, .*; got 'custmer'"):
        found.by("custmer")


def test_instants_that_are_none_are_refused_and_find_not_nothing(ledger):
    for wrong in (FIRST, "2026-11-01", math.nan):
        for read in (ledger.entries, ledger.tallies):
            with pytest.raises(ConfigurationError, match="since is in seconds since the epoch"):
                read(since=wrong)
            with pytest.raises(ConfigurationError, match="until is in seconds since the epoch"):
                read(until=wrong)
