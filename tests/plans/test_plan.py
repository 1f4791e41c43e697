"""A plan: what it is worth, what it allows, and what is refused when it is written down."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from inferkit import Budget, ConfigurationError
from inferkit.ledger.amounts import Amounts
from inferkit.plans.models import plan_from
from inferkit.plans.plan import Plan

AT = 1_795_000_000.0  # 2026-11-18
TEN = Budget(usd="10")


def limit(plan, seats=1, user="ana", tenant=None):
    """The account that pays, and its limit in dollars."""
    scope = plan.scope(seats, user=user, tenant=tenant)
    return scope.account, scope.budget.nanos / 10**9


def test_each_user_of_a_plan_has_the_allowance():
    plan = Plan("pro", price="99", allowance=TEN)
    assert limit(plan) == ("allowance:ana", 10)
    assert limit(plan, user="ben", tenant="acme", seats=5) == ("allowance:ben", 10)


def test_a_pooled_allowance_is_one_of_seats_times_the_size():
    allowance = Budget(usd="10", tokens=100, calls=3, grace="0.1", rollover="0.5", warn_at="0.8")
    plan = Plan("team", price="25", per_seat=True, pooled=True, allowance=allowance)
    scope = plan.scope(4, user="ana", tenant="acme")
    line = scope.line(AT)
    assert (line.account, line.usd, line.tokens, line.calls) == ("pooled-allowance:acme", 40 * 10**9, 400, 12)
    assert line.grace == Amounts(4 * 10**9, 40, 1)
    assert line.carry == Amounts(20 * 10**9, 200, 6)
    assert plan.scope(4, user=None, tenant="acme") == scope, "whoever of them calls"


def test_a_user_whose_own_plan_is_pooled_has_all_seats_under_the_users_own_account():
    plan = Plan("team", pooled=True, allowance=TEN)
    assert limit(plan, seats=3) == ("allowance:ana", 30)


def test_a_user_and_a_tenant_with_the_same_id_never_share():
    pooled, single = Plan("team", pooled=True, allowance=TEN), Plan("pro", allowance=TEN)
    accounts = {limit(pooled, user=None, tenant="17")[0], limit(pooled, user="17")[0], limit(single, user="17")[0]}
    assert accounts == {"pooled-allowance:17", "allowance:17"}


def test_a_call_that_does_not_say_whose_allowance_it_uses_is_told_what_to_pass():
    with pytest.raises(ConfigurationError, match="allowance for each user, and the call names none; pass user="):
        Plan("pro", allowance=TEN).scope(1, user=None, tenant="acme")
    with pytest.raises(ConfigurationError, match="pass user=... with the call or tenant="):
        Plan("pro", allowance=TEN, pooled=True).scope(1, user=None, tenant=None)


def test_an_unlimited_plan_limits_nothing():
    plan = Plan("internal", allowance="unlimited")
    assert plan.scope(1, user=None, tenant=None) is None
    assert plan.budget is None


@pytest.mark.parametrize(
    ("fields", "seats", "expected"),
    [
        ({}, 1, "29.7"),  # 99 times 0.3
        ({"per_seat": True}, 5, "29.7"),  # each seat is paid for
        ({"per_seat": True, "pooled": True}, 5, "148.5"),
        ({}, 5, "5.94"),  # one price, in five parts
        ({"pooled": True}, 5, "29.7"),  # one price, however many share it
    ],
)
def test_with_a_target_margin_the_allowance_is_what_the_rest_of_the_price_buys(fields, seats, expected):
    plan = Plan("pro", price="99", target_margin="0.7", **fields)
    scope = plan.scope(seats, user="ana", tenant="acme")
    assert Decimal(scope.budget.nanos).scaleb(-9) == Decimal(expected)
    users = 1 if plan.pooled else seats
    assert scope.budget.nanos * users <= plan.revenue(seats) * 3 // 10


def test_the_allowance_that_a_margin_buys_is_for_the_billing_period_in_its_zone():
    budget = Plan("pro", price="520", per="year", zone="Europe/Zurich", target_margin=0).budget
    assert (budget.per, budget.zone, budget.nanos) == ("year", "Europe/Zurich", 520 * 10**9)


def test_the_price_is_for_all_seats_or_for_each():
    assert Plan("pro", price="99", allowance=TEN).revenue(5) == 99 * 10**9
    assert Plan("team", price="25", per_seat=True, allowance=TEN).revenue(5) == 125 * 10**9
    assert Plan("pro", price="99", allowance=TEN, target_margin="0.7").margin == Decimal("0.7")
    assert Plan("pro", allowance=TEN).margin is None


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": ""}, 'a plan has a name, for example "pro"'),
        ({"name": "a\nb"}, "a plan has a name"),
        ({"price": 99.9}, 'the price of plan "pro" is given as a string'),
        ({"price": "-1"}, 'the price of plan "pro" is zero dollars or more'),
        ({"price": "a lot"}, "plain number of dollars"),
        ({"per": "hour"}, 'plan "pro" is paid for each day, week, month, year'),
        ({"per_seat": "no"}, 'per_seat of plan "pro" is true or false, without quotes'),
        ({"pooled": 1}, 'pooled of plan "pro" is true or false, without quotes'),
        ({"seats": 0}, "a whole number of seats from 1; got 0"),
        ({"seats": True}, "a whole number of seats from 1"),
        ({"seats": 10**7}, "a whole number of seats"),
        ({"zone": "Mars/Base"}, "no time zone 'Mars/Base'"),
        ({"target_margin": "1"}, "the share of the price that is to remain"),
        ({"target_margin": "70"}, "the share of the price that is to remain"),
        ({"target_margin": 0.7}, 'target_margin of plan "pro" is given as a string'),
        ({"allowance": None}, 'plan "pro" limits nothing; give it an allowance='),
        ({"allowance": None, "target_margin": "0.7"}, 'plan "pro" limits nothing'),
        ({"allowance": None, "price": "0.00000001", "target_margin": "0.99"}, "leaves nothing for 1 seats; raise its"),
        ({"allowance": "5"}, 'the allowance of plan "pro" is a Budget or "unlimited"; got str'),
        ({"allowance": Budget(usd="5", each="user")}, "leave each= out of it"),
        ({"allowance": Budget(usd="5", name="free")}, "leave name= out of it"),
        ({"allowance": Budget(tokens=2**52), "seats": 3, "pooled": True}, "tokens is a whole number"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused_when_it_is_written_down(fields, said):
    with pytest.raises(ConfigurationError) as caught:
        Plan(**{"name": "pro", "allowance": TEN, **fields})
    assert said in str(caught.value)


SHARES = st.integers(1, 999).map(lambda thousandths: str(Decimal(thousandths).scaleb(-3)))
MONEY = st.one_of(
    st.integers(1, 10**6), st.integers(1, 10**9).map(lambda n: Decimal(n).scaleb(-3)), st.sampled_from(["0.50", "1E+3"])
)
ALLOWANCES = st.builds(
    lambda limits, period, degrade, **options: Budget(**limits, **period, **degrade, **options),
    limits=st.fixed_dictionaries(
        {"calls": st.integers(1, 10**6)}, optional={"usd": MONEY, "tokens": st.integers(1, 10**9)}
    ),
    period=st.one_of(
        st.fixed_dictionaries(
            {"per": st.sampled_from(["hour", "day", "week", "year"]), "rollover": SHARES, "grace": SHARES}
        ),
        st.fixed_dictionaries({"per": st.just("month"), "anchor_day": st.integers(1, 31)}),
        st.fixed_dictionaries({"per": st.integers(60, 10**7).map(lambda n: timedelta(seconds=n))}),
        st.fixed_dictionaries({"per": st.just("total")}),
    ),
    degrade=st.sampled_from(
        [{}, {"on_exceed": "truncate"}, {"on_exceed": "degrade", "degrade_to": "local"}, {"on_exceed": "raise"}]
    ),
    zone=st.sampled_from(["UTC", "Europe/Zurich"]),
    warn_at=st.one_of(st.just(()), SHARES, st.lists(SHARES, max_size=3).map(tuple)),
)
PLANS = st.builds(
    Plan,
    name=st.sampled_from(["free", 'Größe "L"']),
    price=MONEY,
    per=st.sampled_from(["day", "week", "month", "year"]),
    per_seat=st.booleans(),
    seats=st.integers(1, 50),
    allowance=st.one_of(ALLOWANCES, st.just("unlimited"), st.none()),
    pooled=st.booleans(),
    target_margin=SHARES,
    zone=st.sampled_from(["UTC", "America/New_York"]),
)


@given(PLANS)
def test_a_plan_is_the_same_after_it_was_written_down_and_read_back(plan):
    read = plan_from(plan.name, json.loads(plan.definition()))
    assert read.definition() == plan.definition()
    assert (read.price_nanos, read.margin, read.revenue(7)) == (plan.price_nanos, plan.margin, plan.revenue(7))
    for field in ("per", "per_seat", "seats", "pooled", "zone"):
        assert getattr(read, field) == getattr(plan, field)
    for user, tenant in (("ana", None), ("ana", "acme")):
        one, other = (each.scope(7, user=user, tenant=tenant) for each in (plan, read))
        assert (one is None) == (other is None)
        if one is not None:
            assert one.line(AT) == other.line(AT)
            assert (one.budget.on_exceed, one.budget.degrade_to) == (other.budget.on_exceed, other.budget.degrade_to)


def test_a_definition_says_only_what_was_said():
    plan = Plan("free", allowance=Budget(calls=5, per=timedelta(hours=12)))
    assert json.loads(plan.definition()) == {"allowance": {"calls": 5, "per": {"seconds": 43200}}}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"prize": "99"}, 'plan "pro" has no prize; its fields are: allowance, per, per_seat, pooled, price, seats'),
        ({"name": "x"}, 'plan "pro" has no name'),
        ({"allowance": {"dollars": "5"}}, 'the allowance of plan "pro" has no dollars; its fields are: anchor_day'),
        ({"allowance": {"name": "free"}}, 'the allowance of plan "pro" has no name'),
        ({"allowance": {}}, 'the allowance of plan "pro": a budget needs a limit'),
        ({"allowance": {"usd": 5.5}}, 'or "5.50"; got 5.5 as a float, which is not exact'),
        ({"allowance": {"calls": 5, "per": {"fortnights": 1}}}, "or a table of days, hours, minutes and seconds"),
        ({"allowance": {"calls": 5, "per": {"days": 10**12}}}, "or a table of days, hours, minutes and seconds"),
        ({"allowance": {"calls": 5, "per": {"seconds": 5}}}, "from a minute to ten years"),
    ],
)
def test_fields_that_there_are_not_are_refused_with_those_that_there_are(fields, said):
    with pytest.raises(ConfigurationError) as caught:
        plan_from("pro", fields)
    assert said in str(caught.value)


def test_a_rolling_period_may_be_written_as_people_say_it():
    plan = plan_from("pro", {"allowance": {"calls": 5, "per": {"hours": Decimal("1.5")}}})
    assert plan.budget.per == timedelta(minutes=90)
