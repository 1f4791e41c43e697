"""The parser of Amazon's event stream against botocore's, on the same bytes, and on damaged ones."""

from __future__ import annotations

import itertools
import struct
import tracemalloc
from uuid import UUID
from zlib import crc32

import pytest
from hypothesis import given, strategies as st

from inferkit.providers.event_stream import DamagedStream, EventStreamMessage, EventStreamParser, write_message

eventstream = pytest.importorskip("botocore.eventstream")

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(lambda name: len(name.encode()) < 256)
texts = st.text(st.characters(codec="utf-8"), max_size=40)
messages = st.tuples(st.dictionaries(names, texts, max_size=4), st.binary(max_size=200))
cuts = st.lists(st.integers(0, 600), max_size=20)


def pieces(stream, places):
    at = sorted({min(place, len(stream)) for place in places} | {0, len(stream)})
    return [stream[a:b] for a, b in itertools.pairwise(at)]


def parse(parts):
    parser = EventStreamParser()
    return [message for part in parts for message in parser.feed(part)], parser


def framed(headers, payload=b""):
    """Write a message whose headers are bytes already."""
    lengths = struct.pack(">II", len(headers) + len(payload) + 16, len(headers))
    message = lengths + struct.pack(">I", crc32(lengths)) + headers + payload
    return message + struct.pack(">I", crc32(message))


@given(st.lists(messages, max_size=5), cuts)
def test_any_chunking_gives_the_messages_that_botocore_gives(given_, places):
    stream = b"".join(write_message(headers, payload) for headers, payload in given_)
    theirs = eventstream.EventStreamBuffer()
    theirs.add_data(stream)
    expected = [(dict(each.headers), each.payload) for each in theirs]
    assert expected == given_
    for parts in (pieces(stream, places), [stream[i : i + 1] for i in range(len(stream))], [stream]):
        found, parser = parse(parts)
        assert found == [EventStreamMessage(headers, payload) for headers, payload in expected]
        assert parser.between


def test_each_kind_of_header_is_read_as_botocore_reads_it():
    uuid = UUID("12345678-1234-5678-1234-567812345678")
    moment = 1_700_000_000_123
    kinds = [
        (0, b""), (1, b""), (2, b"\xff"), (3, b"\x80\x00"), (4, b"\xff\xff\xff\xfe"), (5, b"\x00" * 7 + b"\x07"),
        (6, b"\x00\x02\xff\x00"), (7, b"\x00\x03\xe2\x82\xac"), (8, struct.pack(">q", moment)), (9, uuid.bytes),
    ]  # fmt: skip
    stream = framed(b"".join(b"\x01" + chr(97 + kind).encode() + bytes([kind]) + value for kind, value in kinds))
    (found,), _ = parse([stream])
    assert list(found.headers.values()) == [True, False, -1, -32768, -2, 7, b"\xff\x00", "€", moment, uuid]
    theirs = eventstream.EventStreamBuffer()
    theirs.add_data(stream)
    (expected,) = theirs
    assert list(expected.headers.values()) == [*list(found.headers.values())[:-1], uuid.bytes]


@given(messages, messages, st.integers(min_value=0), st.integers(1, 255))
def test_a_byte_that_was_changed_is_damage_and_what_came_before_it_is_given(first, second, place, change):
    whole, broken = write_message(*first), bytearray(write_message(*second))
    broken[place % len(broken)] ^= change
    for parts in ([whole + bytes(broken)], [whole + bytes(broken[:5]), bytes(broken[5:])]):
        parser, found = EventStreamParser(), []
        try:
            for part in parts:
                for message in parser.feed(part):
                    found.append(message)  # noqa: PERF402 - it may raise meanwhile
        except DamagedStream:
            with pytest.raises(DamagedStream):
                next(parser.feed(whole))
        else:
            pytest.fail("nothing was noticed")
        assert found == [EventStreamMessage(*first)]


@given(messages, st.integers(min_value=1))
def test_a_message_that_was_cut_is_not_given(message, place):
    stream = write_message(*message)
    found, parser = parse([stream[: place % len(stream)]])
    assert found == []
    assert parser.between is (place % len(stream) == 0)


@pytest.mark.parametrize(
    "stream",
    [
        b"data: {}\n\nand so on, as Server-Sent Events",
        b'{"message": "a whole reply in JSON"}',
        framed(b"\x01a\x0a"),  # a kind of value that nobody knows
        framed(b"\x01a\x07\x00\x09x"),  # longer than the headers
        framed(b"\x01a\x06\x00\x09x", b"and a payload"),
        framed(b"\x05a\x07"),
        framed(b"\x01a\x09of a UUID"),
        framed(b"\x01a\x07\x00\x01\xff"),
        framed(b"\x01"),
    ],
)
def test_what_is_no_message_is_told(stream):
    with pytest.raises(DamagedStream):
        parse([stream])


@pytest.mark.parametrize(("size", "headers"), [(15, 0), (16, 1), (1 << 20, (1 << 17) + 1), ((24 << 20) + 1, 0)])
def test_lengths_that_make_no_sense_are_refused_before_anything_is_held(size, headers):
    lengths = struct.pack(">II", size, headers)
    with pytest.raises(DamagedStream, match="longer|fit"):
        parse([lengths + struct.pack(">I", crc32(lengths))])


def test_no_more_than_a_message_is_held_however_much_comes():
    message = write_message({":message-type": "event"}, b"x" * 1000)
    parser, count = EventStreamParser(), 0
    tracemalloc.start()
    for _ in range(2_000):
        count += sum(1 for _ in parser.feed(message * 5))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 10_000
    assert peak < 100_000


def test_a_repr_does_not_show_the_reply():
    assert "secret" not in repr(EventStreamMessage({":event-type": "chunk"}, b"secret"))
