"""The models of Google's own SDK, as an outside opinion on the same bytes: replies that we write, and requests."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings

from gemini_wire import CALL, SIGNED, USAGE, answer
from inferkit.core.record import CallRecord
from inferkit.core.reply import Reply
from inferkit.runtime import clock
from providers.wires.gemini.test_reply import JSON, STREAM, contents, read, thought, whole, write
from providers.wires.gemini.test_request import read as read_request, requests, write as write_request

types = pytest.importorskip("google.genai.types")


def ours(body, *, streamed):
    chunks, failure = read(body, headers=STREAM if streamed else JSON, streamed=streamed)
    assert failure is None
    return Reply.of(chunks, CallRecord(clock))


def theirs(body, *, streamed):
    """Give what their users find in the events, put together as they come."""
    lines = [line.removeprefix(b"data: ") for line in body.splitlines() if line.startswith(b"data: ")]
    events = [types.GenerateContentResponse.model_validate_json(line) for line in (lines if streamed else [body])]
    parts = [part for event in events for part in event.candidates[0].content.parts]
    return parts, events[-1]


@settings(max_examples=60, deadline=None)
@given(contents)
def test_what_is_written_is_what_their_model_reads(content):
    for streamed in (True, False):
        body = write(whole(content).chunks, streamed=streamed)
        one, (parts, last) = ours(body, streamed=streamed), theirs(body, streamed=streamed)
        assert "".join(part.text for part in parts if part.text and not part.thought) == one.text
        assert "".join(part.text for part in parts if part.text and part.thought) == one.reasoning
        calls = [part.function_call for part in parts if part.function_call]
        assert [(call.name, call.args) for call in calls] == [
            (call.name, json.loads(call.arguments)) for call in one.tool_calls
        ]
        assert last.candidates[0].finish_reason.value == one.extra["finishReason"]
        usage = last.usage_metadata
        assert usage.prompt_token_count + (usage.tool_use_prompt_token_count or 0) == one.usage.input_tokens
        assert (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0) == one.usage.output_tokens
        assert (usage.cached_content_token_count or 0) == one.usage.cache_read_tokens
        assert (last.model_version, last.response_id) == ("gemini-2.5-flash", "r1")


@settings(max_examples=60, deadline=None)
@given(contents)
def test_what_their_model_writes_of_a_reply_is_what_we_read(content):
    theirs_ = types.GenerateContentResponse.model_validate(content)
    body = theirs_.model_dump_json(by_alias=True, exclude_none=True).encode()
    assert ours(body, streamed=False).message == whole(content).message
    assert ours(body, streamed=False).usage == whole(content).usage


@settings(max_examples=60, deadline=None)
@given(requests)
def test_what_is_sent_is_what_their_models_allow(request):
    """They forbid fields that they do not know."""
    payload = write_request(request)
    for each in payload["contents"]:
        types.Content.model_validate(each)
    if "systemInstruction" in payload:
        types.Content.model_validate(payload["systemInstruction"])
    types.GenerationConfig.model_validate(payload.get("generationConfig", {}))
    for tool in payload.get("tools", ()):
        types.Tool.model_validate(tool)
    types.ToolConfig.model_validate(payload.get("toolConfig", {}))


def test_their_model_of_a_reply_goes_back_as_a_message():
    parts = (thought("hm"), CALL, {"text": "Hi", "thoughtSignature": SIGNED})
    theirs_ = types.GenerateContentResponse.model_validate(answer(*parts))
    content = json.loads(theirs_.candidates[0].content.model_dump_json(by_alias=True, exclude_none=True))
    asked = read_request({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}, content]})
    assert write_request(asked)["contents"][1] == {"role": "model", "parts": list(parts)}


def test_every_reason_that_they_know_has_an_end_here():
    for reason in types.FinishReason:
        one = whole(answer(finish=reason.value))
        assert one.finish_reason
        assert one.extra["finishReason"] == reason.value
        body = write(one.chunks, streamed=True)
        assert theirs(body, streamed=True)[1].candidates[0].finish_reason is reason


def test_every_count_that_they_know_is_one_that_we_write():
    known = {field.alias for field in types.GenerateContentResponseUsageMetadata.model_fields.values()}
    assert {*whole(answer()).raw[0]["usageMetadata"]} == {*USAGE} <= known
