"""A price is right, or it is missing; it is never zero by accident."""

import copy
import gc
import pickle
import re
import subprocess
import sys
import weakref
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from genai_prices import Usage as ListUsage
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ConditionalPrice, ModelPrice, TieredPrices
from hypothesis import given, settings, strategies as st

from inferkit import Client
from inferkit.core.errors import ConfigurationError, UnpricedModel
from inferkit.core.usage import Usage, UsageDetails
from inferkit.pricing.genai_prices import listed_price
from inferkit.pricing.price_book import PriceBook
from inferkit.pricing.prices import Price
from inferkit.pricing.rates import Apart
from inferkit.pricing.terms import Terms
from inferkit.testing import FakeProvider
from worlds import Watched

TOKENS = st.integers(0, 10**6)
DOLLARS = st.decimals(0, 1000, places=4, allow_nan=False)
FLAT = st.builds(
    Price, DOLLARS, DOLLARS, st.none() | DOLLARS, st.none() | DOLLARS, reasoning=st.none() | DOLLARS, request=DOLLARS
)
SIZES = st.dictionaries(st.integers(1, 10**6), FLAT, max_size=3)


def with_sizes(prices):
    return st.builds(lambda price, above: replace(price, above=above), prices, SIZES)


AT = datetime(2026, 11, 30, 23, 30, tzinfo=UTC)
A_CALL = timedelta(hours=1)
INSTANTS = st.timedeltas(-2 * A_CALL, 2 * A_CALL).map(lambda later: AT + later)
PRICES = st.builds(
    lambda price, changes: replace(price, changes=changes),
    with_sizes(FLAT),
    st.dictionaries(INSTANTS, with_sizes(FLAT), max_size=3),
)


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


@given(FLAT, usages(), usages())
def test_costs_add_up_to_within_the_rounding(price, one, other):
    together = price.cost(one + other) + price.cost(Usage())  # the second request's fee
    assert together <= price.cost(one) + price.cost(other) <= together + 1


@given(PRICES, usages(), TOKENS, TOKENS, st.timedeltas(timedelta(0), A_CALL))
def test_no_usage_within_the_bounds_costs_more_than_the_upper_bound(price, usage, more_input, more_output, later):
    """Whatever kinds its tokens are of, and whatever sizes and dates the price has, up to an hour later."""
    bound = price.upper_bound(usage.input_tokens + more_input, usage.output_tokens + more_output, AT)
    assert price.cost(usage, AT + later) <= bound


@given(PRICES, TOKENS, TOKENS, TOKENS, TOKENS)
def test_more_tokens_never_have_a_lower_bound(price, tokens, output, more_input, more_output):
    assert price.upper_bound(tokens, output, AT) <= price.upper_bound(tokens + more_input, output + more_output, AT)


@given(PRICES, TOKENS, st.integers(0, 10**12))
def test_the_affordable_output_is_the_most_that_the_money_covers(price, tokens, nanos):
    affordable = price.affordable_output(tokens, nanos, AT)
    if affordable is None:
        assert price.upper_bound(tokens, 10**9, AT) <= nanos
    elif affordable < 0:
        assert price.upper_bound(tokens, 0, AT) > nanos
    else:
        assert price.upper_bound(tokens, affordable, AT) <= nanos < price.upper_bound(tokens, affordable + 1, AT)


def test_reasoning_and_each_request_cost_their_own_price():
    price = Price("1", "2", reasoning="5", request="0.001")
    assert price.cost(Usage(100, 60, reasoning_tokens=40)) == 100 * 1_000 + 20 * 2_000 + 40 * 5_000 + 1_000_000
    assert price.cost(Usage()) == 1_000_000
    assert Price("1", "2").cost(Usage(0, 60, reasoning_tokens=40)) == 60 * 2_000


def test_a_bound_covers_the_dearest_kind_of_token():
    price = Price("1", "2", cache_read="0.1", cache_write="1.25", reasoning="5", request="0.001")
    assert price.upper_bound(1000, 100) == 1000 * 1_250 + 100 * 5_000 + 1_000_000
    assert Price("1", "5", cache_write="0", reasoning="2").upper_bound(1000, 100) == 1000 * 1_000 + 100 * 5_000


def test_a_long_input_makes_all_tokens_of_the_request_dearer():
    price = Price("1.25", "10", above={200_000: Price("2.50", "15", cache_read="0.25")})
    assert price.cost(Usage(200_000, 10)) == 200_000 * 1_250 + 10 * 10_000
    assert price.cost(Usage(200_001, 10)) == 200_001 * 2_500 + 10 * 15_000
    assert price.cost(Usage(200_001, 0, cache_read_tokens=200_000)) == 2_500 + 200_000 * 250


def test_of_several_sizes_the_largest_that_the_input_exceeds_counts():
    price = Price("1", "0", above={1000: Price("3", "0"), 100: Price("2", "0")})
    assert [price.cost(Usage(tokens)) for tokens in (100, 101, 1000, 1001)] == [100_000, 202_000, 2_000_000, 3_003_000]


def test_a_bound_covers_a_smaller_size_that_is_dearer():
    price = Price("4", "4", above={1000: Price("1", "1")})
    assert price.upper_bound(2000, 10) == 2000 * 4_000 + 10 * 4_000
    assert price.affordable_output(2000, 2000 * 4_000 + 10 * 4_000) == 10


def test_a_price_changes_at_midnight_utc_or_at_a_time_with_its_offset():
    price = Price("1", "0", changes={"2026-12-01": Price("2", "0"), "2027-01-01T00:00+01:00": Price("3", "0")})
    changes = {
        "2026-11-30T23:59:59Z": 1,
        "2026-12-01T00:00Z": 2,
        "2026-12-01T00:30+01:00": 1,
        "2026-12-31T22:59Z": 2,
        "2026-12-31T23:00Z": 3,
        "2040-01-01T00:00Z": 3,
    }
    for instant, dollars in changes.items():
        assert price.cost(Usage(10**6), datetime.fromisoformat(instant)) == dollars * 10**9, instant


def test_without_an_instant_a_price_is_the_one_of_today():
    assert Price("1", "0", changes={"2020-01-01": Price("2", "0")}).cost(Usage(1000)) == 2_000_000
    assert Price("1", "0", changes={"2999-01-01": Price("2", "0")}).cost(Usage(1000)) == 1_000_000


def test_a_date_may_be_given_as_one():
    price = Price("1", "0", changes={date(2026, 12, 1): Price("2", "0"), datetime(2027, 1, 1, tzinfo=UTC): Price(3, 0)})
    assert [price.rates(1, datetime(year, 12, 1, tzinfo=UTC)).input for year in (2025, 2026, 2027)] == [
        1_000_000_000, 2_000_000_000, 3_000_000_000,
    ]  # fmt: skip


def test_a_bound_covers_every_change_of_the_next_hour_and_none_after_it():
    price = Price(
        "1", "0",
        changes={"2026-12-01T00:10Z": Price("9", "0"), "2026-12-01T00:20Z": Price("2", "0")},
    )  # fmt: skip
    bounds = {
        "2026-11-30T23:05Z": 1,
        "2026-11-30T23:10Z": 9,
        "2026-12-01T00:05Z": 9,
        "2026-12-01T00:10Z": 9,
        "2026-12-01T00:20Z": 2,
    }
    for instant, dollars in bounds.items():
        assert price.upper_bound(1000, 0, datetime.fromisoformat(instant)) == dollars * 1_000_000, instant


def test_a_changed_price_has_its_own_sizes_and_its_own_fee():
    later = Price("2", "0", request="1", above={100: Price("8", "0")})
    price = Price("1", "0", above={10: Price("5", "0")}, changes={"2026-12-01": later})
    before, after = AT, AT + A_CALL
    assert [price.cost(Usage(size), before) for size in (10, 11, 101)] == [10_000, 55_000, 505_000]
    assert [price.cost(Usage(size), after) for size in (10, 11, 101)] == [1_000_020_000, 1_000_022_000, 808_000]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"above": {0: Price(1, 1)}}, "number of input tokens"),
        ({"above": {-5: Price(1, 1)}}, "number of input tokens"),
        ({"above": {True: Price(1, 1)}}, "number of input tokens"),
        ({"above": {"200000": Price(1, 1)}}, "number of input tokens"),
        ({"above": {200_000: "2"}}, "above 200,000 tokens is a Price"),
        ({"above": {10: Price(1, 1, above={20: Price(2, 2)})}}, "list all sizes in one above="),
        ({"above": {10: Price(1, 1, changes={"2026-12-01": Price(2, 2)})}}, "put sizes into changes="),
        ({"above": [(10, Price(1, 1))]}, "above is a dictionary"),
        ({"changes": {"2026-12-01": Price(1, 1, changes={"2027-01-01": Price(2, 2)})}}, "list all dates in one"),
        ({"changes": {"2026-12-01": "2"}}, "from 2026-12-01 on is a Price"),
        ({"changes": {"1 December": Price(1, 1)}}, "changes at a date"),
        ({"changes": {"2026-02-29": Price(1, 1)}}, "changes at a date"),
        ({"changes": {20261201.5: Price(1, 1)}}, "changes at a date"),
        ({"changes": {"2026-12-01T09:00": Price(1, 1)}}, "time with its offset"),
        ({"changes": {datetime(2026, 12, 1): Price(1, 1)}}, "time with its offset"),  # noqa: DTZ001
        ({"changes": {"2026-12-01": Price(1, 1), "2026-12-01T01:00+01:00": Price(2, 2)}}, "two prices"),
        ({"changes": None}, "changes is a dictionary"),
        ({"reasoning": 0.5}, "the price of reasoning is given as a string"),
        ({"request": "-1"}, "the price of a request is zero dollars or more"),
    ],
)
def test_a_price_that_makes_no_sense_is_explained(fields, said):
    with pytest.raises(ConfigurationError, match=said):
        Price("1", "2", **fields)


def test_a_price_can_be_hashed_compared_copied_pickled_and_shown():
    given = {200_000: Price("2", "3")}
    price = Price("1", "2", cache_read=0, request="0.001", above=given, changes={"2026-12-01": Price("3", "4")})
    same = pickle.loads(pickle.dumps(price))
    assert same == price
    assert hash(same) == hash(copy.deepcopy(price)) == hash(price)
    assert same.cost(Usage(200_001), AT) == price.cost(Usage(200_001), AT) == 200_001 * 2_000
    assert repr(price) == (
        "Price(input='1', output='2', cache_read=0, request='0.001', above={200000: Price(input='2', output='3')}, "
        "changes={'2026-12-01': Price(input='3', output='4')})"
    )
    assert repr(Price("1", "2")) == "Price(input='1', output='2')"
    given[5] = Price("9", "9")
    assert price == same != Price("1", "2", cache_read=0, request="0.001")


def test_a_listed_price_can_be_pickled():
    for name in SPECIAL[:20]:
        price = listed_price(*name)
        same = pickle.loads(pickle.dumps(price))
        assert (same, same.cost(Usage(10**6, 10), AT)) == (price, price.cost(Usage(10**6, 10), AT))


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


def test_an_unknown_model_is_priced_by_the_lines_of_a_file_that_its_error_names(tmp_path):
    with pytest.raises(UnpricedModel) as caught:
        PriceBook().price("openai", "ft:mine")
    table = re.search(r"\[prices[^]]+\]", str(caught.value)).group()
    file = tmp_path / "inferkit.toml"
    file.write_text(f'ledger = false\ncache = false\n{table}\ninput = "1"\noutput = "2"\n')
    with Client.from_config(file, providers={"openai": FakeProvider("Hi")}) as llm:
        assert llm.complete("openai:ft:mine", "Hello?").cost > 0


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
    assert len({price.rates(10**6, at) for at in days}) > 1
    for at in days:
        listed = get_snapshot().calc(ListUsage(input_tokens=10**6), name[1], name[0], None, at)
        assert price.cost(Usage(10**6), at) == listed.total_price * 10**9


@pytest.mark.parametrize("name", ["*", ":*", "openai:gpt-5*", "*:m", "openai:*:*"])
def test_a_name_that_is_no_models_is_refused(name):
    with pytest.raises(ConfigurationError, match=r"would be no model's.*on_unpriced="):
        PriceBook({name: Price(1, 2)})


def test_wrong_prices_are_refused():
    with pytest.raises(ConfigurationError, match="the price of output is given as a string"):
        Price("1", 0.5)
    with pytest.raises(ConfigurationError, match="the price of 'gpt' is a Price"):
        PriceBook({"gpt": "1.00"})
    with pytest.raises(ConfigurationError, match="on_unpriced"):
        PriceBook(on_unpriced="zero")


def test_names_from_outside_do_not_fill_the_memory():
    book = PriceBook(on_unpriced=Price("1", "1"))
    kept = weakref.WeakSet()
    for number in range(5000):
        name = Watched(f"model-{number}")
        kept.add(name)
        book.find("local", name)
    del name
    gc.collect()
    assert len(kept) < 5000


def test_the_list_is_not_loaded_for_models_with_a_price_of_their_own():
    code = (
        "import sys; from inferkit.pricing.price_book import PriceBook; from inferkit.pricing.prices import Price; "
        "book = PriceBook({'m': Price('1', '1')}); book.price('p', 'm'); book.price('local', 'x'); "
        "assert not [name for name in sys.modules if name.startswith('genai_prices')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


TIERED = Price(
    "1",
    "10",
    service_tiers={"Priority": Price("2", "20", above={100: Price("4", "40")}), "flex": Price("0.5", "5")},
    speeds={"fast": Price("6", "60")},
    regions={"us": Price("1.1", "11")},
)


def served(**how):
    return Usage(100, 10, details=UsageDetails(**how))


@pytest.mark.parametrize(
    ("how", "cost"),
    [
        ({}, 200_000),
        ({"service_tier": "default"}, 200_000),
        ({"service_tier": "on_demand", "speed": "standard", "region": "not_available"}, 200_000),
        ({"service_tier": "priority"}, 400_000),
        ({"service_tier": "PRIORITY", "speed": "standard"}, 400_000),
        ({"service_tier": "flex"}, 100_000),
        ({"speed": "fast"}, 1_200_000),
        ({"region": "us"}, 220_000),
        ({"service_tier": "scale"}, None),
        ({"service_tier": "priority", "speed": "fast"}, None),
        ({"service_tier": "scale", "speed": "fast"}, None),
    ],
)
def test_what_was_served_another_way_costs_the_price_of_that_or_is_unknown(how, cost):
    assert TIERED.cost(served(**how)) == cost


def test_a_way_of_serving_has_sizes_of_its_own():
    assert TIERED.cost(served(service_tier="priority")._replace(input_tokens=101)) == 101 * 4_000 + 10 * 40_000


@pytest.mark.parametrize(
    ("terms", "most"),
    [
        (Terms(service_tier="priority"), 400_000),
        (Terms(service_tier="flex"), 200_000),  # its server may fall back to the standard
        (Terms(service_tier="auto"), 400_000),
        (Terms(service_tier="default"), 200_000),
        (Terms(region="us"), 220_000),
    ],
)
def test_the_bound_covers_what_was_asked_for_and_the_standard(terms, most):
    view = TIERED.on(terms)
    assert view.upper_bound(100, 10) == most
    assert view.affordable_output(100, most) == 10
    assert view.cost(served()) == 200_000
    assert view.source == TIERED.source
    assert TIERED.on(terms) is view


def test_what_has_no_known_price_has_no_bound():
    assert TIERED.on(Terms(service_tier="scale")) is None
    assert TIERED.on(Terms(kinds=frozenset({"cache_write_1h"}))) is None
    assert TIERED.on(Terms(kinds=frozenset({"output_audio"}))) is None
    assert TIERED.on(Terms()) is TIERED
    assert TIERED.upper_bound(100, 10) == 200_000, "those who ask for nothing pay for nothing"


def test_words_of_callers_do_not_fill_the_memory():
    for number in range(1000):
        TIERED.on(Terms(service_tier=f"tier-{number}"))
    assert len(vars(TIERED)["_views"]) <= 64


APART = Price(
    "1", "10", "0.1", "1.25", cache_write_1h="2", cache_write_12h="2.5", input_audio="8", input_image="4",
    cache_read_audio="0.8", cache_read_image="0.4", output_audio="50", output_image="30",
    server_tools={"web_search": "0.01"},
)  # fmt: skip
KINDS = frozenset(Apart._fields[:-1])


@st.composite
def special_usages(draw):
    """Usages whose parts do not overlap by more than the whole."""
    write = [draw(TOKENS) for _ in range(4)]
    heard, seen, heard_again, seen_again, read, text = (draw(TOKENS) for _ in range(6))
    spoken, drawn, written, thought = (draw(TOKENS) for _ in range(4))
    details = UsageDetails(*write[:3], heard, seen, heard_again, seen_again, spoken, drawn)
    read += heard_again + seen_again
    return Usage(
        sum(write) + read + heard + seen + text, spoken + drawn + written + thought, read, sum(write), thought,
        details=details,
    )  # fmt: skip


@given(special_usages())
def test_no_special_usage_costs_more_than_the_bound_for_its_kinds(usage):
    bound = APART.on(Terms(kinds=KINDS)).upper_bound(usage.input_tokens, usage.output_tokens)
    assert APART.cost(usage) <= bound


def test_kinds_without_a_price_are_not_free():
    def cost(**details):
        return Price("1", "10", cache_write="1.25").cost(
            Usage(10, 10, cache_write_tokens=10, details=UsageDetails(**details))
        )

    assert cost(cache_write_1h_tokens=1) is None
    assert cost(cache_write_12h_tokens=1) is None
    assert cost(output_audio_tokens=1) is None
    assert cost(server_tools=(("web_search", 1),)) is None
    assert cost(cache_write_30m_tokens=10) == cost(input_audio_tokens=10) == 10 * 1_250 + 10 * 10_000


def test_requests_to_tools_of_the_server_cost_what_each_costs():
    assert APART.cost(Usage(details=UsageDetails(server_tools=(("web_search", 3),)))) == 30_000_000


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"service_tiers": {"priority": "2"}}, "maps a word to a Price"),
        ({"speeds": {7: Price("1", "1")}}, "maps a word to a Price"),
        ({"regions": []}, "regions is a dictionary"),
        ({"regions": {"us": TIERED}}, "without service_tiers="),
        ({"above": {5: TIERED}}, "without above="),
        ({"changes": {"2027-01-01": TIERED}}, "without changes="),
        ({"context_window": 0}, "a number of tokens"),
        ({"server_tools": {"web_search": -1}}, "the price of web_search"),
        ({"output_audio": "x"}, "the price of output_audio"),
    ],
)
def test_prices_that_make_no_sense_are_refused(wrong, said):
    with pytest.raises(ConfigurationError, match=said):
        Price("1", "10", **wrong)


SINCE_OCTOBER = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.mark.parametrize("provider", ["openai", "google", "anthropic"])
def test_every_other_way_that_is_listed_costs_what_the_list_says(provider):
    """Tokens of input, output and both sides of the cache, at sizes on both sides of every tier."""
    compared = 0
    listed = next(each for each in get_snapshot().providers if each.id == provider)
    for model in listed.models:
        for variant in model.price_variants or ():
            ((kind, word),) = variant.when.items()
            if kind == "processing" or not vars(variant.prices):
                continue
            price = listed_price(provider, model.id)
            for size in (1000, 900_000):
                usage = Usage(size, 70, size // 10, size // 20, details=UsageDetails(**{kind: word}))
                mine = price.cost(usage, SINCE_OCTOBER)
                theirs = get_snapshot().calc(
                    ListUsage(
                        input_tokens=size,
                        cache_write_tokens=size // 20,
                        cache_read_tokens=size // 10,
                        output_tokens=70,
                    ),
                    model.id,
                    provider,
                    None,
                    SINCE_OCTOBER,
                    {kind: word},
                )
                assert abs(Decimal(mine) / 10**9 - theirs.total_price) <= Decimal("1e-9"), (model.id, word)
                compared += 1
    assert compared >= (2 if provider == "anthropic" else 16)


def test_what_is_priced_apart_comes_from_the_list():
    price = listed_price("anthropic", "claude-opus-4-6")
    assert (price.cache_write_1h, price.server_tools, price.context_window) == (
        10,
        {"web_search": Decimal("0.01")},
        10**6,
    )
    flash = listed_price("google", "gemini-2.5-flash")
    assert (flash.input_audio, flash.cache_read_audio) == (1, Decimal("0.1"))
    assert (
        listed_price("perplexity", "sonar").cost(Usage(details=UsageDetails(server_tools=(("web_search", 9),))))
        == 12_000_000
    )
