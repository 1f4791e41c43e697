"""The adapter over the wire: what it sends, and what becomes of what it receives."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from chat_wire import USAGE_EVENT, ask, completion, delta
from inferkit.core.chunks import ToolCallDelta
from inferkit.core.errors import (
    AuthenticationFailed,
    ConfigurationError,
    ContentFiltered,
    InvalidRequest,
    ProviderError,
    RateLimited,
    Unavailable,
)
from inferkit.core.messages import ImagePart, Message, ReasoningPart, TextPart, Tool, ToolCallPart, ToolResultPart
from inferkit.core.usage import Usage
from inferkit.providers.openai_chat import OpenAIChat
from inferkit.runtime.direct import DirectRuntime
from wire import CLOSE, RESET, Wire, event, reply, sse

TOOL_STREAM = [
    delta("", role="assistant"),
    delta(reasoning_content="Think"),
    delta("Let me "),
    delta("see."),
    delta(tool_calls=[{"index": 0, "id": "a", "type": "function", "function": {"name": "find", "arguments": ""}}]),
    delta(tool_calls=[{"index": 0, "function": {"arguments": '{"id":'}}]),
    delta(tool_calls=[{"index": 1, "id": "b", "type": "function", "function": {"name": "mail", "arguments": "{}"}}]),
    delta(tool_calls=[{"index": 0, "function": {"arguments": "7}"}}]),
    delta(finish="tool_calls"),
    USAGE_EVENT,
]
USED = Usage(input_tokens=20, output_tokens=9, cache_read_tokens=12, reasoning_tokens=4)


@pytest.fixture
def served(run):
    """Send one request to a server with a script; give the chunks, and what the server saw."""

    def serve(script, *messages, settings=None, **fields):
        with Wire(script) as wire:
            adapter = OpenAIChat(**({"base_url": wire.url, "api_key": "sk-test"} | (settings or {})))

            async def call(runtime):
                try:
                    response = await adapter(ask(runtime, *messages, **fields))
                    return response, await response.read()
                finally:
                    if runtime.blocking:
                        adapter.close()
                    else:
                        await adapter.aclose()

            try:
                return (*run(call), wire)
            finally:
                assert wire.wait_until_closed(wire.connections)

    return serve


def text_of(chunks):
    return "".join(chunk.text for chunk in chunks)


def calls_of(chunks):
    """Join the pieces of tool calls, as a caller does."""
    calls: dict[int, list[Any]] = {}
    for piece in (piece for chunk in chunks for piece in chunk.tool_calls):
        if piece.index not in calls:
            calls[piece.index] = [piece.id, piece.name, ""]
        calls[piece.index][2] += piece.arguments
    return [tuple(call) for _, call in sorted(calls.items())]


def streaming(*events, done=True):
    return lambda _: sse([*map(event, events), *([event("[DONE]")] if done else [])])


def test_a_stream_and_a_whole_reply_give_the_same_things(served):
    response, chunks, wire = served(streaming(*TOOL_STREAM))
    assert text_of(chunks) == "Let me see."
    assert "".join(chunk.reasoning for chunk in chunks) == "Think"
    assert calls_of(chunks) == [("a", "find", '{"id":7}'), ("b", "mail", "{}")]
    assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == ["tool_calls"]
    assert [chunk.usage for chunk in chunks if chunk.usage] == [USED]
    assert [chunk.raw for chunk in chunks] == TOOL_STREAM
    assert (response.model, response.id) == ("gpt-5-mini-2026-01", "chatcmpl-1")
    assert wire.requests[0].json["stream_options"] == {"include_usage": True}

    message = completion(
        "Let me see.",
        reasoning_content="Think",
        tool_calls=[
            {"id": "a", "type": "function", "function": {"name": "find", "arguments": '{"id":7}'}},
            {"id": "b", "type": "function", "function": {"name": "mail", "arguments": "{}"}},
        ],
    )
    response, whole, wire = served(lambda _: [reply(message, x_request_id="r-1")], stream=False)
    assert text_of(whole) == "Let me see."
    assert "".join(chunk.reasoning for chunk in whole) == "Think"
    assert calls_of(whole) == calls_of(chunks)
    assert [chunk.usage for chunk in whole if chunk.usage] == [USED]
    assert [chunk.finish_reason for chunk in whole if chunk.finish_reason] == ["stop"]
    assert response.headers["x-request-id"] == "r-1"
    assert response.id == "chatcmpl-2"
    assert "stream" not in wire.requests[0].json


def test_the_request_says_what_was_asked_for(served):
    schema = {
        "title": "An order!",
        "type": "object",
        "properties": {"id": {"type": "string"}},
        "required": ["id"],
        "additionalProperties": False,
    }
    messages = (
        Message.system("Be brief."),
        Message.user("What is this? \u2028 \U0001f600", ImagePart(data=b"\x89PNG", media_type="image/png")),
        Message.assistant(ReasoningPart("hm"), "Looking.", ToolCallPart("c1", "find", '{"a":1}')),
        Message("tool", (ToolResultPart("c1", "found"), ToolResultPart("c2", "lost", is_error=True))),
        Message.user(ImagePart(url="https://example.com/a.png")),
        Message.assistant(ToolCallPart("c3", "find", "{}")),
        Message.assistant(),
    )
    _, _, wire = served(
        lambda _: [reply(completion())],
        *messages,
        stream=False,
        max_output_tokens=50,
        temperature=0.0,
        top_p=0.5,
        seed=7,
        stop=("END",),
        tools=(Tool("find", "Find it", strict=True), Tool("other")),
        tool_choice="find",
        response_schema=schema,
        reasoning_effort="low",
        extra={"logprobs": True, "temperature": 0.25},
    )
    sent = wire.requests[0]
    assert sent.line == "POST /v1/chat/completions HTTP/1.1"
    assert sent.headers["authorization"] == "Bearer sk-test"
    assert sent.headers["accept-encoding"] == "identity"
    assert sent.json == {
        "model": "gpt-5-mini",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this? \u2028 \U0001f600"},
                    {
                        "type": "image_url",
                        "image_url": {"url": "data:image/png;base64," + base64.b64encode(b"\x89PNG").decode()},
                    },
                ],
            },
            {
                "role": "assistant",
                "content": "Looking.",
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"a":1}'}}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "found"},
            {"role": "tool", "tool_call_id": "c2", "content": "lost"},
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}],
            },
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c3", "type": "function", "function": {"name": "find", "arguments": "{}"}}],
            },
            {"role": "assistant", "content": ""},
        ],
        "max_tokens": 50,
        "temperature": 0.25,
        "top_p": 0.5,
        "seed": 7,
        "reasoning_effort": "low",
        "stop": ["END"],
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "find",
                    "description": "Find it",
                    "parameters": {"type": "object", "properties": {}},
                    "strict": True,
                },
            },
            {"type": "function", "function": {"name": "other", "parameters": {"type": "object", "properties": {}}}},
        ],
        "tool_choice": {"type": "function", "function": {"name": "find"}},
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "An_order", "schema": schema, "strict": True},
        },
        "logprobs": True,
    }


@pytest.mark.parametrize("chunk_size", [1, 3, 7, 64])
def test_any_chunking_on_the_wire_gives_the_same_reply(served, chunk_size):
    body = b"".join(map(event, TOOL_STREAM)) + event("[DONE]")
    pieces = [body[at : at + chunk_size] for at in range(0, len(body), chunk_size)]
    _, chunks, _ = served(lambda _: sse(pieces))
    assert [chunk.raw for chunk in chunks] == TOOL_STREAM


def test_every_truncation_is_an_error_and_never_a_short_success(run):
    events = [event(each) for each in (delta("Hel"), delta("lo", finish="stop"), USAGE_EVENT)] + [event("[DONE]")]
    body = b"".join(events)
    safe_from = len(events[0]) + len(events[1]) - 2  # all of the event with the finish reason but its blank line
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"  # ends when the connection does
    cuts = [*range(0, len(body), 5), safe_from - 1, safe_from, safe_from + 1, len(body)]
    cut = 0
    with Wire(lambda _: [head + body[:cut], CLOSE]) as wire:
        adapter = OpenAIChat(base_url=wire.url)

        async def read_all(runtime):
            nonlocal cut
            for cut in cuts:
                if cut < safe_from:
                    with pytest.raises(Unavailable) as caught:
                        await (await adapter(ask(runtime))).read()
                    assert caught.value.retryable
                else:
                    assert text_of(await (await adapter(ask(runtime))).read()) == "Hello"
            if runtime.blocking:
                adapter.close()

        run(read_all)


@pytest.mark.parametrize("ending", [CLOSE, RESET], ids=["closed", "reset"])
def test_a_chunked_stream_that_breaks_is_unavailable_after_what_came(run, ending):
    with Wire(lambda _: sse([event(delta("Hel")), ending])) as wire:
        adapter = OpenAIChat(base_url=wire.url)

        async def call(runtime):
            response = await adapter(ask(runtime))
            first = await anext(response)
            with pytest.raises(Unavailable, match="openai: "):
                await anext(response)
            if runtime.blocking:
                adapter.close()
            return first.text

        assert run(call) == "Hel"


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (streaming({"error": {"message": "secret words", "code": 429}}), RateLimited),
        (streaming({"error": {"message": "secret words", "type": "server_error"}}), Unavailable),
        (streaming({"error": "secret words"}), Unavailable),
        (streaming({"object": "error", "message": "secret words", "code": 400}), InvalidRequest),
        (lambda _: sse([b"event: error\ndata: secret words\n\n"]), Unavailable),
        (lambda _: sse([b'event: error\ndata: {"code": "content_filter"}\n\n']), ContentFiltered),
        (lambda _: sse([b"event: error\ndata:\n\n"]), Unavailable),
        (streaming("secret words"), Unavailable),
        (streaming('{"choices": [{"delta": {"content": "secret'), Unavailable),
        (streaming("[1]"), Unavailable),
        (streaming("7"), Unavailable),
        (streaming({"choices": 7}), Unavailable),
        (streaming({"choices": ["secret words"]}), Unavailable),
        (streaming({"choices": [{"delta": {"content": 7}}]}), Unavailable),
        (streaming({"choices": [{"delta": {"tool_calls": [7]}}]}), Unavailable),
        (streaming("[" * 100_000), Unavailable),
        (streaming(delta("a"), done=False), Unavailable),
        (streaming(done=False), Unavailable),
        (lambda _: [reply(b"<html>secret words</html>", content_type="text/html")], Unavailable),
        (lambda _: [reply(b"", content_type="text/event-stream")], Unavailable),
        (lambda _: [reply(b"secret words", content_type="application/json")], Unavailable),
        (lambda _: [reply({"choices": []})], Unavailable),
        (lambda _: [reply(b"[]", content_type="application/json")], Unavailable),
        (lambda _: [reply({"error": {"code": 401, "message": "secret words"}})], AuthenticationFailed),
        (lambda _: [reply({"error": {"message": "secret words"}}, 500)], Unavailable),
        (lambda _: [reply(b"secret words", 503, retry_after="7")], Unavailable),
        (lambda _: [reply(b"", 307, location="http://127.0.0.1:9/")], InvalidRequest),
        (lambda _: [b"secret words\r\n\r\n", CLOSE], Unavailable),
        (lambda _: [CLOSE], Unavailable),
        (lambda _: [RESET], Unavailable),
        (lambda _: [b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{", CLOSE], Unavailable),
    ],
)
def test_whatever_is_wrong_becomes_a_typed_error_that_quotes_nothing(served, script, kind):
    with pytest.raises(ProviderError) as caught:
        served(script)
    assert type(caught.value) is kind
    error: BaseException | None = caught.value
    while error is not None:
        assert "secret" not in f"{error} {error!r}"
        error = error.__cause__
    assert caught.value.provider == "openai"


@pytest.mark.parametrize("ending", [CLOSE, RESET], ids=["closed", "reset"])
def test_a_stream_that_breaks_after_the_finish_reason_is_complete(served, ending):
    _, chunks, _ = served(lambda _: sse([event(delta("Hello", finish="stop")), ending]))
    assert text_of(chunks) == "Hello"


def test_an_event_cut_off_after_the_finish_reason_does_no_harm(served):
    body = event(delta("Hello", finish="stop")) + event(USAGE_EVENT)[:-9]
    _, chunks, _ = served(lambda _: [reply(body, content_type="text/event-stream")])
    assert text_of(chunks) == "Hello"


def test_an_error_after_some_text_comes_after_that_text(run):
    script = streaming(delta("Hel"), {"error": {"code": 503}})
    with Wire(script) as wire:
        adapter = OpenAIChat(base_url=wire.url)

        async def call(runtime):
            response = await adapter(ask(runtime))
            seen = [(await anext(response)).text]
            with pytest.raises(Unavailable):
                await anext(response)
            if runtime.blocking:
                adapter.close()
            return seen

        assert run(call) == ["Hel"]


def test_a_server_that_does_not_stream_when_asked_is_understood_and_the_reverse(served):
    _, chunks, _ = served(lambda _: [reply(completion("whole"))], stream=True)
    assert text_of(chunks) == "whole"
    _, chunks, _ = served(streaming(delta("pieces", finish="stop")), stream=False)
    assert text_of(chunks) == "pieces"


def test_dialects_of_other_servers_are_understood(served):
    events = [
        {"choices": [], "prompt_filter_results": [{"index": 0}]},
        delta([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "A"}]),
        delta(reasoning="more", content=None),
        {"choices": [{"index": 1, "delta": {"content": "not asked for"}}]},
        {"choices": [{"index": 1, "delta": {"content": "no"}}, {"index": 0, "delta": {"content": "B"}}]},
        {"choices": [{"delta": {"tool_calls": [{"id": "x", "function": {"name": "f", "arguments": None}}]}}]},
        {"choices": [{"delta": {"tool_calls": [{"function": {"arguments": "{}"}}]}}]},
        delta(tool_calls=[{"index": 0, "id": "y", "function": {"name": "g", "arguments": {"k": 1}}}]),
        delta(tool_calls=[{"index": 0, "id": "y", "function": {"name": "g", "arguments": " "}}]),
        delta(finish="something_new"),
        {"choices": [], "x_groq": {"usage": {"prompt_tokens": 3, "completion_tokens": 4.0}}},
    ]
    _, chunks, _ = served(streaming(*events))
    assert text_of(chunks) == "AB"
    assert "".join(chunk.reasoning for chunk in chunks) == "hmmore"
    assert calls_of(chunks) == [("x", "f", "{}"), ("y", "g", '{"k": 1} ')]
    assert chunks[7].tool_calls == (ToolCallDelta(1, "y", "g", '{"k": 1}'),)
    assert chunks[8].tool_calls == (ToolCallDelta(1, None, None, " "),)
    assert chunks[-2].finish_reason == "something_new"
    assert chunks[-1].usage == Usage(3, 4)


def test_a_refusal_is_text_with_a_finish_reason_of_its_own(served):
    _, chunks, _ = served(streaming(delta(refusal="I can"), delta(refusal="not."), delta(finish="stop")))
    assert text_of(chunks) == "I cannot."
    assert chunks[-1].finish_reason == "refusal"


@pytest.mark.parametrize(
    ("sent", "usage"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 2, "prompt_cache_hit_tokens": 4}, Usage(5, 2, 4)),
        ({"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 10,
          "completion_tokens_details": {"reasoning_tokens": 3}}, Usage(5, 5, reasoning_tokens=3)),
        ({"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 900,
          "cache_write_tokens": 1}}, Usage(5, 2, 5, 0)),
        ({"prompt_tokens": 5, "completion_tokens": -2}, Usage(5, 0)),
        ({"prompt_tokens": True, "completion_tokens": "2"}, None),
        ({"prompt_tokens": 1e300, "completion_tokens": 10**30}, None),
        ({"something": 1}, None),
        ([1], None),
        ({"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": 7,
          "completion_tokens_details": None}, Usage(5, 2)),
    ],
)  # fmt: skip
def test_usage_is_brought_to_one_way_of_counting(served, sent, usage):
    _, chunks, _ = served(streaming(delta("a", finish="stop"), {"choices": [], "usage": sent}))
    assert chunks[-1].usage == usage


def test_half_a_surrogate_pair_does_not_break_the_reply(served):
    good = json.dumps(delta("\U0001f600"))
    half = good.replace("\\ude00", "")
    assert "\\ud83d" in half
    _, chunks, _ = served(streaming(half, good, delta("\\ud83d", finish="stop")))
    assert text_of(chunks) == "\ufffd\U0001f600\\ud83d"


def test_bytes_that_are_not_utf8_do_not_break_the_reply(served):
    raw = event(delta("caf\xe9 x")).replace(b"\\u00e9", b"\xe9")
    _, chunks, _ = served(lambda _: sse([raw, event(delta(finish="stop"))]))
    assert text_of(chunks) == "caf\ufffd x"


def test_the_limits_name_follows_the_server():
    request = ask(DirectRuntime(), max_output_tokens=5)
    for server, field in (("openai", "max_completion_tokens"), ("mistral", "max_tokens")):
        adapter = OpenAIChat.preset(server)
        assert json.loads(adapter.wire.write_request(request, adapter.endpoint))[field] == 5


def test_reasoning_goes_back_where_a_server_takes_it(served):
    turn = Message.assistant(ReasoningPart("because"), TextPart("yes"))
    for field, expected in ((None, None), ("reasoning", "because")):
        _, _, wire = served(lambda _: [reply(completion())], turn, stream=False, settings={"reasoning_field": field})
        assert wire.requests[0].json["messages"][0].get("reasoning") == expected


@pytest.mark.parametrize(
    ("messages", "fields", "says"),
    [
        ((), {"extra": {"stream": False}}, "stream"),
        ((), {"extra": {"n": 2}}, "one"),
        ((), {"extra": {"n": [2]}}, "one"),
        ((), {"extra": {"model": "x"}}, "model"),
        ((), {"extra": {"x": object()}}, "JSON"),
        ((Message.user("secret \ud83d"),), {}, "surrogates"),
        ((Message.system("a"), Message("system", (ImagePart(url="https://x"),))), {}, "user messages"),
        ((Message("assistant", (ImagePart(url="https://x"),)),), {}, "user messages"),
        ((Message("tool", (TextPart("a"), TextPart("b"))),), {}, "Message.tool"),
        ((Message("user", (ToolCallPart("a", "b", "{}"), TextPart("x"))),), {}, "assistant"),
    ],
)
def test_what_the_wire_cannot_carry_is_refused_before_anything_is_sent(served, messages, fields, says):
    with pytest.raises(ConfigurationError, match=says) as caught:
        served(lambda _: pytest.fail("something was sent"), *messages, **fields)
    assert "secret" not in str(caught.value)


def test_stream_options_add_to_the_usage_option(served):
    script = streaming(delta("a", finish="stop"))
    _, _, wire = served(script, extra={"stream_options": {"include_obfuscation": False}})
    assert wire.requests[0].json["stream_options"] == {"include_usage": True, "include_obfuscation": False}


def test_tool_calls_of_a_whole_reply_need_neither_index_nor_id(served):
    calls = [{"function": {"name": name, "arguments": "{}"}} for name in ("f", "g")]
    _, chunks, _ = served(lambda _: [reply(completion("", tool_calls=calls))], stream=False)
    assert calls_of(chunks) == [(None, "f", "{}"), (None, "g", "{}")]


def test_parts_that_are_not_known_are_passed_over(served):
    content = [
        {"type": "text", "text": "A"},
        {"type": "reference", "reference_ids": [1]},
        {"type": "text", "text": "B"},
    ]
    _, chunks, _ = served(lambda _: [reply(completion(content))], stream=False)
    assert text_of(chunks) == "AB"
    assert chunks[0].raw["choices"][0]["message"]["content"] == content


def test_a_result_may_come_with_other_parts(served):
    message = Message.user(ToolResultPart("c1", "found"), ReasoningPart("hm"), "Thanks.")
    picture = Message.user(ReasoningPart("hm"), ImagePart(url="https://x"))
    for choice in ("auto", "none", "required"):
        _, _, wire = served(lambda _: [reply(completion())], message, picture, stream=False, tool_choice=choice)
        assert wire.requests[0].json["messages"] == [
            {"role": "tool", "tool_call_id": "c1", "content": "found"},
            {"role": "user", "content": "Thanks."},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x"}}]},
        ]
        assert wire.requests[0].json["tool_choice"] == choice


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        ({"type": "object", "properties": {}, "additionalProperties": False}, True),
        ({"type": "object", "properties": {"a": {}}, "additionalProperties": False}, False),
        ({"type": "object", "properties": {"a": {}}, "required": ["a"]}, False),
        ({"anyOf": [{"type": "string"}, {"type": "object"}]}, False),
        ({"anyOf": [{"type": "string"}, {"type": "array", "items": {"enum": [1, None]}}]}, True),
    ],
)
def test_strict_mode_is_asked_for_where_the_schema_allows_it(served, schema, strict):
    _, _, wire = served(lambda _: [reply(completion())], stream=False, response_schema=schema)
    assert wire.requests[0].json["response_format"]["json_schema"]["strict"] is strict
