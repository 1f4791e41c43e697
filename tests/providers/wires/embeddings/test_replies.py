"""Replies with vectors: read in every form that servers write, and refused where they cannot be what was asked for."""

from __future__ import annotations

import json
import math
from base64 import b64encode

import pytest
from hypothesis import given, strategies as st

from embedding_wire import answer, asks, fed, gemini_answer, packed
from inferkit.core.errors import InvalidRequest, ProviderError, RateLimited, Unavailable
from inferkit.core.usage import Usage
from inferkit.providers.endpoints import Endpoint
from inferkit.providers.wires.chat.embeddings import write_reply as write_openai
from inferkit.providers.wires.chat.wire import CHAT
from inferkit.providers.wires.gemini.embeddings import write_reply as write_gemini
from inferkit.providers.wires.gemini.wire import GEMINI_WIRE

SERVER = Endpoint("house", "http://localhost:1/v1")
WIRES = {"openai": CHAT, "gemini": GEMINI_WIRE}


def reader(wire="openai", texts=2, **fields):
    return WIRES[wire].embeddings(asks(*["x"] * texts, **fields)).reader(SERVER, {}, streamed=False)


numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)
vectors = st.integers(1, 6).flatmap(
    lambda size: st.lists(st.lists(numbers, min_size=size, max_size=size), min_size=1, max_size=5)
)


@given(vectors, st.integers(0, 10**6), st.booleans(), st.integers(0, 400))
def test_what_is_written_is_read_bit_by_bit_however_it_is_cut(given, tokens, base64, cut):
    kept = [packed(*each) for each in given]
    body = write_openai(kept, model="m", usage=Usage(tokens), base64=base64)
    found, usage, failure = fed(reader(texts=len(given)), body, min(cut, len(body)))
    assert failure is None
    assert found == kept
    assert (usage.input_tokens, usage.output_tokens, usage.estimated) == (tokens, 0, False)
    found, usage, failure = fed(reader("gemini", len(given)), write_gemini(kept, usage=Usage(tokens)), cut)
    assert (found, failure) == (kept, None)
    assert (usage.input_tokens, usage.output_tokens) == (tokens, 0)


@given(vectors, st.booleans(), st.data())
def test_no_part_of_a_reply_is_taken_for_the_whole(given, base64, data):
    kept = [packed(*each) for each in given]
    written = {
        "openai": write_openai(kept, model="m", usage=Usage(3), base64=base64),
        "gemini": write_gemini(kept, usage=Usage(3)),
    }
    for wire, body in written.items():
        found, _, failure = fed(reader(wire, len(given)), body[: data.draw(st.integers(0, len(body) - 1))])
        assert found == []
        assert isinstance(failure, Unavailable)


@given(st.binary(max_size=200) | st.text(max_size=80).map(lambda text: json.dumps(text).encode()))
def test_whatever_comes_is_an_error_with_a_type(body):
    for wire in WIRES:
        found, _, failure = fed(reader(wire), body)
        assert found == []
        assert isinstance(failure, ProviderError)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


@given(json_values, st.sampled_from(["data", "embeddings", "usage", "usageMetadata", "model"]))
def test_a_field_that_is_something_else_is_an_error_with_a_type_or_does_no_harm(value, name):
    for wire, whole in (("openai", answer([1.0], [2.0])), ("gemini", gemini_answer([1.0], [2.0], tokens=3))):
        found, _, failure = fed(reader(wire), json.dumps(whole | {name: value}).encode())
        assert found == [packed(1.0), packed(2.0)] or isinstance(failure, ProviderError)


def test_vectors_go_to_the_texts_that_their_numbers_name():
    whole = answer([1.0], [2.0], [3.0])
    whole["data"] = [whole["data"][2], whole["data"][0], whole["data"][1]]
    assert fed(reader(texts=3), whole)[0] == [packed(1.0), packed(2.0), packed(3.0)]


def test_vectors_without_numbers_are_in_the_order_of_the_texts():
    whole = answer([1.0], [2.0])
    for one in whole["data"]:
        del one["index"]
    assert fed(reader(), whole)[0] == [packed(1.0), packed(2.0)]


def numbered(*places):
    whole = answer(*[[1.0]] * len(places))
    for one, place in zip(whole["data"], places, strict=True):
        one["index"] = place
    return whole


WRONG = {
    "too few": (answer([1.0]), "1 vectors for 2 texts"),
    "too many": (answer([1.0], [2.0], [3.0]), "3 vectors for 2 texts"),
    "none": (answer(), "0 vectors for 2 texts"),
    "one place twice": (numbered(0, 0), "not numbered"),
    "a place that is not there": (numbered(0, 2), "not numbered"),
    "places from one on": (numbered(1, 2), "not numbered"),
    "a place below zero": (numbered(0, -1), "not numbered"),
    "a place that is no number": (numbered(0, "1"), "not numbered"),
    "a place for some alone": (numbered(0, None), "not numbered"),
    "different dimensions": (answer([1.0], [1.0, 2.0]), "different numbers of dimensions"),
    "an empty one": (answer([1.0], []), "empty"),
    "an empty text": (answer([1.0], ""), "empty"),
    "not a number": (answer([1.0], [math.nan]), "not finite"),
    "infinity": (answer([1.0, 1.0], [math.inf, -math.inf]), "not finite"),
    "too large for float32": (answer([1.0], [1e300]), "not finite"),
    "too large for any float": (answer([1.0], [10**400]), "too large"),
    "not a number in base64": (answer([1.0], [math.nan], base64=True), "not finite"),
    "no base64": (answer([1.0], "!!!!"), "not base64"),
    "base64 cut short": (answer([1.0], b64encode(b"abc").decode()), "cut within a number"),
    "a text among numbers": (answer([1.0], ["1"]), "something else than numbers"),
    "a switch among numbers": (answer([1.0], [True]), "something else than numbers"),
    "an object": (answer([1.0], {"a": 1}), "neither a list of numbers nor base64"),
    "nothing": (answer([1.0], None), "neither a list of numbers nor base64"),
    "no list": ({"object": "list", "data": {}}, "no list of vectors"),
    "no objects": ({"data": [1, 2]}, "no list of vectors"),
    "a list": ([1], "not an object"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_the_vectors_that_were_asked_for_is_an_error_that_quotes_nothing(what):
    content, says = WRONG[what]
    found, _, failure = fed(reader(), json.dumps(content).encode())
    assert found == []
    assert type(failure) is Unavailable
    assert failure.retryable
    assert says in str(failure)


@pytest.mark.parametrize("wire", WIRES)
def test_a_page_or_a_stream_in_place_of_an_object_is_an_error(wire):
    for body in (b"<html><body>hello</body></html>", b'data: {"data": []}\n\ndata: [DONE]\n\n'):
        assert isinstance(fed(reader(wire), body)[2], Unavailable)


def test_a_server_that_does_not_keep_to_the_dimensions_is_not_asked_again():
    for wire, whole in (("openai", answer([1.0, 2.0])), ("gemini", gemini_answer([1.0, 2.0]))):
        found, _, failure = fed(reader(wire, 1, dimensions=3), whole)
        assert found == []
        assert type(failure) is InvalidRequest
        assert not failure.retryable
        assert "2 dimensions where 3 were asked for" in str(failure)
        assert fed(reader(wire, 1, dimensions=2), whole)[0] == [packed(1.0, 2.0)]


def test_an_error_inside_a_reply_is_what_it_says():
    said = {"error": {"code": 429, "message": "slow down", "type": "rate_limit_error"}}
    assert isinstance(fed(reader(), said)[2], RateLimited)
    said = {"error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED"}}
    assert isinstance(fed(reader("gemini"), said)[2], RateLimited)


def test_usage_that_is_missing_is_none():
    assert fed(reader(), answer([1.0], [2.0], tokens=None))[1] is None
    assert fed(reader("gemini"), gemini_answer([1.0], [2.0]))[1] is None


def test_what_a_server_says_of_itself_is_kept():
    one = reader(texts=1)
    fed(one, answer([1.0], model="text-embedding-3-small-2024", id="r7"))
    assert (one.model, one.id) == ("text-embedding-3-small-2024", "r7")


def test_a_reply_that_takes_more_than_it_may_is_cut_off():
    request = asks("x")
    body = json.dumps(answer([0.1] * 4000)).encode()
    wire = type(CHAT)(max_kept_bytes=10_000).embeddings(request)
    assert fed(wire.reader(SERVER, {}, streamed=False), body)[2].code == "reply_too_long"
