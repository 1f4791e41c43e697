"""Token counts of the Anthropic wire, and what they cost."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from inferkit import Price
from inferkit.core.usage import Usage, UsageDetails
from inferkit.pricing.price_book import PriceBook
from inferkit.providers.wires.anthropic.usage import UsageCounts, read_usage, write_usage

counts = st.integers(0, 10**6)


@given(st.lists(counts, min_size=5, max_size=5), st.integers(0, 3), st.none() | st.just("fast"))
def test_what_is_written_is_read_back(tokens, searches, speed):
    fresh, output, cached, written, hour = tokens
    details = UsageDetails(
        cache_write_1h_tokens=min(hour, written),
        server_tools=(("web_search", searches),) if searches else (),
        service_tier="standard",
        speed=speed,
    )
    usage = Usage(fresh + cached + written, output, cached, written, min(output, hour), details=details)
    assert read_usage(write_usage(usage)) == usage


@pytest.mark.parametrize("counts", [None, [], {}, {"service_tier": "standard"}, "x"])
def test_what_counts_nothing_is_no_usage(counts):
    assert read_usage(counts) is None
    assert UsageCounts().report(counts) is None


@pytest.mark.parametrize("odd", [None, -1, "7", True, 2**60, 1.5, {}])
def test_odd_counts_are_none(odd):
    assert read_usage({"input_tokens": odd, "output_tokens": 3.0}) == Usage(0, 3)


def test_a_server_that_says_no_more_than_two_counts_is_understood():
    assert read_usage({"input_tokens": 3, "output_tokens": 4}) == Usage(3, 4)
    assert "cache_creation" not in write_usage(Usage(3, 4))


@pytest.mark.parametrize(
    ("counts", "nanos"),
    [
        ({"input_tokens": 2095, "output_tokens": 503}, 2095 * 3000 + 503 * 15_000),
        (
            {
                "input_tokens": 50,
                "cache_read_input_tokens": 100_000,
                "cache_creation_input_tokens": 248,
                "cache_creation": {"ephemeral_5m_input_tokens": 148, "ephemeral_1h_input_tokens": 100},
                "output_tokens": 503,
            },
            50 * 3000 + 100_000 * 300 + 148 * 3750 + 100 * 6000 + 503 * 15_000,
        ),
        (
            {"input_tokens": 105, "output_tokens": 6039, "server_tool_use": {"web_search_requests": 1}},
            105 * 3000 + 6039 * 15_000 + 10_000_000,
        ),
    ],
)
def test_the_documented_examples_cost_what_the_list_says(counts, nanos):
    price = PriceBook({}).find("anthropic", "claude-sonnet-4-6")
    assert isinstance(price, Price)
    assert price.cost(read_usage(counts)) == nanos
