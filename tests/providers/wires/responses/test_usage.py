"""Token counts of the Responses wire, and what they cost."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, strategies as st

from inferkit import Price
from inferkit.core.record import CallRecord
from inferkit.core.reply import Reply
from inferkit.core.usage import Usage, UsageDetails
from inferkit.pricing.price_book import PriceBook
from inferkit.providers.wires.responses.usage import read_usage, write_usage
from inferkit.runtime import clock
from providers.wires.responses.test_reply import JSON, read
from responses_wire import message, response

counts = st.integers(0, 10**6)


@given(st.lists(counts, min_size=5, max_size=5), st.integers(0, 3), st.sampled_from([None, 0, 12_345_678]))
def test_what_is_written_is_read_back(tokens, searches, reported):
    fresh, output, cached, written, half = tokens
    details = UsageDetails(
        cache_write_12h_tokens=min(half, written),
        cache_write_30m_tokens=written - min(half, written),
        server_tools=(("web_search", searches),) if searches else (),
        service_tier="default",
        speed="fast",
        region="us",
        reported_nanos=reported,
    )
    usage = Usage(fresh + cached + written, output, cached, written, min(output, half), details=details)
    assert read_usage(write_usage(usage)) == usage


@pytest.mark.parametrize("counts", [None, [], {}, {"total_tokens": 3}, "x"])
def test_what_counts_nothing_is_no_usage(counts):
    assert read_usage(counts) is None


@pytest.mark.parametrize("odd", [None, -1, "7", True, 2**60, 1.5, {}])
def test_odd_counts_are_none(odd):
    given = {"input_tokens": odd, "output_tokens": 3.0, "input_tokens_details": odd, "cost": "x"}
    assert read_usage(given) == Usage(0, 3)
    assert read_usage({"input_tokens": 1, "cost": True}) == Usage(1)


def test_parts_are_no_more_than_the_whole():
    of_input = {"cached_tokens": 9, "cache_write_tokens": 9}
    given = {"input_tokens": 10, "input_tokens_details": of_input, "output_tokens": 2}
    assert read_usage(given | {"output_tokens_details": {"reasoning_tokens": 5}}) == Usage(10, 2, 9, 1, 2)
    assert "cache_write_tokens_details" not in write_usage(Usage(3, 4))["input_tokens_details"]


def counted(given, cached=0, output=0, reasoning=0):
    return {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": given + output,
    }


SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "x"}}
FILES = {"type": "file_search_call", "id": "fs_1", "status": "completed", "queries": ["x"], "results": None}


@pytest.mark.parametrize(
    ("output", "usage", "tier", "nanos"),
    [  # the counts are those of examples in OpenAI's reference
        ((message(),), counted(36, output=87), "default", 36 * 1250 + 87 * 10_000),
        ((message(),), counted(81, output=1035, reasoning=832), "default", 81 * 1250 + 1035 * 10_000),
        ((message(),), counted(2006, cached=1920, output=300), None, 86 * 1250 + 1920 * 125 + 300 * 10_000),
        (
            (SEARCH, message()),
            counted(328, output=356),
            "default",
            328 * 1250 + 356 * 10_000 + 10_000_000,
        ),
        (
            (FILES, message()),
            counted(18307, output=348),
            "default",
            18307 * 1250 + 348 * 10_000 + 2_500_000,
        ),
        ((message(),), counted(36, output=87), "flex", 36 * 625 + 87 * 5000),
    ],
)
def test_the_documented_examples_cost_what_the_list_says(output, usage, tier, nanos):
    content = response(*output, usage=usage, service_tier=tier)
    chunks, failure = read(json.dumps(content).encode(), headers=JSON, streamed=False)
    assert failure is None
    price = PriceBook({}).find("openai-responses", "gpt-5")
    assert isinstance(price, Price)
    assert price.cost(Reply.of(chunks, CallRecord(clock)).usage) == nanos


def test_what_has_no_known_price_makes_the_cost_unknown():
    code = {"type": "code_interpreter_call", "id": "ci_1", "status": "completed", "code": "1", "container_id": "c"}
    chunks, _ = read(json.dumps(response(code)).encode(), headers=JSON, streamed=False)
    price = PriceBook({}).find("openai-responses", "gpt-5")
    assert price.cost(chunks[-1].usage) is None


def test_what_is_said_of_openai_s_prices_holds_for_its_other_api_too():
    own = {"openai:gpt-x": Price("1", "2"), "openai:*": Price("3", "4")}
    book = PriceBook({**own, "openai-responses:gpt-y": Price("5", "6")})
    assert book.find("openai-responses", "gpt-x") is own["openai:gpt-x"]
    assert book.find("openai-responses", "any") is own["openai:*"]
    assert book.find("openai-responses", "gpt-y").input == "5"
    assert book.find("openai", "gpt-y") is own["openai:*"]
    listed, other = (PriceBook({}).find(name, "gpt-5-mini") for name in ("openai", "openai-responses"))
    assert (listed.source, listed.input) == (other.source, other.input)
