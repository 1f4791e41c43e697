"""Replies as JSON and back, and replies, usage and errors on their way to another process: nothing is lost."""

from __future__ import annotations

import copy
import importlib
import inspect
import json
import pickle
import pkgutil
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from pydantic import BaseModel
from typing_extensions import TypedDict

import inferkit
from caching.entries import chunks as replies
from chat_wire import completion
from inferkit import Client, ConfigurationError, InferkitError, InvalidReply, OpenAIChat, Reply, Tool
from inferkit.core.attempt import Attempt
from inferkit.core.chunks import Chunk
from inferkit.core.record import CallRecord
from inferkit.core.usage import Usage, UsageDetails
from inferkit.runtime import clock
from inferkit.testing import FakeProvider
from wire import Wire, reply


class Order(BaseModel):
    number: str
    day: date
    price: Decimal


@dataclass
class Parcel:
    number: str
    days: list[int]


class Place(TypedDict):
    city: str


ORDER = Order(number="A-1", day=date(2026, 11, 30), price=Decimal("5.50"))
USAGE = Usage(7, 2, 1, 1, 1, estimated=True, details=UsageDetails(service_tier="flex", server_tools=(("search", 2),)))


def made_of(chunks, parsed=None):
    record = CallRecord(clock)
    record.attempts = [
        Attempt(1, "primary", "f", "m", "error", Usage(1), None, None, 0.5, error="Unavailable"),
        Attempt(2, "retry", "f", "m", "completed", USAGE, 1500, "stated", 0.25, 0.1, 3, None, "stop", -5, 100),
    ]
    record.provider, record.model, record.cache, record.seams, record.left_out = "f", "m", "miss", (3, 9), ("audio",)
    return Reply.of(chunks, record, parsed)


def same(one, other):
    assert one == other
    assert one.chunks == other.chunks
    assert one.message == other.message
    assert (one.cost, one.usage, one.attempts, one.reported_cost) == (
        other.cost, other.usage, other.attempts, other.reported_cost,
    )  # fmt: skip
    assert type(one.usage.details) is UsageDetails


def by_json(whole, **options):
    return Reply.from_dict(json.loads(json.dumps(whole.to_dict(), allow_nan=False)), **options)


@settings(max_examples=30)
@given(replies)
def test_a_reply_is_the_same_by_way_of_json(chunks):
    whole = made_of(chunks)
    same(by_json(whole), whole)


@settings(max_examples=30)
@given(replies)
def test_a_reply_is_the_same_in_another_process_and_as_a_copy(chunks):
    whole = made_of(chunks)
    for other in (pickle.loads(pickle.dumps(whole)), copy.copy(whole), copy.deepcopy(whole)):
        same(other, whole)


@pytest.mark.parametrize(
    ("event", "raw"),
    [
        (b'{"id": "x"}', {"id": "x"}),
        ((b'{"id"', b': "x"}'), {"id": "x"}),
        (b"\xff no text", b"\xff no text"),
        ({"plain": [1, None]}, {"plain": [1, None]}),
        ({"text": "an object of its own"}, {"text": "an object of its own"}),
    ],
)
def test_the_providers_own_events_go_along(event, raw):
    whole = made_of([Chunk("hi", event=event), Chunk(finish_reason="stop")])
    assert whole.raw == (raw,)
    assert by_json(whole).raw == (raw,)


@pytest.mark.parametrize(
    ("parsed", "schema"),
    [
        (ORDER, Order),
        (Parcel("A-1", [1, 2]), Parcel),
        ({"city": "Rome"}, Place),
        ({"city": "Rome", "more": [1, None]}, {"type": "object"}),
        ({"city": "Rome"}, None),
        ([1, "two"], list[int | str]),
        (None, Order),
    ],
)
def test_the_object_of_a_schema_is_of_its_type_again(parsed, schema):
    whole = made_of([Chunk("{}", finish_reason="stop")], parsed)
    assert by_json(whole, schema=schema).parsed == parsed
    assert pickle.loads(pickle.dumps(whole)).parsed == parsed


def test_without_its_schema_an_object_is_plain_data_and_one_that_fits_no_more_is_said():
    whole = made_of([Chunk("{}", finish_reason="stop")], ORDER)
    assert by_json(whole).parsed == {"number": "A-1", "day": "2026-11-30", "price": "5.50"}
    with pytest.raises(InvalidReply, match="the object of this reply is no Parcel any more") as caught:
        by_json(whole, schema=Parcel)
    assert caught.value.problems == (("days", "missing"),)
    assert "A-1" not in str(caught.value)


class Strange:
    pass


def test_what_json_cannot_hold_is_refused_and_not_left_out():
    whole = made_of([Chunk("hi", extra={"odd": Strange()}, finish_reason="stop")])
    with pytest.raises(ConfigurationError, match="extra of this reply holds a Strange, which JSON cannot"):
        whole.to_dict()


@pytest.mark.parametrize("change", [{"usage": None}, {"chunks": [{"parts": [{"type": "Nothing"}]}]}, {"attempts": [5]}])
def test_what_is_no_reply_is_said(change):
    plain = made_of([Chunk("hi", finish_reason="stop")]).to_dict()
    for wrong in (plain | change, {}, {"text": "hi"}, plain | {"tool_calls": [{"who": 1}]}):
        with pytest.raises(ConfigurationError, match=r"this is no reply that Reply.to_dict gave"):
            Reply.from_dict(wrong)


def look(city: str, day: date) -> str:
    """Look."""
    return f"{city} {day}"


CALLS = [
    {
        "id": "c1",
        "type": "function",
        "function": {"name": "look", "arguments": '{"city": "Rome", "day": "2026-11-30"}'},
    },
    {"id": "c2", "type": "function", "function": {"name": "other", "arguments": '{"x": 1}'}},
    {"id": "c3", "type": "function", "function": {"name": "other", "arguments": "no JSON"}},
]


def test_tool_calls_are_read_in_another_process_too_as_plain_data():
    answer = completion("", tool_calls=CALLS)
    answer["choices"][0]["finish_reason"] = "tool_calls"
    with (
        Wire(lambda _: [reply(answer)]) as wire,
        Client(providers={"o": OpenAIChat(base_url=wire.url, api_key="k")}, models={"a": "o:m"}, ledger=False) as llm,
    ):
        whole = llm.complete("a", "hi", tools=[look, Tool("other")], cache="bypass")
    assert whole.tool_calls[0].values == {"city": "Rome", "day": date(2026, 11, 30)}
    assert copy.deepcopy(whole).tool_calls[0].values == {"city": "Rome", "day": date(2026, 11, 30)}
    for other in (pickle.loads(pickle.dumps(whole)), by_json(whole)):
        same(other, whole)
        assert [call.values for call in other.tool_calls[:2]] == [{"city": "Rome", "day": "2026-11-30"}, {"x": 1}]
        with pytest.raises(InvalidReply, match="no JSON") as caught:
            _ = other.tool_calls[2].values
        assert caught.value.partial == "no JSON"


def test_usage_survives_as_it_is():
    for one in (Usage(), USAGE):
        for other in (pickle.loads(pickle.dumps(one)), copy.copy(one), copy.deepcopy(one)):
            assert other == one
            assert type(other) is Usage


def test_a_run_of_tools_survives(tmp_path):
    with Client(providers={"f": FakeProvider("hi")}, models={"a": "f:m"}, ledger=False, cache=False) as llm:
        run = llm.run_tools("a", "hi", tools=[look])
    other = pickle.loads(pickle.dumps(run))
    assert (other.text, other.messages, other.attempts) == (run.text, run.messages, run.attempts)


def exceptions():
    """Every exception of inferkit, wherever it is defined."""
    for module in pkgutil.walk_packages(inferkit.__path__, "inferkit."):
        if not module.name.endswith("__main__"):
            try:
                importlib.import_module(module.name)
            except ImportError:  # of an extra that is not installed
                continue

    def below(kind):
        for each in kind.__subclasses__():
            yield each
            yield from below(each)

    found = {each for each in below(BaseException) if each.__module__.startswith("inferkit")}
    return sorted(found, key=lambda each: (each.__module__, each.__name__))


VALUES = {
    "message": "it went wrong", "limit": Decimal(5), "spent": Decimal(3),
    "resets_at": datetime(2026, 12, 1, tzinfo=UTC),
    "problems": (), "usage": USAGE, "status": 503, "retry_after": 2.5, "retryable": True, "line": 3, "column": 4,
    "error": {"code": 5}, "prompt_tokens": 9, "context_length": 8,
}  # fmt: skip


def made(kind):
    own = inspect.isfunction(kind.__init__)
    parameters = inspect.signature(kind.__init__).parameters.values() if own else ()
    named = [each for each in parameters if each.name != "self"]
    positional = [VALUES.get(each.name, each.name) for each in named if each.kind is each.POSITIONAL_OR_KEYWORD]
    keywords = {each.name: VALUES.get(each.name, each.name) for each in named if each.kind is each.KEYWORD_ONLY}
    if any(each.kind is each.VAR_KEYWORD for each in named):
        keywords |= {"provider": "openai", "status": 500}
    return kind(*(positional or ["it went wrong"]), **keywords)


def test_every_exception_keeps_what_it_knows_on_its_way_to_another_process():
    kinds = exceptions()
    assert len(kinds) > 30
    for kind in kinds:
        error = made(kind)
        if isinstance(error, InferkitError):
            error.request_id = "01"
            error.attempts = (Attempt(1, "primary", "f", "m", "error", USAGE, 5, "stated", 0.5),)
            error.embedded = {0: [1.0]}
        error.add_note("a note")
        for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
            assert type(other) is kind
            assert (str(other), other.args) == (str(error), error.args), kind
            assert vars(other) == vars(error), kind
            for name in ("retryable", "usage", "partial", "scope", "limit", "provider", "attempts", "quota_headers"):
                assert getattr(other, name, None) == getattr(error, name, None), (kind, name)
