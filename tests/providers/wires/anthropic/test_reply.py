"""Replies of the Anthropic wire, from bytes to chunks and back."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given, settings, strategies as st

from anthropic_wire import HELLO, begin, delta, ending, event, message, start, stop, stream
from inferkit.core.chunks import Chunk, ToolCallDelta
from inferkit.core.errors import InvalidRequest, ProviderError, RateLimited, Unavailable
from inferkit.core.messages import ImagePart, OpaquePart, ReasoningPart, RefusalPart, TextPart, ToolCallPart
from inferkit.core.record import CallRecord
from inferkit.core.reply import Reply
from inferkit.core.usage import Usage, UsageDetails
from inferkit.providers.endpoints import Endpoint
from inferkit.providers.wires.anthropic.events import plain_text
from inferkit.providers.wires.anthropic.wire import ANTHROPIC_WIRE, AnthropicWire
from inferkit.providers.wires.payload import parse
from inferkit.runtime import clock

STREAM, JSON = {"content-type": "text/event-stream"}, {"content-type": "application/json"}
ENDPOINT = Endpoint("acme", "https://acme.test/v1")
CITATION = {
    "type": "char_location",
    "cited_text": "it",
    "document_index": 0,
    "start_char_index": 1,
    "end_char_index": 3,
}
FOUND = {"type": "web_search_result", "title": "t", "url": "https://a.test", "encrypted_content": "x"}
SEARCHED = {"type": "web_search_tool_result", "tool_use_id": "srv_1", "content": [FOUND]}


def read(*pieces, headers=STREAM, streamed=True, wire=ANTHROPIC_WIRE):
    """Give the chunks of a reply, and what went wrong at its end."""
    reader = wire.reader(ENDPOINT, headers, streamed=streamed)
    chunks = []
    for piece in pieces:
        if reader.failure is None and not reader.done:
            chunks += reader.feed(piece)
    if reader.failure is None and not reader.done:
        chunks += reader.end()
    assert reader.done is (reader.failure is None)
    return chunks, reader.failure


def reply(*events):
    chunks, failure = read(*map(event, events))
    assert failure is None
    return Reply.of(chunks, CallRecord(clock))


def whole(content):
    chunks, failure = read(json.dumps(content).encode(), headers=JSON, streamed=False)
    assert failure is None
    return Reply.of(chunks, CallRecord(clock))


def test_a_stream_of_text_is_its_text_with_all_tokens_that_it_took():
    one = reply(*HELLO)
    assert (one.text, one.finish_reason) == ("Hello", "stop")
    details = UsageDetails(cache_write_1h_tokens=3, service_tier="standard")
    assert one.usage == Usage(25, 9, 12, 5, details=details)
    assert one.extra == {"stop_reason": "end_turn"}
    assert [raw["type"] for raw in one.raw][:2] == ["message_start", "content_block_delta"]


def test_who_it_is_is_known_with_the_first_event():
    reader = ANTHROPIC_WIRE.reader(ENDPOINT, STREAM, streamed=True)
    reader.feed(event(begin()))
    assert (reader.model, reader.id, reader.complete) == ("claude-sonnet-4-5-20250929", "msg_1", False)


def test_the_last_of_cumulative_counts_holds():
    events = [
        begin(),
        {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 4}},
        *ending(output=9, input_tokens=20, server_tool_use={"web_search_requests": 2, "web_fetch_requests": 0},
                output_tokens_details={"thinking_tokens": 6}, speed="fast", inference_geo="us"),
    ]  # fmt: skip
    usage = reply(*events).usage
    assert (usage.input_tokens, usage.output_tokens, usage.reasoning_tokens) == (37, 9, 6)
    assert usage.details == UsageDetails(
        cache_write_1h_tokens=3,
        server_tools=(("web_search", 2),),
        service_tier="standard",
        speed="fast",
        region="us",
    )


def test_what_was_read_before_a_stream_was_left_says_how_large_the_prompt_was():
    chunks, _ = read(event(begin()))
    assert chunks[0].usage.input_tokens == 25


def test_thinking_is_sealed_with_its_signature_and_goes_back_so():
    one = reply(
        *stream(
            start(0, type="thinking", thinking="", signature=""),
            delta(0, "thinking_delta", thinking="Let me "),
            delta(0, "thinking_delta", thinking="see."),
            delta(0, "signature_delta", signature="c2Vh"),
            delta(0, "signature_delta", signature="bA=="),
            stop(0),
            start(1, type="redacted_thinking", data="c2VjcmV0"),
            stop(1),
            start(2, type="text", text=""),
            delta(2, "text_delta", text="Thursday."),
            stop(2),
        )
    )
    assert one.reasoning == "Let me see."
    assert one.message.parts == (
        ReasoningPart("Let me see.", "c2VhbA==", {"anthropic": {}}),
        OpaquePart("redacted_thinking", {"type": "redacted_thinking", "data": "c2VjcmV0"}, "anthropic"),
        TextPart("Thursday."),
    )


def test_thinking_that_is_not_shown_keeps_its_signature():
    one = reply(
        *stream(start(0, type="thinking", thinking=""), delta(0, "signature_delta", signature="c2VhbA=="), stop(0))
    )
    assert one.message.parts == (ReasoningPart("", "c2VhbA==", {"anthropic": {}}),)


def test_calls_of_tools_come_piece_by_piece_and_without_arguments():
    one = reply(
        *stream(
            start(0, type="text", text="I look."),
            stop(0),
            start(1, type="tool_use", id="toolu_1", name="find", input={}, caller={"type": "direct"}),
            delta(1, "input_json_delta", partial_json=""),
            delta(1, "input_json_delta", partial_json='{"ö":'),
            delta(1, "input_json_delta", partial_json=" 1}"),
            stop(1),
            start(2, type="tool_use", id="toolu_2", name="now", input={}),
            stop(2),
            reason="tool_use",
        )
    )
    assert (one.text, one.finish_reason) == ("I look.", "tool_calls")
    assert one.tool_calls == (
        ToolCallPart("toolu_1", "find", '{"ö": 1}', {"anthropic": {"caller": {"type": "direct"}}}),
        ToolCallPart("toolu_2", "now", "{}"),
    )


def test_what_the_providers_own_tools_did_is_kept_as_it_came():
    asked = {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {}}
    one = reply(
        *stream(
            start(0, **asked),
            delta(0, "input_json_delta", partial_json='{"query": "shop"}'),
            stop(0),
            start(1, **SEARCHED),
            stop(1),
            start(2, type="text", text="", citations=[]),
            delta(2, "text_delta", text="So it is."),
            delta(2, "citations_delta", citation=CITATION),
            stop(2),
        )
    )
    assert one.message.parts == (
        OpaquePart("server_tool_use", asked | {"input": {"query": "shop"}}, "anthropic"),
        OpaquePart("web_search_tool_result", SEARCHED, "anthropic"),
        TextPart("So it is.", {"anthropic": {"citations": [CITATION]}}),
    )


@pytest.mark.parametrize(
    ("said", "means"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "refusal"),
        ("pause_turn", "pause_turn"),
        ("a_new_one", "a_new_one"),
    ],
)
def test_every_reason_has_its_meaning_and_those_to_come_keep_their_word(said, means):
    streamed, at_once = reply(*stream(reason=said)), whole(message(reason=said))
    assert [one.finish_reason for one in (streamed, at_once)] == [means, means]
    assert streamed.extra["stop_reason"] == said


def test_what_else_is_said_of_the_reply_is_kept():
    content = message() | {"container": {"id": "c1"}, "stop_details": {"type": "refusal", "category": None}}
    assert whole(content).extra == {
        "stop_reason": "end_turn",
        "container": {"id": "c1"},
        "stop_details": {"type": "refusal", "category": None},
    }


def test_events_and_blocks_of_kinds_to_come_do_no_harm():
    one = reply(
        {"type": "new_event", "x": 1},
        *stream(
            start(0, type="new_block", a=1),
            delta(0, "new_delta", b=2),
            stop(0),
            start(1, type="text", text="Hi"),
            stop(1),
            stop(7),
        ),
    )
    assert one.text == "Hi"
    assert one.message.parts[0] == OpaquePart("new_block", {"type": "new_block", "a": 1, "b": 2}, "anthropic")


@pytest.mark.parametrize(
    ("error", "kind", "retryable"),
    [
        ({"type": "overloaded_error", "message": "Overloaded"}, Unavailable, True),
        ({"type": "api_error", "message": "Internal"}, Unavailable, True),
        ({"type": "rate_limit_error", "message": "of ours"}, RateLimited, True),
        ({"type": "invalid_request_error", "message": "none of it"}, InvalidRequest, False),
    ],
)
def test_an_error_in_the_middle_comes_after_what_came_before(error, kind, retryable):
    chunks, failure = read(*map(event, HELLO[:5]), event({"type": "error", "error": error}))
    assert "".join(chunk.text for chunk in chunks) == "Hello"
    assert type(failure) is kind
    assert failure.retryable is retryable
    assert error["message"] not in str(failure)


@pytest.mark.parametrize("cut", range(1, len(HELLO) - 2))
def test_a_stream_that_ends_before_its_reason_was_cut_off(cut):
    chunks, failure = read(*map(event, HELLO[:cut]))
    assert type(failure) is Unavailable
    assert "no stop reason" in str(failure)
    assert "Hello".startswith("".join(chunk.text for chunk in chunks))


def test_a_stream_that_ends_after_its_reason_is_whole():
    assert read(*map(event, HELLO[:-1]))[1] is None


@pytest.mark.parametrize(
    "odd",
    [
        b"data: {,}\n\n",
        b"data: 7\n\n",
        event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": 7}}),
        event({"type": "content_block_delta", "index": 9, "delta": {"type": "signature_delta", "signature": "x"}}),
        event({"type": "content_block_delta", "index": 0}),
        event(start(3, type="tool_use", name="no id")),
        event(start(0, type="server_tool_use", id="a")) + event(delta(0, "input_json_delta", partial_json="{"))
        + event(stop(0)),
    ],
)  # fmt: skip
def test_an_event_that_is_none_is_a_typed_error_after_what_came_before(odd):
    chunks, failure = read(*map(event, HELLO[:4]), odd)
    assert "".join(chunk.text for chunk in chunks) == "Hel"
    assert type(failure) is Unavailable


@pytest.mark.parametrize("content", [{}, [], {"content": 1}, {"type": "message", "content": [{"text": "x"}]}])
def test_a_whole_reply_that_is_none_is_a_typed_error(content):
    assert type(read(json.dumps(content).encode(), headers=JSON, streamed=False)[1]) is Unavailable


def test_a_reply_takes_no_more_memory_than_it_may():
    wire = AnthropicWire(max_kept_bytes=20_000)
    piece = event(delta(0, "text_delta", text="x" * 900))
    _, failure = read(*map(event, HELLO[:2]), *[piece] * 40, wire=wire)
    assert (failure.code, failure.retryable) == ("reply_too_long", False)


words = st.text(min_size=1, max_size=12)
calls = st.fixed_dictionaries({"a": st.integers() | words})
blocks = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, words),
    st.builds(lambda text: {"type": "text", "text": text, "citations": [CITATION]}, words),
    st.builds(lambda text, seal: {"type": "thinking", "thinking": text, "signature": seal}, words, words),
    st.just({"type": "redacted_thinking", "data": "x"}),
    st.builds(
        lambda name, given: {"type": "tool_use", "id": f"toolu_{name}", "name": name, "input": given},
        st.sampled_from(["find", "mail"]),
        calls,
    ),
    st.just(SEARCHED),
)
replies = st.builds(lambda them: message(*them), st.lists(blocks, min_size=1, max_size=5))


def write(chunks, *, streamed):
    writer = ANTHROPIC_WIRE.writer(model="m", id="i", created=0, streamed=streamed)
    return writer.write(chunks) + writer.end()


def normal(parts):
    """Join texts that stand side by side, which are one to who reads them."""
    joined = []
    for part in parts:
        last = joined[-1] if joined else None
        if type(part) is TextPart and type(last) is TextPart and last.extra is None:
            joined[-1] = TextPart(last.text + part.text, part.extra)
        else:
            joined.append(part)
    return joined


@given(replies)
def test_a_reply_is_the_same_whole_or_streamed_and_after_it_was_written_again(content):
    first = whole(content)
    for streamed in (True, False):
        body = write(first.chunks, streamed=streamed)
        chunks, failure = read(body, headers=STREAM if streamed else JSON, streamed=streamed)
        assert failure is None
        again = Reply.of(chunks, CallRecord(clock))
        assert normal(again.message.parts) == normal(first.message.parts)
        assert (again.text, again.reasoning, again.tool_calls) == (first.text, first.reasoning, first.tool_calls)
        assert (again.usage, again.finish_reason) == (first.usage, first.finish_reason)


def meant(chunks):
    """Give what chunks are, and the provider's own events, in whichever form a reader keeps these."""
    return [(chunk._replace(event=None), chunk.raw) for chunk in chunks]


@settings(max_examples=60)
@given(replies, st.lists(st.integers(0, 4000), max_size=6))
def test_however_the_bytes_are_cut_the_chunks_are_the_same(content, cuts):
    body = write(whole(content).chunks, streamed=True)
    places = sorted({min(cut, len(body)) for cut in cuts} | {0, len(body)})
    together, _ = read(body)
    apart, _ = read(*[body[a:b] for a, b in itertools.pairwise(places)])
    assert meant(apart) == meant(together)


@settings(max_examples=100)
@given(st.binary(max_size=6), st.integers(0, 3000), st.integers(0, 9))
def test_damaged_bytes_end_in_chunks_or_in_one_typed_failure(noise, at, length):
    body = bytearray(b"".join(map(event, HELLO)))
    at = min(at, len(body))
    body[at : at + length] = noise
    _, failure = read(bytes(body))
    assert failure is None or isinstance(failure, ProviderError)


def test_a_reply_of_another_wire_can_be_written_as_this_ones():
    chunks = [
        Chunk("Hi "),
        Chunk(tool_calls=(ToolCallDelta(0, "call_1", "find"),)),
        Chunk(tool_calls=(ToolCallDelta(0, arguments="{not json"),)),
        Chunk(finish_reason="length", usage=Usage(3, 4)),
    ]
    one = Reply.of(read(write(chunks, streamed=True))[0], CallRecord(clock))
    assert (one.text, one.finish_reason, one.usage) == ("Hi ", "length", Usage(3, 4))
    content = json.loads(write(chunks, streamed=False))
    assert content["content"][1]["input"] == {"INVALID_JSON": "{not json"}


def test_blocks_may_begin_with_words_and_messages_with_blocks():
    begun = begin(content=[{"type": "text", "text": "So "}])
    one = reply(begun, start(0, type="thinking", thinking="hm", signature="c2VhbA=="), *ending())
    assert (one.text, one.reasoning) == ("So ", "hm")
    assert one.message.parts[1].signature == "c2VhbA=="


def test_a_block_that_nobody_ends_is_ended_with_the_reply():
    one = reply(begin(), start(0, type="tool_use", id="toolu_1", name="now", input={"a": 1}), *ending("tool_use"))
    assert one.tool_calls == (ToolCallPart("toolu_1", "now", '{"a": 1}'),)
    chunks, failure = read(event(begin()), event(start(0, **SEARCHED)), event({"type": "message_stop"}))
    assert failure is None
    assert Reply.of(chunks, CallRecord(clock)).message.parts == (
        OpaquePart("web_search_tool_result", SEARCHED, "anthropic"),
    )


def test_what_is_said_after_the_reason_is_told_at_the_end():
    said = {"type": "message_delta", "delta": {"container": {"id": "c"}}, "usage": None}
    one = reply(*HELLO[:-1], said, HELLO[-1])
    assert one.extra["container"] == {"id": "c"}


def test_signs_of_life_of_other_servers_do_no_harm():
    chunks, failure = read(*map(event, HELLO[:-1]), b"data: null\n\n", b"data: [DONE]\n\n", b": x\n\n")
    assert failure is None
    assert "".join(chunk.text for chunk in chunks) == "Hello"


def test_parts_that_come_whole_are_blocks_of_their_own():
    parts = (ReasoningPart("hm", None), TextPart("Hi"), RefusalPart("no"), ImagePart(url="https://a.test/x"))
    chunks = [Chunk("So."), Chunk(parts=parts), Chunk("Bye", parts=(RefusalPart(""),)), Chunk(finish_reason="stop")]
    found = json.loads(write(chunks, streamed=False))["content"]
    assert [block["type"] for block in found] == ["text", "thinking", "text", "text", "text"]
    streamed = Reply.of(read(write(chunks, streamed=True))[0], CallRecord(clock))
    assert (streamed.text, streamed.reasoning) == ("So.HinoBye", "hm")


def test_texts_of_one_block_are_read_by_what_is_around_them_and_those_of_the_next_too(monkeypatch):
    parsed = []

    def counted(data, *how):
        parsed.append(data)
        return parse(data, *how)

    monkeypatch.setattr("inferkit.providers.wires.reply_reader.parse", counted)
    events = [begin()]
    for index in range(9):
        events.append(start(index, type="text", text=""))
        events += [delta(index, "text_delta", text=f"añ語 {number}") for number in range(20)]
        events.append(stop(index))
    one = reply(*events, *ending())
    assert one.text == "".join(f"añ語 {number}" for number in range(20)) * 9
    assert [raw["index"] for raw in one.raw if raw.get("delta", {}).get("text")] == [
        each for each in range(9) for _ in range(20)
    ]
    assert sum(b"text_delta" in data for data in parsed) >= 9
    assert len(parsed) < 9 * 22


@pytest.mark.parametrize(
    "odd",
    [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}, "more": 1},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": 7}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "text": "x"}},
        {"type": "content_block_delta", "index": 0, "delta": "text"},
        [],
    ],
)
def test_an_event_that_brings_more_than_text_teaches_nothing(odd):
    assert plain_text(odd) is None
