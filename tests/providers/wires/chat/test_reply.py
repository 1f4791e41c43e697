"""Replies, from bytes to chunks and back."""

from __future__ import annotations

import gc
import itertools
import json
import tracemalloc

import pytest
from hypothesis import given, strategies as st

from chat_wire import USAGE_EVENT, ask, completion, delta
from inferkit.core.chunks import Chunk, ToolCallDelta
from inferkit.core.errors import ContentFiltered, ContextOverflow, RateLimited, Unavailable
from inferkit.core.messages import ImagePart, OpaquePart, ReasoningPart, RefusalPart, TextPart, ToolCallPart
from inferkit.core.record import CallRecord
from inferkit.core.reply import Reply
from inferkit.core.usage import Usage, UsageDetails
from inferkit.providers.presets import PRESETS
from inferkit.providers.wires.chat.reader import ChatReader
from inferkit.providers.wires.chat.wire import CHAT
from inferkit.providers.wires.payload import parse
from inferkit.runtime import clock
from inferkit.runtime.direct import DirectRuntime
from wire import event

STREAM = {"content-type": "text/event-stream"}
JSON = {"content-type": "application/json"}
REFUSED = (RefusalPart(""),)
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,eA=="}}
DETAIL = {"type": "reasoning.text", "index": 0}


def read(*pieces, headers=STREAM, streamed=True):
    """Give the chunks of a reply, and what went wrong at its end."""
    reader = ChatReader("acme", headers, streamed=streamed)
    chunks = []
    for piece in pieces:
        if reader.failure is None and not reader.done:
            chunks += reader.feed(piece)
    if reader.failure is None and not reader.done:
        chunks += reader.end()
    assert reader.done is (reader.failure is None)
    return chunks, reader.failure


@pytest.mark.parametrize(
    "odd",
    [
        b"data: {,}\n\n",
        b"data: 7\n\n",
        b'data: {"a":[{}\n\n',
        b"data: {}}\n\n",
        b'data: {"choices":[{"delta":{"content":"x\n\n',
    ],
)
def test_what_came_in_one_read_with_an_event_that_is_none_is_handed_over_first(odd):
    plain = [event(delta(text)) for text in "abc"]
    for pieces in ([*plain[:2], odd, plain[2]], [b"".join([*plain[:2], odd, plain[2]])], [plain[0], plain[1] + odd]):
        chunks, failure = read(*pieces)
        assert [chunk.text for chunk in chunks] == ["a", "b"]
        assert isinstance(failure, Unavailable)


PIECES = ["plain", "añ語🎉", "", 'with "quotes"', "a\\nb\n", "\u0001", "\u2028", " ", "data: x"]


def spaced(content):
    """Write an event as Python's json does, with spaces, and what is beyond ASCII escaped."""
    return b"data: %s\n\n" % json.dumps(content).encode()


def dense(content):
    """Write an event as most servers do."""
    return b"data: %s\n\n" % json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def padded(content):
    """Write an event that is like no other."""
    return dense(content | {"obfuscation": "x" * len(json.dumps(content))})


def usual(text):
    return {"id": "c", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}


ODD = [
    {"id": "c", "choices": [{"index": 1, "delta": {"content": "another's"}}]},
    {"id": "c", "choices": [{"index": 0, "delta": {"reasoning_content": "hm"}}]},
    {"id": "c", "choices": [{"index": 0, "delta": {"content": "x", "refusal": "no"}}]},
    {"id": "c", "content": "none of it", "choices": [{"index": 0, "delta": {"content": "y"}}]},
    {"id": "c", "choices": [{"index": 0, "delta": {"content": "z"}}], "usage": {"prompt_tokens": 3}},
    {"id": '"content": "', "choices": [{"index": 0, "delta": {"content": "q"}}]},
]


@given(
    st.lists(st.one_of(st.sampled_from(PIECES).map(usual), st.text().map(usual), st.sampled_from(ODD)), min_size=1),
    st.sampled_from([spaced, dense, padded]),
    st.lists(st.integers(0, 3000), max_size=8),
)
def test_however_a_stream_is_cut_its_chunks_are_those_of_each_event(contents, write, cuts):
    body = b"".join(map(write, contents))
    places = sorted({min(cut, len(body)) for cut in cuts} | {0, len(body)})
    pieces = [body[begin:end] for begin, end in itertools.pairwise(places)]
    named, _ = read(*[b"id: 1\n" + write(content) for content in contents], event("[DONE]"))  # nobody learns from these
    whole_events, failure = read(*map(write, contents), event("[DONE]"))
    cut_anywhere, _ = read(*pieces, event("[DONE]"))
    together, _ = read(body, event("[DONE]"))
    assert failure is None
    ways = (whole_events, cut_anywhere, together)
    expected = [(chunk[:5], chunk.raw) for chunk in named]
    assert [[(chunk[:5], chunk.raw) for chunk in chunks] for chunks in ways] == [expected] * 3


def test_what_is_around_a_text_is_learned_once_for_all_reads_that_are_like_it(monkeypatch):
    parsed = []

    def counted(data, *how):
        parsed.append(data)
        return parse(data, *how)

    monkeypatch.setattr("inferkit.providers.wires.chat.reader.parse", counted)
    texts = [f"word {number} añ語" for number in range(100)]
    chunks, _ = read(*[dense(usual(text)) for text in texts], event("[DONE]"))
    assert [chunk.text for chunk in chunks] == texts
    assert [chunk.raw for chunk in chunks] == [usual(text) for text in texts]
    assert len(parsed) == 1


def reply(*events):
    """Read the events of a stream that ends well."""
    chunks, failure = read(b"".join(map(event, events)), event("[DONE]"))
    assert failure is None
    return Reply.of(chunks, CallRecord(clock))


def whole(message, **choice):
    """Read a reply that is one object."""
    content = completion("", **message)
    content["choices"][0] |= choice
    chunks, failure = read(json.dumps(content).encode(), headers=JSON, streamed=False)
    assert failure is None
    return Reply.of(chunks, CallRecord(clock))


words = st.text(min_size=1, max_size=8)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
signature = st.none() | st.fixed_dictionaries({"extra_content": st.just({"google": {"thought_signature": "x"}})})
said = st.one_of(
    st.builds(Chunk, words),
    st.builds(Chunk, reasoning=words),
    st.builds(Chunk, words, words),
    st.builds(Chunk, parts=st.tuples(st.builds(ImagePart, url=words, extra=st.just({"field": "images"})))),
)
seals = st.lists(
    st.one_of(
        st.just(ReasoningPart("", None, {"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]})),
        st.builds(OpaquePart, st.just("audio"), st.fixed_dictionaries({"id": words, "data": words})),
    ),
    max_size=2,
    unique_by=type,
).map(lambda parts: tuple(sorted(parts, key=lambda part: isinstance(part, OpaquePart))))
told = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "citations": st.lists(words, min_size=1),
        "annotations": st.lists(st.dictionaries(words, plain), min_size=1),
        "logprobs": st.fixed_dictionaries({"content": st.lists(st.dictionaries(words, plain), min_size=1)}),
        "service_tier": words,
    },
).map(lambda extra: extra or None)


@st.composite
def replies(draw):
    """Replies as this wire can tell them."""
    chunks = draw(st.lists(said, max_size=6))
    for number in range(draw(st.integers(0, 2))):
        name = draw(words)
        first = ToolCallDelta(number, f"call_{number}", name, draw(st.text(max_size=3)), draw(signature))
        chunks += [Chunk(tool_calls=(first,)), Chunk(tool_calls=(ToolCallDelta(number, arguments=draw(words)),))]
    last = Chunk(parts=draw(seals), finish_reason=draw(st.sampled_from(["stop", "length"])), extra=draw(told))
    if draw(st.booleans()):
        chunks += [Chunk(draw(words), parts=REFUSED)]
        last = last._replace(finish_reason="refusal")
    cached, reasoning = draw(st.integers(0, 9)), draw(st.integers(0, 9))
    details = UsageDetails(service_tier=(last.extra or {}).get("service_tier"))
    return [*chunks, last, Chunk(usage=Usage(10, 20, cached, 10 - cached, reasoning, details=details))]


def write(chunks, *, streamed):
    writer = CHAT.writer(model="m", id="r-1", created=7, streamed=streamed)
    return b"".join([writer.write([chunk]) for chunk in chunks]) + writer.end()


@given(replies(), st.lists(st.integers(0, 3000), max_size=12))
def test_chunks_that_are_written_as_events_are_read_as_they_were(chunks, cuts):
    body = write(chunks, streamed=True)
    places = sorted({min(cut, len(body)) for cut in cuts} | {0, len(body)})
    again, failure = read(*[body[a:b] for a, b in itertools.pairwise(places)])
    assert failure is None
    assert [chunk._replace(event=None) for chunk in again] == chunks


@given(replies())
def test_chunks_that_are_written_whole_are_the_same_reply(chunks):
    again, failure = read(write(chunks, streamed=False), headers=JSON, streamed=False)
    assert failure is None
    one, other = (Reply.of(each, CallRecord(clock, id="r")) for each in (chunks, again))
    assert one == other
    assert sorted(map(repr, _joined(one))) == sorted(map(repr, _joined(other)))


def _joined(reply):
    """Give a message's parts by their kind, since one object does not tell in which order they came."""
    for kind in (TextPart, ReasoningPart, RefusalPart):
        yield kind, "".join(part.text for part in reply.message.parts if isinstance(part, kind))
    for part in reply.message.parts:
        if not isinstance(part, TextPart | RefusalPart) and part != ReasoningPart(getattr(part, "text", "")):
            yield type(part), getattr(part, "extra", None), getattr(part, "value", None), getattr(part, "url", None)


@pytest.mark.parametrize("streamed", [True, False])
def test_parts_that_come_whole_from_elsewhere_are_told_in_this_wires_fields(streamed):
    parts = (ReasoningPart("hm", "seal"), ReasoningPart(""), TextPart("A"), TextPart("B"), RefusalPart("no"))
    again, _ = read(write([Chunk(parts=parts), Chunk(finish_reason="odd")], streamed=streamed))
    one = Reply.of(again, CallRecord(clock))
    assert (one.reasoning, one.text, one.finish_reason) == ("hm", "ABno", "odd")
    assert one.message.parts == (
        ReasoningPart("hm", None, {"reasoning_details": [{"type": "reasoning.text", "signature": "seal"}]}),
        TextPart("AB"),
        RefusalPart("no"),
    )


@given(st.lists(st.sampled_from([b"data: ", b"{", b"}", b"[", b'"choices":', b"\n\n", b"[DONE]", b"null", b"x", b" "])))
def test_whatever_comes_ends_in_chunks_or_in_one_typed_failure(pieces):
    for headers in (STREAM, JSON, {}):
        _, failure = read(*pieces, headers=headers)
        assert failure is None or type(failure) is Unavailable


TOOL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"id":7}'}}
SIGNED = {"extra_content": {"google": {"thought_signature": "abc"}}}


@pytest.mark.parametrize(
    ("told", "parts"),
    [
        ({"images": [PICTURE]}, (ImagePart(url=PICTURE["image_url"]["url"], extra={"field": "images"}),)),
        ({"audio": {"id": "a", "data": "eA==", "transcript": "x"}},
         (OpaquePart("audio", {"id": "a", "data": "eA==", "transcript": "x"}),)),
        ({"tool_calls": [TOOL | SIGNED]}, (ToolCallPart("c1", "find", '{"id":7}', SIGNED),)),
        ({"tool_calls": [TOOL | {"function": TOOL["function"] | {"x": 1}}]},
         (ToolCallPart("c1", "find", '{"id":7}', {"function": {"x": 1}}),)),
        ({"reasoning": "hm", "reasoning_details": [DETAIL | {"text": "hm", "signature": "s"}]},
         (ReasoningPart("hm", None, {"reasoning_details": [DETAIL | {"text": "hm", "signature": "s"}]}),)),
        ({"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]},
         (ReasoningPart("", None, {"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]}),)),
        ({"refusal": "I cannot."}, (RefusalPart("I cannot."),)),
        ({"content": "Well.", "refusal": "I cannot."}, (TextPart("Well."), RefusalPart("I cannot."))),
    ],
)  # fmt: skip
def test_what_a_next_turn_needs_is_in_the_message_streamed_and_whole(told, parts):
    for one in (whole(told), reply(delta(**told), delta(finish="stop"))):
        assert one.message.parts == parts
    request = ask(DirectRuntime(), one.message)
    sent = json.loads(CHAT.write_request(request, PRESETS["openrouter"].endpoint()))["messages"][0]
    for name, value in told.items():
        if name == "audio":  # a model takes no more of what it has said
            assert sent[name] == {"id": value["id"]}
        elif name == "tool_calls":
            assert [call | {"index": 0} for call in sent[name]] == value
        else:
            assert sent[name] == value


def test_what_comes_in_pieces_is_put_together():
    one = reply(
        delta(audio={"id": "a", "transcript": "It "}),
        delta(audio={"data": "eA"}, reasoning_details=[DETAIL | {"text": "h", "format": "x"}]),
        delta(audio={"data": "==", "transcript": "is."}, reasoning_details=[DETAIL | {"text": "m", "signature": None}]),
        delta(
            reasoning_details=[DETAIL | {"signature": "s"}, {"type": "reasoning.encrypted", "index": 1, "data": "y"}]
        ),
        delta("A", annotations=[{"url": 1}]),
        delta("B", annotations=[{"url": 2}], function_call={"name": "f", "arguments": "{"}),
        delta(function_call={"arguments": "}"}),
        delta(finish="stop"),
    )
    assert one.message.parts == (
        TextPart("AB"),
        ToolCallPart("call_chatcmpl-1_0", "f", "{}"),
        ReasoningPart(
            "",
            None,
            {
                "reasoning_details": [
                    DETAIL | {"text": "hm", "format": "x", "signature": "s"},
                    {"type": "reasoning.encrypted", "index": 1, "data": "y"},
                ]
            },
        ),
        OpaquePart("audio", {"id": "a", "transcript": "It is.", "data": "eA=="}),
    )
    assert one.extra == {"annotations": [{"url": 1}, {"url": 2}]}


def test_what_is_said_of_the_whole_reply_is_its_extra():
    logprobs = [{"content": [{"token": token, "logprob": -0.1}], "refusal": None} for token in "AB"]
    first, second, last = delta("A"), delta("B"), delta(finish="stop")
    first["choices"][0]["logprobs"], second["choices"][0]["logprobs"] = logprobs
    last |= {"service_tier": "flex", "citations": ["https://a"], "system_fingerprint": None}
    late = USAGE_EVENT | {"service_tier": "default", "timings": {"ms": 1}}
    one = reply(first | {"provider": "x"}, second, last, late)
    assert one.extra == {
        "logprobs": {"content": [*logprobs[0]["content"], *logprobs[1]["content"]], "refusal": None},
        "service_tier": "default",
        "citations": ["https://a"],
        "timings": {"ms": 1},
    }
    same = whole({"annotations": [{"url": 1}]}, logprobs=logprobs[0], stop_reason=7)
    assert same.extra == {"annotations": [{"url": 1}], "logprobs": logprobs[0], "stop_reason": 7}


def test_images_of_another_form_are_kept_as_they_came():
    one = reply(delta(images=[{"b64_json": "eA=="}]), delta(images=[{"b64_json": "eQ=="}], finish="stop"))
    assert one.extra == {"images": [{"b64_json": "eA=="}, {"b64_json": "eQ=="}]}
    assert one.message.parts == ()


def test_what_was_told_is_not_told_again():
    last = delta(finish="stop") | {"citations": ["https://a"]}
    chunks, _ = read(event(last) + event(USAGE_EVENT | {"citations": ["https://a"]}) + event("[DONE]"))
    assert [chunk.extra for chunk in chunks] == [{"citations": ["https://a"]}, None]


def test_nothing_is_held_back_where_the_reply_has_no_finish_reason():
    chunks, failure = read(event(delta("A", annotations=[{"url": 1}])), event("[DONE]"))
    assert failure is None
    assert chunks[-1] == Chunk(extra={"annotations": [{"url": 1}]})


@pytest.mark.parametrize("headers", [STREAM, JSON, {}, {"content-type": "text/html"}])
@pytest.mark.parametrize("streamed", [True, False])
def test_the_first_bytes_say_whether_a_reply_is_streamed_and_not_its_label(headers, streamed):
    stream = b"\n" + b"".join([event(delta("Hi", finish="stop")), event("[DONE]")])
    for body in (stream, b"\n" + json.dumps(completion("Hi"), indent=1).encode()):
        for start in (b"", b"\xef\xbb\xbf"):
            pieces = [(start + body)[at : at + 1] for at in range(len(start + body))]
            chunks, failure = read(*pieces, headers=headers, streamed=streamed)
            assert failure is None
            assert Reply.of(chunks, CallRecord(clock)).text == "Hi"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "ctx", "code": "context_length_exceeded"}, ContextOverflow),
        ({"message": "slow", "code": 429}, RateLimited),
        ({"code": "content_filter"}, ContentFiltered),
    ],
)
def test_an_error_object_under_the_label_of_a_stream_is_that_error(error, kind):
    chunks, failure = read(json.dumps({"error": error}).encode(), headers=STREAM)
    assert (chunks, type(failure)) == ([], kind)
    assert failure.code == str(error["code"])


@pytest.mark.parametrize(
    "alive",
    [
        b"event: keepalive\ndata: \n\n",
        b"event: ping\ndata: not json\n\n",
        b"event: ping\ndata: null\n\n",
        b"data: null\n\n",
        b"data:\n\n",
        b": ping\n\n",
    ],
)
def test_a_sign_of_life_between_two_chunks_is_skipped(alive):
    chunks, failure = read(event(delta("A")) + alive + event(delta("B", finish="stop")))
    assert failure is None
    assert [chunk.text for chunk in chunks] == ["A", "B"]


def test_what_came_before_a_failure_is_given_before_it():
    chunks, failure = read(event(delta("A")) + event({"error": {"code": 503}}) + event(delta("B")))
    assert [chunk.text for chunk in chunks] == ["A"]
    assert type(failure) is Unavailable


def test_a_read_like_the_others_whose_text_is_no_utf8_is_read_with_what_can_be_told():
    reader = ChatReader("acme", STREAM, streamed=True)
    assert [chunk.text for chunk in reader.feed(event(delta("A")))] == ["A"]
    broken = event(delta("Bb")).replace(b"Bb", b"B\xff")
    assert [chunk.text for chunk in reader.feed(broken)] == ["B\ufffd"]


def test_after_its_end_a_stream_has_nothing_more_to_say():
    reader = ChatReader("acme", STREAM, streamed=True)
    assert [chunk.text for chunk in reader.feed(event(delta("A")) + event("[DONE]"))] == ["A"]
    assert (reader.done, reader.end(), reader.failure, reader.done) == (True, [], None, True)


def test_the_reader_says_who_answered():
    reader = ChatReader("acme", STREAM, streamed=True)
    reader.feed(event(delta("A")) + event(delta("B") | {"id": 7}))
    assert (reader.model, reader.id) == ("gpt-5-mini-2026-01", "chatcmpl-1")
    reader = ChatReader("acme", JSON, streamed=False)
    reader.feed(json.dumps(completion("A") | {"id": 7}).encode())
    reader.end()
    assert (reader.model, reader.id) == ("gpt-5-mini-2026-01", None)


@pytest.mark.parametrize("content", [b" ", b"x", b'{"a":'])
def test_a_whole_reply_is_bounded(content):
    reader = ChatReader("acme", JSON if content != b"x" else STREAM, streamed=False, max_kept_bytes=9999)
    for _ in range(999):
        assert reader.feed(content * 50) == []
        if reader.failure is not None:
            break
    if content == b"x":
        assert reader.failure is None, "a line of a stream has a bound of its own"
        return
    assert "takes more than 9999 bytes" in str(reader.failure)
    assert (reader.failure.code, reader.failure.retryable) == ("reply_too_long", False)


EVENTS = {
    "alike": lambda n: event(delta(f"w{n}")),
    "padded": lambda n: event(delta("w") | {"obfuscation": "x" * (n % 7)}),
    "calls": lambda n: event(delta(tool_calls=[{"index": 0, "id": "c", "function": {"arguments": "x"}}])),
    "parallel": lambda n: event(delta(tool_calls=[{"index": n, "id": f"c{n}", "function": {"name": "f"}}])),
    "empty": lambda n: b'data: {"choices":[]}\n\n',
    "annotations": lambda n: event(delta(annotations=[{"url": n}])),
    "details": lambda n: event(delta(reasoning_details=[{"index": n, "text": "x"}])),
    "images": lambda n: event(delta(images=[PICTURE])),
}


@pytest.mark.parametrize("kind", list(EVENTS))
def test_a_stream_of_many_small_events_is_stopped_before_it_takes_more_than_it_may(kind):
    """What is kept of it stays within the bound, as Python itself counts."""
    reader = ChatReader("acme", STREAM, streamed=True, max_kept_bytes=4_000_000)
    reader.feed(b"".join(map(EVENTS[kind], range(16))))
    gc.collect()
    tracemalloc.start()
    try:
        kept, most = [], 0
        for n in range(10_000):
            kept += reader.feed(b"".join([EVENTS[kind](16 * n + m) for m in range(16)]))
            most = max(most, tracemalloc.get_traced_memory()[0])
            if reader.failure is not None:
                break
    finally:
        tracemalloc.stop()
    assert reader.failure is not None
    assert (type(reader.failure), reader.failure.code) == (Unavailable, "reply_too_long")
    assert not reader.failure.retryable
    assert most < 4_000_000


def test_blanks_without_end_under_the_label_of_a_stream_are_not_held():
    reader = ChatReader("acme", STREAM, streamed=True)
    with_failure = next(n for n in range(900) if reader.feed(b" " * 100_000) == [] and reader.failure is not None)
    assert with_failure < 400


@pytest.mark.parametrize(
    "usage",
    [
        Usage(),
        Usage(5, 2),
        Usage(20, 9, 12, 3, 4),
        Usage(5, 5, reasoning_tokens=5),
        Usage(0, 1),
        Usage(
            50,
            30,
            20,
            20,
            details=UsageDetails(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, (("web_search", 2),), "a", "b", "c", 10),
        ),
    ],
)
def test_usage_is_read_as_it_was_written(usage):
    assert CHAT.read_usage(CHAT.write_usage(usage)) == usage


def events_for(asked, *chunks):
    writer = CHAT.writer(model="m", id="r-1", created=7, streamed=True, asked=asked)
    body = b"".join([writer.write([chunk]) for chunk in chunks]) + writer.end()
    return [json.loads(line[6:]) for line in body.split(b"\n\n") if line[6:] not in {b"", b"[DONE]"}]


def test_a_stream_says_what_it_took_once_at_its_end_and_only_to_who_asked():
    chunks = [
        Chunk("Hel", usage=Usage(5, 1)),
        Chunk("lo"),
        Chunk(finish_reason="stop", usage=Usage(5, 2), extra={"fingerprint": "f"}),
        Chunk(extra={"late": 1}),
    ]
    asked = events_for({"stream_options": {"include_usage": True}}, *chunks)
    assert [each.get("usage", {}).get("completion_tokens") for each in asked] == [None, None, None, 2]
    assert asked[-1]["choices"] == []
    assert asked[-1]["late"] == 1
    silent = events_for({}, *chunks)
    assert all(each["choices"] for each in silent)
    assert "usage" not in str(silent)
    assert [each["choices"][0]["delta"] for each in silent] == [
        {"role": "assistant", "content": "Hel"},
        {"content": "lo"},
        {},
    ]


@pytest.mark.parametrize(("reason", "word"), [("budget", "length"), ("refusal", "content_filter"), ("stop", "stop")])
def test_an_end_is_said_in_the_wires_own_words(reason, word):
    (last,) = events_for({}, Chunk(finish_reason=reason))
    assert last["choices"][0]["finish_reason"] == word
