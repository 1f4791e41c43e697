"""The response models of OpenAI's own SDK, as an outside opinion on the same bytes."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings

from chat_wire import USAGE, USAGE_EVENT, completion, delta
from inferkit.core.messages import OpaquePart
from inferkit.core.record import CallRecord
from inferkit.core.reply import Reply
from inferkit.providers.wires.chat.reader import ChatReader
from inferkit.runtime import clock
from providers.wires.chat.test_reply import replies, write
from wire import event

chat = pytest.importorskip("openai.types.chat")

CALLS = [
    {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"id":7}'}},
    {"id": "c2", "type": "function", "function": {"name": "mail", "arguments": "{}"}},
    {"id": "c3", "type": "custom", "custom": {"name": "sql", "input": "select 1"}},
]
LOGPROBS = {
    "content": [{"token": "Hi", "bytes": [72, 105], "logprob": -0.1, "top_logprobs": []}],
    "refusal": None,
}
CITED = [{"type": "url_citation", "url_citation": {"start_index": 0, "end_index": 2, "title": "t", "url": "https://a"}}]


def _typed(chunk):
    """Leave out what the strategy makes without keeping to OpenAI's own types."""
    return chunk._replace(extra=None, parts=tuple(part for part in chunk.parts if not isinstance(part, OpaquePart)))


spoken = replies().map(lambda chunks: [_typed(chunk) for chunk in chunks])


def ours(body, *, streamed):
    reader = ChatReader("acme", {}, streamed=streamed)
    chunks = reader.feed(body)
    if not reader.done:
        chunks += reader.end()
    assert reader.failure is None
    return Reply.of(chunks, CallRecord(clock))


def theirs_whole(body):
    return chat.ChatCompletion.model_validate(json.loads(body))


def theirs_streamed(body):
    """Read the events as their models, and put them together as their users do."""
    events = [line.removeprefix(b"data: ") for line in body.split(b"\n") if line.startswith(b"data: ")]
    found = {"text": "", "refusal": "", "reason": None, "usage": None, "calls": {}, "logprobs": [], "tier": None}
    for raw in events:
        if raw == b"[DONE]":
            break
        chunk = chat.ChatCompletionChunk.model_validate(json.loads(raw))
        found["usage"] = chunk.usage or found["usage"]
        found["tier"] = chunk.service_tier or found["tier"]
        for choice in chunk.choices:
            found["text"] += choice.delta.content or ""
            found["refusal"] += choice.delta.refusal or ""
            found["reason"] = choice.finish_reason or found["reason"]
            if choice.logprobs is not None:
                found["logprobs"] += choice.logprobs.content or []
            for call in choice.delta.tool_calls or ():
                if call.function is not None:
                    known = found["calls"].setdefault(call.index, {"id": "", "name": "", "arguments": ""})
                    known["id"] = known["id"] or call.id
                    known["name"] = known["name"] or call.function.name
                    known["arguments"] += call.function.arguments or ""
    return found


def agree_on_usage(one, usage):
    assert usage.prompt_tokens == one.usage.input_tokens
    assert usage.completion_tokens == one.usage.output_tokens
    assert usage.prompt_tokens_details.cached_tokens == one.usage.cache_read_tokens
    assert usage.completion_tokens_details.reasoning_tokens == one.usage.reasoning_tokens


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(spoken)
def test_what_is_written_as_events_is_what_their_models_read(chunks):
    body = write(chunks, streamed=True)
    one, found = ours(body, streamed=True), theirs_streamed(body)
    assert found["text"] + found["refusal"] == one.text
    assert found["reason"] == ("stop" if one.finish_reason == "refusal" else one.finish_reason)
    calls = [(call["id"], call["name"], call["arguments"]) for _, call in sorted(found["calls"].items())]
    assert calls == [(call.id, call.name, call.arguments) for call in one.tool_calls]
    agree_on_usage(one, found["usage"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(spoken)
def test_what_is_written_whole_is_what_their_models_read(chunks):
    body = write(chunks, streamed=False)
    one, found = ours(body, streamed=False), theirs_whole(body)
    message = found.choices[0].message
    assert (message.content or "") + (message.refusal or "") in {one.text, (message.content or "") + one.text}
    calls = [(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or ()]
    assert calls == [(call.id, call.name, call.arguments) for call in one.tool_calls]
    agree_on_usage(one, found.usage)


def test_a_whole_reply_with_all_that_openai_sends_is_read_alike():
    content = completion("Hi", tool_calls=CALLS, annotations=CITED, refusal=None)
    content |= {"service_tier": "flex", "system_fingerprint": "fp", "created": 1}
    content["choices"][0] |= {"logprobs": LOGPROBS, "finish_reason": "tool_calls"}
    body = json.dumps(content).encode()
    one, found = ours(body, streamed=False), theirs_whole(body)
    message = found.choices[0].message
    assert (one.text, one.finish_reason) == (message.content, found.choices[0].finish_reason)
    assert [call.id for call in one.tool_calls] == [call.id for call in message.tool_calls]
    custom = message.tool_calls[2].custom
    assert (one.tool_calls[2].name, one.tool_calls[2].arguments) == (custom.name, custom.input)
    assert one.tool_calls[2].kind == message.tool_calls[2].type
    assert one.extra["annotations"] == [each.model_dump() for each in message.annotations]
    assert one.extra["logprobs"]["content"] == [each.model_dump() for each in found.choices[0].logprobs.content]
    assert one.extra["service_tier"] == found.service_tier
    agree_on_usage(one, found.usage)


def test_a_stream_with_all_that_openai_sends_is_read_alike():
    first = delta("Hi", role="assistant")
    first["choices"][0]["logprobs"] = LOGPROBS
    pieces = [
        delta(tool_calls=[{"index": 0, **CALLS[0], "function": {"name": "find", "arguments": ""}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": '{"id":'}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": "7}"}}, {"index": 1, **CALLS[1]}]),
    ]
    last = delta(finish="tool_calls") | {"service_tier": "flex"}
    events = [first, *pieces, last, USAGE_EVENT | {"model": "m", "service_tier": "flex"}]
    body = b"".join([*(event(each | {"created": 1}) for each in events), event("[DONE]")])
    one, found = ours(body, streamed=True), theirs_streamed(body)
    assert (one.text, one.finish_reason) == (found["text"], found["reason"])
    calls = [(call["id"], call["name"], call["arguments"]) for _, call in sorted(found["calls"].items())]
    assert calls == [(call.id, call.name, call.arguments) for call in one.tool_calls]
    assert one.extra["logprobs"]["content"] == [each.model_dump() for each in found["logprobs"]]
    assert one.extra["service_tier"] == found["tier"]
    assert found["usage"].model_dump(exclude_unset=True) == USAGE
    agree_on_usage(one, found["usage"])
