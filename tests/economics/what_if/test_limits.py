"""What a limit does to a replayed call, and what it still leaves."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given, strategies as st

from economics.bookkeeping import charge
from inferkit import Budget
from inferkit.budgets.scope import Scope
from inferkit.economics.what_if.balances import Balances, Room
from inferkit.economics.what_if.limits import Limit, Note, judge
from inferkit.ledger.amounts import Amounts

FREE = Room(None, None, None)


def never(target, whole):
    raise AssertionError("nothing degrades")


def to_five(target, whole):
    return whole._replace(usd=5, model=target)


def test_a_call_that_fits_is_left_as_it_is():
    call = charge(10)
    assert judge(call, 1, [Limit("a", Room(10, 15, 1)), Limit("b", FREE)], never) == (call, ())


def test_several_limits_cut_one_after_the_other_and_each_saves_its_part():
    held, notes = judge(charge(10), 1, [Limit("a", Room(8, None, None)), Limit("b", Room(6, None, None))], never)
    assert (held.usd, held.finish_reason) == (6, "budget")
    assert notes == (Note("a", "cut", 2), Note("b", "cut", 2))


def test_the_limit_that_refuses_saves_all_of_it():
    limits = [Limit("a", Room(8, None, None)), Limit("b", Room(0, None, None))]
    assert judge(charge(10), 1, limits, never) == (None, (Note("b", "refused", 10),))


def test_a_call_is_degraded_once_and_held_to_the_money_alone():
    limits = [Limit("few", Room(7, None, 0), "small"), Limit("all", Room(100, 15, 1))]
    held, notes = judge(charge(10), 1, limits, to_five)
    assert (held.usd, held.model) == (5, "small")
    assert notes == (Note("few", "degraded", 5),)
    poor = [Limit("few", Room(0, None, 0), "small")]
    assert judge(charge(10), 1, poor, to_five) == (None, (Note("few", "refused", 10),))


def test_a_call_that_another_limit_refuses_all_the_same_is_refused_not_degraded():
    limits = [Limit("few", Room(None, None, 0), "small"), Limit("all", Room(0, None, None))]
    assert judge(charge(10), 1, limits, to_five) == (None, (Note("all", "refused", 10),))


def test_what_was_given_back_fits_anywhere():
    back = charge(-10, output_tokens=-20, input_tokens=0)
    assert judge(back, -1, [Limit("a", Room(0, 0, 0))], never) == (back, ())


def test_one_account_is_charged_once_however_many_limits_are_on_it():
    accounts, line = Balances(), Scope(Budget(usd=5, name="a")).line(0.0)
    accounts.charge([line, line], Amounts(1, 2, 3))
    assert accounts.room(line) == (5 * 10**9 - 1, None, None)


@given(st.lists(st.tuples(st.integers(0, 7200), st.integers(1, 9)), max_size=30))
def test_a_rolling_account_holds_what_is_younger_than_it_and_forgets_the_rest(uses):
    accounts, budget = Balances(), Scope(Budget(tokens=10**6, per=timedelta(hours=1), name="a"))
    seen = []
    for at, tokens in sorted(uses):
        line = budget.line(float(at))
        used = 10**6 - accounts.room(line).tokens
        assert used >= sum(amount for when, amount in seen if when > at - 3600)
        assert used <= sum(amount for when, amount in seen if when > at - 3600 - 61)
        accounts.charge([line], Amounts(0, tokens, 0))
        seen.append((at, tokens))
