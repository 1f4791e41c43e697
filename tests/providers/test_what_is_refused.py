"""What a server refuses and can do without is left out, and remembered."""

from __future__ import annotations

import json

import pytest

from chat_wire import USAGE_EVENT, ask, completion, delta
from inferkit.core.errors import InvalidRequest, ProviderError
from inferkit.core.messages import Message, ReasoningPart, ToolCallPart
from inferkit.providers.openai_chat import OpenAIChat
from inferkit.runtime.direct import DirectRuntime, drive
from wire import Wire, event, reply, sse

ANSWER = [event(delta("Hi", finish="stop")), event(USAGE_EVENT), event("[DONE]")]
SIGNED = {"extra_content": {"google": {"thought_signature": "x"}}}
THOUGHT = Message.assistant(
    ReasoningPart("hm", None, {"field": "reasoning_content", "reasoning_details": [{"data": "x"}]}),
    ToolCallPart("c1", "find", "{}", SIGNED),
)
HISTORY = (Message.user("hi"), THOUGHT, Message.tool("c1", "found"))


def refusing(field, body, status=422, *, where=lambda sent: sent):
    """A server that refuses requests in which a field stands."""

    def script(request):
        if field in json.dumps(where(request.json)):
            return [reply(body, status)]
        return sse(ANSWER) if request.json.get("stream") else [reply(completion("Hi"))]

    return script


def call(adapter, *messages, **fields):
    return drive(drive(adapter(ask(DirectRuntime(), *messages, **fields))).read())


def pydantic(*place):
    return {"detail": [{"type": "extra_forbidden", "loc": ["body", *place], "msg": "Extra inputs are not permitted"}]}


def mistral(*place):
    return {"object": "error", "message": pydantic(*place), "type": "invalid_request_error", "code": None}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (pydantic("stream_options"), 422),
        (mistral("stream_options", "include_usage"), 422),
        ({"error": {"message": "Unknown field: stream_options", "type": "invalid_request_error"}}, 400),
        ({"error": {"message": "no", "param": "stream_options", "code": "unknown_parameter"}}, 400),
        (b"stream_options: unexpected field", 400),
    ],
)
def test_a_request_for_usage_that_is_refused_is_left_out_from_then_on(body, status):
    with Wire(refusing("stream_options", body, status)) as wire:
        adapter = OpenAIChat(base_url=wire.url)
        for _ in range(2):
            assert [chunk.text for chunk in call(adapter)] == ["Hi", ""]
        adapter.close()
    assert [("stream_options" in sent.json) for sent in wire.requests] == [True, False, False]
    assert [sent.json["messages"] for sent in wire.requests] == [wire.requests[0].json["messages"]] * 3


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("reasoning_content", mistral("messages", 1, "assistant", "reasoning_content")),
        (
            "reasoning_content",
            {
                "error": {
                    "message": "'messages.1' : for 'role:assistant' the following must be satisfied"
                    "[('messages.1' : property 'reasoning_content' is unsupported)]",
                    "type": "invalid_request_error",
                }
            },
        ),
        ("reasoning_details", pydantic("messages", 1, "reasoning_details")),
        ("extra_content", pydantic("messages", 1, "tool_calls", 0, "extra_content")),
    ],
)
def test_what_messages_hold_for_another_provider_is_left_out_where_it_is_refused(field, body):
    with Wire(refusing(field, body, 400, where=lambda sent: sent["messages"])) as wire:
        adapter = OpenAIChat(base_url=wire.url)
        for _ in range(2):
            call(adapter, *HISTORY)
        adapter.close()
    first, second, third = (sent.json["messages"] for sent in wire.requests)
    assert field in json.dumps(first)
    assert second == third
    gone = json.dumps(second)
    assert field not in gone
    assert "c1" in gone
    assert field == "extra_content" or "extra_content" in gone
    assert field == "reasoning_content" or "reasoning_content" in gone


@pytest.mark.parametrize(("field", "value"), [("prompt_cache_key", "k"), ("prompt_cache_retention", "24h")])
@pytest.mark.parametrize(
    ("words", "status"),
    [
        ({"error": {"message": "property 'FIELD' is unsupported", "type": "invalid_request_error"}}, 400),
        ([{"error": {"code": 400, "message": 'Unknown name "FIELD": Cannot find field.'}}], 400),
        (pydantic("FIELD"), 422),
    ],
)
def test_what_is_said_to_a_prompt_cache_that_a_server_has_not_is_left_out_from_then_on(field, value, words, status):
    body = json.dumps(words).replace("FIELD", field).encode()
    with Wire(refusing(f'"{field}"', body, status)) as wire:
        adapter = OpenAIChat(base_url=wire.url)
        for _ in range(2):
            assert [chunk.text for chunk in call(adapter, **{field: value})] == ["Hi", ""]
        adapter.close()
    assert [(field in sent.json) for sent in wire.requests] == [True, False, False]


def test_thoughts_alone_are_left_out_where_they_are_refused():
    with Wire(refusing("reasoning_content", pydantic("messages", 1, "reasoning_content"))) as wire:
        adapter = OpenAIChat(base_url=wire.url)
        thought = Message.assistant(ReasoningPart("hm", None, {"field": "reasoning_content"}), "Yes.")
        for _ in range(2):
            call(adapter, Message.user("hi"), thought)
        adapter.close()
    sent = [each.json["messages"][1] for each in wire.requests]
    bare = {"role": "assistant", "content": "Yes."}
    assert sent == [bare | {"reasoning_content": "hm"}, bare, bare]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("name", "other"), [("max_tokens", "max_completion_tokens"), ("max_completion_tokens", "max_tokens")]
)
def test_the_limit_goes_by_its_other_name_where_one_is_refused(name, other, stream):
    body = {
        "error": {
            "message": f"Unsupported parameter: '{name}' is not supported with this model. Use '{other}' instead.",
            "param": name,
            "code": "unsupported_parameter",
        }
    }
    with Wire(refusing(f'"{name}"', body, 400)) as wire:
        adapter = OpenAIChat(base_url=wire.url, max_tokens_field=name)
        for _ in range(2):
            call(adapter, stream=stream, max_output_tokens=7)
        adapter.close()
    limits = [{key: value for key, value in sent.json.items() if "tokens" in key} for sent in wire.requests]
    assert limits == [{name: 7}, {other: 7}, {other: 7}]


def test_several_fields_that_are_refused_one_after_the_other_are_all_left_out():
    def script(request):
        for field in ("stream_options", "reasoning_content", "max_tokens"):
            if f'"{field}"' in json.dumps(request.json):
                return [reply(pydantic(field), 422)]
        return sse(ANSWER)

    with Wire(script) as wire:
        adapter = OpenAIChat(base_url=wire.url)
        for _ in range(2):
            call(adapter, *HISTORY, max_output_tokens=7)
        adapter.close()
    assert len(wire.requests) == 5
    assert wire.requests[-1].json["max_completion_tokens"] == 7


@pytest.mark.parametrize(
    ("fields", "body", "status"),
    [
        ({"extra": {"stream_options": {"include_usage": True}}}, pydantic("stream_options"), 422),  # asked for
        ({"extra": {"logprobs": True}}, pydantic("logprobs"), 422),
        ({"temperature": 0.5}, pydantic("temperature"), 422),
        ({"extra": {"prompt_cache_key": "k"}}, pydantic("prompt_cache_key"), 422),
        ({"extra": {"prompt_cache_retention": "24h"}}, pydantic("prompt_cache_retention"), 422),
        ({"prediction": "x"}, pydantic("prediction"), 422),
        ({"logprobs": True}, pydantic("logprobs"), 422),
        ({"stream": False}, pydantic("stream_options"), 422),  # not sent
        ({}, pydantic("max_tokens"), 422),  # not sent
        ({}, pydantic("my_stream_options"), 422),
        ({}, {"error": {"message": "stream_options is required"}}, 400),
        ({}, {"error": {"message": "stream_options"}}, 401),
        ({}, {"error": {"message": "stream_options"}}, 500),
    ],
)
def test_what_was_asked_for_or_cannot_be_left_out_is_refused_at_once(fields, body, status):
    with Wire(lambda _: [reply(body, status)]) as wire:
        adapter = OpenAIChat(base_url=wire.url)
        with pytest.raises(ProviderError):
            call(adapter, **fields)
        adapter.close()
    assert len(wire.requests) == 1


def test_a_server_that_demands_what_it_names_is_not_given_less():
    words = "The `reasoning_content` in the thinking mode must be passed back to the API."
    with Wire(lambda _: [reply({"error": {"message": words}}, 400)]) as wire:
        adapter = OpenAIChat(base_url=wire.url)
        with pytest.raises(InvalidRequest):
            call(adapter, *HISTORY)
        adapter.close()
    assert len(wire.requests) == 1


def test_what_is_refused_whatever_is_left_out_is_told_and_not_remembered():
    words = "'max_tokens' and 'max_completion_tokens' and stream_options are not for you"
    with Wire(lambda _: [reply({"error": {"message": words}}, 400)]) as wire:
        adapter = OpenAIChat(base_url=wire.url)
        with pytest.raises(InvalidRequest) as caught:
            call(adapter, max_output_tokens=7)
        assert caught.value.detail == words
        assert len(wire.requests) == 3
        wire.script = lambda _: sse(ANSWER)
        call(adapter, max_output_tokens=7)
        adapter.close()
    assert wire.requests[-1].json["max_tokens"] == 7
    assert "stream_options" in wire.requests[-1].json


def test_what_was_learned_leaves_the_server_where_it_was():
    with Wire(refusing("stream_options", pydantic("stream_options"))) as wire:
        adapter = OpenAIChat(base_url=f"{wire.url}?api-version=1", headers={"x-title": "t"})
        before = adapter.fingerprint
        for _ in range(2):
            call(adapter)
        assert adapter.fingerprint == before
        adapter.close()
    assert {sent.line for sent in wire.requests} == {"POST /v1/chat/completions?api-version=1 HTTP/1.1"}
    assert {sent.headers["x-title"] for sent in wire.requests} == {"t"}


SECRET = "sk-very-secret"


@pytest.mark.parametrize("key", [SECRET, 'a/b+c=d"e'])
@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("where", ["message", "code", "type"])
def test_a_server_that_repeats_what_was_secret_is_not_quoted(key, streamed, where):
    error = {"error": {"message": f"no: {key} and token-0123456789 and query-0123456789", where: f"{key}"}}
    script = (lambda _: sse([event(delta("A")), event(error)])) if streamed else (lambda _: [reply(error, 401)])
    with Wire(script) as wire:
        adapter = OpenAIChat(
            base_url=f"{wire.url}?code=query-0123456789", api_key=key, headers={"x-token": "token-0123456789"}
        )
        with pytest.raises(ProviderError) as caught:
            call(adapter)
        adapter.close()
    shown = f"{caught.value} {caught.value!r} {caught.value.args} {caught.value.code} {caught.value.detail}"
    assert key not in shown
    assert "0123456789" not in shown
    assert "[removed]" in caught.value.detail
