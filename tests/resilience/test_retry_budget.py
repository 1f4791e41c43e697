"""The budget of retries: a share of the calls, and a few besides."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from inferkit import ConfigurationError, RetryRules
from inferkit.resilience.retry_budget import RetryBudget


def test_a_few_retries_are_there_from_the_start_and_come_back_with_time():
    budget = RetryBudget(RetryRules(ratio=0.0, floor=6, seconds=60.0), 0.0)
    assert [budget.take(0.0) for _ in range(7)] == [True] * 6 + [False]
    assert not budget.take(9.9)
    assert budget.take(10.0)
    assert not budget.take(10.0)
    assert [budget.take(1000.0) for _ in range(7)] == [True] * 6 + [False]


@given(
    st.lists(st.sampled_from(["call", "retry"]), max_size=400),
    st.floats(0, 1),
    st.integers(0, 20),
)
def test_retries_at_one_instant_never_exceed_their_share_and_the_floor(steps, ratio, floor):
    budget = RetryBudget(RetryRules(ratio=ratio, floor=floor), 5.0)
    calls = retries = 0
    for step in steps:
        if step == "call":
            calls += 1
            budget.pay_in()
        else:
            retries += budget.take(5.0)
        assert retries <= ratio * calls + floor + 1e-6


@given(st.lists(st.tuples(st.floats(0, 20), st.sampled_from(["call", "retry"])), max_size=200))
def test_over_time_the_floor_is_not_exceeded_either(steps):
    rules = RetryRules(ratio=0.2, floor=10, seconds=60.0)
    budget, now, calls, retries = RetryBudget(rules, 0.0), 0.0, 0, 0
    for seconds, step in steps:
        now += seconds
        if step == "call":
            calls += 1
            budget.pay_in()
        else:
            retries += budget.take(now)
        assert retries <= 0.2 * calls + 10 + now * 10 / 60 + 1e-6
        assert 0 <= budget.left <= rules.most


def test_it_is_forgotten_only_when_it_is_full():
    budget = RetryBudget(RetryRules(floor=6, seconds=60.0), 0.0)
    assert budget.is_full(0.0)
    budget.take(0.0)
    assert not budget.is_full(9.0)
    assert budget.is_full(10.0)


@pytest.mark.parametrize("wrong", [{"ratio": -1}, {"ratio": 11}, {"floor": -1}, {"seconds": 0}])
def test_rules_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ConfigurationError, match="a retry budget"):
        RetryRules(**wrong)
