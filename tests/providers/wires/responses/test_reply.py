"""Replies of the Responses wire, from bytes to chunks and back."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given, settings, strategies as st

from inferkit.core.chunks import Chunk, TokenLogprob, ToolCallDelta
from inferkit.core.errors import ContentFiltered, InvalidRequest, ProviderError, RateLimited, Unavailable
from inferkit.core.messages import ImagePart, OpaquePart, ReasoningPart, RefusalPart, TextPart, ToolCallPart
from inferkit.core.record import CallRecord
from inferkit.core.reply import Reply
from inferkit.core.usage import Usage, UsageDetails
from inferkit.providers.endpoints import Endpoint
from inferkit.providers.wires.responses.wire import RESPONSES_WIRE, ResponsesWire
from inferkit.runtime import clock
from responses_wire import HELLO, call, event, message, reasoning, response, stream, text

STREAM, JSON = {"content-type": "text/event-stream"}, {"content-type": "application/json"}
ENDPOINT = Endpoint("acme", "https://acme.test/v1")
CITED = {"type": "url_citation", "start_index": 0, "end_index": 2, "title": "t", "url": "https://a.test"}
SEARCHED = {
    "id": "ws_1",
    "type": "web_search_call",
    "status": "completed",
    "action": {"type": "search", "query": "shop", "queries": ["shop"]},
}
PLAIN = {"id": "msg_1", "status": "completed"}
REFUSED = {"type": "refusal", "refusal": "I cannot help."}
CUSTOM = {"id": "ctc_1", "type": "custom_tool_call", "call_id": "call_c", "name": "sql", "input": "select 1"}


def read(*pieces, headers=STREAM, streamed=True, wire=RESPONSES_WIRE):
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
    assert failure is None, failure.detail or failure
    return Reply.of(chunks, CallRecord(clock))


def whole(content):
    chunks, failure = read(json.dumps(content).encode(), headers=JSON, streamed=False)
    assert failure is None, failure
    return Reply.of(chunks, CallRecord(clock))


def both(*output, **more):
    """Give one reply, streamed and whole, which has to be the same."""
    one, other = reply(*stream(*output, **more)), whole(response(*output, **more))
    for name in ("message", "text", "reasoning", "tool_calls", "usage", "finish_reason", "extra"):
        assert getattr(one, name) == getattr(other, name)
    return one


def test_a_reply_of_text_is_its_text_with_all_tokens_that_it_took():
    one = both()
    assert (one.text, one.finish_reason) == ("Hello", "stop")
    details = UsageDetails(cache_write_30m_tokens=2, cache_write_12h_tokens=3, service_tier="default")
    assert one.usage == Usage(25, 9, 12, 5, 4, details=details)
    assert one.extra == {"service_tier": "default"}
    assert one.message.parts == (TextPart("Hello", {"responses": {"message": PLAIN}}),)
    assert reply(*HELLO).raw[0]["type"] == "response.output_text.delta"


def test_who_it_is_is_known_with_the_first_event():
    reader = RESPONSES_WIRE.reader(ENDPOINT, STREAM, streamed=True)
    reader.feed(event(HELLO[0]))
    assert (reader.model, reader.id, reader.complete) == ("gpt-5-mini-2026-01", "resp_1", False)
    reader = RESPONSES_WIRE.reader(ENDPOINT, STREAM, streamed=True)
    reader.feed(event(HELLO[-1]))
    assert (reader.model, reader.id, reader.complete) == ("gpt-5-mini-2026-01", "resp_1", True)


def test_reasoning_is_sealed_with_what_is_encrypted():
    one = both(reasoning("Let me see."), message(text("Thursday.")))
    assert (one.reasoning, one.text) == ("Let me see.", "Thursday.")
    assert one.message.parts[0] == ReasoningPart("Let me see.", "c2VhbA==", {"responses": {"id": "rs_1"}})


def test_reasoning_that_is_not_shown_keeps_its_seal_and_parts_of_it_are_kept_apart():
    (part,) = both(reasoning()).message.parts
    assert part == ReasoningPart("", "c2VhbA==", {"responses": {"id": "rs_1"}})
    several = reasoning("One.", "Two.", status="completed")
    one = both(several)
    assert one.reasoning == "One.\n\nTwo."
    fields = {"id": "rs_1", "status": "completed", "summary": several["summary"]}
    assert one.message.parts == (ReasoningPart("One.\n\nTwo.", "c2VhbA==", {"responses": fields}),)


def test_reasoning_in_full_is_reasoning_too():
    item = reasoning(encrypted_content=None, content=[{"type": "reasoning_text", "text": "All of it."}])
    one = both(item, message())
    assert one.reasoning == "All of it."
    fields = {"id": "rs_1", "summary": [], "content": item["content"]}
    assert one.message.parts[0] == ReasoningPart("All of it.", None, {"responses": fields})


def test_calls_of_tools_come_piece_by_piece():
    one = both(call(arguments='{"ö": 1}'), call("now", "{}", 2, namespace="clock"), CUSTOM)
    assert one.finish_reason == "tool_calls"
    assert one.tool_calls == (
        ToolCallPart("call_1", "find", '{"ö": 1}', {"responses": {"id": "fc_1", "status": "completed"}}),
        ToolCallPart("call_2", "now", "{}", {"responses": {"id": "fc_2", "status": "completed", "namespace": "clock"}}),
        ToolCallPart("call_c", "sql", "select 1", {"responses": {"id": "ctc_1"}}, "custom"),
    )


def test_what_the_providers_own_tools_did_is_kept_as_it_came_and_counted():
    page = {**SEARCHED, "id": "ws_2", "action": {"type": "open_page", "url": "https://a.test"}}
    hosted = {"type": "shell_call_output", "id": "o", "call_id": "c", "output": []}
    files = {"type": "file_search_call", "id": "fs_1", "status": "completed", "queries": ["x"]}
    one = both(SEARCHED, page, files, hosted, message(text("So it is.", annotations=[CITED])))
    assert one.message.parts == (
        OpaquePart("web_search_call", SEARCHED, "responses"),
        OpaquePart("web_search_call", page, "responses"),
        OpaquePart("file_search_call", files, "responses"),
        OpaquePart("shell_call_output", hosted, "responses"),
        TextPart("So it is.", {"responses": {"annotations": [CITED], "message": PLAIN}}),
    )
    assert one.usage.details.server_tools == (("file_search", 1), ("shell", 1), ("web_search", 1))
    told = both(SEARCHED, tool_usage={"web_search": {"num_requests": 4}})
    assert told.usage.details.server_tools == (("web_search", 4),)
    assert both(SEARCHED, tool_usage={"web_search": {"num_requests": 0}}).usage.details.server_tools == ()
    assert both(page).usage.details.server_tools == ()


def test_a_message_of_several_parts_knows_that_they_are_one():
    one = both(message(text("Hi"), REFUSED, text("Bye", annotations=[CITED]), phase="final_answer"))
    assert (one.text, one.finish_reason) == ("HiI cannot help.Bye", "refusal")
    first = {"id": "msg_1"}
    last = {"id": "msg_1", "phase": "final_answer", "status": "completed"}
    assert one.message.parts == (
        TextPart("Hi", {"responses": {"message": first}}),
        RefusalPart("I cannot help.", {"responses": {"message": first}}),
        TextPart("Bye", {"responses": {"annotations": [CITED], "message": last}}),
    )


def test_a_refusal_is_text_that_is_one():
    one = both(message(REFUSED))
    assert (one.text, one.finish_reason) == ("I cannot help.", "refusal")
    assert one.message.parts == (RefusalPart("I cannot help.", {"responses": {"message": PLAIN}}),)


def test_how_likely_tokens_were_comes_with_them():
    told = [{"token": "Hel", "logprob": -0.5, "top_logprobs": [{"token": "Hal", "logprob": -2.0}]}]
    events = stream()
    piece = next(each for each in events if each["type"] == "response.output_text.delta")
    piece["logprobs"] = told
    expected = (TokenLogprob("Hel", -0.5, (("Hal", -2.0),)),)
    assert reply(*events).logprobs == expected
    assert whole(response(message(text(logprobs=told)))).logprobs == expected


@pytest.mark.parametrize(
    ("why", "means"),
    [
        ({"reason": "max_output_tokens"}, "length"),
        ({"reason": "content_filter"}, "content_filter"),
        ({"reason": "a_new_one"}, "a_new_one"),
        (None, "incomplete"),
    ],
)
def test_a_reply_that_is_not_complete_says_why(why, means):
    one = both(message(status="incomplete"), status="incomplete", incomplete_details=why)
    assert one.finish_reason == means
    assert one.extra.get("incomplete_details") == why
    assert one.message.parts[0].extra["responses"]["message"]["status"] == "incomplete"


def test_what_else_is_said_of_the_reply_is_kept_and_what_repeats_the_request_is_not():
    one = both(moderation={"flagged": False}, conversation={"id": "conv_1"}, prompt_cache_key="k", truncation="auto")
    assert one.extra == {
        "service_tier": "default",
        "moderation": {"flagged": False},
        "conversation": {"id": "conv_1"},
    }


def test_kinds_of_events_items_and_parts_to_come_do_no_harm():
    new = {"type": "new_item", "id": "x", "content": "y"}
    odd = message({"type": "output_hologram", "data": "x"}, text("Hi"))
    one = reply({"type": "response.new", "x": 1}, *stream(new, odd))
    assert one.message.parts[0] == OpaquePart("new_item", new, "responses")
    assert one.text == "Hi"
    assert whole(response(new, odd)).text == "Hi"


@pytest.mark.parametrize(
    ("error", "kind", "retryable"),
    [
        ({"code": "server_error", "message": "of ours"}, Unavailable, True),
        ({"code": "rate_limit_exceeded", "message": "of ours"}, RateLimited, True),
        ({"code": "invalid_image", "message": "of ours"}, InvalidRequest, False),
        ({"code": "image_content_policy_violation", "message": "of ours"}, ContentFiltered, False),
        ({"code": "a_new_one", "message": "of ours"}, Unavailable, True),
    ],
)
def test_a_reply_that_failed_is_an_error_after_what_came_before(error, kind, retryable):
    for pieces, headers, streamed in (
        (map(event, stream(status="failed", error=error)), STREAM, True),
        ([json.dumps(response(status="failed", error=error)).encode()], JSON, False),
        ([*map(event, HELLO[:7]), event({"type": "error", **error, "param": None})], STREAM, True),
        ([*map(event, HELLO[:7]), event({"type": "error", "error": error})], STREAM, True),
    ):
        chunks, failure = read(*pieces, headers=headers, streamed=streamed)
        assert "Hello".startswith("".join(chunk.text for chunk in chunks))
        assert chunks
        assert (type(failure), failure.code, failure.retryable) == (kind, error["code"], retryable)
        assert "of ours" not in str(failure)
        assert failure.detail == "of ours"


def test_what_a_reply_took_that_failed_is_told():
    chunks, failure = read(*map(event, stream(status="failed", error={"code": "server_error", "message": "x"})))
    assert failure is not None
    assert chunks[-1].usage.output_tokens == 9
    chunks, failure = read(*map(event, stream(status="cancelled", usage=None)))
    assert (type(failure), failure.code) == (Unavailable, "cancelled")
    assert all(chunk.usage is None for chunk in chunks)


@pytest.mark.parametrize("cut", range(1, len(HELLO)))
def test_a_stream_that_ends_before_its_end_was_cut_off(cut):
    chunks, failure = read(*map(event, HELLO[:cut]))
    assert type(failure) is Unavailable
    assert "no response.completed" in str(failure)
    assert "Hello".startswith("".join(chunk.text for chunk in chunks))


@settings(max_examples=60)
@given(st.integers(1, len(b"".join(map(event, HELLO))) - len(event(HELLO[-1]))))
def test_a_stream_that_is_cut_anywhere_is_a_typed_error_with_its_partial_text(at):
    chunks, failure = read(b"".join(map(event, HELLO))[:at])
    assert type(failure) is Unavailable
    assert "Hello".startswith("".join(chunk.text for chunk in chunks))


@pytest.mark.parametrize(
    "odd",
    [
        b"data: {,}\n\n",
        b"data: 7\n\n",
        event({"type": "response.output_text.delta", "delta": 7}),
        event({"type": "response.output_text.delta", "output_index": [], "delta": "x"}),
        event({"type": "response.refusal.delta"}),
        event({"type": "response.output_item.done", "item": {"type": 7}}),
        event({"type": "response.output_item.added", "item": {"type": "function_call", "name": "no id"}}),
        event({"type": "response.completed"}),
        event({"type": "response.completed", "response": []}),
    ],
)
def test_an_event_that_is_none_is_a_typed_error_after_what_came_before(odd):
    chunks, failure = read(*map(event, HELLO[:5]), odd)
    assert "".join(chunk.text for chunk in chunks) == "Hel"
    assert type(failure) is Unavailable


@pytest.mark.parametrize(
    "content",
    [
        {},
        [],
        {"output": 1},
        response({"type": "message", "content": [{"text": "x"}]}),
        response(status="queued"),
        response(status="in_progress"),
    ],
)
def test_a_whole_reply_that_is_none_is_a_typed_error(content):
    assert type(read(json.dumps(content).encode(), headers=JSON, streamed=False)[1]) is Unavailable


def test_a_reply_takes_no_more_memory_than_it_may():
    wire = ResponsesWire(max_kept_bytes=20_000)
    piece = event({"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "x" * 900})
    _, failure = read(*map(event, HELLO[:4]), *[piece] * 40, wire=wire)
    assert (failure.code, failure.retryable) == ("reply_too_long", False)


def test_a_server_may_say_everything_at_the_end():
    item = response(reasoning("hm"), message(text("Hi"), REFUSED), call())
    for events in (
        [{"type": "response.completed", "response": item}],
        [
            *[{"type": "response.output_item.done", "item": each} for each in item["output"]],
            {"type": "response.completed", "response": item},
        ],
    ):
        assert reply(*events).message == whole(item).message


def test_a_server_may_leave_out_where_its_pieces_stand():
    """One text, its item and no indices at all."""
    bare = [
        {name: value for name, value in each.items() if name not in {"output_index", "content_index", "item_id"}}
        for each in stream()
    ]
    assert reply(*bare).message == whole(response()).message


def test_texts_and_calls_may_be_whole_when_they_begin():
    part = {"type": "response.content_part.added", "output_index": 0, "content_index": 0}
    one = reply(
        HELLO[0],
        {"type": "response.output_item.added", "output_index": 0, "item": message(text("So."))},
        {**part, "part": text("So.")},
        {"type": "response.output_item.added", "output_index": 1, "item": call()},
        {"type": "response.function_call_arguments.delta", "output_index": 7, "delta": "lost"},
        {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": ""},
        {"type": "response.reasoning_text.delta", "output_index": 2, "delta": ""},
        {"type": "response.output_item.done", "output_index": 1, "item": call()},
        HELLO[-1],
    )
    assert (one.text, one.reasoning) == ("So.", "")
    assert one.tool_calls[0].arguments == '{"id": 7}'


def test_a_message_that_says_nothing_of_itself_is_plain_text():
    one = both({"type": "message", "role": "assistant", "content": [text("Hi")]})
    assert one.message.parts == (TextPart("Hi"),)


def test_what_was_never_ended_is_ended_with_the_reply():
    one = reply(*HELLO[:6], HELLO[-1])
    assert one.message.parts == (TextPart("Hello", {"responses": {"message": {"id": "msg_1"}}}),)


words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
texts = st.builds(lambda said, notes: text(said, annotations=notes), words, st.sampled_from([[], [CITED]]))
contents = st.lists(texts | st.builds(lambda said: {"type": "refusal", "refusal": said}, words), min_size=1, max_size=3)
items = st.one_of(
    st.builds(lambda content: ("message", content), contents),
    st.builds(lambda summaries: ("reasoning", summaries), st.lists(words, max_size=1)),
    st.builds(lambda name, given: ("call", (name, given)), st.sampled_from(["find", "mail"]), words),
    st.just(("custom", None)),
    st.just(("search", None)),
)


def numbered(kinds):
    """Give each item an id of its own."""
    made = {
        "message": lambda number, content: message(*content, id=f"msg_{number}", phase="final_answer"),
        "reasoning": lambda number, summaries: reasoning(*summaries, id=f"rs_{number}"),
        "call": lambda number, what: call(what[0], what[1], number),
        "custom": lambda number, _: {**CUSTOM, "id": f"ctc_{number}", "call_id": f"c_{number}"},
        "search": lambda number, _: {**SEARCHED, "id": f"ws_{number}"},
    }
    return response(*[made[kind](number, what) for number, (kind, what) in enumerate(kinds)])


replies = st.builds(numbered, st.lists(items, min_size=1, max_size=5))


def write(chunks, *, streamed, batch=None):
    writer = RESPONSES_WIRE.writer(model="m", id="i", created=0, streamed=streamed)
    batches = [chunks] if batch is None else [chunks[at : at + batch] for at in range(0, len(chunks), batch)]
    return b"".join([writer.write(each) for each in batches]) + writer.end()


@given(replies)
def test_a_reply_is_the_same_whole_or_streamed_and_after_it_was_written_again(content):
    first = both(*content["output"])
    for streamed in (True, False):
        body = write(whole(content).chunks, streamed=streamed)
        chunks, failure = read(body, headers=STREAM if streamed else JSON, streamed=streamed)
        assert failure is None
        again = Reply.of(chunks, CallRecord(clock))
        assert again.message == first.message
        assert (again.text, again.reasoning, again.tool_calls) == (first.text, first.reasoning, first.tool_calls)
        assert (again.usage, again.finish_reason, again.extra) == (first.usage, first.finish_reason, first.extra)


@given(replies)
def test_a_stream_is_written_again_as_it_comes_chunk_by_chunk(content):
    """The ids, to which what is encrypted is bound, are those of the provider's own events."""
    first = reply(*stream(*content["output"]))
    chunks, failure = read(write(list(first.chunks), streamed=True, batch=1))
    assert failure is None
    assert Reply.of(chunks, CallRecord(clock)).message == first.message


def meant(chunks):
    """Give what chunks are, and the provider's own events, in whichever form a reader keeps these."""
    return [(chunk._replace(event=None), chunk.raw) for chunk in chunks]


@settings(max_examples=60)
@given(replies, st.lists(st.integers(0, 4000), max_size=6))
def test_however_the_bytes_are_cut_the_chunks_are_the_same(content, cuts):
    body = b"".join(map(event, stream(*content["output"])))
    places = sorted({min(cut, len(body)) for cut in cuts} | {0, len(body)})
    together, _ = read(body)
    apart, _ = read(*[body[a:b] for a, b in itertools.pairwise(places)])
    assert meant(apart) == meant(together)


@settings(max_examples=100)
@given(st.binary(max_size=6), st.integers(0, 6000), st.integers(0, 9))
def test_damaged_bytes_end_in_chunks_or_in_one_typed_failure(noise, at, length):
    body = bytearray(b"".join(map(event, stream(reasoning("hm"), message(), call()))))
    at = min(at, len(body))
    body[at : at + length] = noise
    _, failure = read(bytes(body))
    assert failure is None or isinstance(failure, ProviderError)


def counted(function, *given):
    """Count the calls of Python functions that something takes."""
    import sys

    count = 0

    def tally(*_):
        nonlocal count
        count += 1

    sys.setprofile(tally)
    try:
        function(*given)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("kind", ["one long text", "many items"])
def test_reading_and_writing_take_time_in_proportion(kind):
    def events(size):
        if kind == "many items":
            return stream(*[message(id=f"msg_{number}") for number in range(size)])
        piece = {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "x"}
        return [*HELLO[:4], *[piece] * size, *HELLO[6:]]

    def work(size):
        chunks, failure = read(b"".join(map(event, events(size))))
        assert failure is None
        write(chunks, streamed=True, batch=1)

    work(1)
    small, large = counted(work, 100), counted(work, 1000)
    assert large < 14 * small


def test_a_reply_of_another_wire_can_be_written_as_this_ones():
    foreign = ReasoningPart("", "c2ln", {"anthropic": {}})
    chunks = [
        Chunk(reasoning="hm"),
        Chunk("Hi "),
        Chunk(parts=(foreign,)),
        Chunk("there"),
        Chunk(tool_calls=(ToolCallDelta(0, "call_1"), ToolCallDelta(1, None, "now"))),
        Chunk(tool_calls=(ToolCallDelta(0, arguments="{"),)),
        Chunk(tool_calls=(ToolCallDelta(0, None, "find", "}"), ToolCallDelta(1, "late", arguments="{}"))),
        Chunk(finish_reason="budget", usage=Usage(3, 4), extra={"native_finish_reason": "x", "tools": "of theirs"}),
    ]
    for streamed in (True, False):
        body = write(chunks, streamed=streamed)
        one = Reply.of(read(body, headers=STREAM if streamed else JSON)[0], CallRecord(clock))
        assert (one.text, one.reasoning, one.finish_reason, one.usage) == ("Hi there", "hm", "length", Usage(3, 4))
        assert {(each.id, each.name, each.arguments) for each in one.tool_calls} == {
            ("call_1", "find", "{}"),
            ("call_fc_i_4", "now", "{}"),
        }
        assert one.message.parts[0] == ReasoningPart("hm", None, {"responses": {"id": "rs_i_0"}})
        assert one.extra["native_finish_reason"] == "x"


def test_a_call_whose_name_never_comes_is_a_call_all_the_same():
    body = write([Chunk(tool_calls=(ToolCallDelta(0, "call_1", arguments="{}"),))], streamed=True)
    assert Reply.of(read(body)[0], CallRecord(clock)).tool_calls[0].name == ""


def test_parts_that_come_whole_are_items_of_their_own():
    parts = (
        ReasoningPart("hm", None),
        ReasoningPart("", "c2VhbA==", {"responses": {"id": "rs_7"}}),
        TextPart("Hi", {"responses": {"message": {"id": "msg_7"}}}),
        TextPart("there", {"responses": {"message": {"id": "msg_7"}}}),
        RefusalPart("no"),
        ImagePart(url="https://a.test/x"),
        OpaquePart("redacted_thinking", {}, "anthropic"),
        OpaquePart("web_search_call", SEARCHED, "responses"),
        ReasoningPart("theirs", "x", {"anthropic": {}}),
        ReasoningPart("", "x", {"anthropic": {}}),
    )
    chunks = [Chunk("So."), Chunk(parts=parts), Chunk("Bye", parts=(RefusalPart(""),)), Chunk(finish_reason="stop")]
    found = json.loads(write(chunks, streamed=False))["output"]
    assert [(item["type"], item["id"]) for item in found] == [
        ("message", "msg_i_0"),
        ("reasoning", "rs_i_1"),
        ("reasoning", "rs_7"),
        ("message", "msg_7"),
        ("message", "msg_i_4"),
        ("web_search_call", "ws_1"),
        ("reasoning", "rs_i_6"),
        ("message", "msg_i_7"),
    ]
    assert "encrypted_content" not in found[6]
    streamed = Reply.of(read(write(chunks, streamed=True))[0], CallRecord(clock))
    assert (streamed.text, streamed.finish_reason) == ("So.HithereNoBye".replace("N", "n"), "refusal")


def test_what_is_encrypted_is_not_written_under_another_id():
    """It is bound to its own, and the provider would refuse it."""
    seal = Chunk(parts=(ReasoningPart("", "c2VhbA==", {"responses": {"id": "rs_9"}}),))
    chunks = [Chunk(reasoning="hm"), seal, Chunk("Hi", finish_reason="stop")]
    apart = Reply.of(read(write(chunks, streamed=True, batch=1))[0], CallRecord(clock))
    assert apart.message.parts[0].signature is None
    together = Reply.of(read(write(chunks, streamed=True))[0], CallRecord(clock))
    assert together.message.parts[0] == ReasoningPart("hm", "c2VhbA==", {"responses": {"id": "rs_9"}})


def test_how_likely_tokens_were_is_written_with_them_or_after_them():
    tokens = (TokenLogprob("Hi", -0.5, (("Ho", -1.0),)),)
    seal = TextPart("", {"responses": {"message": {"id": "msg_1"}}})
    for chunks in (
        [Chunk("Hi", logprobs=tokens), Chunk(finish_reason="stop")],
        [Chunk("Hi", parts=(seal,)), Chunk(finish_reason="stop", logprobs=tokens)],
    ):
        for streamed in (True, False):
            body = write(chunks, streamed=streamed)
            one = Reply.of(read(body, headers=STREAM if streamed else JSON)[0], CallRecord(clock))
            assert (one.text, one.logprobs) == ("Hi", tokens)
    body = write([Chunk(finish_reason="stop", logprobs=tokens)], streamed=True)
    assert Reply.of(read(body)[0], CallRecord(clock)).logprobs == ()


def test_a_seal_without_its_words_does_no_harm():
    seals = (TextPart("", {"responses": {"annotations": [CITED]}}), RefusalPart("", {"responses": {"x": 1}}))
    chunks = [Chunk(parts=seals), Chunk("Hi"), Chunk(parts=seals[1:]), Chunk(finish_reason="stop")]
    assert Reply.of(read(write(chunks, streamed=True))[0], CallRecord(clock)).text == "Hi"


def test_events_of_this_wire_without_a_place_are_read_for_ids_that_are_there():
    for raw in (b'{"item_id": 7}', b'["item_id"]', b'{"x": 1}', {"item_id": "x"}):
        body = write([Chunk("Hi", event=raw), Chunk(finish_reason="stop")], streamed=True)
        assert b'"msg_i_0"' in body


def test_an_empty_reply_is_a_reply():
    assert reply(*stream(output=[])).message.parts == ()
    for streamed in (True, False):
        body = write([], streamed=streamed)
        assert read(body, headers=STREAM if streamed else JSON, streamed=streamed)[1] is None


def test_calls_one_after_the_other_are_written_one_after_the_other():
    calls = [call("find", '{"id": 7}', 1), call("find", '{"id": 8}', 2)]
    written = write(list(reply(*stream(*calls)).chunks), streamed=True, batch=1)
    assert written.index(b"function_call_arguments.done") < written.rindex(b"output_item.added")


def test_calls_that_come_in_turns_stay_whole():
    pieces = [
        ToolCallDelta(0, "c0", "find", '{"a"'),
        ToolCallDelta(1, "c1", "find", '{"b"'),
        ToolCallDelta(0, arguments=": 1}"),
        ToolCallDelta(1, arguments=": 2}"),
        ToolCallDelta(2, "c2", "find", "{}"),
        ToolCallDelta(0, arguments="\n"),
    ]
    chunks = [Chunk(tool_calls=(piece,)) for piece in pieces] + [Chunk(finish_reason="tool_calls")]
    again, failure = read(write(chunks, streamed=True, batch=1))
    assert failure is None
    found = [(one.id, one.arguments) for one in Reply.of(again, CallRecord(clock)).tool_calls]
    assert found == [("c0", '{"a": 1}'), ("c1", '{"b": 2}'), ("c2", "{}")]


def test_a_reply_repeats_what_was_asked():
    asked = {"model": "m", "input": "Hi", "instructions": "Be brief.", "temperature": 0.5, "stream": False}
    writer = RESPONSES_WIRE.writer(model="m", id="i", created=0, streamed=False, asked=asked)
    writer.write([Chunk("Hello", finish_reason="stop")])
    whole = json.loads(writer.end())
    assert (whole["instructions"], whole["temperature"], whole["status"]) == ("Be brief.", 0.5, "completed")
    assert "input" not in whole
