"""A price is right, or it is missing; it is never zero by accident."""

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage as ListUsage
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ConditionalPrice, ModelPrice, TieredPrices
from hypothesis import given, settings, strategies as st

from inferkit._errors import ConfigurationError, UnpricedModel
from inferkit._types import Usage
from inferkit.budgets.listed import listed_price
from inferkit.budgets.prices import Price, PriceBook

TOKENS = st.integers(0, 10**6)
DOLLARS = st.decimals(0, 1000, places=4, allow_nan=False)
PRICES = st.builds(Price, DOLLARS, DOLLARS, st.none() | DOLLARS, st.none() | DOLLARS)


@st.composite
def usages(draw):
    read, write, rest, reasoning, spoken = (draw(TOKENS) for _ in range(5))
    return Usage(read + write + rest, spoken + reasoning, read, write, reasoning)


def test_cached_tokens_cost_their_own_price():
    price = Price("3", "15", cache_read="0.30", cache_write="3.75")
    assert price.cost(Usage(1000, 100, cache_read_tokens=600, cache_write_tokens=300)) == (
        100 * 3_000 + 600 * 300 + 300 * 3_750 + 100 * 15_000
    )


def test_cached_tokens_without_a_price_cost_what_other_input_costs():
    assert Price("3", "15").cost(Usage(1000, 0, cache_read_tokens=1000)) == 3_000_000


def test_a_cost_below_a_nano_dollar_is_rounded_up():
    assert Price("0.0001", "0").cost(Usage(1, 0)) == 1
    assert Price("0", "0").cost(Usage(10, 10)) == 0


@given(PRICES, usages(), usages())
def test_costs_add_up_to_within_the_rounding(price, one, other):
    together = price.cost(one + other)
    assert together <= price.cost(one) + price.cost(other) <= together + 1


@given(PRICES, usages(), TOKENS, TOKENS)
def test_no_usage_within_the_bounds_costs_more_than_the_upper_bound(price, usage, more_input, more_output):
    bound = price.upper_bound(usage.input_tokens + more_input, usage.output_tokens + more_output)
    assert price.cost(usage) <= bound


@given(PRICES, TOKENS, st.integers(0, 10**12))
def test_the_affordable_output_is_the_most_that_the_money_covers(price, tokens, nanos):
    affordable = price.affordable_output(tokens, nanos)
    if affordable is None:
        assert price.upper_bound(tokens, 10**9) <= nanos
    elif affordable < 0:
        assert price.upper_bound(tokens, 0) > nanos
    else:
        assert price.upper_bound(tokens, affordable) <= nanos < price.upper_bound(tokens, affordable + 1)


def test_own_prices_come_first_from_the_most_particular():
    exact, model, provider = Price("1", "1"), Price("2", "2"), Price("3", "3")
    book = PriceBook({"openai:gpt-5-mini": exact, "gpt-5": model, "openai:*": provider})
    assert book.price("openai", "gpt-5-mini") is exact
    assert book.price("azure", "gpt-5") is model
    assert book.price("openai", "ft:gpt-4o:acme") is provider


def test_the_list_knows_the_models_that_nobody_stated():
    price = PriceBook().price("openai", "gpt-5-mini")
    assert (price.input, price.output, price.cache_read) == (Decimal("0.25"), Decimal(2), Decimal("0.025"))
    assert price.source == "genai-prices:openai/gpt-5-mini"
    assert PriceBook().price("openai", "gpt-5-mini").cost(Usage(1000, 100)) == 1000 * 250 + 100 * 2000


def test_an_unknown_model_is_an_error_that_says_what_to_do():
    with pytest.raises(UnpricedModel, match=r'prices=\{"openai:ft:mine": Price'):
        PriceBook().price("openai", "ft:mine")
    assert PriceBook().find("openai", "ft:mine") is None


def test_an_unknown_model_gets_the_stated_default():
    default = Price("5", "5")
    book = PriceBook(on_unpriced=default)
    assert book.price("nowhere", "nothing") is default
    assert book.price("openai", "gpt-5-mini") is not default


def test_a_local_model_costs_nothing_unless_its_user_says_so():
    assert PriceBook().price("local", "tiny").cost(Usage(10**6, 10**6)) == 0
    assert PriceBook().price("local", "tiny").source == "local"
    assert PriceBook({"local:*": Price("1", "1")}).price("local", "tiny").cost(Usage(10**6, 0)) == 10**9


def test_a_listed_model_without_a_price_a_token_is_unpriced():
    empty = [
        (provider.id, model.id)
        for provider in get_snapshot().providers
        for model in provider.models
        if isinstance(model.prices, ModelPrice) and not any(vars(model.prices).values()) and ":free" not in model.id
    ]
    assert empty, "the list has no such model any more: take another example"
    assert PriceBook().find(*empty[0]) is None


def test_a_model_that_is_free_by_name_costs_nothing():
    free = next(
        (provider.id, model.id)
        for provider in get_snapshot().providers
        for model in provider.models
        if model.id.endswith(":free")
    )
    assert PriceBook().price(*free).cost(Usage(1000, 1000)) == 0


def _is_tiered(prices):
    return any(isinstance(value, TieredPrices) for value in vars(prices).values())


SPECIAL = [
    (provider.id, model.id)
    for provider in get_snapshot().providers
    for model in provider.models
    if (isinstance(model.prices, list) or _is_tiered(model.prices)) and listed_price(provider.id, model.id)
]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SPECIAL), usages(), st.sampled_from([1, 100, 1000]))
def test_tiers_and_dates_come_out_as_in_the_list(name, usage, scale):
    usage = Usage(
        usage.input_tokens // scale + usage.cache_read_tokens // scale + usage.cache_write_tokens // scale,
        usage.output_tokens // scale,
        usage.cache_read_tokens // scale,
        usage.cache_write_tokens // scale,
    )
    price = listed_price(*name)
    listed = get_snapshot().calc(
        ListUsage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            cache_write_tokens=usage.cache_write_tokens,
        ),
        name[1],
        name[0],
        None,
        None,
    )
    exact = listed.total_price * 10**9
    assert 0 <= price.cost(usage) - exact < 2
    assert price.cost(usage) <= price.upper_bound(usage.input_tokens, usage.output_tokens)


def test_a_price_changes_with_the_time_of_day_and_the_date():
    name = next(
        (provider.id, model.id)
        for provider in get_snapshot().providers
        for model in provider.models
        if isinstance(model.prices, list)
        and any(hasattr(each.constraint, "start_time") for each in model.prices)
        and isinstance(model.prices[0], ConditionalPrice)
    )
    price = listed_price(*name)
    days = [datetime(2026, 11, 23, hour, 45, tzinfo=UTC) for hour in range(24)]
    assert len({price._current(at) for at in days}) > 1
    for at in days:
        listed = get_snapshot().calc(ListUsage(input_tokens=10**6), name[1], name[0], None, at)
        assert price._current(at).rates(10**6).cost(Usage(10**6)) == listed.total_price * 10**9


def test_wrong_prices_are_refused():
    with pytest.raises(ConfigurationError, match="the price of output is given as a string"):
        Price("1", 0.5)
    with pytest.raises(ConfigurationError, match="the price of 'gpt' is a Price"):
        PriceBook({"gpt": "1.00"})
    with pytest.raises(ConfigurationError, match="on_unpriced"):
        PriceBook(on_unpriced="zero")


def test_names_from_outside_do_not_fill_the_memory():
    book = PriceBook(on_unpriced=Price("1", "1"))
    for number in range(5000):
        book.find("local", f"model-{number}")
    assert len(book._known) < 5000


def test_the_list_is_not_loaded_for_models_with_a_price_of_their_own():
    code = (
        "import sys; from inferkit.budgets.prices import Price, PriceBook; "
        "book = PriceBook({'m': Price('1', '1')}); book.price('p', 'm'); book.price('local', 'x'); "
        "assert not [name for name in sys.modules if name.startswith('genai_prices')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
