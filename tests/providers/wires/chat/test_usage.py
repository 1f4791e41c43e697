"""Whatever a server calls what it counts, it is counted once, and under one name."""

from __future__ import annotations

import json

import pytest

from chat_wire import completion, delta
from inferkit.core.usage import NO_DETAILS, Usage, UsageDetails
from inferkit.pricing.price_book import PriceBook
from inferkit.pricing.prices import Price
from inferkit.providers.wires.chat.reader import ChatReader
from inferkit.providers.wires.chat.usage import read_usage
from wire import event

CLAUDE = Price("3", "15", "0.3", "3.75", cache_write_1h="6")


def plain(**counts):
    return {"prompt_tokens": 20, "completion_tokens": 9, **counts}


def test_what_the_total_says_beyond_both_was_thought_and_is_output():
    usage = read_usage({"prompt_tokens": 20, "completion_tokens": 198, "total_tokens": 623})
    assert usage == Usage(20, 603, reasoning_tokens=405)


@pytest.mark.parametrize("total", [None, 218, 0, 100])
def test_a_total_that_says_nothing_more_changes_nothing(total):
    assert read_usage({"prompt_tokens": 20, "completion_tokens": 198, "total_tokens": total}) == Usage(20, 198)


@pytest.mark.parametrize(
    "names",
    [
        {"prompt_tokens_details": {"cached_tokens": 0, "cache_creation_tokens": 10017}},
        {"cache_creation_input_tokens": 10017},
        {"prompt_tokens_details": {"cache_write_tokens": 10017}},
        {
            "prompt_tokens_details": {"cached_tokens": 0, "cache_creation_tokens": 10017},
            "cache_creation_input_tokens": 10017,
        },
    ],
)
def test_writes_to_the_cache_are_counted_once_under_whatever_names(names):
    usage = read_usage({"prompt_tokens": 10032, "completion_tokens": 10, **names})
    assert usage == Usage(10032, 10, cache_write_tokens=10017)
    assert CLAUDE.cost(usage) == 37_758_750


def counted(given, output, *, cached=0, reasoning=0):
    return {
        "prompt_tokens": given,
        "completion_tokens": output,
        "total_tokens": given + output,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning, "audio_tokens": 0, "accepted_prediction_tokens": 0,
                                      "rejected_prediction_tokens": 0},
    }  # fmt: skip


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize(
    ("usage", "tier", "nanos"),
    [  # the counts are those of examples in OpenAI's reference and guides
        (counted(19, 10), "default", 19 * 1250 + 10 * 10_000),
        (counted(1117, 46), None, 1117 * 1250 + 46 * 10_000),
        (counted(82, 17), "default", 82 * 1250 + 17 * 10_000),
        (counted(2006, 300, cached=1920), None, 86 * 1250 + 1920 * 125 + 300 * 10_000),
        (counted(81, 1035, reasoning=832), "default", 81 * 1250 + 1035 * 10_000),
        (counted(19, 10), "flex", 19 * 625 + 10 * 5000),
        (counted(19, 10), "priority", 19 * 2500 + 10 * 20_000),
    ],
)
def test_the_documented_examples_cost_what_the_list_says(usage, tier, nanos, streamed):
    if streamed:
        events = [delta("Hi"), delta(finish="stop"), {"choices": [], "usage": usage, "service_tier": tier}]
        body = b"".join(map(event, events)) + event("[DONE]")
    else:
        body = json.dumps(completion() | {"usage": usage, "service_tier": tier}).encode()
    reader = ChatReader("openai", {}, streamed=streamed)
    chunks = reader.feed(body)
    chunks += [] if reader.done else reader.end()
    (read,) = [chunk.usage for chunk in chunks if chunk.usage]
    assert PriceBook({}).find("openai", "gpt-5").cost(read) == nanos


def test_more_is_not_cached_than_was_sent():
    usage = read_usage(plain(prompt_tokens_details={"cached_tokens": 15, "cache_write_tokens": 15}))
    assert (usage.cache_read_tokens, usage.cache_write_tokens) == (15, 5)


@pytest.mark.parametrize(
    "where",
    [
        {"cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 7}},
        {"prompt_tokens_details": {"cache_creation_token_details": {"ephemeral_1h_input_tokens": 7}}},
        {"prompt_tokens_details": {"cache_write_tokens": 10, "cache_write_1h_tokens": 7}},
    ],
)
def test_writes_that_live_longer_are_told_apart_and_cost_their_own_price(where):
    usage = read_usage(plain(cache_creation_input_tokens=10) | where)
    assert (usage.cache_write_tokens, usage.details) == (10, UsageDetails(cache_write_1h_tokens=7))
    assert CLAUDE.cost(usage) == 10 * 3_000 + 3 * 3_750 + 7 * 6_000 + 9 * 15_000


def test_audio_and_images_are_told_apart():
    usage = read_usage(
        plain(
            prompt_tokens_details={
                "audio_tokens": 8,
                "image_tokens": 3,
                "cached_tokens": 6,
                "cached_tokens_details": {"audio_tokens": 5},
            },
            completion_tokens_details={"audio_tokens": 7, "image_tokens": 1, "accepted_prediction_tokens": 0},
        )
    )
    assert usage.details == UsageDetails(
        input_audio_tokens=3,
        cache_read_audio_tokens=5,
        input_image_tokens=3,
        output_audio_tokens=7,
        output_image_tokens=1,
    )
    price = Price("1", "2", "0.5", input_audio="10", cache_read_audio="4", output_audio="20", output_image="30")
    text = 14 * 1_000 + 6 * 500 + 9 * 2_000
    assert price.cost(usage) == text + 3 * 9_000 + 5 * 3_500 + 7 * 18_000 + 1 * 28_000


def test_what_was_predicted_wrongly_is_told_and_costs_as_output():
    usage = read_usage(
        {
            "prompt_tokens": 100,
            "completion_tokens": 50,
            "total_tokens": 150,
            "completion_tokens_details": {"accepted_prediction_tokens": 12, "rejected_prediction_tokens": 30},
        }
    )
    assert (usage.output_tokens, usage.reasoning_tokens) == (50, 0)
    assert usage.details == UsageDetails(accepted_prediction_tokens=12, rejected_prediction_tokens=30)
    assert Price("1", "10").cost(usage) == 100 * 1_000 + 50 * 10_000


def test_what_a_server_counts_beside_the_reply_for_a_prediction_costs_as_output_too():
    details = {"rejected_prediction_tokens": 30}
    counts = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 150, "completion_tokens_details": details}
    assert Price("1", "10").cost(read_usage(counts)) == 100 * 1_000 + 50 * 10_000


@pytest.mark.parametrize(
    ("counts", "tools"),
    [
        ({"server_tool_use": {"web_search_requests": 2}}, (("web_search", 2),)),
        (
            {"server_side_tool_usage_details": {"web_search_calls": 1, "x_search_calls": 3}},
            (("web_search", 1), ("x_search", 3)),
        ),
        ({"num_search_queries": 4}, (("web_search", 4),)),
        ({"server_tool_use": {"web_search_requests": 0}}, ()),
        ({"server_tool_use": 5}, ()),
    ],
)
def test_requests_to_tools_of_the_server_are_counted_by_kind(counts, tools):
    assert read_usage(plain(**counts)).details.server_tools == tools


@pytest.mark.parametrize(
    ("cost", "nanos"),
    [
        (0.0123, 12_300_000),
        ("0.0123", 12_300_000),
        (0, 0),
        ({"total_cost": 0.5, "input_tokens_cost": 0.1}, 500_000_000),
        (None, None),
        (True, None),
        ("free", None),
        ("nan", None),
        (-1, None),
        (1e300, None),
        ([], None),
    ],
)
def test_what_the_provider_says_that_it_cost_is_kept(cost, nanos):
    assert read_usage(plain(cost=cost)).details.reported_nanos == nanos


def test_a_reply_that_says_nothing_of_the_kind_has_no_details():
    zeros = {"audio_tokens": 0, "cached_tokens": 0}
    usage = read_usage(plain(prompt_tokens_details=zeros, completion_tokens_details=zeros, cost=None))
    assert usage.details is NO_DETAILS


@pytest.mark.parametrize("place", ["every event", "finish", "usage event", "usage"])
def test_the_service_tier_of_a_reply_is_in_its_usage(place):
    events = [delta("Hi"), delta(finish="stop"), {"choices": [], "usage": plain()}]
    for number, one in enumerate(events):
        if place == "every event" or (place, number) in {("finish", 1), ("usage event", 2)}:
            one["service_tier"] = "flex"
    if place == "usage":
        events[2]["usage"]["service_tier"] = "flex"
    reader = ChatReader("acme", {}, streamed=True)
    (usage,) = [chunk.usage for chunk in reader.feed(b"".join(map(event, events))) if chunk.usage]
    assert usage == Usage(20, 9, details=UsageDetails(service_tier="flex"))


def test_a_whole_reply_says_its_tier_speed_and_region():
    reader = ChatReader("acme", {"content-type": "application/json"}, streamed=False)
    counts = plain(speed="fast", inference_geo="us")
    reader.feed(json.dumps(completion() | {"usage": counts, "service_tier": "priority"}).encode())
    (chunk,) = reader.end()
    assert chunk.usage.details == UsageDetails(service_tier="priority", speed="fast", region="us")
