"""Token counts of the Gemini wire, and what they cost."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from inferkit import Price
from inferkit.core.usage import Usage, UsageDetails
from inferkit.pricing.price_book import PriceBook
from inferkit.providers.wires.gemini.usage import GeminiCounts, read_usage, write_usage

counts = st.integers(0, 10**6)
tiers = st.none() | st.sampled_from(["priority", "flex", "standard", "on_demand", "provisioned_throughput"])


def of(*kinds):
    return [{"modality": kind, "tokenCount": count} for kind, count in kinds]


@given(st.lists(counts, min_size=5, max_size=5), st.lists(counts, min_size=6, max_size=6), tiers)
def test_what_is_written_is_read_back(tokens, kinds, tier):
    fresh, cached, output, thought, _ = tokens
    heard, seen, heard_again, seen_again, spoken, drawn = kinds
    details = UsageDetails(
        input_audio_tokens=heard,
        input_image_tokens=seen,
        cache_read_audio_tokens=min(heard_again, cached),
        cache_read_image_tokens=min(seen_again, cached),
        output_audio_tokens=spoken,
        output_image_tokens=drawn,
        service_tier=tier,
    )
    usage = Usage(fresh + cached, output + thought, cached, 0, thought, details=details)
    assert read_usage(write_usage(usage)) == usage


@pytest.mark.parametrize("counts", [None, [], {}, {"trafficType": "ON_DEMAND"}, "x"])
def test_what_counts_nothing_is_no_usage(counts):
    assert read_usage(counts) is None


@pytest.mark.parametrize("odd", [None, -1, "7", True, 2**60, 1.5, {}])
def test_odd_counts_are_none(odd):
    assert read_usage({"promptTokenCount": odd, "candidatesTokenCount": 3.0}) == Usage(0, 3)


@pytest.mark.parametrize(
    "details", [7, [7], [{"modality": 7, "tokenCount": 1}], [{"modality": "AUDIO", "tokenCount": "x"}], [{}]]
)
def test_odd_details_are_passed_over(details):
    assert read_usage({"promptTokenCount": 3, "promptTokensDetails": details, "serviceTier": 7}) == Usage(3)


def test_what_tools_of_the_server_added_is_input():
    usage = read_usage(
        {
            "promptTokenCount": 10,
            "toolUsePromptTokenCount": 90,
            "candidatesTokenCount": 5,
            "promptTokensDetails": of(("AUDIO", 4)),
            "toolUsePromptTokensDetails": of(("AUDIO", 1), ("DOCUMENT", 2)),
        }
    )
    assert usage == Usage(100, 5, details=UsageDetails(input_audio_tokens=5, input_image_tokens=2))


def test_thoughts_that_are_only_in_the_total_are_output_too():
    assert read_usage({"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 22}) == Usage(
        10, 12, reasoning_tokens=7
    )
    assert read_usage({"candidatesTokenCount": 5, "thoughtsTokenCount": 3}) == Usage(0, 8, reasoning_tokens=3)


@pytest.mark.parametrize(
    ("said", "tier"),
    [
        ({"trafficType": "ON_DEMAND"}, "on_demand"),
        ({"trafficType": "ON_DEMAND_PRIORITY"}, "priority"),
        ({"trafficType": "ON_DEMAND_FLEX"}, "flex"),
        ({"trafficType": "PROVISIONED_THROUGHPUT"}, "provisioned_throughput"),
        ({"serviceTier": "flex"}, "flex"),
    ],
)
def test_how_it_was_served_is_said_in_the_words_of_prices(said, tier):
    assert read_usage({"promptTokenCount": 1, **said}).details.service_tier == tier


@pytest.mark.parametrize(
    ("said", "total"),
    [([5, 4], [8, 7]), ([0, 0], [3, 3]), ([2, 3], [9, 6])],
    ids=["fewer in the end", "none", "thoughts that were before"],
)
def test_counts_that_say_less_in_the_end_are_left_to_whoever_reads_each(said, total):
    told = GeminiCounts()
    told.report({"promptTokenCount": 3, "candidatesTokenCount": 1, "totalTokenCount": 4})
    told.now(0)
    written = {
        "candidatesTokenCount": [b"%d" % count for count in said],
        "totalTokenCount": [b"%d" % count for count in total],
    }
    usage_at, usage = told.grow(written, len(said))
    assert usage is None
    reports = [
        {"promptTokenCount": 3, "candidatesTokenCount": one, "totalTokenCount": all_}
        for one, all_ in zip(said, total, strict=True)
    ]
    assert [usage_at(place) for place in range(len(said))] == list(map(read_usage, reports))


def test_counts_that_grow_are_right_however_many_were_read_before():
    told = GeminiCounts()
    told.report({"promptTokenCount": 3, "candidatesTokenCount": 1, "totalTokenCount": 4})
    told.now(0)
    for first in range(1, 10_000, 500):
        said = range(first, first + 500)
        written = {
            "candidatesTokenCount": [b"%d" % count for count in said],
            "totalTokenCount": [b"%d" % (count + 3) for count in said],
        }
        usage_at, usage = told.grow(written, len(said))
        assert [usage_at(place) for place in range(len(said))] == [Usage(3, count) for count in said]
        assert usage == usage_at(-1)


@pytest.mark.parametrize(
    ("model", "counts", "nanos"),
    [
        (
            "gemini-2.5-flash",
            {"promptTokenCount": 8, "candidatesTokenCount": 30, "thoughtsTokenCount": 1013, "totalTokenCount": 1051},
            8 * 300 + 1043 * 2500,
        ),
        (
            "gemini-2.5-flash",
            {
                "promptTokenCount": 696_219,
                "cachedContentTokenCount": 696_190,
                "candidatesTokenCount": 214,
                "totalTokenCount": 696_433,
            },
            29 * 300 + 696_190 * 30 + 214 * 2500,
        ),
        (
            "gemini-2.5-flash",
            {
                "promptTokenCount": 1000,
                "cachedContentTokenCount": 600,
                "candidatesTokenCount": 10,
                "promptTokensDetails": of(("TEXT", 200), ("AUDIO", 800)),
                "cacheTokensDetails": of(("AUDIO", 500), ("TEXT", 100)),
            },
            100 * 300 + 300 * 1000 + 100 * 30 + 500 * 100 + 10 * 2500,
        ),
        (
            "gemini-2.5-flash-image",
            {
                "promptTokenCount": 10,
                "candidatesTokenCount": 1298,
                "candidatesTokensDetails": of(("TEXT", 8), ("IMAGE", 1290)),
            },
            10 * 300 + 8 * 2500 + 1290 * 30_000,
        ),
        (
            "gemini-2.5-pro",
            {"promptTokenCount": 200_001, "candidatesTokenCount": 100},
            200_001 * 2500 + 100 * 15_000,
        ),
    ],
    ids=["thoughts", "cached", "sound", "an image", "a long prompt"],
)
@pytest.mark.parametrize("provider", ["gemini", "gemini-openai", "google"])
def test_the_documented_examples_cost_what_the_list_says(provider, model, counts, nanos):
    price = PriceBook({}).find(provider, model)
    assert isinstance(price, Price)
    assert price.cost(read_usage(counts)) == nanos


def test_a_film_in_the_reply_has_no_price_rather_than_a_wrong_one():
    counts = {"promptTokenCount": 10, "candidatesTokenCount": 90, "candidatesTokensDetails": of(("VIDEO", 90))}
    assert PriceBook({}).find("gemini", "gemini-omni-1.1-flash").cost(read_usage(counts)) is None
