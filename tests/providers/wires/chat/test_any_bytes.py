"""Whatever the bytes, and however they are cut: the same chunks, one typed failure, and work that grows as they do."""

from __future__ import annotations

import contextlib
import itertools
import json
import sys

import pytest
from hypothesis import given, settings, strategies as st

from chat_wire import USAGE_EVENT, completion, delta
from inferkit.core.errors import ConfigurationError, ProviderError, Unavailable
from inferkit.core.record import CallRecord
from inferkit.core.reply import Reply
from inferkit.providers.presets import PRESETS
from inferkit.providers.wires.chat.reader import ChatReader
from inferkit.providers.wires.chat.wire import CHAT
from inferkit.runtime import clock
from providers.wires.chat.test_reply import plain, replies, write
from wire import event

STREAM = {"content-type": "text/event-stream"}
TAGS = ("<think>", "</think>")
PIECES = [
    delta(role="assistant", content=""),
    delta(reasoning_content="hm"),
    delta("Let me "),
    delta("\ud83c"),
    delta("\udf89"),
    delta(tool_calls=[{"index": 0, "function": {"name": "find", "arguments": '{"ö":'}}]),
    delta(tool_calls=[{"index": 0, "id": "a"}]),
    delta(tool_calls=[{"index": 0, "function": {"arguments": "1}"}}, {"index": 1, "custom": {"name": "sql"}}]),
    delta(annotations=[{"url": 1}], audio={"id": "a", "data": "eA=="}),
    delta(finish="eos"),
    USAGE_EVENT,
]
BODIES = [
    b"\xef\xbb\xbf" + b"".join(map(event, PIECES)) + event("[DONE]"),
    b"".join(map(event, PIECES)).replace(b"\n", b"\r\n") + b": ping\r\n\r\n",
    b"event: keepalive\ndata: \n\n" + b": ping\n\n".join(map(event, PIECES)) + event("[DONE]"),
    event(delta("<think>hm</think>Hi")) + event(delta(finish="stop")),
    json.dumps(
        completion("Hi", tool_calls=[{"id": "a", "function": {"name": "f", "arguments": "{}"}}]), indent=1
    ).encode(),
    json.dumps({"error": {"code": 429, "message": "slow"}}).encode(),
    event(delta("Half")) + event({"choices": [{"index": 0, "finish_reason": "error", "error": {"code": 502}}]}),
]


def read(pieces, *, streamed=True, headers=STREAM):
    reader = ChatReader("acme", headers, streamed=streamed, reasoning_tags=TAGS)
    chunks = []
    for piece in pieces:
        if reader.failure is None and not reader.done:
            chunks += reader.feed(piece)
    if reader.failure is None and not reader.done:
        chunks += reader.end()
    assert reader.done is (reader.failure is None)
    return chunks, reader.failure


def told(found):
    chunks, failure = found
    return (
        [chunk._replace(**{chunk._fields[5]: None}) for chunk in chunks],
        type(failure),
        getattr(failure, "code", None),
    )


def made(chunks):
    return Reply.of(chunks, CallRecord(clock, id="r"))


@pytest.mark.parametrize("body", BODIES)
def test_any_way_of_cutting_gives_the_same_chunks(body):
    whole = told(read([body]))
    assert told(read([body[at : at + 1] for at in range(len(body))])) == whole
    for cut in range(len(body)):
        assert told(read([body[:cut], body[cut:]])) == whole


@pytest.mark.parametrize("body", BODIES[:5])
def test_every_truncation_is_a_typed_error_with_the_text_that_came_or_the_whole_reply(body):
    whole, failure = read([body])
    assert failure is None
    text = made(whole).text
    for cut in range(len(body)):
        chunks, failure = read([body[:cut]])
        partial = made(chunks)
        assert text.startswith(partial.text.rstrip("\ufffd"))
        if failure is None:
            assert (partial.text, partial.finish_reason) == (text, made(whole).finish_reason)
        else:
            assert type(failure) is Unavailable
            assert failure.retryable


@st.composite
def damaged(draw):
    """Bodies in which some bytes are others, missing or twice."""
    body = bytearray(draw(st.sampled_from(BODIES)) if draw(st.booleans()) else write(draw(replies()), streamed=True))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(body)))
        until = min(len(body), at + draw(st.integers(0, 9)))
        body[at:until] = draw(
            st.binary(max_size=6) | st.sampled_from([b'"', b"{", b"}", b"\n", b"null", b"[", b"\\ud83c"])
        )
    return bytes(body)


@settings(max_examples=150)
@given(damaged(), st.lists(st.integers(0, 3000), max_size=4), st.booleans())
def test_damaged_bytes_end_in_chunks_or_in_one_typed_failure_however_they_are_cut(body, cuts, streamed):
    found = told(read([body], streamed=streamed))
    assert found[1] is type(None) or issubclass(found[1], ProviderError)
    places = sorted({min(cut, len(body)) for cut in cuts} | {0, len(body)})
    assert told(read([body[a:b] for a, b in itertools.pairwise(places)], streamed=streamed)) == found


JSON = st.recursive(plain, lambda inner: st.lists(inner, max_size=3), max_leaves=6)
FIELDS = [
    "content",
    "reasoning",
    "tool_calls",
    "function_call",
    "refusal",
    "images",
    "audio",
    "reasoning_details",
    "error",
]
OF_PARTS = ["index", "id", "function", "custom", "type", "image_url", "text"]
PARTS = st.lists(st.dictionaries(st.sampled_from(OF_PARTS), JSON), max_size=2)
OPTIONAL = dict.fromkeys(("index", "message", "finish_reason", "error", "usage"), JSON)
CHOICE = st.fixed_dictionaries(
    {}, optional=OPTIONAL | {"delta": JSON | st.dictionaries(st.sampled_from(FIELDS), JSON | PARTS)}
)
ODD = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("usage", "error", "x_groq", "object", "id", "model"), JSON)
    | {"choices": st.lists(st.none() | CHOICE, max_size=2) | JSON},
)


@settings(max_examples=200)
@given(st.lists(ODD, max_size=4), st.booleans())
def test_events_of_any_shape_end_in_chunks_or_in_one_typed_failure(events, streamed):
    if streamed:
        chunks, failure = read([b"".join(map(event, events)) + event("[DONE]")])
    else:
        chunks, failure = read([json.dumps(events[0] if len(events) == 1 else events).encode()], streamed=False)
    assert failure is None or isinstance(failure, ProviderError)
    assert made(chunks).message.role == "assistant"


@settings(max_examples=150)
@given(st.fixed_dictionaries({}, optional={
    "model": JSON, "messages": JSON | st.lists(st.dictionaries(
        st.sampled_from(["role", "content", "tool_calls", "tool_call_id", "refusal", "reasoning", "images"]),
        JSON | st.sampled_from(["user", "assistant", "tool", "system"])), max_size=3),
    "tools": JSON, "tool_choice": JSON, "response_format": JSON, "stop": JSON, "max_tokens": JSON, "stream": JSON,
}))  # fmt: skip
def test_a_request_of_any_shape_is_read_or_refused(payload):
    with contextlib.suppress(ConfigurationError):
        CHAT.read_request(payload)


@settings(max_examples=200)
@given(st.integers(100, 599), st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_a_refusal_of_any_shape_is_a_typed_error(status, body):
    assert isinstance(CHAT.read_error("acme", status, {}, body), ProviderError)
    assert isinstance(CHAT.read_error("acme", status, {}, b'{"error":%b}' % body), ProviderError)


def calls_made(work):
    """Count the Python calls that a piece of work makes, which a busy machine does not change."""
    count = 0

    def see(*_):
        nonlocal count
        count += 1

    sys.setprofile(see)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def many(piece, size):
    return [piece(n) for n in range(size)]


@pytest.mark.parametrize(
    "piece",
    [
        lambda n: event(delta("word ")),
        lambda n: event(delta(" ")),
        lambda n: event(delta("<think>")),
        lambda n: event(delta("\ud83c")),
        lambda n: event(delta(tool_calls=[{"index": n, "id": f"c{n}", "function": {"name": "f"}}])),
        lambda n: event(delta(tool_calls=[{"index": n, "function": {"name": "f"}}], finish="stop")),
        lambda n: event(delta(tool_calls=[{"id": f"c{n}"}])),
        lambda n: event(delta(annotations=[{"url": n}], finish="stop")),
        lambda n: event(delta(reasoning_details=[{"index": n, "text": "x"}], finish="stop")),
        lambda n: event(delta(finish="stop") | {"citations": [n]}),
        lambda n: event(delta(audio={"data": "eA=="})),
        lambda n: b"data: x",
        lambda n: b": ping\n",
        lambda n: b"data:\n",
        lambda n: b"\r",
    ],
)  # fmt: skip
def test_the_work_grows_with_the_bytes_and_not_faster(piece):
    small, large = (calls_made(lambda size=size: read(many(piece, size))) for size in (300, 1200))
    assert large < 4.6 * small + 200


def test_a_server_that_is_not_known_is_read_like_the_others():
    for preset in ("groq", "mistral", "gemini-openai"):
        reader = CHAT.reader(PRESETS[preset].endpoint(), STREAM, streamed=True)
        assert made(reader.feed(BODIES[0])).text == "Let me 🎉"
