"""The parser against a slow one that follows the standard's text character by character."""

from __future__ import annotations

import itertools
import tracemalloc

import pytest
from hypothesis import example, given, strategies as st

from inferkit.providers.sse import EventTooLong, SSEEvent, SSEParser


def lines_of(text: str) -> list[str]:
    """Cut text into lines, of which each has its end; what follows the last end is no line."""
    lines, line, at = [], "", 0
    while at < len(text):
        if text[at] in "\r\n":
            lines.append(line)
            line = ""
            if text[at : at + 2] == "\r\n":
                at += 1
        else:
            line += text[at]
        at += 1
    return lines


def by_the_letter(stream: bytes) -> list[tuple[str, str, str]]:
    """Interpret a whole stream as WHATWG HTML 9.2.6 words it; returns (data, type, last event id)."""
    events, data, kind, last_id = [], "", "", ""
    for line in lines_of(stream.decode("utf-8", "replace").removeprefix("\ufeff")):
        if line == "":
            if data != "":
                events.append((data.removesuffix("\n"), kind or "message", last_id))
            data = kind = ""
            continue
        field, _, value = line.partition(":")  # a comment is a field without a name
        value = value.removeprefix(" ")
        if field == "event":
            kind = value
        elif field == "data":
            data += value + "\n"
        elif field == "id" and "\0" not in value:
            last_id = value
    return events


def parse(pieces: list[bytes]) -> list[tuple[str, str, str]]:
    parser = SSEParser()
    events = [event for piece in pieces for event in parser.feed(piece)]
    parser.close()
    return [(event.data, event.event, event.id) for event in events]


def feed_all(limit: int, pieces: list[bytes]) -> list[SSEEvent]:
    parser = SSEParser(max_event_bytes=limit)
    return [event for piece in pieces for event in parser.feed(piece)]


tokens = st.sampled_from(
    [
        b"data: ", b"data:", b"data", b"event: ", b"event:x", b"id: 7", b"id:\0", b"retry: 10", b": note", b":",
        b"\n", b"\n", b"\n\n", b"\r", b"\r\n", b"\r\n\r\n", b" ", b"x", b'{"a": 1}', b"[DONE]", b"\xef\xbb\xbf",
        b"\xe2\x80\xa8", b"\xc2\x85", b"\xf0\x9f\x98\x80", b"\xf0\x9f", b"\xff", b"\x0b", b"\x0c", b"\x1c", b"\0",
    ]
)  # fmt: skip
streams = st.lists(tokens, max_size=40).map(b"".join)


@given(streams, st.lists(st.integers(0, 200), max_size=30))
@example(b"data: a\r\n\r\ndata: b\r\r", [8, 9, 10])
@example(b"\xef\xbb\xbfdata: a\n\n", [1, 2])
@example(b"data: a\n\ndata: b\n\n", [8, 9])
def test_any_chunking_gives_the_events_that_the_standard_gives(stream, cuts):
    places = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    pieces = [stream[a:b] for a, b in itertools.pairwise(places)]
    expected = by_the_letter(stream)
    assert parse(pieces) == expected
    assert parse([stream[i : i + 1] for i in range(len(stream))]) == expected


def test_characters_that_are_line_ends_elsewhere_are_data():
    text = "a\u2028b\u2029c\x85d\x0be\x0cf"
    assert parse([f"data: {text}\n\n".encode()]) == [(text, "message", "")]


def test_many_data_lines_are_one_event_and_the_id_stays():
    events = SSEParser().feed(b"event: tick\nid: 9\ndata: one\ndata:two\ndata\n\ndata: next\n\n")
    assert events == [SSEEvent(b"one\ntwo\n", "tick", "9"), SSEEvent(b"next", "message", "9")]


def test_an_event_without_its_blank_line_is_given_by_close_alone():
    parser = SSEParser()
    assert parser.feed(b"data: [DONE]\n") == []
    assert parser.close() == SSEEvent(b"[DONE]")
    parser = SSEParser()
    assert parser.feed(b"data: {}\n\ndata: [DO") == [SSEEvent(b"{}")]
    assert parser.close() == SSEEvent(b"[DO")
    assert SSEParser().close() is None


@pytest.mark.parametrize("line", [b"x", b"data: x", b": x"])
@pytest.mark.parametrize("size", [1, 700, 5000])
def test_a_line_that_does_not_end_is_refused(line, size):
    with pytest.raises(EventTooLong, match="10000 bytes"):
        feed_all(10_000, [(line * size)[:size]] * 20_000)


def test_an_event_of_many_lines_is_bounded_too():
    with pytest.raises(EventTooLong):
        feed_all(10_000, [b"data: twelve chars\n"] * 2_000)


def test_an_event_in_one_piece_is_bounded_like_one_in_many():
    stream = b"data: " + b"x" * 100 + b"\n\n"
    for step in (1, 50, 200):
        pieces = [stream[at : at + step] for at in range(0, len(stream), step)]
        with pytest.raises(EventTooLong):
            feed_all(105, pieces)
        assert len(feed_all(106, pieces)) == 1


def test_comments_without_end_take_no_memory():
    parser = SSEParser()
    tracemalloc.start()
    for _ in range(50_000):
        assert parser.feed(b": still here, and so it goes on\n") == []
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_a_repr_does_not_show_the_reply():
    assert "secret" not in repr(SSEEvent(b"secret"))
