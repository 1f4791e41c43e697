"""What is unused goes into the next period once, and what was topped up stays until it is used."""

from __future__ import annotations

import threading
from datetime import timedelta
from decimal import Decimal

import pytest

from budgets.spending import instant, most, reserve, spend
from inferkit.budgets.budget import Budget
from inferkit.budgets.scope import Scope
from inferkit.core.errors import ConfigurationError
from inferkit.ledger.amounts import Amounts, Grant, Refusal
from inferkit.ledger.journal import Charge
from inferkit.ledger.sqlite.ledger import SqliteLedger
from worlds import in_threads

OCTOBER, NOVEMBER = instant("2026-10-15 12:00"), instant("2026-11-15 12:00")
DECEMBER, MARCH = instant("2026-12-15 12:00"), instant("2027-03-15 12:00")


@pytest.fixture
def ledger(tmp_path):
    ledger = SqliteLedger(tmp_path / "ledger.db")
    yield ledger
    ledger.close()


def monthly(**options):
    return Budget(calls=100, name="seat", **options)


def credits_of(ledger):
    return [(credit.kind, credit.window, credit.amounts.calls) for credit in ledger.credits("seat")]


def test_without_rollover_a_period_begins_with_its_limit(ledger):
    assert spend(ledger, monthly(), 30, at=OCTOBER)
    assert most(ledger, monthly(), at=NOVEMBER) == 100


@pytest.mark.parametrize(("share", "carried"), [("1", 70), ("0.5", 50), ("0.25", 25), ("0.001", 0)])
def test_what_is_unused_is_carried_up_to_the_share(ledger, share, carried):
    budget = monthly(rollover=share)
    assert spend(ledger, budget, 30, at=OCTOBER)
    assert most(ledger, budget, at=NOVEMBER) == 100 + carried
    assert most(ledger, budget, at=NOVEMBER + 86_400) == 100 + carried, "it is carried once"


def test_what_is_carried_does_not_add_up_over_the_years(ledger):
    budget = monthly(rollover="0.5")
    for year in range(2027, 2031):
        for month in range(1, 13):
            assert most(ledger, budget, at=instant(f"{year}-{month:02}-15")) in {100, 150}
    assert most(ledger, budget, at=instant("2031-01-01")) == 150


def test_a_period_in_which_nothing_happened_leaves_its_share(ledger):
    budget = monthly(rollover="1")
    assert spend(ledger, budget, 100, at=OCTOBER)
    assert most(ledger, budget, at=DECEMBER) == 200


def test_after_many_periods_in_which_nothing_happened_one_share_is_left(ledger):
    budget = monthly(rollover="0.5")
    assert spend(ledger, budget, 100, at=OCTOBER)
    assert most(ledger, budget, at=MARCH) == 150


def test_an_account_that_is_new_has_nothing_to_carry(ledger):
    assert most(ledger, monthly(rollover="1"), at=NOVEMBER) == 100


def test_a_clock_set_back_finds_nothing_twice(ledger):
    budget = monthly(rollover="1")
    assert spend(ledger, budget, 30, at=OCTOBER)
    assert spend(ledger, budget, 10, at=NOVEMBER)
    assert not spend(ledger, budget, 1, at=OCTOBER), "what was left of October is November's"
    assert most(ledger, budget, at=NOVEMBER) == 160
    both = [ledger.balance("seat", f"month:2026-{month}-01") for month in (10, 11)]
    assert sum(balance.extra.calls for balance in both) == 0, "what one got the other lost"


def test_a_clock_that_was_ahead_leaves_the_real_month_its_limit(ledger):
    budget = monthly(rollover="1")
    assert spend(ledger, budget, 10, at=DECEMBER)
    assert spend(ledger, budget, 100, at=NOVEMBER)
    assert not spend(ledger, budget, 1, at=NOVEMBER)
    assert most(ledger, budget, at=DECEMBER) == 90


def test_two_limits_are_carried_each_for_itself(ledger):
    budget = Budget(usd="0.000001", calls=10, name="seat", rollover="0.5")
    line = Scope(budget).line(OCTOBER)
    ledger.reserve("1", [line], Amounts(200, 0, 9), Amounts(200, 0, 9), at=OCTOBER, lease_seconds=60)
    ledger.settle("1", Charge(200), at=OCTOBER, calls=9)
    left = budget.remaining(ledger=ledger, at=NOVEMBER)
    assert (left.usd, left.calls) == (Decimal("0.000001"), 10), "the period has not begun"
    spend(ledger, budget, 1, at=NOVEMBER)
    left = budget.remaining(ledger=ledger, at=NOVEMBER)
    assert (left.usd, left.tokens, left.calls) == (Decimal("0.0000015"), None, 10)


def test_what_a_running_call_holds_stays_with_it_in_its_own_period(ledger):
    budget = monthly(rollover="1")
    call, _ = reserve(ledger, budget, 40, at=OCTOBER)
    assert most(ledger, budget, at=NOVEMBER) == 160
    assert ledger.settle(call, Charge(0), at=NOVEMBER, calls=25)
    october = ledger.balance("seat", "month:2026-10-01")
    assert (october.posted.calls, october.pending.calls, october.extra.calls) == (25, 0, -60)
    assert most(ledger, budget, at=NOVEMBER) == 160


def test_a_refused_call_opens_the_period_too(ledger):
    budget = monthly(rollover="1")
    assert spend(ledger, budget, 30, at=OCTOBER)
    assert isinstance(reserve(ledger, budget, 171, at=NOVEMBER)[1], Refusal)
    assert spend(ledger, budget, 170, at=NOVEMBER)


def test_whoever_comes_first_opens_the_period_for_all(tmp_path, ledger):
    budget = monthly(rollover="1")
    assert spend(ledger, budget, 30, at=OCTOBER)
    ledgers = [SqliteLedger(tmp_path / "ledger.db") for _ in range(4)]
    together = threading.Barrier(16)

    def work(number):
        together.wait(20)
        spend(ledgers[number % 4], budget, 1, at=NOVEMBER)

    in_threads(work, range(16))
    assert credits_of(ledger) == [("carried out", "month:2026-10-01", -70), ("carried in", "month:2026-11-01", 70)]
    assert most(ledger, budget, at=NOVEMBER) == 170 - 16
    for each in ledgers:
        each.close()


def test_a_top_up_is_used_last_and_stays_until_it_is_used(ledger):
    budget = monthly()
    budget.top_up(ledger=ledger, calls=50, at=OCTOBER)
    assert spend(ledger, budget, 100, at=OCTOBER)
    assert most(ledger, budget, at=OCTOBER) == 50
    assert spend(ledger, budget, 20, at=NOVEMBER), "October's limit was used first, so that all 50 are left"
    assert most(ledger, budget, at=NOVEMBER) == 130
    assert spend(ledger, budget, 110, at=NOVEMBER)
    assert most(ledger, budget, at=DECEMBER) == 120, "30 were used in November"
    assert most(ledger, budget, at=MARCH) == 120, "and it stays over months without a call"
    assert spend(ledger, budget, 120, at=MARCH)
    assert most(ledger, budget, at=MARCH + 31 * 86_400) == 100


def test_what_was_topped_up_does_not_count_against_the_share_that_may_be_carried(ledger):
    budget = monthly(rollover="0.5")
    budget.top_up(ledger=ledger, calls=30, at=OCTOBER)
    assert spend(ledger, budget, 20, at=OCTOBER)
    assert most(ledger, budget, at=NOVEMBER) == 100 + 30 + 50
    assert most(ledger, budget, at=DECEMBER) == 100 + 30 + 50


def test_a_top_up_before_the_first_call_of_a_period_leaves_what_was_carried(ledger):
    budget = monthly(rollover="1")
    assert spend(ledger, budget, 30, at=OCTOBER)
    budget.top_up(ledger=ledger, calls=5, at=NOVEMBER)
    assert most(ledger, budget, at=NOVEMBER) == 175


def test_a_top_up_by_a_clock_that_is_behind_reaches_the_running_period(ledger):
    budget = monthly()
    assert spend(ledger, budget, 100, at=NOVEMBER)
    budget.top_up(ledger=ledger, calls=5, at=OCTOBER)
    assert most(ledger, budget, at=NOVEMBER) == 5


def test_a_top_up_reaches_the_share_it_is_for(ledger):
    budget = monthly(each="user")
    budget.top_up("ana", ledger=ledger, calls=5, at=OCTOBER)
    assert most(ledger, budget, at=OCTOBER, key="ana") == 105
    assert most(ledger, budget, at=OCTOBER, key="ben") == 100


def test_a_budget_in_total_can_be_topped_up(ledger):
    budget = Budget(usd="1", name="project", per="total")
    budget.top_up(ledger=ledger, usd="0.5", at=OCTOBER)
    budget.top_up(ledger=ledger, usd=2, at=MARCH)
    assert budget.remaining(ledger=ledger).usd == Decimal("3.5")
    (first, second) = ledger.credits("project")
    assert (first.kind, first.at, first.amounts.usd) == ("topped up", OCTOBER, 500_000_000)
    assert second.amounts.usd == 2_000_000_000


def test_every_movement_is_in_the_book_of_credits(ledger):
    budget = monthly(rollover="0.5")
    budget.top_up(ledger=ledger, calls=10, at=OCTOBER)
    spend(ledger, budget, 20, at=NOVEMBER)
    assert credits_of(ledger) == [
        ("topped up", "month:2026-10-01", 10),
        ("carried out", "month:2026-10-01", -60),
        ("carried in", "month:2026-11-01", 60),
    ]


@pytest.mark.parametrize(
    ("amounts", "said"),
    [
        ({}, "adds dollars, tokens or calls"),
        ({"calls": 0}, "adds dollars"),
        ({"calls": -1}, "whole numbers above zero"),
        ({"calls": 1.5}, "whole numbers above zero"),
        ({"calls": True}, "whole numbers above zero"),
        ({"calls": 2**63}, "whole numbers above zero"),
        ({"usd": 0.5}, "as a string"),
        ({"usd": "1"}, "seat does not limit usd"),
        ({"tokens": 5, "calls": 5}, "seat does not limit tokens"),
    ],
)
def test_a_top_up_that_makes_no_sense_is_refused(ledger, amounts, said):
    with pytest.raises(ConfigurationError, match=said):
        monthly().top_up(ledger=ledger, **amounts)
    assert list(ledger.credits()) == []


@pytest.mark.parametrize("per", ["call", "total", timedelta(hours=1)])
def test_only_calendar_periods_roll_over(per):
    with pytest.raises(ConfigurationError, match="no next period"):
        Budget(calls=1, per=per, rollover="1")


def test_a_call_that_straddles_the_boundary_is_extended_within_what_it_left(ledger):
    budget = monthly(rollover="0.5")
    call, _ = reserve(ledger, budget, 10, at=OCTOBER)
    spend(ledger, budget, 1, at=NOVEMBER)
    lines = [Scope(budget).line(OCTOBER)]
    answer = ledger.extend(call, lines, Amounts(0, 0, 40), at=NOVEMBER, lease_seconds=60)
    assert isinstance(answer, Grant), "90 were left, of which 50 went on"
    assert isinstance(ledger.extend(call, lines, Amounts(0, 0, 1), at=NOVEMBER, lease_seconds=60), Refusal)
