"""Requests and messages, to the wire and back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, strategies as st

from chat_wire import ask
from inferkit.core.errors import ConfigurationError
from inferkit.core.messages import (
    ImagePart,
    Message,
    OpaquePart,
    ReasoningPart,
    RefusalPart,
    TextPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
)
from inferkit.core.record import CallRecord
from inferkit.core.request import Request
from inferkit.providers.endpoints import Endpoint
from inferkit.providers.presets import PRESETS
from inferkit.providers.wires.chat.quirks import ChatQuirks
from inferkit.providers.wires.chat.wire import CHAT
from inferkit.runtime import clock
from inferkit.runtime.direct import DirectRuntime

PLAIN = Endpoint("acme", "https://acme.test/v1", quirks=ChatQuirks())


def write(request, endpoint=PLAIN):
    return json.loads(CHAT.write_request(request, endpoint))


def read(payload):
    return Request(runtime=DirectRuntime(), record=CallRecord(clock), **CHAT.read_request(payload))


def written(*messages, endpoint=PLAIN):
    return write(ask(DirectRuntime(), *messages), endpoint)["messages"]


def read_and_written(*messages, endpoint=PLAIN):
    """Read messages as dictionaries, and write what was read."""
    return written(*[CHAT.read_message(given, place) for place, given in enumerate(messages)], endpoint=endpoint)


words = st.text(max_size=12)
marks = st.none() | st.fixed_dictionaries({"cache_control": st.just({"type": "ephemeral"})})
named = st.none() | st.fixed_dictionaries({"name": words.filter(bool)})
texts = st.builds(TextPart, words, marks)
images = st.one_of(
    st.builds(ImagePart, url=words, detail=st.none() | st.sampled_from(["low", "high"]), extra=marks),
    st.builds(ImagePart, data=st.binary(max_size=9), media_type=st.just("image/png")),
)
calls = st.builds(
    ToolCallPart, words, words, words, st.none() | st.just({"extra_content": {"google": {"thought_signature": "x"}}})
)
own = st.one_of(
    texts,
    calls,
    st.builds(RefusalPart, words.filter(bool)),
    st.builds(ReasoningPart, words, st.none(), st.none() | st.just({"reasoning_details": [{"data": "x"}]})),
    st.builds(OpaquePart, st.just("audio"), st.just({"id": "a1"})),
    st.builds(ImagePart, url=words, extra=st.just({"field": "images"})),
)
messages = st.one_of(
    st.builds(Message, st.just("system"), st.lists(texts, max_size=2).map(tuple), named),
    st.builds(Message, st.just("user"), st.lists(texts | images, max_size=3).map(tuple), named),
    st.builds(Message, st.just("assistant"), st.lists(own, max_size=4).map(tuple), named),
    st.builds(Message, st.just("tool"), st.lists(st.builds(ToolResultPart, words, words), min_size=1).map(tuple)),
)
objects = st.dictionaries(words, words | st.integers(0, 9) | st.booleans(), max_size=2)
tools = st.builds(
    Tool, words, words, objects, st.none() | st.booleans(), st.none() | st.just({"cache_control": {"type": "x"}})
)
requests = st.builds(
    lambda turns, fields: ask(DirectRuntime(), *turns, **fields),
    st.lists(messages, min_size=1, max_size=4),
    st.fixed_dictionaries(
        {"stream": st.booleans()},
        optional={
            "max_output_tokens": st.integers(1, 99),
            "temperature": st.floats(0, 2),
            "top_p": st.floats(0, 1),
            "seed": st.integers(0, 9),
            "stop": st.lists(words, max_size=2).map(tuple),
            "tools": st.lists(tools, max_size=2).map(tuple),
            "tool_choice": st.sampled_from(["auto", "none", "required", "find"]),
            "response_schema": st.fixed_dictionaries({"title": words, "type": st.just("object")}),
            "reasoning_effort": st.sampled_from(["low", "high"]),
            "extra": st.fixed_dictionaries({"user": words, "logit_bias": st.just({"50256": -100})}),
        },
    ),
)


@given(requests, st.sampled_from(["max_tokens", "max_completion_tokens"]), st.sampled_from([None, "reasoning"]))
def test_a_request_that_was_read_is_written_as_it_came(request, limit, reasoning):
    endpoint = Endpoint("acme", "https://acme.test/v1", quirks=ChatQuirks(limit, reasoning))
    payload = write(request, endpoint)
    again = read(payload)
    assert write(again, endpoint) == payload
    kept = {name: value for name, value in vars(request).items() if name not in {"messages", "runtime", "record"}}
    assert {name: getattr(again, name) for name in kept} == kept


@pytest.mark.parametrize(
    "odd",
    [
        {"tools": [{"type": "web_search"}]},
        {"tools": [{"type": "custom", "custom": {"name": "sql", "format": {"type": "grammar"}}}]},
        {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}},
        {"tool_choice": {"type": "function", "function": {"name": "auto"}}},
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "mine", "schema": {}, "strict": False}}},
        {"max_tokens": 5, "max_completion_tokens": 6},
        {"max_tokens": "five"},
        {
            "tools": [
                {
                    "type": "function",
                    "function": {"name": "f", "parameters": {}, "x": 1},
                    "cache_control": {"type": "y"},
                }
            ]
        },
        {"stop": 5},
        {"stream": True, "stream_options": {"include_usage": True, "include_obfuscation": False}},
        {"modalities": ["text", "audio"], "audio": {"voice": "alloy"}, "prediction": {"type": "content"}},
    ],
)
def test_what_a_request_has_no_field_for_stays_as_it_came(odd):
    payload = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **odd}
    endpoint = Endpoint("acme", "https://acme.test/v1", quirks=ChatQuirks("max_completion_tokens"))
    assert write(read(payload), endpoint) == payload


def test_one_word_to_stop_at_is_read_as_a_list_of_one():
    payload = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stop": "END"}
    assert read(payload).stop == ("END",)


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        ([], "a request is an object"),
        ({"messages": [{"role": "user", "content": "hi"}]}, "a request is an object"),
        ({"model": "m"}, "are a list"),
        ({"model": "m", "messages": []}, "are a list"),
        ({"model": "m", "messages": "hi"}, "are a list"),
        ({"model": "m", "messages": [7]}, "message 0 is a int"),
    ],
)
def test_what_is_no_request_is_explained(payload, says):
    with pytest.raises(ConfigurationError, match=says):
        CHAT.read_request(payload)


CALL = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}}


@pytest.mark.parametrize(
    "given",
    [
        {"role": "user", "content": "hi", "name": "ana"},
        {"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]},
        {"role": "system", "content": "Be brief.", "cache_control": {"type": "ephemeral"}},
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": "https://x", "detail": "low", "format": "png"}}],
        },
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}, "cache_control": {}}]},
        {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [CALL]},
        {"role": "assistant", "content": "Yes.", "reasoning": "hm", "reasoning_details": [{"type": "x", "data": "y"}]},
        {"role": "assistant", "content": "Yes.", "reasoning_details": [{"type": "x", "data": "y"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [CALL | {"extra_content": {"google": {"thought_signature": "abc"}}}],
        },
        {"role": "assistant", "content": None, "tool_calls": [CALL | {"function": CALL["function"] | {"x": 1}}]},
        {"role": "assistant", "content": [{"type": "text", "text": "a", "x": 1}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": None, "refusal": "I cannot."},
        {"role": "assistant", "content": None, "audio": {"id": "audio_1"}},
        {"role": "assistant", "content": "Here.", "images": [{"type": "image_url", "image_url": {"url": "data:x"}}]},
        {"role": "assistant", "content": "Once upon", "prefix": True},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "tool", "tool_call_id": "c1", "content": "found", "name": "find"},
        {
            "role": "tool",
            "tool_call_id": "c1",
            "content": [{"type": "text", "text": "found", "cache_control": {"type": "ephemeral"}}],
        },
    ],
)
def test_nothing_of_a_message_that_is_passed_as_a_dictionary_is_dropped(given):
    [sent] = read_and_written(given)
    if sent["content"] == "" and given["content"] is None:
        sent["content"] = None
    assert sent == given


@pytest.mark.parametrize("content", [None, "", [], "missing"])
def test_a_message_of_the_models_own_may_be_empty(content):
    given = {"role": "assistant", "refusal": None, "tool_calls": None, "annotations": [], "audio": None}
    if content != "missing":
        given["content"] = content
    assert read_and_written(given) == [{"role": "assistant", "content": ""}]


def test_a_refusal_in_the_history_may_stand_among_the_parts():
    given = {"role": "assistant", "content": [{"type": "refusal", "refusal": "I cannot."}]}
    assert CHAT.read_message(given, 0) == Message("assistant", (RefusalPart("I cannot."),))
    assert read_and_written(given) == [{"role": "assistant", "content": None, "refusal": "I cannot."}]


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [({"a": "x"}, '{"a": "x"}'), ([1], "[1]"), ({"ö": None}, '{"ö": null}'), (None, ""), ('{"a": 1}', '{"a": 1}')],
)
def test_arguments_that_are_no_text_become_json(arguments, sent):
    call = {"id": "c1", "function": {"name": "f", "arguments": arguments}}
    [message] = read_and_written({"role": "assistant", "tool_calls": [call]})
    assert message["tool_calls"][0]["function"]["arguments"] == sent


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"role": "assistant", "tool_calls": [{"id": None, "function": {"name": "f"}}]}, "a tool call of message 3"),
        ({"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}, "a tool call of message 3"),
        (
            {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": {1, 2}}}]},
            "are no JSON",
        ),
        ({"role": "tool", "tool_call_id": None, "content": "x"}, "tool_call_id"),
        (
            {
                "role": "tool",
                "tool_call_id": "c",
                "content": [{"type": "image_url", "image_url": {"url": "u"}}, {"type": "text", "text": ""}],
            },
            "its content is text",
        ),
        ({"role": "assistant", "content": "a", "reasoning": ["hm"]}, 'the "reasoning" of message 3'),
        ({"role": "assistant", "content": "a", "images": ["u"]}, 'the "images" of message 3'),
        ({"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}, "a part of message 3"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": None}}]}, "a part of message 3"),
        ({"role": "user", "content": None}, 'has no "content"'),
    ],
)
def test_what_cannot_be_sent_is_refused_and_not_dropped(given, says):
    with pytest.raises(ConfigurationError, match=says):
        CHAT.read_message(given, 3)


def test_reasoning_goes_back_where_the_server_takes_it_or_where_the_caller_put_it():
    turn = Message.assistant(ReasoningPart("hm", None, {"reasoning_details": [{"data": "x"}]}), "Yes.")
    told = {"role": "assistant", "content": "Yes."}
    assert written(turn) == [told]
    details = {"reasoning_details": [{"data": "x"}]}
    assert written(turn, endpoint=PRESETS["openrouter"]) == [told | details | {"reasoning": "hm"}]
    assert written(turn, endpoint=PRESETS["deepseek"]) == [told | details | {"reasoning_content": "hm"}]
    given = told | {"reasoning_content": "hm"}
    assert read_and_written(given) == [given]
    assert read_and_written(given, endpoint=PRESETS["openrouter"]) == [told | {"reasoning": "hm"}]


def test_a_part_that_this_wire_has_no_place_for_is_refused():
    with pytest.raises(ConfigurationError, match="'server_tool_use'"):
        written(Message.assistant(OpaquePart("server_tool_use", {})))
    for part in (RefusalPart("no"), OpaquePart("audio", {})):
        with pytest.raises(ConfigurationError, match=f"a {type(part).__name__} belongs in assistant messages"):
            written(Message("user", (part, TextPart("x"))))
