"""No stretch of time as long as a rolling window ever sees more than its limit."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from hypothesis import given, settings, strategies as st

from budgets.spending import instant, reserve, spend
from inferkit.budgets.budget import Budget
from inferkit.budgets.windows import rolling_end, rolling_window
from inferkit.core.errors import ConfigurationError
from inferkit.ledger.amounts import Amounts, Refusal
from inferkit.ledger.journal import Charge
from inferkit.ledger.sqlite.ledger import SqliteLedger

NOON = instant("2026-11-18 12:00")
HOUR = timedelta(hours=1)
LENGTHS = [timedelta(minutes=1), timedelta(seconds=100), timedelta(seconds=3607), timedelta(days=30)]
names = itertools.count()


def hourly(**options):
    options.setdefault("calls", 10)
    return Budget(per=HOUR, name=f"rolling-{next(names)}", **options)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    ledger = SqliteLedger(tmp_path_factory.mktemp("rolling") / "ledger.db")
    yield ledger
    ledger.close()


@pytest.mark.parametrize("clock_steps_back", [False, True])
def test_no_stretch_of_that_length_sees_more_than_the_limit(ledger, clock_steps_back):
    @settings(max_examples=120, deadline=None)
    @given(
        length=st.sampled_from(LENGTHS),
        moments=st.lists(st.tuples(st.integers(0, 4000), st.integers(1, 10)), min_size=1, max_size=25),
        start=st.integers(1_700_000_000, 1_800_000_000),
    )
    def check(length, moments, start):
        """Instants are thousandths of the window, for four windows."""
        seconds = length.total_seconds()
        budget = Budget(calls=10, per=length, name=f"rolling-{next(names)}")
        granted = []
        for thousandths, calls in moments if clock_steps_back else sorted(moments):
            at = start + thousandths * seconds / 1000
            if spend(ledger, budget, calls, at=at):
                granted.append((at, calls))
                continue
            late = seconds * 61 / 60 + 1e-4
            recent = sum(amount for when, amount in granted if when >= at - late)
            assert recent + calls > 10, "what is this old should be free again"
        for begin, _ in granted:
            assert sum(amount for when, amount in granted if begin <= when <= begin + seconds) <= 10

    check()


@pytest.mark.parametrize("length", LENGTHS, ids=str)
@pytest.mark.parametrize("offset", [0, 0.4, 59.999, 61.7])
def test_it_says_when_some_of_it_comes_free_and_keeps_its_word(ledger, length, offset):
    budget = Budget(calls=10, per=length, name=f"rolling-{next(names)}")
    at, seconds = NOON + offset, length.total_seconds()
    assert spend(ledger, budget, 10, at=at)
    refusal = reserve(ledger, budget, at=at + seconds)[1]
    assert isinstance(refusal, Refusal)
    free = rolling_end(length, refusal.oldest).timestamp()
    assert at + seconds < free <= at + seconds * 61 / 60 + 1
    assert isinstance(reserve(ledger, budget, at=free - 1 - seconds / 60)[1], Refusal)
    assert spend(ledger, budget, 10, at=free)


def test_it_comes_free_bit_by_bit_as_it_was_spent(ledger):
    budget = hourly()
    assert spend(ledger, budget, 6, at=NOON)
    assert spend(ledger, budget, 4, at=NOON + 1800)
    assert not spend(ledger, budget, 1, at=NOON + 3600)
    assert spend(ledger, budget, 6, at=NOON + 3661)
    assert not spend(ledger, budget, 1, at=NOON + 3661)
    assert spend(ledger, budget, 4, at=NOON + 5461)


def test_a_clock_set_back_does_not_make_anything_free(ledger):
    budget = hourly()
    assert spend(ledger, budget, 10, at=NOON)
    assert not spend(ledger, budget, 1, at=NOON - 300)
    assert not spend(ledger, budget, 1, at=NOON - 10_000)


def test_running_calls_count_in_a_rolling_window(ledger):
    budget = hourly()
    call, _ = reserve(ledger, budget, 8, at=NOON)
    assert not spend(ledger, budget, 3, at=NOON + 120)
    ledger.settle(call, Charge(0), at=NOON + 180, calls=5)
    assert spend(ledger, budget, 5, at=NOON + 240)
    assert not spend(ledger, budget, 1, at=NOON + 240)


def test_whoever_is_refused_by_running_calls_alone_is_not_told_when(ledger):
    budget = hourly()
    reserve(ledger, budget, 10, at=NOON)
    assert reserve(ledger, budget, at=NOON)[1].oldest is None


def test_windows_of_other_lengths_count_alone(ledger):
    short, long = hourly(), None
    long = Budget(calls=10, per=timedelta(hours=2), name=short.name)
    assert spend(ledger, short, 10, at=NOON)
    assert spend(ledger, long, 10, at=NOON)


def test_usage_and_remaining_are_of_the_whole_window_and_promise_no_reset(ledger):
    budget = hourly(grace="0.5")
    spend(ledger, budget, 3, at=NOON)
    spend(ledger, budget, 2, at=NOON + 600)
    reserve(ledger, budget, 1, at=NOON + 700)
    spent = budget.usage(ledger=ledger, at=NOON + 1200)
    assert (spent.calls, spent.held_calls) == (5, 1)
    assert budget.remaining(ledger=ledger, at=NOON + 1200)[2:] == (4, None)
    assert budget.usage(ledger=ledger, at=NOON + 3700).calls == 2


def test_a_top_up_lasts_as_long_as_the_window(ledger):
    budget = hourly()
    budget.top_up(ledger=ledger, calls=5, at=NOON)
    assert spend(ledger, budget, 15, at=NOON + 60)
    assert not spend(ledger, budget, 1, at=NOON + 60)
    assert not spend(ledger, budget, 11, at=NOON + 3721)
    assert spend(ledger, budget, 10, at=NOON + 3721)


def test_what_is_held_longer_than_the_window_is_settled_where_it_was_reserved(ledger):
    budget = hourly()
    call, _ = reserve(ledger, budget, 4, at=NOON)
    assert spend(ledger, budget, 10, at=NOON + 7200)
    assert ledger.settle(call, Charge(0), at=NOON + 7200, calls=3)
    line = budget.line(budget.name, NOON)
    assert ledger.balance(line.account, line.window).posted == Amounts(0, 0, 3)
    assert not any(balance.pending.calls for _, _, balance in ledger.balances(budget.name))


@pytest.mark.parametrize(
    "length", [timedelta(seconds=59), timedelta(seconds=90.5), timedelta(days=4000), timedelta.max, -HOUR]
)
def test_a_window_of_a_length_that_cannot_be_counted_is_refused(length):
    with pytest.raises(ConfigurationError, match="whole number of seconds, from a minute to ten years"):
        Budget(calls=1, per=length)


@pytest.mark.parametrize("length", LENGTHS, ids=str)
def test_short_windows_tile_time_and_their_labels_sort_by_it(length):
    width = length.total_seconds() / 60
    labels = []
    for number in range(200):
        found, since = rolling_window(length, NOON + number * width / 3)
        assert found.start.timestamp() - 1e-5 <= NOON + number * width / 3 < found.end.timestamp() + 1e-5
        assert since < found.label
        labels.append(found.label)
    assert labels == sorted(labels)
    assert 66 <= len(set(labels)) <= 68


def test_what_no_longer_counts_is_forgotten_so_that_the_ledger_does_not_grow_with_every_second(ledger):
    budget = Budget(calls=10**6, per=timedelta(minutes=1), name="every-second")
    for second in range(1000):
        assert spend(ledger, budget, 1, at=NOON + second)
    rows = list(ledger.balances("every-second"))
    assert 60 < len(rows) < 600
    assert budget.usage(ledger=ledger, at=NOON + 999).calls == 61  # sixty seconds and the running one
