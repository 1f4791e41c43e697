"""The form on disk: read back as it was written, and never as anything else."""

import json
from hashlib import blake2b

import pytest
from hypothesis import given, strategies as st

from caching.entries import chunks as replies, texts
from inferkit.caching.entry import CachedReply, condense
from inferkit.caching.stored import decode, encode
from inferkit.core.chunks import Chunk
from inferkit.core.messages import ImagePart, OpaquePart

KEY = b"k" * 32
MAGIC = b"inferkit-cache-4"


def signed(payload, key=KEY):
    payload = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return MAGIC + blake2b(payload, digest_size=16, key=key).digest() + payload


@given(replies, texts, st.none() | texts, st.integers(0, 10**15))
def test_an_entry_survives_being_written_and_read(chunks, name, said, cost):
    entry = CachedReply(condense(chunks), 1.5, cost, provider=name, model=name, response_model=said, response_id=said)
    assert decode(encode(entry, KEY), KEY) == entry


@pytest.mark.parametrize(
    "value", [object(), b"x", (1,), float("nan"), {1: "x"}], ids=lambda value: type(value).__name__
)
def test_what_is_no_json_is_not_written(value):
    assert encode(CachedReply((Chunk("a", extra={"x": value}),), stored_at=1.5), KEY) is None
    assert encode(CachedReply((Chunk(parts=(OpaquePart("x", [value]),)),), stored_at=1.5), KEY) is None


def test_words_that_are_no_valid_unicode_are_kept():
    entry = CachedReply(condense([Chunk("\ud800\U0001f600")]), stored_at=1.0)
    assert decode(encode(entry, KEY), KEY) == entry


def test_an_entry_with_any_byte_changed_is_no_entry():
    data = encode(CachedReply(condense([Chunk("Hello")]), stored_at=1.5), KEY)
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 1
        assert decode(bytes(damaged), KEY) is None


def test_a_truncated_entry_is_no_entry():
    data = encode(CachedReply(condense([Chunk("Hello")]), stored_at=1.5), KEY)
    assert all(decode(data[:length], KEY) is None for length in range(len(data)))


def test_an_entry_moved_to_another_key_is_no_entry():
    data = encode(CachedReply(condense([Chunk("Hello")]), stored_at=1.5), KEY)
    assert decode(data, b"l" * 32) is None


def test_an_entry_of_another_version_is_no_entry():
    data = encode(CachedReply(condense([Chunk("Hello")]), stored_at=1.5), KEY)
    assert decode(data.replace(MAGIC, b"inferkit-cache-1"), KEY) is None


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


def _chunk(text="", reasoning="", **fields):
    others = {
        "tool_calls": [],
        "finish_reason": None,
        "usage": None,
        "parts": [],
        "extra": None,
        "logprobs": [],
    } | fields
    return _changed(3, [[text, reasoning, *others.values()]])


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
        _changed(3, [["a", "b", [], None, None]]),
        _chunk("a", 5),
        _chunk(tool_calls="xy"),
        _chunk(tool_calls=[[0, None, None, "", None]]),
        _chunk(tool_calls=[["0", None, None, "", None, "function"]]),
        _chunk(tool_calls=[[0, None, None, "", 1, "function"]]),
        _chunk(tool_calls=[[0, None, None, "", None, None]]),
        _chunk(finish_reason=5),
        _chunk(usage=[1, 2, 3]),
        _chunk(usage=[1, 2, 3, 4, True, False]),
        _chunk(usage=[1, 2, 3, 4, 5, 0]),
        _chunk(parts={}),
        _chunk(parts=[[]]),
        _chunk(parts=[["Chunk", "a", None]]),
        _chunk(parts=[[["TextPart"], "a", None]]),
        _chunk(parts=[["TextPart", "a"]]),
        _chunk(parts=[["TextPart", None, None]]),
        _chunk(parts=[["TextPart", "a", []]]),
        _chunk(parts=[["ImagePart", None, None, None, None, None]]),
        _chunk(parts=[["ImagePart", None, "?", "image/png", None, None]]),
        _chunk(parts=[["ToolResultPart", "a", "b", 0, None]]),
        _chunk(extra=[]),
        _chunk(logprobs=None),
        _chunk(logprobs=[["a"]]),
        _chunk(logprobs=[["a", -1]]),
        _chunk(logprobs=[[None, -1.0]]),
        _chunk(logprobs=[["a", -1.0, "b"]]),
        _chunk(logprobs=[["a", -1.0, ["b", 2]]]),
        b"[" * 100_000,
        b"[" + b"9" * 10_000 + b"]",
        b"\xff",
    ],
)
def test_a_well_formed_entry_of_the_wrong_shape_is_no_entry(payload):
    assert decode(signed(GOOD), KEY) is not None
    assert decode(signed(_chunk(parts=[["ImagePart", None, "eA==", "image/png", None, {}]])), KEY).chunks == (
        Chunk(parts=(ImagePart(data=b"x", media_type="image/png", extra={}),)),
    )
    assert decode(signed(payload), KEY) is None
