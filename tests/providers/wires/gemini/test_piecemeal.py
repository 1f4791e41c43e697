"""Calls of the Gemini wire whose arguments come piece by piece."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, strategies as st

from gemini_wire import SIGNED, says
from inferkit.core.errors import Unavailable
from inferkit.core.record import CallRecord
from inferkit.core.reply import Reply
from inferkit.providers.endpoints import Endpoint
from inferkit.providers.wires.gemini.piecemeal import GrowingCall
from inferkit.providers.wires.gemini.wire import GEMINI_WIRE
from inferkit.runtime import clock

ENDPOINT = Endpoint("acme", "https://acme.test/v1beta")


def call(**fields):
    return {"functionCall": fields}


def piece(path, value, **more):
    kind = {str: "stringValue", bool: "boolValue", int: "numberValue", float: "numberValue"}.get(type(value))
    return {"jsonPath": path, **({"nullValue": "NULL_VALUE"} if kind is None else {kind: value}), **more}


def read(*events):
    reader = GEMINI_WIRE.reader(ENDPOINT, {"content-type": "text/event-stream"}, streamed=True)
    chunks = []
    for one in events:
        if reader.failure is None:
            chunks += reader.feed(b"data: " + json.dumps(one).encode() + b"\r\n\r\n")
    if reader.failure is None:
        chunks += reader.end()
    return chunks, reader.failure


def reply(*events):
    chunks, failure = read(*events)
    assert failure is None
    return Reply.of(chunks, CallRecord(clock))


def test_a_call_grows_with_its_pieces():
    chunks, failure = read(
        says(call(name="book", id="c1", willContinue=True) | {"thoughtSignature": SIGNED}),
        says(call(partialArgs=[piece("$.city", "Kö", willContinue=True)], willContinue=True)),
        says(call(partialArgs=[piece("$.city", "ln", willContinue=True)], willContinue=True)),
        says(call(partialArgs=[piece("$.city", "", willContinue=False), piece("$.nights", 2.0)], willContinue=True)),
        says(call(partialArgs=[piece("$.guests[0].name", "Ana"), piece("$.guests[0].child", False)],
                  willContinue=True)),
        says(call(partialArgs=[piece("$.guests[1].name", "Ben"), piece("$.note", None)], willContinue=True)),
        says(call()),
        says(call(name="find", args={"id": 7}), finish="STOP"),
    )  # fmt: skip
    assert failure is None
    grown = [one.arguments for chunk in chunks for one in chunk.tool_calls if one.index == 0]
    assert "".join(grown) == (
        '{"city": "Köln", "nights": 2, "guests": [{"name": "Ana", "child": false}, {"name": "Ben"}], "note": null}'
    )
    assert grown[:3] == ["", '{"city": "Kö', "ln"]
    one = Reply.of(chunks, CallRecord(clock))
    assert (one.tool_calls[0].id, one.tool_calls[0].name) == ("c1", "book")
    assert one.tool_calls[0].extra == {"gemini": {"thoughtSignature": SIGNED}}
    assert one.tool_calls[1].arguments == '{"id": 7}'
    assert one.finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("events", "arguments"),
    [
        ([call(name="f", willContinue=True), call()], ["{}"]),
        ([call(name="f", partialArgs=[piece("$.a", 1)])], ['{"a": 1}']),
        ([call(name="f", partialArgs=[piece("$.a", 1)]), call()], ['{"a": 1}']),
        ([call(name="f", willContinue=True), call(name="f", willContinue=True), call()], ["{}", "{}"]),
        ([call(name="f", id="1", willContinue=True), call(name="f", id="1", partialArgs=[piece("$.a", 1)])],
         ['{"a": 1}']),
        ([call(name="f", willContinue=True), call(name="g", args={"b": 2})], ["{}", '{"b": 2}']),
        ([call(name="f", partialArgs=[piece("$.a", "x", willContinue=True)], willContinue=True)], ['{"a": "x"}']),
        ([call(name="f", partialArgs=[{"jsonPath": "$.a"}, piece("$.b", 1.5)])], ['{"b": 1.5}']),
        ([call(name="f", partialArgs=[piece("$.a", "x", willContinue=True), {"jsonPath": "$.a"}, piece("$.b", True)])],
         ['{"a": "x", "b": true}']),
        ([call(name="f", partialArgs=[piece("$['a b'].c[0]", 1), piece('$["it\\"s"]', 2)])],
         ['{"a b": {"c": [1]}, "it\\"s": 2}']),
    ],
    ids=["nothing", "at once", "ended twice", "two alike", "the id again", "the next begins", "the reply ends",
         "without a value", "the text ends", "names in quotes"],
)  # fmt: skip
def test_it_is_whole_when_it_ends(events, arguments):
    one = reply(*map(says, events), says(finish="STOP"))
    assert [each.arguments for each in one.tool_calls] == arguments
    assert all(json.loads(each.arguments) is not None for each in one.tool_calls)
    assert len({each.id for each in one.tool_calls}) == len(arguments)


def test_another_word_for_the_end_is_understood():
    one = reply(says(call(name="f", willContinue=True)), says(finish="FUNCTION_CALL"))
    assert ([each.arguments for each in one.tool_calls], one.finish_reason) == (["{}"], "tool_calls")


def test_what_comes_with_a_later_piece_belongs_to_the_call():
    one = reply(
        says(call(name="f", willContinue=True) | {"thoughtSignature": SIGNED}),
        says(call(willContinue=True, new=1)),
        says(call(), finish="STOP"),
    )
    assert one.tool_calls[0].extra == {"gemini": {"thoughtSignature": SIGNED, "functionCall": {"new": 1}}}


def test_one_that_is_cut_stays_so():
    growing = call(name="f", partialArgs=[piece("$.a", "x", willContinue=True)], willContinue=True)
    one = reply(says(growing), says(finish="MAX_TOKENS"))
    assert ([each.arguments for each in one.tool_calls], one.finish_reason) == (['{"a": "x'], "length")


@pytest.mark.parametrize(
    "pieces",
    [
        [piece("$.a", 1), piece("$.a", 2)],
        [piece("$.a.b", 1), piece("$.c", 1), piece("$.a.d", 1)],
        [piece("$.a[1]", 1)],
        [piece("$.a[0]", 1), piece("$.a[2]", 1)],
        [piece("$.a[0]", 1), piece("$.a.b", 1)],
        [piece("$.a.b", 1), piece("$.a[0]", 1)],
        [piece("$.a", 1), piece("$.a.b", 1)],
        [piece("a", 1)],
        [piece("$", 1)],
        [piece("$[0]", 1)],
        [piece("$..a", 1)],
        [piece("$.a[*]", 1)],
        [piece("$.a" * 101, 1)],
        [{"jsonPath": "$.a", "boolValue": 1}],
        [{"jsonPath": "$.a", "numberValue": True}],
        [{"jsonPath": "$.a", "numberValue": "NaN"}],
        [{"jsonPath": "$.a", "stringValue": 7}],
        [{"jsonPath": 7, "stringValue": "x"}],
    ],
)
def test_what_makes_no_object_is_a_typed_error(pieces):
    _, failure = read(says(call(name="f", partialArgs=pieces)))
    assert type(failure) is Unavailable


def test_a_number_beyond_all_bounds_is_a_typed_error():
    _, failure = read(says(call(name="f", partialArgs=[piece("$.a", float("inf"))])))
    assert type(failure) is Unavailable


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12),
    lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(st.text(max_size=4), inner, min_size=1,
                                                                           max_size=3),
    max_leaves=12,
)  # fmt: skip


def pieces_of(value, path, cut):
    """Say a value in pieces, in the order in which it stands."""
    if isinstance(value, dict):
        for key, inner in value.items():
            quoted = key.replace("\\", "\\\\").replace("'", "\\'")
            yield from pieces_of(inner, f"{path}['{quoted}']", cut)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from pieces_of(inner, f"{path}[{index}]", cut)
    elif isinstance(value, str):
        for at in range(0, len(value) - cut, cut):
            yield piece(path, value[at : at + cut], willContinue=True)
        yield piece(path, value[max(0, (len(value) - 1) // cut * cut) :] if value else "")
    else:
        yield piece(path, value)


@given(st.dictionaries(st.text(max_size=4), VALUES, max_size=4), st.integers(1, 5), st.integers(1, 4))
def test_any_object_comes_out_as_it_went_in(value, cut, at_once):
    growing = GrowingCall(0, "c", {})
    pieces = list(pieces_of(value, "$", cut))
    grown = [growing.add(pieces[at : at + at_once]) for at in range(0, len(pieces), at_once)]
    assert json.loads("".join(grown) + growing.end()) == value
