"""Reads of plain text on all wires: told by what is around it, they are what each event alone would have been."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given, settings, strategies as st

from inferkit.core.body import TextBatch
from inferkit.core.chunks import Chunk
from inferkit.core.usage import Usage
from inferkit.providers.endpoints import Endpoint
from inferkit.providers.wires.anthropic.wire import ANTHROPIC_WIRE
from inferkit.providers.wires.chat.wire import CHAT
from inferkit.providers.wires.gemini.wire import GEMINI_WIRE
from inferkit.providers.wires.payload import parse
from inferkit.providers.wires.responses.wire import RESPONSES_WIRE

STREAM = {"content-type": "text/event-stream"}
ENDPOINT = Endpoint("acme", "https://acme.test/v1")
WIRES = {"chat": CHAT, "anthropic": ANTHROPIC_WIRE, "responses": RESPONSES_WIRE, "gemini": GEMINI_WIRE}


def chat(text, number, *, padding="", **more):
    choice = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None}
    content = {"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice | more]}
    return "", content | ({"obfuscation": padding} if padding else {})


def anthropic(text, number, *, padding="", **more):
    return "content_block_delta", {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": text} | more,
    }


def responses(text, number, *, padding="", **more):
    return "response.output_text.delta", {
        "type": "response.output_text.delta",
        "sequence_number": number,
        "item_id": "msg_1",
        "output_index": 0,
        "content_index": 0,
        "delta": text,
        "logprobs": [],
        "obfuscation": padding,
    } | more


def gemini(text, number, *, padding="", **more):
    counts = {"promptTokenCount": 25, "candidatesTokenCount": number, "totalTokenCount": 25 + 2 * number}
    if padding:
        counts["thoughtsTokenCount"] = len(padding)
    return "", {
        "candidates": [{"content": {"parts": [{"text": text}], "role": "model"}, "index": 0} | more],
        "usageMetadata": counts,
        "modelVersion": "gemini-2.5-flash",
        "responseId": "r1",
    }


PLAIN = {"chat": chat, "anthropic": anthropic, "responses": responses, "gemini": gemini}


def usage(**counts):
    return "", {"candidates": [], "usageMetadata": counts}


ODD = {
    "chat": [
        ("", {"choices": [{"index": 0, "delta": {"reasoning_content": "hm"}}]}),
        chat("x", 1, logprobs={"content": [{"token": "x", "logprob": -0.5}]}),
        ("", {"id": '"content": "', "choices": [{"index": 0, "delta": {"content": "y"}}]}),
        ("", {"obfuscation": '", "', "choices": [{"index": 0, "delta": {"content": "z"}}]}),
    ],
    "anthropic": [
        ("ping", {"type": "ping"}),
        anthropic("x", 1, citations=[]),
        ("content_block_start", {"type": "content_block_start", "index": 0, "content_block": {"type": "text"}}),
        ("content_block_stop", {"type": "content_block_stop", "index": 0}),
    ],
    "responses": [
        responses("x", 1, logprobs=[{"token": "x", "logprob": -0.5}]),
        responses("x", 1, content_index=1),
        ("response.content_part.done", {"type": "response.content_part.done", "output_index": 0, "content_index": 0,
                                        "part": {"type": "output_text", "text": "x", "annotations": [1]}}),
        ("response.output_text.annotation.added", {"type": "response.output_text.annotation.added", "output_index": 0,
                                                   "content_index": 0, "annotation": {"url": 1}}),
        ("response.refusal.delta", {"type": "response.refusal.delta", "output_index": 0, "delta": "no"}),
    ],
    "gemini": [
        ("", {"candidates": [{"content": {"parts": [{"text": "hm", "thought": True}]}}]}),
        gemini("x", 1, groundingMetadata={"webSearchQueries": ["a", "b"]}),
        gemini("x", 1, index=1),
        usage(promptTokenCount=25, cachedContentTokenCount=12, thoughtsTokenCount=3),
        usage(totalTokenCount=99),
        ("", {"candidates": [{"content": {"parts": [{"text": "a"}, {"text": "b", "thoughtSignature": "eA=="}]}}]}),
        ("", {"candidates": [{"content": {"parts": [{"text": "a"}]}}], "usageMetadata": {"totalTokenCount": 1,
             "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 4, "candidatesTokenCount": 7}]}}),
    ],
}  # fmt: skip

ENDS = {
    "chat": [("", {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})],
    "anthropic": [
        ("content_block_stop", {"type": "content_block_stop", "index": 0}),
        (
            "message_delta",
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}},
        ),
        ("message_stop", {"type": "message_stop"}),
    ],
    "responses": [("response.completed", {"type": "response.completed", "response": {"status": "completed"}})],
    "gemini": [gemini("", 21, finishReason="STOP")],
}

TEXTS = (
    st.sampled_from(["plain", " ", "añ語🎉", "", 'with "quotes"', "a\\nb\n", "\x01", "\u2028", "data: x"]) | st.text()
)


def dense(content):
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


SPELLINGS = [
    json.dumps,
    dense,
    lambda content: json.dumps(content, indent=1).replace("\n", ""),
    lambda content: json.dumps(content)[:-1] + "   }",
]


def written(name, content, spelling, end):
    named = f"event: {name}{end}" if name else ""
    return f"{named}data: {spelling(content)}{end}{end}".encode("utf-8", "surrogatepass")


@st.composite
def streams(draw, wire):
    """Give the events of a stream, most of which differ in their texts and counts alone."""
    spelling, end = draw(st.sampled_from(SPELLINGS)), draw(st.sampled_from(["\n", "\r\n"]))
    padding = draw(st.sampled_from(["", "x", "aZ09"]))
    events = []
    for number in range(draw(st.integers(1, 12))):
        kind = draw(st.integers(0, 9))
        if kind == 0:
            events.append(written(*draw(st.sampled_from(ODD[wire])), spelling, end))
        elif kind == 1:
            varied = draw(st.sampled_from(SPELLINGS))
            events.append(written(*PLAIN[wire](draw(TEXTS), draw(st.integers(-1, 2**60))), varied, end))
        else:
            pad = padding and padding * draw(st.integers(1, 3))
            events.append(written(*PLAIN[wire](draw(TEXTS), number, padding=pad), spelling, end))
    return events


@pytest.fixture
def decoded(monkeypatch):
    """Collect the events whose JSON is read."""
    found = []

    def counted(data, *how):
        found.append(data)
        return parse(data, *how)

    for module in ("reply_reader", "chat.reader"):
        monkeypatch.setattr(f"inferkit.providers.wires.{module}.parse", counted)
    return found


def batches(events, size):
    return [events[at : at + size] for at in range(0, len(events), size)]


def cut_anywhere(events, data):
    body = b"".join(events)
    places = sorted({0, len(body), *data.draw(st.lists(st.integers(0, len(body)), max_size=6))})
    return [body[begin:end] for begin, end in itertools.pairwise(places)]


def read(wire, pieces):
    reader = WIRES[wire].reader(ENDPOINT, STREAM, streamed=True)
    chunks = []
    for piece in pieces:
        if reader.failure is None and not reader.done:
            chunks += reader.feed(piece)
    return [(*chunk[:5], chunk.raw, *chunk[6:]) for chunk in chunks], reader.model, reader.id, repr(reader.failure)


@pytest.mark.parametrize("wire", WIRES)
@settings(max_examples=200)
@given(st.data())
def test_however_a_stream_is_cut_its_chunks_are_those_of_each_event(wire, data):
    events = data.draw(streams(wire))
    each_alone = read(wire, [b": no read begins with what is known\n" + event for event in events])
    assert read(wire, events) == each_alone
    assert read(wire, [b"".join(events)]) == each_alone
    assert read(wire, cut_anywhere(events, data)) == each_alone


@pytest.mark.parametrize("wire", WIRES)
@settings(max_examples=200)
@given(st.data())
def test_what_a_batch_says_of_its_chunks_is_so(wire, data):
    reader = WIRES[wire].reader(ENDPOINT, STREAM, streamed=True)
    for piece in cut_anywhere(data.draw(streams(wire)), data):
        batch = reader.feed(piece)
        if type(batch) is not TextBatch or batch.texts is None:
            continue
        plain = batch[: len(batch.texts)]
        usages = [chunk.usage for chunk in plain]
        assert [Chunk(chunk.text, usage=chunk.usage, event=chunk.event) for chunk in plain] == plain
        assert batch.texts == [chunk.text for chunk in plain]
        if batch.usage is None:
            assert usages == [None] * len(plain)
        else:
            assert Usage.last_of(usages) == batch.usage
            assert max(usage.output_tokens for usage in usages) == batch.usage.output_tokens


@pytest.mark.parametrize("wire", WIRES)
def test_of_reads_that_end_anywhere_it_is_said_that_they_are_texts(wire):
    events = [written(*PLAIN[wire](f"word {number}", number + 1), json.dumps, "\n") for number in range(500)]
    body = b"".join(events)
    reader = WIRES[wire].reader(ENDPOINT, STREAM, streamed=True)
    batches = [reader.feed(body[at : at + 4096]) for at in range(0, len(body), 4096)]
    assert [type(batch) for batch in batches] == [TextBatch] * len(batches)
    assert [text for batch in batches for text in batch.texts] == [f"word {number}" for number in range(500)]


@pytest.mark.parametrize("wire", WIRES)
def test_of_the_texts_before_what_ends_a_reply_it_is_said_that_they_are_that(wire):
    texts = [f"word {number}" for number in range(20)]
    events = [written(*PLAIN[wire](text, number + 1), json.dumps, "\n") for number, text in enumerate(texts)]
    reader = WIRES[wire].reader(ENDPOINT, STREAM, streamed=True)
    reader.feed(events[0])
    last = reader.feed(b"".join([*events[1:], *[written(*end, json.dumps, "\n") for end in ENDS[wire]]]))
    assert reader.complete
    assert type(last) is TextBatch
    assert last.texts == texts[1:]
    assert [chunk.text for chunk in last[: len(last.texts)]] == last.texts
    assert [chunk.finish_reason for chunk in last if chunk.finish_reason] == ["stop"]


@pytest.mark.parametrize("wire", WIRES)
def test_of_a_reply_whose_events_are_alike_one_is_decoded(wire, decoded):
    texts = [f"añ語 {number}" for number in range(1, 200)]
    events = [
        written(*PLAIN[wire](text, number, padding="x" * (number % 5 + 1)), dense, "\n")
        for number, text in enumerate(texts)
    ]
    for several in (1, 16, len(events)):
        decoded.clear()
        chunks, *_ = read(wire, [b"".join(each) for each in batches(events, several)])
        assert [chunk[0] for chunk in chunks] == texts
        assert len(decoded) == 1


@pytest.mark.parametrize("wire", WIRES)
def test_reads_that_end_in_the_middle_of_an_event_are_told_too(wire, decoded):
    events = [written(*PLAIN[wire](f"word {number}", number), json.dumps, "\n") for number in range(1000)]
    body = b"".join(events)
    chunks, *_ = read(wire, [body[at : at + 4096] for at in range(0, len(body), 4096)])
    assert len(chunks) == len(events)
    assert len(decoded) <= len(body) // 4096 + 2  # one for each read, which was cut


def test_the_counts_of_each_event_are_those_until_then():
    events = [written(*gemini(f"w{number}", number), json.dumps, "\r\n") for number in range(1, 50)]
    chunks, *_ = read("gemini", [b"".join(events)])
    assert [(chunk[4].output_tokens, chunk[4].reasoning_tokens) for chunk in chunks] == [
        (2 * n, n) for n in range(1, 50)
    ]


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    "raw", [b"a\0b", b"\0", b"a\1b", b'a"\1"b', b"a\nb", b"\xff", b'a\\"', b"\\u00e9", b'a", "text": "b']
)
def test_a_text_that_is_not_plain_is_read_as_the_json_that_it_is(wire, raw):
    known, odd = [written(*PLAIN[wire](text, 1), dense, "\n") for text in ("first", "TEXT")]
    odd = odd.replace(b"TEXT", raw)
    alone = read(wire, [b": \n" + known, b": \n" + known, b": \n" + odd])
    assert read(wire, [known, known + odd]) == read(wire, [known, known, odd]) == alone


@pytest.mark.parametrize("wire", WIRES)
def test_what_stands_where_something_known_was_is_no_less_than_that(wire):
    known = written(*PLAIN[wire]("first", 1, padding="x"), dense, "\n")
    for place in range(len(known)):
        for byte in (b"\0", b"\1", b"\2", b"7", b'"', b" "):
            odd = known[:place] + byte + known[place + 1 :]
            assert read(wire, [known, odd]) == read(wire, [b": \n" + known, b": \n" + odd])


@pytest.mark.parametrize("wire", WIRES)
def test_an_event_that_begins_in_a_comment_is_none(wire):
    event = written(*PLAIN[wire]("Hi", 1), dense, "\n")
    chunks, *_ = read(wire, [event, b": ", event, event])
    assert len(chunks) == (2 if event.startswith(b"data") else 3)


@pytest.mark.parametrize("wire", WIRES)
def test_an_event_whose_places_are_empty_is_read_as_what_it_is(wire):
    known, other = [written(*PLAIN[wire](text, 777, padding="x"), dense, "\n") for text in ("first", "TEXT")]
    known, other = known.replace(b"1579", b"777"), other.replace(b"1579", b"777")  # where Gemini adds it up
    empty = other.replace(b"TEXT", b"").replace(b"777", b"").replace(b'"x"', b'""')
    alone = read(wire, [b": \n" + known] * 3 + [b": \n" + empty])
    assert read(wire, [known, known + known + empty]) == alone


@pytest.mark.parametrize("wire", WIRES)
def test_what_is_around_the_texts_may_hold_any_characters(wire, decoded):
    events = [
        written(*PLAIN[wire](f"word {number}", number), dense, "\n").replace(b'"index"', b'"%s%%%(a)b": 5, "index"')
        for number in range(1, 60)
    ]
    events = [event.replace(b"msg_1", b"%d.*(%b") for event in events]
    alone = read(wire, [b": \n" + event for event in events])
    decoded.clear()
    assert read(wire, [events[0], b"".join(events[1:])]) == alone
