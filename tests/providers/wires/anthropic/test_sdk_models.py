"""The response models of Anthropic's own SDK, as an outside opinion on the same bytes, and its parameters on ours."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings

from anthropic_wire import message
from inferkit.core.record import CallRecord
from inferkit.core.reply import Reply
from inferkit.runtime import clock
from providers.wires.anthropic.test_reply import JSON, STREAM, read, replies, whole, write
from providers.wires.anthropic.test_request import requests, write as write_request

anthropic = pytest.importorskip("anthropic")
pydantic = pytest.importorskip("pydantic")


def ours(body, *, streamed):
    chunks, failure = read(body, headers=STREAM if streamed else JSON, streamed=streamed)
    assert failure is None
    return Reply.of(chunks, CallRecord(clock))


def theirs_streamed(body):
    """Put the events together as their users do, with their models of each."""
    events = pydantic.TypeAdapter(anthropic.types.RawMessageStreamEvent)
    lines = [line.removeprefix(b"data: ") for line in body.split(b"\n") if line.startswith(b"data: ")]
    found = {"blocks": {}, "reason": None, "usage": {}}
    for raw in lines:
        one = events.validate_json(raw)
        if one.type == "message_start":
            found["usage"] |= one.message.usage.model_dump(exclude_none=True)
        elif one.type == "content_block_start":
            found["blocks"][one.index] = one.content_block.model_dump()
            found["blocks"][one.index]["partial_json"] = ""
        elif one.type == "content_block_delta":
            block, delta = found["blocks"][one.index], one.delta.model_dump()
            for name in ("text", "thinking", "signature", "partial_json"):
                if name in delta:
                    block[name] += delta[name]
        elif one.type == "message_delta":
            found["reason"] = one.delta.stop_reason
            found["usage"] |= one.usage.model_dump(exclude_none=True)
    return found


def agree_on_usage(one, usage):
    read_, written = usage.get("cache_read_input_tokens", 0), usage.get("cache_creation_input_tokens", 0)
    assert usage["input_tokens"] + read_ + written == one.usage.input_tokens
    assert usage["output_tokens"] == one.usage.output_tokens
    assert read_ == one.usage.cache_read_tokens
    assert written == one.usage.cache_write_tokens


@settings(max_examples=50, deadline=None)
@given(replies)
def test_what_is_written_as_events_is_what_their_models_read(content):
    body = write(whole(content).chunks, streamed=True)
    one, found = ours(body, streamed=True), theirs_streamed(body)
    blocks = [block for _, block in sorted(found["blocks"].items())]
    assert "".join(block["text"] for block in blocks if block["type"] == "text") == one.text
    assert "".join(block["thinking"] for block in blocks if block["type"] == "thinking") == one.reasoning
    calls = [(block["id"], block["name"], json.loads(block["partial_json"] or "{}"))
             for block in blocks if block["type"] == "tool_use"]  # fmt: skip
    assert calls == [(call.id, call.name, json.loads(call.arguments)) for call in one.tool_calls]
    assert found["reason"] == one.extra["stop_reason"]
    agree_on_usage(one, found["usage"])


@settings(max_examples=50, deadline=None)
@given(replies)
def test_what_is_written_whole_is_what_their_model_reads(content):
    body = write(whole(content).chunks, streamed=False)
    one, found = ours(body, streamed=False), anthropic.types.Message.model_validate_json(body)
    assert "".join(block.text for block in found.content if block.type == "text") == one.text
    assert [block.input for block in found.content if block.type == "tool_use"] == [
        json.loads(call.arguments) for call in one.tool_calls
    ]
    assert found.stop_reason == one.extra["stop_reason"]
    agree_on_usage(one, found.usage.model_dump(exclude_none=True))


def test_their_model_of_a_whole_reply_goes_back_as_a_message():
    content = message({"type": "thinking", "thinking": "hm", "signature": "x"}, {"type": "text", "text": "Hi"})
    theirs = anthropic.types.Message.model_validate(content).to_param()
    from inferkit.providers.wires.anthropic.wire import ANTHROPIC_WIRE

    plain = json.loads(json.dumps(theirs, default=lambda block: block.model_dump(exclude_none=True)))
    assert ANTHROPIC_WIRE.read_message(plain, 0) == whole(content).message


@settings(max_examples=50, deadline=None)
@given(requests)
def test_what_is_sent_is_what_their_parameters_allow(request):
    kind = anthropic.types.message_create_params
    streamed = request.stream
    params = kind.MessageCreateParamsStreaming if streamed else kind.MessageCreateParamsNonStreaming
    pydantic.TypeAdapter(params).validate_python(write_request(request))
