"""What local calls cost: computed time at the price of energy and hardware, in whole nano-dollars."""

from __future__ import annotations

import copy
import pickle
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, strategies as st

from inferkit.core.errors import ConfigurationError
from inferkit.core.usage import Usage, UsageDetails
from inferkit.pricing.local_cost import LocalCost
from inferkit.pricing.price_book import PriceBook
from inferkit.pricing.terms import Terms

HOUR = 3_600 * 10**9
TOKENS = st.integers(0, 10**6)
TIMES = st.integers(1, 100 * HOUR)
DOLLARS = st.decimals(0, 1000, places=9, allow_nan=False)
WATTS = st.integers(0, 1_000_000) | st.decimals(0, 5000, places=3, allow_nan=False)


@st.composite
def costs(draw):
    watts, energy, hardware = draw(WATTS), draw(DOLLARS), draw(DOLLARS)
    if not watts * energy and not hardware:
        hardware = Decimal("0.000000001")
    return LocalCost(watts=watts, price_per_kwh=energy, hardware_per_hour=hardware)


@st.composite
def measured(draw):
    """A price that has learned from some calls."""
    cost = draw(costs())
    for _ in range(draw(st.integers(0, 3))):
        cost.learn(took(draw(st.integers(1, 10**9)), draw(st.integers(1, 10**9)), draw(TOKENS), draw(TOKENS)))
    return cost


def took(prompt_ns, reply_ns, tokens=0, output=0, cached=0):
    details = UsageDetails(prompt_nanoseconds=prompt_ns, reply_nanoseconds=reply_ns)
    return Usage(tokens, output, cache_read_tokens=cached, details=details)


def test_an_hour_costs_its_energy_and_its_hardware():
    cost = LocalCost(watts=45, price_per_kwh="0.30", hardware_per_hour="0.05")
    assert cost.cost(took(HOUR // 2, HOUR // 2)) == 13_500_000 + 50_000_000
    assert cost.cost(took(10**9, 0)) == -(-63_500_000 // 3_600)
    assert LocalCost(watts=0.5, price_per_kwh="1").cost(took(HOUR, 0)) == 500_000


@given(costs(), TIMES, TIMES)
def test_what_was_computed_is_charged_exactly_and_rounded_up_once(cost, prompt, reply):
    watts, energy, hardware = cost.__reduce__()[1]
    exact = Fraction(prompt + reply, HOUR) * (Fraction(watts) / 1000 * Fraction(energy) + Fraction(hardware)) * 10**9
    charged = cost.cost(took(prompt, reply, 5, 7))
    assert type(charged) is int
    assert 0 <= charged - exact < 1


@given(measured(), TOKENS, st.integers(0, 10**15))
def test_the_output_that_an_amount_buys_is_the_most_whose_bound_it_covers(cost, tokens, nanos):
    output = cost.affordable_output(tokens, nanos)
    if output < 0:
        assert cost.upper_bound(tokens, 0) > nanos
    else:
        assert cost.upper_bound(tokens, output) <= nanos < cost.upper_bound(tokens, output + 1)


@given(measured(), st.integers(16, 10**6), st.integers(8, 10**6), st.integers(1, 10**12), st.integers(1, 10**12))
def test_a_call_as_slow_as_one_before_is_covered_by_the_bound(cost, tokens, output, prompt, reply):
    usage = took(prompt, reply, tokens, output)
    cost.learn(usage)
    assert cost.cost(usage) <= cost.upper_bound(tokens, output)
    slow = took(2 * prompt, 2 * reply, tokens, output)
    assert cost.cost(slow) <= cost.upper_bound(tokens, output)


def test_tokens_without_a_time_are_booked_at_the_pace_that_was_measured():
    cost = LocalCost(hardware_per_hour="3.60")
    cost.learn(took(2_000_000_000, 5_000_000_000, tokens=1000, output=100))
    assert cost.cost(Usage(10, 4)) == (10 * 2_000_000 + 4 * 50_000_000) // 1000
    assert cost.cost(Usage(10, 4, cache_read_tokens=10)) == 4 * 50_000
    assert cost.cache_saved(Usage(10, 4, cache_read_tokens=10)) == 10 * 2_000


def test_few_tokens_say_nothing_of_the_pace_and_slow_calls_more_than_fast_ones():
    cost = LocalCost(hardware_per_hour=1)
    before = cost.pace.prompt, cost.pace.reply
    cost.learn(took(10**9, 10**9, tokens=3, output=2))
    assert (cost.pace.prompt, cost.pace.reply) == before
    for each in (10, 30, 10):
        cost.learn(took(100 * each, 100 * each, tokens=100, output=100))
    assert cost.pace.reply == 28
    cost.learn(took(50, 800, tokens=100, output=100, cached=50))
    assert cost.pace.prompt == (1 + 9 * 28) // 10


def test_nothing_was_saved_by_warm_prompts_as_long_as_it_is_not_known_how_long_a_cold_one_takes():
    cost = LocalCost(hardware_per_hour=1)
    warm = Usage(400, 4, cache_read_tokens=398)
    assert cost.cache_saved(warm) == 0
    cost.learn(took(10**9, 10**9, tokens=1000, output=20))
    assert cost.cache_saved(warm) == cost.time(398 * 10**6) > 0


def test_each_model_has_a_pace_of_its_own():
    book = PriceBook({"local:*": LocalCost(hardware_per_hour=1)})
    slow, fast = book.price("local", "slow"), book.price("local", "fast")
    slow.learn(took(10**12, 10**12, tokens=100, output=100))
    fast.learn(took(10**6, 10**6, tokens=100, output=100))
    assert slow.upper_bound(100, 100) > 1000 * fast.upper_bound(100, 100) > 0
    assert book.price("local", "slow") is slow


def test_a_local_model_is_free_where_nobody_says_otherwise():
    price = PriceBook().price("local", "any")
    assert (price.cost(took(HOUR, HOUR, 100, 100)), price.source) == (0, "local")


def test_nothing_is_free_by_a_way_round():
    cost = LocalCost(hardware_per_hour=1)
    assert cost.on(Terms(service_tier="priority")) is cost
    assert cost.schedule.flat is None  # whoever prices many calls at once asks for each of them
    assert cost.source == "compute time"


def test_a_copy_costs_the_same_and_another_price_does_not():
    cost = LocalCost(watts=45, price_per_kwh="0.30")
    assert copy.deepcopy(cost) == pickle.loads(pickle.dumps(cost)) == cost
    assert cost != LocalCost(watts=46, price_per_kwh="0.30")
    assert hash(cost) == hash(LocalCost(watts=90, price_per_kwh="0.15"))
    assert repr(cost) == "LocalCost(watts=45, price_per_kwh='0.30', hardware_per_hour=0)"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "a LocalCost of nothing says nothing"),
        ({"watts": 45}, "state watts= and price_per_kwh="),
        ({"watts": -1, "price_per_kwh": 1}, "watts is what the machine draws"),
        ({"watts": float("nan"), "price_per_kwh": 1}, "watts is what the machine draws"),
        ({"watts": 45, "price_per_kwh": 0.3}, "price_per_kwh is given as a string"),
        ({"hardware_per_hour": "-1"}, "hardware_per_hour is zero dollars or more"),
    ],
)
def test_what_is_no_price_is_refused(given, reason):
    with pytest.raises(ConfigurationError, match=reason):
        LocalCost(**given)
