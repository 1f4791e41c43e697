"""The response models of OpenAI's own SDK, as an outside opinion on the same bytes, and its parameters on ours."""

from __future__ import annotations

import functools
import json

import httpx
import pytest
from hypothesis import given, settings

from inferkit.core.chunks import Chunk, ToolCallDelta
from inferkit.core.record import CallRecord
from inferkit.core.reply import Reply
from inferkit.core.usage import Usage
from inferkit.providers.wires.responses.wire import RESPONSES_WIRE
from inferkit.runtime import clock
from providers.wires.responses.test_reply import JSON, STREAM, read, replies, whole, write
from providers.wires.responses.test_request import requests, write as write_request

openai = pytest.importorskip("openai")
pydantic = pytest.importorskip("pydantic")
types = pytest.importorskip("openai.types.responses")
EVENTS = pydantic.TypeAdapter(types.ResponseStreamEvent)


def ours(body, *, streamed):
    chunks, failure = read(body, headers=STREAM if streamed else JSON, streamed=streamed)
    assert failure is None
    return Reply.of(chunks, CallRecord(clock))


def events(body):
    lines = [line.removeprefix(b"data: ") for line in body.split(b"\n") if line.startswith(b"data: ")]
    return [EVENTS.validate_json(raw) for raw in lines]


def agree(one, found):
    """Compare a reply with their model of the same."""
    words = [part for item in found.output if item.type == "message" for part in item.content]
    assert "".join(part.text if part.type == "output_text" else part.refusal for part in words) == one.text
    summaries = [part.text for item in found.output if item.type == "reasoning" for part in item.summary]
    assert "".join(summaries) == one.reasoning
    kinds = {"function_call": "arguments", "custom_tool_call": "input"}
    assert [
        (item.call_id, item.name, getattr(item, kinds[item.type])) for item in found.output if item.type in kinds
    ] == [(call.id, call.name, call.arguments) for call in one.tool_calls]
    usage = found.usage
    assert (usage.input_tokens, usage.output_tokens) == (one.usage.input_tokens, one.usage.output_tokens)
    assert usage.input_tokens_details.cached_tokens == one.usage.cache_read_tokens
    assert usage.input_tokens_details.cache_write_tokens == one.usage.cache_write_tokens
    assert usage.output_tokens_details.reasoning_tokens == one.usage.reasoning_tokens


@settings(max_examples=50, deadline=None)
@given(replies)
def test_what_is_written_as_events_is_what_their_models_read(content):
    body = write(whole(content).chunks, streamed=True)
    found = events(body)
    assert [one.sequence_number for one in found] == list(range(len(found)))
    texts = [one.delta for one in found if one.type in ("response.output_text.delta", "response.refusal.delta")]
    one = ours(body, streamed=True)
    assert "".join(texts) == one.text
    assert found[-1].type == "response.completed"
    agree(one, found[-1].response)


@settings(max_examples=50, deadline=None)
@given(replies)
def test_what_is_written_whole_is_what_their_model_reads(content):
    body = write(whole(content).chunks, streamed=False)
    agree(ours(body, streamed=False), types.Response.model_validate_json(body))


@settings(max_examples=30, deadline=None)
@given(replies)
def test_what_their_models_read_of_a_recorded_reply_is_what_we_read(content):
    body = json.dumps(content).encode()
    agree(ours(body, streamed=False), types.Response.model_validate_json(body))


def client(body, kind):
    def answer(_):
        return httpx.Response(200, headers={"content-type": kind}, content=body)

    return openai.OpenAI(api_key="x", http_client=httpx.Client(transport=httpx.MockTransport(answer)))


@settings(max_examples=25, deadline=None)
@given(replies)
def test_their_own_helper_puts_a_stream_of_ours_together(content):
    body = write(whole(content).chunks, streamed=True)
    with client(body, "text/event-stream") as theirs, theirs.responses.stream(model="m", input="Hi") as stream:
        for _ in stream:
            pass
        found = stream.get_final_response()
    agree(ours(body, streamed=True), found)


def test_their_client_reads_a_reply_of_another_wire():
    chunks = [
        Chunk(reasoning="hm"),
        Chunk("Hi"),
        Chunk(tool_calls=(ToolCallDelta(0, "call_1", "find", "{"), ToolCallDelta(1, "call_2", "sql", kind="custom"))),
        Chunk(tool_calls=(ToolCallDelta(1, arguments="select", kind="custom"), ToolCallDelta(0, arguments="}"))),
        Chunk(finish_reason="length", usage=Usage(3, 4)),
    ]
    with client(write(chunks, streamed=False), "application/json") as theirs:
        found = theirs.responses.create(model="m", input="Hi")
    assert (found.output_text, found.status, found.incomplete_details.reason) == (
        "Hi",
        "incomplete",
        "max_output_tokens",
    )
    body = write(chunks, streamed=True)
    with client(body, "text/event-stream") as theirs, theirs.responses.stream(model="m", input="Hi") as stream:
        kinds = [one.type for one in stream]
    assert kinds[-1] == "response.incomplete"
    agree(ours(body, streamed=True), events(body)[-1].response)


@settings(max_examples=50, deadline=None)
@given(replies)
def test_their_output_goes_back_as_input_and_is_our_message(content):
    """What their users append to a conversation is read as what the reply said."""
    found = types.Response.model_validate(content)
    items = [item.model_dump(mode="json", exclude_none=True) for item in found.output]
    fields = RESPONSES_WIRE.read_request({"model": "m", "input": [{"role": "user", "content": "Hi"}, *items]})
    assert fields["messages"][1] == whole(content).message


@functools.cache
def parameters(*, streamed):
    """Make what checks a request against their types, which takes seconds."""
    from openai.types.responses import response_create_params as kind

    params = kind.ResponseCreateParamsStreaming if streamed else kind.ResponseCreateParamsNonStreaming
    return pydantic.TypeAdapter(params)


@settings(max_examples=50, deadline=None)
@given(requests)
def test_what_is_sent_is_what_their_parameters_allow(request):
    parameters(streamed=request.stream).validate_python(write_request(request))
