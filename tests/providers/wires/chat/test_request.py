"""Requests and messages, to the wire and back."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from chat_wire import ask
from inferkit.core.errors import ConfigurationError, InvalidRequest
from inferkit.core.messages import (
    AudioPart,
    CustomTool,
    FilePart,
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
blobs = st.binary(max_size=9)
media = st.one_of(
    images,
    st.builds(AudioPart, blobs, st.sampled_from(["audio/wav", "audio/mpeg", "audio/opus"]), marks),
    st.builds(FilePart, blobs, st.just("application/pdf"), st.none() | words, extra=marks),
    st.builds(FilePart, url=words.map("https://a/{}".format), filename=st.none() | words, extra=marks),
    st.builds(FilePart, file_id=words, filename=st.none() | words),
)
signed = st.none() | st.just({"extra_content": {"google": {"thought_signature": "x"}}})
calls = st.builds(ToolCallPart, words, words, words, signed, st.sampled_from(["function", "custom"]))
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
    st.builds(Message, st.just("user"), st.lists(texts | media, max_size=3).map(tuple), named),
    st.builds(Message, st.just("assistant"), st.lists(own, max_size=4).map(tuple), named),
    st.builds(Message, st.just("tool"), st.lists(st.builds(ToolResultPart, words, words), min_size=1).map(tuple)),
)
objects = st.dictionaries(words, words | st.integers(0, 9) | st.booleans(), max_size=2)
marked = st.none() | st.just({"cache_control": {"type": "x"}})
tools = st.one_of(
    st.builds(Tool, words, words, objects, st.none() | st.booleans(), marked),
    st.builds(CustomTool, words, words, st.none(), st.just("lark"), marked),
    st.builds(CustomTool, words, words, words, st.sampled_from(["lark", "regex"]), marked),
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
            "logprobs": st.just(True),
            "prediction": words,
            "prompt_cache_key": words,
            "prompt_cache_retention": words,
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
        {"tools": [{"type": "custom", "custom": {"name": "sql", "format": {"type": "text"}, "x": 1}}]},
        {"tools": [{"type": "custom", "custom": {"name": "sql", "description": 7}}]},
        {"tools": [{"type": "custom", "custom": {"name": "sql", "x": 1}, "y": 2}]},
        {
            "tools": [
                {
                    "type": "custom",
                    "custom": {
                        "name": "sql",
                        "format": {"type": "grammar", "grammar": {"definition": "a", "syntax": "lark"}},
                    },
                },
                {"type": "function", "function": {"name": "f", "parameters": {}}},
            ],
            "tool_choice": {"type": "custom", "custom": {"name": "sql"}},
        },
        {"tool_choice": {"type": "custom", "custom": {"name": "sql"}}},
        {"tool_choice": {"type": "function", "function": {"name": "f"}, "x": 1}},
        {
            "logprobs": "yes",
            "top_logprobs": 3,
            "prompt_cache_key": 7,
            "service_tier": "flex",
            "parallel_tool_calls": False,
        },
        {"logprobs": False, "top_logprobs": 3, "prediction": {"type": "content", "content": []}},
        {"logprobs": 1},
        {"logprobs": True, "top_logprobs": -1},
        {"prompt_cache_key": "k", "prompt_cache_options": {"mode": "implicit", "ttl": "30m"}, "safety_identifier": "u"},
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
        {
            "role": "user",
            "content": [
                {"type": "input_audio", "input_audio": {"data": "eA==", "format": "mp3", "x": 1}, "cache_control": {}}
            ],
        },
        {"role": "user", "content": [{"type": "file", "file": {"file_data": "data:a/b;x=y;base64,eA==", "z": 1}}]},
        {"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1", "filename": "a.pdf"}, "x": 1}]},
        {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [CALL]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}], "closed": True},
                {"type": "text", "text": "Yes."},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "custom", "custom": {"name": "sql", "input": "select 1"}, "x": 2}],
        },
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
        (
            {"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]},
            "a part of message 3 is not .*audio",
        ),
        (
            {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "%", "format": "wav"}}]},
            "a part of message 3 is not .*base64",
        ),
        ({"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": 7, "format": "wav"}}]}, "base64"),
        ({"role": "user", "content": [{"type": "file", "file": "x"}]}, "a part of message 3 is not .*file_id"),
        ({"role": "user", "content": [{"type": "file", "file": {"filename": "x"}}]}, "a part of message 3 is not"),
        ({"role": "user", "content": [{"type": "file", "file": {"file_id": 7}}]}, "a part of message 3 is not"),
        (
            {"role": "user", "content": [{"type": "file", "file": {"file_data": "data:a/b;base64,%"}}]},
            "a part of message 3 is not .*data URL",
        ),
        ({"role": "user", "content": [{"type": "document_url", "document_url": 7}]}, "a part of message 3 is not"),
        ({"role": "user", "content": [{"type": "video_url", "video_url": {"url": "u"}}]}, "is none of .*input_audio"),
        ({"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}]}, "a part of message 3 is not"),
        (
            {"role": "assistant", "content": [{"type": "thinking", "thinking": [{"type": "reference"}]}]},
            "a part of message 3 is not",
        ),
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
    assert written(turn, endpoint=PRESETS["openrouter"].endpoint()) == [told | details | {"reasoning": "hm"}]
    assert written(turn, endpoint=PRESETS["deepseek"].endpoint()) == [told | details | {"reasoning_content": "hm"}]
    given = told | {"reasoning_content": "hm"}
    assert read_and_written(given) == [given]
    assert read_and_written(given, endpoint=PRESETS["openrouter"].endpoint()) == [told | {"reasoning": "hm"}]


def test_a_part_that_this_wire_has_no_place_for_is_refused():
    with pytest.raises(ConfigurationError, match="'server_tool_use'"):
        written(Message.assistant(OpaquePart("server_tool_use", {})))
    for part in (RefusalPart("no"), OpaquePart("audio", {})):
        with pytest.raises(ConfigurationError, match=f"a {type(part).__name__} belongs in assistant messages"):
            written(Message("user", (part, TextPart("x"))))


def test_sound_and_files_are_written_as_the_server_takes_them():
    parts = (AudioPart(b"x", "audio/x-wav"), FilePart(b"x", "application/pdf", "a.pdf"), FilePart(url="https://a"))
    [sent] = written(Message("user", parts))
    assert sent["content"] == [
        {"type": "input_audio", "input_audio": {"data": "eA==", "format": "wav"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,eA==", "filename": "a.pdf"}},
        {"type": "file", "file": {"file_data": "https://a"}},
    ]
    [sent] = written(Message("user", parts), endpoint=PRESETS["mistral"].endpoint())
    assert sent["content"] == [
        {"type": "input_audio", "input_audio": "eA=="},
        {
            "type": "document_url",
            "document_url": "data:application/pdf;base64,eA==",
            "document_name": "a.pdf",
        },
        {"type": "document_url", "document_url": "https://a"},
    ]
    [again] = read_and_written({"role": "user", "content": sent["content"][1:]})
    assert again["content"] == [
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,eA==", "filename": "a.pdf"}},
        {"type": "file", "file": {"file_data": "https://a"}},
    ]


@pytest.mark.parametrize(
    ("server", "given", "says"),
    [
        ("groq", AudioPart(b"x", "audio/wav"), "groq does not take sound"),
        ("vllm", FilePart(file_id="f"), "vllm does not take files"),
        ("openai", FilePart(url="https://a"), "openai does not take the address of a file; pass its data="),
        ("mistral", FilePart(file_id="f"), "mistral does not take the file_id of a file"),
    ],
)
def test_what_a_server_is_known_not_to_take_is_left_to_another_candidate(server, given, says):
    endpoint = replace(PRESETS[server], base_url="https://acme.test/v1").endpoint()
    with pytest.raises(InvalidRequest, match=says) as caught:
        written(Message.user(given), endpoint=endpoint)
    assert (caught.value.provider, caught.value.code, caught.value.retryable) == (server, "unsupported", False)


def test_a_tool_of_a_kind_that_a_server_does_not_know_is_left_to_another_candidate():
    request = ask(DirectRuntime(), tools=(CustomTool("sql"),))
    assert write(request)["tools"] == [{"type": "custom", "custom": {"name": "sql"}}]
    with pytest.raises(InvalidRequest, match="llamacpp does not take tools that take plain text"):
        write(request, PRESETS["llamacpp"].endpoint())


@pytest.mark.parametrize("part", [ImagePart(url="u"), AudioPart(b"x", "audio/wav"), FilePart(file_id="f")])
@pytest.mark.parametrize("role", ["system", "assistant"])
def test_what_is_shown_stands_in_messages_of_the_user(role, part):
    with pytest.raises(ConfigurationError, match="in user messages only"):
        written(Message(role, (part, TextPart("look"))))


@pytest.mark.parametrize(
    ("fields", "asked", "sent"),
    [
        ({"logprobs": True}, "switch", {"logprobs": True}),
        ({"logprobs": False}, "switch", {"logprobs": False}),
        ({"top_logprobs": 2}, "switch", {"logprobs": True, "top_logprobs": 2}),
        ({"logprobs": True, "top_logprobs": 0}, "switch", {"logprobs": True, "top_logprobs": 0}),
        ({"logprobs": True}, "number", {"logprobs": 1}),
        ({"top_logprobs": 5}, "number", {"logprobs": 5}),
        ({"logprobs": False}, "number", {}),
        ({"logprobs": False}, None, {}),
        ({}, None, {}),
    ],
)
def test_a_server_is_asked_how_likely_its_tokens_were_in_its_own_way(fields, asked, sent):
    endpoint = Endpoint("acme", "https://acme.test/v1", quirks=ChatQuirks(logprobs=asked))
    payload = write(ask(DirectRuntime(), **fields), endpoint)
    assert {name: value for name, value in payload.items() if "logprobs" in name} == sent
    if asked == "switch":
        again = read(payload)
        assert (again.logprobs, again.top_logprobs) == (sent["logprobs"], sent.get("top_logprobs"))


@pytest.mark.parametrize("fields", [{"logprobs": True}, {"top_logprobs": 0}])
def test_a_server_that_never_says_how_likely_they_were_is_left_for_another_candidate(fields):
    with pytest.raises(InvalidRequest, match="groq does not take logprobs"):
        write(ask(DirectRuntime(), **fields), PRESETS["groq"].endpoint())


def test_hints_go_where_they_are_taken_and_change_nothing_elsewhere():
    hints = {"prediction": "Dear Ana,", "prompt_cache_key": "support", "prompt_cache_retention": "24h"}
    payload = write(ask(DirectRuntime(), **hints), PRESETS["openai"].endpoint())
    assert {name: payload[name] for name in hints} == hints | {
        "prediction": {"type": "content", "content": "Dear Ana,"}
    }
    for name in ("groq", "gemini-openai"):
        assert not hints.keys() & write(ask(DirectRuntime(), **hints), PRESETS[name].endpoint()).keys()
    assert "prompt_cache_key" not in write(ask(DirectRuntime(), **hints), PRESETS["cerebras"].endpoint())


@pytest.mark.parametrize(
    ("server", "left_out"),
    [
        ("openai", set()),
        ("cerebras", {"prompt_cache_key", "prompt_cache_retention"}),
        ("mistral", {"extra_content", "prompt_cache_key", "prompt_cache_retention", "reasoning"}),
        ("gemini-openai", {"prediction", "prompt_cache_key", "prompt_cache_retention", "reasoning"}),
        ("groq", {"extra_content", "prediction", "prompt_cache_key", "prompt_cache_retention", "reasoning"}),
    ],
)
def test_what_a_server_is_not_sent_is_said(server, left_out):
    thought = ReasoningPart("hm", None, {"field": "reasoning_content", "reasoning_details": [{"data": "x"}]})
    turn = Message.assistant(thought, ToolCallPart("call_1", "find", "{}", {"extra_content": {"google": {}}}))
    hints = {"prediction": "x", "prompt_cache_key": "k", "prompt_cache_retention": "24h"}
    request = ask(DirectRuntime(), Message.user("hi"), turn, Message.tool("call_1", "found"), **hints)
    write(request, PRESETS[server].endpoint())
    assert set(request.record.left_out) == left_out


def test_thoughts_that_no_field_is_known_for_are_said_to_stay_behind():
    for part in (ReasoningPart("hm"), ReasoningPart("", None, {"reasoning_details": [{"data": "x"}]})):
        request = ask(DirectRuntime(), Message.assistant(part, "Yes."), Message.user("Sure?"))
        assert "hm" not in json.dumps(write(request))
        assert request.record.left_out == ("reasoning",)


def test_one_tool_that_must_be_called_is_given_alone_where_it_cannot_be_named():
    request = ask(DirectRuntime(), tools=(Tool("find"), Tool("mail")), tool_choice="mail")
    assert write(request)["tool_choice"] == {"type": "function", "function": {"name": "mail"}}
    sent = write(request, PRESETS["llamacpp"].endpoint())
    assert ([tool["function"]["name"] for tool in sent["tools"]], sent["tool_choice"]) == (["mail"], "required")
    unknown = write(request.replace(tool_choice="other"), PRESETS["llamacpp"].endpoint())
    assert (len(unknown["tools"]), unknown["tool_choice"]["function"]["name"]) == (2, "other")


def test_a_server_is_asked_in_its_own_words():
    sent = write(ask(DirectRuntime(), seed=7, temperature=0.5), PRESETS["mistral"].endpoint())
    assert (sent["random_seed"], sent["temperature"]) == (7, 0.5)
    assert sent.keys() == {"model", "messages", "stream", "random_seed", "temperature"}


def test_ids_of_calls_that_come_from_elsewhere_are_made_anew_where_only_short_ones_are_taken():
    turns = (
        Message.assistant(ToolCallPart("call_0123456789", "find", "{}"), ToolCallPart("abcDEF123", "find", "{}")),
        Message.tool("call_0123456789", "found"),
        Message.tool("abcDEF123", "none"),
    )
    call, *results = written(*turns, endpoint=PRESETS["mistral"].endpoint())
    first, second = (each["id"] for each in call["tool_calls"])
    assert (first.isalnum(), len(first), second) == (True, 9, "abcDEF123")
    assert [result["tool_call_id"] for result in results] == [first, second]
    assert [each["id"] for each in written(*turns)[0]["tool_calls"]] == ["call_0123456789", "abcDEF123"]


def test_thoughts_stand_among_the_parts_where_the_server_has_them_there():
    turn = Message.assistant(ReasoningPart("hm", None, {"reasoning_details": [{"data": "x"}]}), "Yes.")
    [sent] = written(turn, endpoint=PRESETS["mistral"].endpoint())
    assert sent["content"] == [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "Yes."},
    ]
    assert sent.keys() == {"role", "content"}


SIDE_BY_SIDE = Endpoint("acme", "https://acme.test/v1", quirks=ChatQuirks(thinks_beside=True))


@pytest.mark.parametrize(
    ("extra", "limits"),
    [
        ({}, {"max_tokens": 1000}),
        ({"thinking_budget": 300}, {"max_tokens": 700, "thinking_budget": 300}),
        ({"enable_thinking": True}, {"max_tokens": 500, "thinking_budget": 500}),
        ({"enable_thinking": True, "thinking_budget": 999}, {"max_tokens": 1, "thinking_budget": 999}),
        ({"enable_thinking": False, "thinking_budget": 300}, {"max_tokens": 1000, "thinking_budget": 300}),
        ({"thinking_budget": 0}, {"max_tokens": 1000, "thinking_budget": 0}),
        ({"max_tokens": 50, "thinking_budget": 300}, {"max_tokens": 50, "thinking_budget": 300}),
    ],
)
def test_where_a_server_counts_what_is_thought_apart_both_share_the_limit_of_the_reply(extra, limits):
    request = ask(DirectRuntime(), Message.user("hello"), max_output_tokens=1000, extra=extra)
    payload = write(request, SIDE_BY_SIDE)
    assert {name: payload[name] for name in ("max_tokens", "thinking_budget") if name in payload} == limits
    assert write(request)["max_tokens"] == extra.get("max_tokens", 1000)
    without = write(replace(request, max_output_tokens=None), SIDE_BY_SIDE)
    assert without == write(replace(request, max_output_tokens=None))


def test_thinking_that_leaves_nothing_for_the_answer_is_refused_where_it_is_counted_apart():
    request = ask(DirectRuntime(), Message.user("hello"), max_output_tokens=300, extra={"thinking_budget": 300})
    with pytest.raises(ConfigurationError, match="leaves nothing of max_output_tokens=300"):
        write(request, SIDE_BY_SIDE)
    assert write(request)["max_tokens"] == 300
