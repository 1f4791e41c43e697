"""Replies of the Gemini wire, from bytes to chunks and back."""

from __future__ import annotations

import base64
import itertools
import json

import pytest
from hypothesis import given, settings, strategies as st

from gemini_wire import CALL, HELLO, SIGNED, USAGE, answer, event, says
from inferkit.core.chunks import Chunk, TokenLogprob, ToolCallDelta
from inferkit.core.errors import (
    AuthenticationFailed,
    ContentFiltered,
    InvalidRequest,
    ProviderError,
    RateLimited,
    Unavailable,
)
from inferkit.core.messages import ImagePart, OpaquePart, ReasoningPart, RefusalPart, TextPart, ToolCallPart
from inferkit.core.record import CallRecord
from inferkit.core.reply import Reply
from inferkit.core.usage import Usage
from inferkit.providers.endpoints import Endpoint
from inferkit.providers.wires.gemini.wire import GEMINI_WIRE, GeminiWire
from inferkit.runtime import clock

STREAM, JSON = {"content-type": "text/event-stream"}, {"content-type": "application/json; charset=UTF-8"}
ENDPOINT = Endpoint("acme", "https://acme.test/v1beta")
PIXELS = base64.b64encode(b"pixels").decode()
LIKELY = {
    "logprobsResult": {
        "chosenCandidates": [{"token": "Hi", "logProbability": -0.5}],
        "topCandidates": [{"candidates": [{"token": "Hi", "logProbability": -0.5}]}],
    }
}
RAN = {"executableCode": {"language": "PYTHON", "code": "print(7)"}}
PRINTED = {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "7\n"}}


def thought(text, **more):
    return {"text": text, "thought": True, **more}


def read(*pieces, headers=STREAM, streamed=True, wire=GEMINI_WIRE):
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


def text_of(chunks):
    return "".join(chunk.text for chunk in chunks)


def test_a_stream_of_text_is_its_text_with_all_tokens_that_it_took():
    one = reply(*HELLO)
    assert (one.text, one.finish_reason) == ("Hello", "stop")
    assert one.usage == Usage(25, 9, 12, 0, 3)
    assert one.extra == {"finishReason": "STOP"}
    assert [raw["responseId"] for raw in one.raw] == ["r1"] * 3
    assert one.message.parts == (TextPart("Hello"),)


def test_who_it_is_and_how_large_the_prompt_was_is_known_with_the_first_event():
    reader = GEMINI_WIRE.reader(ENDPOINT, STREAM, streamed=True)
    (chunk,) = reader.feed(event(HELLO[0]))
    assert (reader.model, reader.id, reader.complete) == ("gemini-2.5-flash", "r1", False)
    assert chunk.usage == Usage(25, 2)


def test_a_whole_reply_is_read_in_the_same_words():
    one = whole(answer())
    assert (one.text, one.finish_reason, one.usage) == ("It is on its way.", "stop", Usage(25, 9, 12, 0, 3))


def test_thoughts_are_reasoning_and_go_back_as_thoughts():
    one = reply(says(thought("Let me ")), says(thought("see."), "Thurs"), says("day.", finish="STOP"))
    assert (one.reasoning, one.text) == ("Let me see.", "Thursday.")
    assert one.message.parts == (ReasoningPart("Let me see.", None, {"gemini": {}}), TextPart("Thursday."))


def test_thoughts_that_the_reply_ends_with_are_known_as_this_wires_too():
    for one in (reply(says(thought("hm"), finish="MAX_TOKENS")), whole(says(thought("hm")))):
        assert one.message.parts == (ReasoningPart("hm", None, {"gemini": {}}),)


@pytest.mark.parametrize(
    ("events", "parts"),
    [
        ([says("Hel"), says({"text": "lo", "thoughtSignature": SIGNED})],
         [TextPart("Hel"), TextPart("lo", {"gemini": {"thoughtSignature": SIGNED}})]),
        ([says("Hello"), says({"text": "", "thoughtSignature": SIGNED})],
         [TextPart("Hello"), TextPart("", {"gemini": {"thoughtSignature": SIGNED}})]),
        ([says({"text": "a", "thoughtSignature": "eA=="}), says("b"), says({"text": "c", "thoughtSignature": "eQ=="})],
         [TextPart("a", {"gemini": {"thoughtSignature": "eA=="}}), TextPart("b"),
          TextPart("c", {"gemini": {"thoughtSignature": "eQ=="}})]),
        ([says({"text": "", "thoughtSignature": SIGNED})], [TextPart("", {"gemini": {"thoughtSignature": SIGNED}})]),
        ([says("a", RAN, {"text": "", "thoughtSignature": SIGNED})],
         [TextPart("a"), OpaquePart("executableCode", RAN, "gemini"),
          TextPart("", {"gemini": {"thoughtSignature": SIGNED}})]),
        ([says(thought("hm"), thought("so", thoughtSignature=SIGNED))],
         [ReasoningPart("hm", None, {"gemini": {}}), ReasoningPart("so", SIGNED, {"gemini": {}})]),
    ],
    ids=["after words", "in an empty part", "between", "alone", "after code", "of thoughts"],
)  # fmt: skip
def test_a_signature_stays_on_the_part_that_it_came_with(events, parts):
    assert reply(*events, says(finish="STOP")).message.parts == tuple(parts)


def test_calls_come_whole_with_their_signatures_and_ids_that_stay_the_same():
    second = {"functionCall": {"id": "fc_1", "name": "now", "willContinue": None}}
    third = {"functionCall": {"name": "find", "args": {"id": 7}, "extra": 1}}
    one, again = [reply(says("I look."), says(CALL, second, third, finish="STOP")) for _ in range(2)]
    assert (one.text, one.finish_reason) == ("I look.", "tool_calls")
    first, named, other = one.tool_calls
    assert (first.name, first.arguments, first.extra) == ("find", '{"id": 7}', {"gemini": {"thoughtSignature": SIGNED}})
    assert named == ToolCallPart("fc_1", "now", "{}")
    assert other.extra == {"gemini": {"functionCall": {"extra": 1}}}
    assert len({call.id for call in one.tool_calls}) == 3
    assert one.tool_calls == again.tool_calls


def test_images_are_images_and_other_kinds_are_kept_as_they_came():
    picture = {"inlineData": {"mimeType": "image/png", "data": PIXELS}, "thoughtSignature": SIGNED}
    sound = {"inlineData": {"mimeType": "audio/L16;rate=24000", "data": PIXELS}}
    one = reply(says(RAN, PRINTED, picture, sound, {"newKind": {"a": 1}}, finish="STOP"))
    assert one.message.parts == (
        OpaquePart("executableCode", RAN, "gemini"),
        OpaquePart("codeExecutionResult", PRINTED, "gemini"),
        ImagePart(data=b"pixels", media_type="image/png", extra={"gemini": {"thoughtSignature": SIGNED}}),
        OpaquePart("inlineData", sound, "gemini"),
        OpaquePart("newKind", {"newKind": {"a": 1}}, "gemini"),
    )


@pytest.mark.parametrize(
    ("said", "means"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("BLOCKLIST", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("SPII", "content_filter"),
        ("IMAGE_SAFETY", "content_filter"),
        ("MALFORMED_FUNCTION_CALL", "MALFORMED_FUNCTION_CALL"),
        ("A_NEW_ONE", "A_NEW_ONE"),
    ],
)
def test_every_reason_has_its_meaning_and_those_to_come_keep_their_word(said, means):
    streamed, at_once = reply(says("Hi", finish=said)), whole(answer(finish=said))
    assert [one.finish_reason for one in (streamed, at_once)] == [means, means]
    assert streamed.extra["finishReason"] == said


def test_what_else_is_said_of_the_reply_is_kept():
    grounding = {"webSearchQueries": ["a", "b"], "groundingChunks": [{"web": {"uri": "https://a.test"}}]}
    content = answer(groundingMetadata=grounding, safetyRatings=[], citationMetadata={"citationSources": []})
    one = whole(content | {"modelStatus": {"modelStage": "STABLE"}})
    assert one.extra == {
        "finishReason": "STOP",
        "groundingMetadata": grounding,
        "safetyRatings": [],
        "citationMetadata": {"citationSources": []},
        "modelStatus": {"modelStage": "STABLE"},
    }


@pytest.mark.parametrize(("model", "searches"), [("gemini-2.5-flash", 1), ("gemini-3.5-flash", 2), (None, 2)])
def test_searches_are_counted_as_their_generation_is_billed(model, searches):
    grounded = says("Hi", finish="STOP", groundingMetadata={"webSearchQueries": ["a", "b"]}) | {"modelVersion": model}
    one = reply(says("So ", usage=USAGE) | {"modelVersion": model}, grounded)
    assert one.usage.details.server_tools == (("web_search", searches),)
    assert one.usage.input_tokens == 25
    less = says(finish="STOP", groundingMetadata={"webSearchQueries": ["a"]}) | {"modelVersion": model}
    one = reply(says(usage=USAGE) | {"modelVersion": model}, grounded, less)
    assert one.usage.details.server_tools == (("web_search", searches),)
    assert reply(grounded).usage == Usage()  # which counts nothing, without the tokens


def test_the_likelihood_of_tokens_is_read():
    result = {
        "chosenCandidates": [
            {"token": "Hi", "logProbability": -0.5, "tokenId": 7},
            {"token": "x"},
            {"token": "!", "logProbability": 0},
            {"token": "?", "logProbability": "x"},
        ],
        "topCandidates": [{"candidates": [{"token": "Hi", "logProbability": -0.5}, 7]}],
    }
    one = whole(answer(logprobsResult=result))
    assert one.logprobs == (TokenLogprob("Hi", -0.5, (("Hi", -0.5),)), TokenLogprob("!", 0.0))
    assert whole(answer(logprobsResult=[])).logprobs == ()
    assert whole(answer(logprobsResult={"chosenCandidates": [7]})).logprobs == ()


def test_other_candidates_and_other_events_do_no_harm():
    other = {"content": {"parts": [{"text": "no"}]}, "index": 1, "finishReason": "STOP"}
    content = says("Hi", finish="STOP")
    content["candidates"].insert(0, other)
    one = reply({"newField": None}, {"candidates": []}, {"candidates": [other]}, says({"text": ""}), content)
    assert (one.text, one.finish_reason) == ("Hi", "stop")


@pytest.mark.parametrize("reason", ["SAFETY", "PROHIBITED_CONTENT"])
def test_a_prompt_that_is_blocked_is_an_error(reason):
    blocked = {"promptFeedback": {"blockReason": reason, "blockReasonMessage": "of theirs"}, "usageMetadata": USAGE}
    for chunks, failure in (read(event(blocked)), read(json.dumps(blocked).encode(), headers=JSON, streamed=False)):
        assert chunks == []
        assert (failure.usage.input_tokens, failure.usage.output_tokens) == (25, 9)
        assert type(failure) is ContentFiltered
        assert (failure.code, failure.detail, failure.retryable) == (reason, "of theirs", False)
        assert "of theirs" not in str(failure)


def test_what_came_before_a_block_is_kept():
    chunks, failure = read(event(HELLO[0]), event(says("lo") | {"promptFeedback": {"blockReason": "JAILBREAK"}}))
    assert text_of(chunks) == "Hello"
    assert type(failure) is ContentFiltered


def test_feedback_that_blocks_nothing_does_no_harm():
    one = whole(answer() | {"promptFeedback": {"blockReason": "BLOCKED_REASON_UNSPECIFIED"}})
    assert one.text == "It is on its way."
    assert whole(answer() | {"promptFeedback": {"safetyRatings": []}}).finish_reason == "stop"


@pytest.mark.parametrize(
    ("error", "kind", "retryable"),
    [
        ({"code": 503, "status": "UNAVAILABLE", "message": "of theirs"}, Unavailable, True),
        ({"status": "RESOURCE_EXHAUSTED", "message": "of yours"}, RateLimited, True),
        ({"code": 400, "status": "INVALID_ARGUMENT", "message": "none of it"}, InvalidRequest, False),
        ({"code": 403, "status": "PERMISSION_DENIED", "message": "not you"}, AuthenticationFailed, False),
    ],
)
def test_an_error_in_the_middle_comes_after_what_came_before(error, kind, retryable):
    chunks, failure = read(*map(event, HELLO[:2]), event({"error": error}))
    assert text_of(chunks) == "Hello"
    assert (type(failure), failure.code, failure.retryable) == (kind, error["status"], retryable)
    assert error["message"] not in str(failure)


@pytest.mark.parametrize("cut", range(1, len(HELLO)))
def test_a_stream_that_ends_before_its_reason_was_cut_off(cut):
    chunks, failure = read(*map(event, HELLO[:cut]))
    assert type(failure) is Unavailable
    assert "no finish reason" in str(failure)
    assert "Hello".startswith(text_of(chunks))


def test_every_byte_that_is_missing_is_noticed():
    body = b"".join(map(event, HELLO))
    ends = body.rindex(b"\r\n\r\n")
    for size in range(len(body)):
        chunks, failure = read(body[:size])
        assert "Hello".startswith(text_of(chunks))
        assert (failure is None) is (size >= ends), size
        assert failure is None or type(failure) is Unavailable


def test_a_list_of_events_is_the_stream_of_a_server_that_knows_no_other():
    chunks, failure = read(json.dumps(HELLO).encode(), headers=JSON)
    assert failure is None
    assert text_of(chunks) == "Hello"
    chunks, failure = read(json.dumps(HELLO[:2]).encode(), headers=JSON)
    assert text_of(chunks) == "Hello"
    assert "no finish reason" in str(failure)
    assert type(read(json.dumps([*HELLO[:1], {"error": {"code": 503}}]).encode(), headers=JSON)[1]) is Unavailable


@pytest.mark.parametrize(
    "odd",
    [
        b"data: {,}\n\n",
        b"data: 7\n\n",
        event({"candidates": 7}),
        event({"candidates": [7]}),
        event(says({"text": 7})),
        event(says({})),
        event(says({"thought": True})),
        event(says({"functionCall": {"args": {}}})),
        event(says({"functionCall": {"name": "f", "args": []}})),
        event(says({"functionCall": {"name": "f", "partialArgs": [{"jsonPath": "number", "numberValue": 1}]}})),
        event(says({"functionCall": {"name": "f", "partialArgs": [{"stringValue": "x"}]}})),
        event(says({"functionCall": {"name": "f", "partialArgs": [7]}})),
        event(says({"functionCall": {"name": "f", "partialArgs": 7}})),
        event(says({"functionCall": {"willContinue": True}})),
        event(says({"inlineData": {"mimeType": "image/png", "data": "a"}})),
        event(says(finish=7)),
    ],
)
def test_an_event_that_is_none_is_a_typed_error_after_what_came_before(odd):
    chunks, failure = read(event(HELLO[0]), odd)
    assert text_of(chunks) == "Hel"
    assert type(failure) is Unavailable


@pytest.mark.parametrize("content", [{}, [], [7], {"candidates": []}, {"promptFeedback": {}}, {"usageMetadata": USAGE}])
def test_a_whole_reply_that_is_none_is_a_typed_error(content):
    assert type(read(json.dumps(content).encode(), headers=JSON, streamed=False)[1]) is Unavailable


def test_a_whole_reply_that_is_no_object_is_a_typed_error():
    assert type(read(b"7", headers=JSON, streamed=False)[1]) is Unavailable


def test_a_reply_takes_no_more_memory_than_it_may():
    wire = GeminiWire(max_kept_bytes=20_000)
    _, failure = read(*[event(says("x" * 900))] * 40, wire=wire)
    assert (failure.code, failure.retryable) == ("reply_too_long", False)


words = st.text(min_size=1, max_size=12)
seals = st.just({}) | st.just({"thoughtSignature": SIGNED})
parts = st.one_of(
    st.builds(lambda text, seal: {"text": text, **seal}, words, seals),
    st.builds(lambda text, seal: {"text": text, "thought": True, **seal}, words, seals),
    st.just({"text": "", "thoughtSignature": "eA=="}),
    st.builds(
        lambda name, args, id_, seal: {"functionCall": {"name": name, "args": args, **id_}, **seal},
        st.sampled_from(["find", "mail"]),
        st.dictionaries(words, st.integers(-9, 9) | words | st.none() | st.lists(words, max_size=2), max_size=2),
        st.just({}) | st.just({"id": "fc_1"}),
        seals,
    ),
    st.builds(lambda seal: {"inlineData": {"mimeType": "image/png", "data": PIXELS}, **seal}, seals),
    st.sampled_from([RAN, PRINTED]),
)
contents = st.builds(
    lambda parts, finish, more: answer(*parts, finish=finish, **more),
    st.lists(parts, min_size=1, max_size=5),
    st.sampled_from(["STOP", "MAX_TOKENS", "SAFETY", "OTHER"]),
    st.sampled_from([{}, {"groundingMetadata": {"webSearchQueries": ["a"]}, "avgLogprobs": -0.5}, LIKELY]),
)


def write(chunks, *, streamed):
    writer = GEMINI_WIRE.writer(model="gemini-2.5-flash", id="r1", created=0, streamed=streamed)
    return writer.write(chunks) + writer.end()


def normal(parts):
    """Join words of one kind that stand side by side and are not sealed, which are one to who reads them."""
    joined = []
    for part in parts:
        last = joined[-1] if joined else None
        if (
            type(part) in (TextPart, ReasoningPart)
            and type(part) is type(last)
            and {repr(part.extra)} == {repr(last.extra)} <= {"None", "{'gemini': {}}"}
            and not getattr(last, "signature", None)
            and not getattr(part, "signature", None)
        ):
            joined[-1] = type(part)(last.text + part.text, extra=part.extra)
        else:
            joined.append(part)
    return joined


@given(contents)
def test_a_reply_is_the_same_whole_or_streamed_and_after_it_was_written_again(content):
    first = whole(content)
    for streamed in (True, False):
        body = write(first.chunks, streamed=streamed)
        chunks, failure = read(body, headers=STREAM if streamed else JSON, streamed=streamed)
        assert failure is None
        again = Reply.of(chunks, CallRecord(clock))
        assert normal(again.message.parts) == normal(first.message.parts)
        assert (again.text, again.reasoning, again.tool_calls) == (first.text, first.reasoning, first.tool_calls)
        assert (again.usage, again.finish_reason, again.extra) == (first.usage, first.finish_reason, first.extra)
        assert again.logprobs == first.logprobs


@given(st.lists(contents, min_size=1, max_size=4))
def test_a_part_an_event_is_the_same_as_all_parts_in_one(several):
    """Words that nothing seals apart, which run on from event to event."""
    found = [part for content in several for part in content["candidates"][0]["content"]["parts"]]
    apart = reply(*[says(part) for part in found], says(finish="STOP", usage=USAGE))
    together = reply(says(*found, finish="STOP", usage=USAGE))
    assert apart.message == together.message
    assert (apart.usage, apart.finish_reason) == (together.usage, together.finish_reason)


def meant(chunks):
    """Give what chunks are, and the provider's own events, in whichever form a reader keeps these."""
    return [(chunk._replace(event=None), chunk.raw) for chunk in chunks]


@settings(max_examples=60)
@given(contents, st.lists(st.integers(0, 4000), max_size=6))
def test_however_the_bytes_are_cut_the_chunks_are_the_same(content, cuts):
    body = write(whole(content).chunks, streamed=True)
    places = sorted({min(cut, len(body)) for cut in cuts} | {0, len(body)})
    together, _ = read(body)
    apart, _ = read(*[body[a:b] for a, b in itertools.pairwise(places)])
    assert meant(apart) == meant(together)


@settings(max_examples=150)
@given(st.binary(max_size=6), st.integers(0, 3000), st.integers(0, 9), st.booleans())
def test_damaged_bytes_end_in_chunks_or_in_one_typed_failure(noise, at, length, streamed):
    body = bytearray(b"".join(map(event, HELLO)) if streamed else json.dumps(answer(CALL)).encode())
    at = min(at, len(body))
    body[at : at + length] = noise
    _, failure = read(bytes(body), headers=STREAM if streamed else JSON, streamed=streamed)
    assert failure is None or isinstance(failure, ProviderError)


def test_a_reply_of_another_wire_can_be_written_as_this_ones():
    chunks = [
        Chunk("Hi "),
        Chunk(tool_calls=(ToolCallDelta(0, "call_1", "find"),)),
        Chunk(tool_calls=(ToolCallDelta(0, arguments='{"id"'),)),
        Chunk(tool_calls=(ToolCallDelta(0, arguments=": 7}"),)),
        Chunk("So."),
        Chunk(tool_calls=(ToolCallDelta(1, "call_2", "find", "{not json"),)),
        Chunk("And", finish_reason="length", usage=Usage(3, 4)),
    ]
    one = Reply.of(read(write(chunks, streamed=True))[0], CallRecord(clock))
    assert (one.text, one.finish_reason, one.usage) == ("Hi So.And", "length", Usage(3, 4))
    assert [call.arguments for call in one.tool_calls] == ['{"id": 7}', "{not json"]
    assert [type(part) for part in one.message.parts] == [TextPart, ToolCallPart, TextPart, ToolCallPart]
    content = json.loads(write(chunks, streamed=False))["candidates"][0]
    assert content["content"]["parts"][3]["functionCall"]["args"] == {"INVALID_JSON": "{not json"}
    assert content["finishReason"] == "MAX_TOKENS"


def test_parts_of_other_wires_are_written_where_this_one_has_a_place_for_them():
    parts = (
        ReasoningPart("hm", "c2lnbmVk", {"anthropic": {}}),
        RefusalPart("no"),
        ImagePart(url="https://a.test/x"),
        ImagePart(data=b"pixels", media_type="image/png"),
        OpaquePart("audio", {"id": "a"}),
    )
    chunks = [Chunk(parts=parts), Chunk(logprobs=(TokenLogprob("no", -1.0),)), Chunk(finish_reason="stop")]
    for streamed in (True, False):
        body = write(chunks, streamed=streamed)
        one = Reply.of(read(body, headers=STREAM if streamed else JSON)[0], CallRecord(clock))
        assert (one.reasoning, one.text, one.finish_reason) == ("hm", "no", "stop")
        assert [type(part) for part in one.message.parts] == [ReasoningPart, TextPart, ImagePart]
        assert one.logprobs == (TokenLogprob("no", -1.0),)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["text", "name", "x"]), inner, max_size=2)
    ),
    max_leaves=4,
)
FULL = answer(
    CALL, RAN, {"inlineData": {"mimeType": "image/png", "data": PIXELS}}, thought("hm"), "Hi",
    groundingMetadata={"webSearchQueries": ["a"]}, **LIKELY,
) | {"promptFeedback": {"blockReason": None}}  # fmt: skip


def places(value, path=()):
    """Give the way to each value within another."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield from places(inner, (*path, name))


@settings(max_examples=300)
@given(st.sampled_from(list(places(FULL))[1:]), anything, st.booleans())
def test_whatever_stands_in_a_field_ends_in_chunks_or_in_one_typed_failure(path, value, streamed):
    content = json.loads(json.dumps(FULL))
    inner = content
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    body = event(content) if streamed else json.dumps(content).encode()
    chunks, failure = read(body, headers=STREAM if streamed else JSON, streamed=streamed)
    assert failure is None or isinstance(failure, ProviderError)
    one = Reply.of(chunks, CallRecord(clock))
    for again in (True, False):
        write(one.chunks, streamed=again)
