import json
from hashlib import blake2b

import pytest
from hypothesis import given, strategies as st

from caching.replies import text_of
from inferkit.caching.entry import Entry, condense, decode, encode
from inferkit.core.chunks import Chunk, ToolCallDelta, Usage

KEY = b"k" * 32
MAGIC = b"inferkit-cache-1"

_text = st.text(max_size=40)
_calls = st.builds(ToolCallDelta, st.integers(0, 2), st.none() | _text, st.none() | _text, _text)
_usage = st.builds(Usage, *[st.integers(0, 10**12)] * 5, st.booleans())
_chunks = st.lists(
    st.builds(
        Chunk,
        text=_text,
        reasoning=_text,
        tool_calls=st.lists(_calls, max_size=2).map(tuple),
        finish_reason=st.none() | st.sampled_from(["stop", "length"]),
        usage=st.none() | _usage,
        raw=st.none(),
    ),
    max_size=60,
)


def _calls_of(chunks):
    """Join the pieces of tool calls as a reader does: a piece with an id or a name begins a call."""
    calls = []
    for chunk in chunks:
        for piece in chunk.tool_calls:
            begins = piece.id is not None or piece.name is not None
            if begins or not calls or calls[-1][0] != piece.index:
                calls.append([piece.index, piece.id, piece.name, ""])
            calls[-1][3] += piece.arguments
    return calls


def _last(values):
    return next((value for value in reversed(values) if value), None)


def signed(payload, key=KEY):
    payload = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return MAGIC + blake2b(payload, digest_size=16, key=key).digest() + payload


@given(_chunks)
def test_a_merged_reply_says_what_the_original_said(chunks):
    merged = condense(chunks)
    assert text_of(merged) == text_of(chunks)
    assert "".join(c.reasoning for c in merged) == "".join(c.reasoning for c in chunks)
    assert _calls_of(merged) == _calls_of(chunks)
    assert merged[-1].finish_reason == _last([c.finish_reason for c in chunks])
    assert merged[-1].usage == _last([c.usage for c in chunks])


@given(_chunks, _text, st.none() | _text, st.integers(0, 10**15))
def test_an_entry_survives_being_written_and_read(chunks, name, said, cost):
    entry = Entry(condense(chunks), 1.5, cost, provider=name, model=name, response_model=said, response_id=said)
    assert decode(encode(entry, KEY), KEY) == entry


def test_a_reply_in_many_tokens_becomes_a_few_pieces_and_still_a_stream():
    merged = condense([Chunk(f" word{number}") for number in range(1000)])
    assert 10 <= len(merged) <= 18


def test_reasoning_comes_before_the_text_that_followed_it():
    merged = condense([Chunk(reasoning="Let me "), Chunk(reasoning="see."), Chunk("Here"), Chunk(" it is.")])
    assert [(c.reasoning, c.text) for c in merged] == [("Let me see.", ""), ("", "Here it is."), ("", "")]


def test_the_pieces_of_a_tool_call_are_joined():
    first = ToolCallDelta(0, "call_1", "search", "")
    pieces = [ToolCallDelta(0, arguments=part) for part in ('{"q":', ' "x"', "}")]
    second = ToolCallDelta(1, "call_2", "stop", "{}")
    merged = condense([Chunk(tool_calls=(piece,)) for piece in (first, *pieces, second)])
    assert [c.tool_calls for c in merged[:-1]] == [
        (ToolCallDelta(0, "call_1", "search", '{"q": "x"}'),),
        (second,),
    ]


def test_the_providers_raw_events_are_not_kept():
    assert all(chunk.raw is None for chunk in condense([Chunk("a", raw={"secret": 1})]))


def test_words_that_are_no_valid_unicode_are_kept():
    entry = Entry(condense([Chunk("\ud800\U0001f600")]), stored_at=1.0)
    assert decode(encode(entry, KEY), KEY) == entry


def test_an_entry_with_any_byte_changed_is_no_entry():
    data = encode(Entry(condense([Chunk("Hello")]), stored_at=1.5), KEY)
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 1
        assert decode(bytes(damaged), KEY) is None


def test_a_truncated_entry_is_no_entry():
    data = encode(Entry(condense([Chunk("Hello")]), stored_at=1.5), KEY)
    assert all(decode(data[:length], KEY) is None for length in range(len(data)))


def test_an_entry_moved_to_another_key_is_no_entry():
    data = encode(Entry(condense([Chunk("Hello")]), stored_at=1.5), KEY)
    assert decode(data, b"l" * 32) is None


def test_an_entry_of_another_version_is_no_entry():
    data = encode(Entry(condense([Chunk("Hello")]), stored_at=1.5), KEY)
    assert decode(data.replace(MAGIC, b"inferkit-cache-2"), KEY) is None


@given(st.binary())
def test_foreign_bytes_are_no_entry(data):
    assert decode(data, KEY) is None
    assert decode(MAGIC + data, KEY) is None
    assert decode(signed(data), KEY) is None


GOOD = [1.5, 0, ["", "", None, None], ["Hello"]]


def _changed(place, value):
    changed = list(GOOD)
    changed[place] = value
    return changed


@pytest.mark.parametrize(
    "payload",
    [
        {},
        [],
        "text",
        None,
        GOOD[:3],
        [*GOOD, 1],
        _changed(0, 1),
        _changed(0, "1.5"),
        _changed(1, True),
        _changed(1, 1.5),
        _changed(2, None),
        _changed(2, ["", "", None]),
        _changed(2, ["", None, None, None]),
        _changed(2, ["", "", 5, None]),
        _changed(2, ["", "", None, []]),
        _changed(3, "Hello"),
        _changed(3, {"text": "Hello"}),
        _changed(3, [5]),
        _changed(3, [["a", "b", [], None]]),
        _changed(3, [["a", 5, [], None, None]]),
        _changed(3, [["a", "", "xy", None, None]]),
        _changed(3, [["a", "", [[0, None, None]], None, None]]),
        _changed(3, [["a", "", [["0", None, None, ""]], None, None]]),
        _changed(3, [["a", "", [], 5, None]]),
        _changed(3, [["a", "", [], None, [1, 2, 3]]]),
        _changed(3, [["a", "", [], None, [1, 2, 3, 4, True, False]]]),
        _changed(3, [["a", "", [], None, [1, 2, 3, 4, 5, 0]]]),
        b"[" * 100_000,
        b"[" + b"9" * 10_000 + b"]",
        b"\xff",
    ],
)
def test_a_well_formed_entry_of_the_wrong_shape_is_no_entry(payload):
    assert decode(signed(GOOD), KEY) is not None
    assert decode(signed(payload), KEY) is None


def test_an_entry_knows_about_how_much_memory_it_takes():
    small = Entry(condense([Chunk("a")]), stored_at=1.0).memory_bytes
    large = Entry(condense([Chunk("a" * 1000)] * 100), stored_at=1.0).memory_bytes
    assert 200_000 <= large - small <= 210_000
