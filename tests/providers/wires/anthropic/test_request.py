"""Requests and messages of the Anthropic wire, to JSON and back."""

from __future__ import annotations

import base64
import json

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
from inferkit.providers.wires.anthropic.quirks import AnthropicQuirks
from inferkit.providers.wires.anthropic.wire import ANTHROPIC_WIRE
from inferkit.providers.wires.chat.quirks import ChatQuirks
from inferkit.providers.wires.chat.wire import CHAT
from inferkit.providers.wires.messages import as_messages
from inferkit.runtime import clock
from inferkit.runtime.direct import DirectRuntime

PLAIN = Endpoint("acme", "https://acme.test/v1", quirks=AnthropicQuirks())
MARK = {"type": "ephemeral"}
SEALED = ReasoningPart("hm", "c2VhbA==", {"anthropic": {}})
FIND = Tool("find", "Finds.", {"type": "object", "properties": {"id": {"type": "integer"}}})


def asked(*messages, **fields):
    fields.setdefault("model", "claude-sonnet-4-6")
    fields.setdefault("stream", False)
    return ask(DirectRuntime(), *messages, **fields)


def write(request, endpoint=PLAIN):
    return json.loads(ANTHROPIC_WIRE.write_request(request, endpoint))


def written(*messages, **fields):
    return write(asked(*messages, **fields))["messages"]


def read(payload):
    return Request(runtime=DirectRuntime(), record=CallRecord(clock), **ANTHROPIC_WIRE.read_request(payload))


def test_a_question_is_a_message_with_a_limit():
    assert write(asked(Message.user("Hi"))) == {
        "model": "claude-sonnet-4-6",
        "max_tokens": 16_384,
        "messages": [{"role": "user", "content": "Hi"}],
    }


def test_every_option_has_its_field():
    request = asked(
        Message.system("Be brief."),
        Message.user("Hi"),
        Message.system("And kind."),
        stream=True,
        max_output_tokens=50,
        temperature=0.5,
        top_p=0.9,
        stop=("END",),
        seed=7,
        prompt_cache_key="k",
        tools=(FIND,),
        tool_choice="find",
        response_schema={"type": "object"},
        reasoning_effort="high",
        extra={"metadata": {"user_id": "u"}, "output_config": {"x": 1}},
    )
    assert write(request) == {
        "model": "claude-sonnet-4-6",
        "max_tokens": 50,
        "system": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "And kind."}],
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop_sequences": ["END"],
        "tools": [{"name": "find", "description": "Finds.", "input_schema": dict(FIND.parameters)}],
        "tool_choice": {"type": "tool", "name": "find"},
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": {"type": "object"}}, "x": 1},
        "metadata": {"user_id": "u"},
    }
    assert request.record.left_out == ("seed", "prompt_cache_key")


@pytest.mark.parametrize(
    ("choice", "sent"),
    [("auto", {"type": "auto"}), ("required", {"type": "any"}), ("none", {"type": "none"})],
)
def test_the_choice_among_tools_is_said_in_its_words(choice, sent):
    assert write(asked(tools=(FIND,), tool_choice=choice))["tool_choice"] == sent


@pytest.mark.parametrize(
    ("model", "effort", "limit", "thinking"),
    [
        ("claude-sonnet-4-6", "minimal", 9000, {"type": "adaptive"}),
        ("claude-opus-4-8", "max", 9000, {"type": "adaptive"}),
        ("claude-sonnet-4-6", "none", 9000, {"type": "disabled"}),
        ("claude-sonnet-4-5-20250929", "high", 10_000, {"type": "enabled", "budget_tokens": 8000}),
        ("claude-haiku-4-5", "low", 10_000, {"type": "enabled", "budget_tokens": 2000}),
        ("claude-opus-4-1@20250805", "medium", 10_000, {"type": "enabled", "budget_tokens": 5000}),
        ("anthropic.claude-3-7-sonnet-20250219-v1:0", "max", 10_000, {"type": "enabled", "budget_tokens": 9500}),
        ("claude-haiku-4-5", "high", 1000, None),
    ],
)
def test_how_long_to_think_is_said_as_the_model_takes_it(model, effort, limit, thinking):
    request = asked(model=model, reasoning_effort=effort, max_output_tokens=limit)
    assert write(request).get("thinking") == thinking
    assert request.record.left_out == (() if thinking else ("reasoning_effort",))


@pytest.mark.parametrize(("parts", "thinks"), [((), False), ((SEALED,), True)])
def test_thinking_with_a_number_goes_on_only_from_what_was_sealed(parts, thinks):
    call = ToolCallPart("toolu_1", "find", "{}")
    turn = (Message.user("Hi"), Message.assistant(*parts, call), Message.tool("toolu_1", "7"))
    request = asked(*turn, model="claude-haiku-4-5", reasoning_effort="high", tools=(FIND,))
    assert ("thinking" in write(request)) is thinks


def test_results_of_tools_are_a_users_turn_and_come_first_in_it():
    messages = written(
        Message.user("Where?"),
        Message.assistant("I look.", ToolCallPart("toolu_1", "find", '{"id": 7}'), ToolCallPart("toolu_2", "now", "")),
        Message.tool("toolu_1", "gone", is_error=True),
        Message.tool("toolu_2", "noon"),
        Message.user("Well?"),
    )
    assert messages == [
        {"role": "user", "content": "Where?"},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "toolu_1", "name": "find", "input": {"id": 7}},
                {"type": "tool_use", "id": "toolu_2", "name": "now", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "gone", "is_error": True},
                {"type": "tool_result", "tool_use_id": "toolu_2", "content": "noon"},
                {"type": "text", "text": "Well?"},
            ],
        },
    ]


def test_results_come_first_also_where_the_caller_has_them_behind():
    mixed = Message("user", (TextPart("and"), ToolResultPart("toolu_1", "7")))
    kinds = [block["type"] for block in written(Message.user("Hi"), mixed)[0]["content"]]
    assert kinds == ["tool_result", "text", "text"]


def test_what_is_shown_is_sent_as_it_is_or_by_its_address():
    data = base64.b64encode(b"pixels").decode()
    content = written(
        Message.user(
            "Look:",
            ImagePart(data=b"pixels", media_type="image/png", extra={"cache_control": MARK}),
            ImagePart(url=f"data:image/gif;base64,{data}", detail="high"),
            ImagePart(url="https://shop.test/x.png"),
            FilePart(b"%PDF", "application/pdf", "bill.pdf"),
            FilePart(b"one,two", "text/csv"),
            FilePart(url="https://shop.test/x.pdf"),
            FilePart(file_id="file_1"),
        )
    )[0]["content"]
    assert content[1:] == [
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": data},
            "cache_control": MARK,
        },
        {"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": data}},
        {"type": "image", "source": {"type": "url", "url": "https://shop.test/x.png"}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": base64.b64encode(b"%PDF").decode()},
            "title": "bill.pdf",
        },
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "one,two"}},
        {"type": "document", "source": {"type": "url", "url": "https://shop.test/x.pdf"}},
        {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
    ]


@pytest.mark.parametrize(
    "part", [AudioPart(b"x", "audio/wav"), FilePart(b"x", "application/zip")], ids=["sound", "an archive"]
)
def test_what_this_wire_has_no_place_for_is_left_to_another_candidate(part):
    with pytest.raises(InvalidRequest, match="does not take") as refused:
        written(Message.user("Hi", part))
    assert refused.value.code == "unsupported"
    with pytest.raises(InvalidRequest, match="plain text"):
        write(asked(tools=(CustomTool("sql"),)))
    with pytest.raises(InvalidRequest, match="logprobs"):
        write(asked(logprobs=True))


@pytest.mark.parametrize(
    "messages",
    [
        (Message("system", (TextPart("x"), ImagePart(url="https://a.test/x.png"))), Message.user("Hi")),
        (Message.system("only"),),
        (Message("user", (ToolCallPart("a", "b", "{}"),)),),
        (Message.user("Hi"), Message.assistant(AudioPart(b"x", "audio/wav"))),
    ],
)
def test_what_no_conversation_is_like_is_a_mistake(messages):
    with pytest.raises(ConfigurationError):
        written(*messages)


@pytest.mark.parametrize("extra", [{"stream": True}, {"messages": []}, {"model": "x"}, {"system": "x"}])
def test_options_are_no_fields(extra):
    with pytest.raises(ConfigurationError):
        write(asked(extra=extra))


def test_blank_texts_are_not_sent_since_they_are_refused():
    assert written(Message.user("Hi"), Message.assistant(" \n"), Message.user("there", "  ")) == [
        {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": "there"}]}
    ]


def test_arguments_and_ids_of_calls_from_elsewhere_are_made_to_fit():
    calls = (
        ToolCallPart("functions.find:0", "find", "{not json"),
        ToolCallPart("toolu_2", "find", "[1]"),
        ToolCallPart("toolu_3", "sql", "select 1", kind="custom"),
    )
    sent = written(Message.user("Hi"), Message.assistant(*calls), Message.tool("functions.find:0", "7"))
    blocks = sent[1]["content"]
    given = [{"INVALID_JSON": "{not json"}, {"INVALID_JSON": "[1]"}, {"input": "select 1"}]
    assert [block["input"] for block in blocks] == given
    assert blocks[0]["id"].startswith("toolu_")
    assert sent[2]["content"][0]["tool_use_id"] == blocks[0]["id"]


def test_what_another_wire_wrote_is_left_out_and_named():
    conversation = (
        Message.user("Hi"),
        Message.assistant(
            ReasoningPart("hm", None, {"field": "reasoning_content"}),
            TextPart("Hello"),
            RefusalPart("But no."),
            ImagePart(url="https://a.test/x.png", extra={"field": "images"}),
            OpaquePart("audio", {"id": "a"}),
            ToolCallPart("call_1", "find", "{}", {"extra_content": {"google": {"thought_signature": "x"}}}),
        ),
        Message.tool("call_1", "7"),
    )
    request = asked(*conversation)
    assert write(request)["messages"][1]["content"] == [
        {"type": "text", "text": "Hello"},
        {"type": "text", "text": "But no."},
        {"type": "tool_use", "id": "call_1", "name": "find", "input": {}},
    ]
    assert request.record.left_out == ("reasoning", "images in replies", "audio")


def test_what_this_wire_wrote_is_left_out_by_another_and_named():
    redacted = {"type": "redacted_thinking", "data": "x"}
    conversation = (
        Message.user("Hi"),
        Message.assistant(
            SEALED,
            OpaquePart("redacted_thinking", redacted, "anthropic"),
            TextPart("Hello", {"anthropic": {"citations": [1]}}),
            ToolCallPart("toolu_1", "find", "{}", {"anthropic": {"caller": {"type": "direct"}}}),
        ),
        Message.tool("toolu_1", "7"),
    )
    request = asked(*conversation)
    own = write(request)["messages"][1]["content"]
    assert own == [
        {"type": "thinking", "thinking": "hm", "signature": "c2VhbA=="},
        redacted,
        {"type": "text", "text": "Hello", "citations": [1]},
        {"type": "tool_use", "id": "toolu_1", "name": "find", "input": {}, "caller": {"type": "direct"}},
    ]
    assert request.record.left_out == ()
    other = json.loads(CHAT.write_request(request, Endpoint("b", "https://b.test/v1", quirks=ChatQuirks())))
    assert other["messages"][1] == {
        "role": "assistant",
        "content": "Hello",
        "tool_calls": [{"id": "toolu_1", "type": "function", "function": {"name": "find", "arguments": "{}"}}],
    }
    assert request.record.left_out == ("reasoning", "redacted_thinking")


@pytest.mark.parametrize(
    ("status", "said", "learned"),
    [
        (400, b"max_tokens: 16384 > 4096, which is the maximum allowed number of output tokens for m", 4096),
        (400, b"max_tokens: 16384 > 99999, which is odd", None),
        (429, b"max_tokens: 16384 > 4096", None),
        (400, b"prompt is too long", None),
    ],
)
def test_the_most_that_a_model_writes_is_learned_from_its_refusal(status, said, learned):
    lighter = ANTHROPIC_WIRE.lighten(asked(model="m"), PLAIN, status, said)
    if learned is None:
        assert lighter is None
    else:
        assert write(asked(model="m"), lighter)["max_tokens"] == learned
        assert write(asked(model="n"), lighter)["max_tokens"] == 16_384
        assert ANTHROPIC_WIRE.lighten(asked(model="m"), lighter, status, said) is None


def test_that_a_model_is_told_how_long_to_think_is_learned_from_its_refusal():
    refusal = b'{"error": {"message": "adaptive thinking is not supported on this model"}}'
    request = asked(model="m", reasoning_effort="high")
    lighter = ANTHROPIC_WIRE.lighten(request, PLAIN, 400, refusal)
    assert write(request, lighter)["thinking"] == {"type": "enabled", "budget_tokens": 13_107}
    assert ANTHROPIC_WIRE.lighten(request, lighter, 400, refusal) is None
    for other in (asked(model="m"), asked(model="m", reasoning_effort="high", extra={"thinking": {}})):
        assert ANTHROPIC_WIRE.lighten(other, PLAIN, 400, refusal) is None


words = st.text(alphabet=st.characters(codec="utf-8"), min_size=1, max_size=9).filter(str.strip)
marks = st.none() | st.just({"anthropic": {"cache_control": MARK}})
texts = st.builds(TextPart, words, marks)
shown = st.one_of(
    texts,
    st.builds(lambda data, extra: ImagePart(data=data, media_type="image/png", extra=extra), st.binary(), marks),
    st.builds(lambda extra: ImagePart(url="https://a.test/x.png", extra=extra), marks),
    st.builds(lambda data, name: FilePart(data, "application/pdf", name), st.binary(min_size=1), st.none() | words),
    st.builds(lambda: FilePart(file_id="file_1")),
)
arguments = st.dictionaries(words, st.integers() | words, max_size=2).map(lambda it: json.dumps(it, ensure_ascii=False))
said = st.one_of(
    texts,
    st.builds(lambda text: ReasoningPart(text, "c2VhbA==", {"anthropic": {}}), words),
    st.builds(lambda given: ToolCallPart("toolu_1", "find", given), arguments),
    st.just(OpaquePart("redacted_thinking", {"type": "redacted_thinking", "data": "x"}, "anthropic")),
)
turns = st.one_of(
    st.lists(shown, min_size=1, max_size=3).map(lambda parts: Message("user", tuple(parts))),
    st.builds(lambda text, failed: Message.tool("toolu_1", text, is_error=failed), words, st.booleans()),
)
answers = st.lists(said, min_size=1, max_size=3).map(lambda parts: Message("assistant", tuple(parts)))
conversations = st.builds(
    lambda system, first, rest: (*system, first, *[one for pair in rest for one in pair]),
    st.lists(st.builds(lambda part: Message("system", (part,)), texts), max_size=1),
    turns,
    st.lists(st.tuples(answers, turns), max_size=2),
)
schemas = st.none() | st.just({"type": "object", "properties": {}})
requests = st.builds(
    lambda messages, fields: asked(*messages, **{name: value for name, value in fields.items() if value is not None}),
    conversations,
    st.fixed_dictionaries(
        {
            "max_output_tokens": st.integers(1, 9000),
            "stream": st.booleans(),
            "temperature": st.none() | st.just(0.5),
            "stop": st.just(()) | st.just(("END",)),
            "tools": st.just(()) | st.just((FIND,)),
            "tool_choice": st.none() | st.sampled_from(["auto", "required", "find"]),
            "response_schema": schemas,
            "reasoning_effort": st.none() | st.sampled_from(["low", "max", "none"]),
            "extra": st.just({}) | st.just({"metadata": {"user_id": "u"}}),
        }
    ),
)


@given(requests)
def test_a_request_that_was_read_is_written_as_it_came(request):
    payload = write(request)
    again = read(payload)
    assert write(again) == payload
    for name in ("max_output_tokens", "stream", "temperature", "stop", "tools", "tool_choice", "response_schema",
                 "reasoning_effort", "extra"):  # fmt: skip
        assert getattr(again, name) == getattr(request, name)
    assert again.messages == request.messages


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        ([], "object"),
        ({"model": 7}, "model"),
        ({"model": "m"}, "messages"),
        ({"model": "m", "messages": "Hi"}, "messages"),
        ({"model": "m", "messages": ["Hi"]}, "message 0"),
        ({"model": "m", "messages": [{"role": "boss", "content": "Hi"}]}, "role"),
        ({"model": "m", "messages": [{"role": "user"}]}, "content"),
        ({"model": "m", "messages": [{"role": "user", "content": ["Hi"]}]}, "message 0"),
        ({"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": 7}]}]}, '"text"'),
        ({"model": "m", "messages": [{"role": "user", "content": [{"type": "image"}]}]}, '"image"'),
        ({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "system": [{"type": "image"}]}, "system"),
        ({"model": "m", "messages": [{"role": "user", "content": [{"type": "tool_use", "input": "x"}]}]}, "tool_use"),
    ],
)
def test_what_is_no_request_is_explained(payload, says):
    with pytest.raises(ConfigurationError, match=says):
        ANTHROPIC_WIRE.read_request(payload)


@pytest.mark.parametrize(
    "odd",
    [
        {"tools": [{"type": "web_search_20260318", "name": "web_search", "max_uses": 3}]},
        {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        {"thinking": {"type": "enabled", "budget_tokens": 2000}},
        {"output_config": {"effort": "turbo"}},
        {"stop_sequences": "END"},
        {"container": "c1", "mcp_servers": []},
    ],
)
def test_what_a_request_has_no_field_for_stays_as_it_came(odd):
    payload = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}], **odd}
    assert write(read(payload)) == payload


def test_blocks_of_other_forms_go_back_as_they_came():
    content = [
        {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "x"}]}},
        {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
        {"type": "search_result", "source": "s", "title": "t", "content": []},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}, "context": "c"},
    ]
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "7"}]}
    messages = [{"role": "user", "content": content}, {"role": "assistant", "content": "So."},
                {"role": "user", "content": [result]}]  # fmt: skip
    payload = {"model": "m", "max_tokens": 5, "messages": messages}
    assert write(read(payload)) == payload
    assert read(payload).messages[2].parts[0].content == "7"


def test_what_is_said_in_a_message_of_its_own_kind_stays_with_it():
    message = Message("user", (TextPart("Hi"),), {"anthropic": {"id": "x"}})
    assert written(Message.user("So"), message)[1] == {"role": "user", "content": "Hi", "id": "x"}
    payload = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi", "id": "x"}]}
    assert write(read(payload)) == payload


def test_thinking_may_begin_where_the_model_has_only_spoken():
    turn = (Message.user("Hi"), Message.assistant("Hello"))
    assert "thinking" in write(asked(*turn, model="claude-haiku-4-5", reasoning_effort="low"))
    call = (Message.assistant(ToolCallPart("toolu_1", "find", "{}")),)
    assert "thinking" not in write(asked(*call, model="claude-haiku-4-5", reasoning_effort="low"))
    assert "thinking" in write(asked(Message.tool("toolu_1", "7"), model="claude-haiku-4-5", reasoning_effort="low"))


def test_a_server_may_want_its_version_in_the_body_and_the_model_elsewhere():
    quirks = AnthropicQuirks(version="vertex-2023-10-16", names_model=False)
    payload = write(asked(), Endpoint("v", "https://v.test", quirks=quirks))
    assert payload["anthropic_version"] == "vertex-2023-10-16"
    assert "model" not in payload


def test_an_option_of_a_tool_goes_with_it():
    tool = Tool("find", "", {"type": "object"}, True, {"cache_control": MARK})
    sent = write(asked(tools=(tool,)))
    assert sent["tools"] == [
        {"name": "find", "input_schema": {"type": "object"}, "strict": True, "cache_control": MARK}
    ]
    assert write(read(sent))["tools"] == sent["tools"]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "tool_use", "id": "a", "name": "b", "input": []},
        {"type": "tool_result", "tool_use_id": 7},
        {"type": "thinking", "thinking": "hm"},
        {"type": "document", "source": "x"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "!"}},
        7,
    ],
)
def test_a_block_of_no_form_is_explained(block):
    with pytest.raises(ConfigurationError, match="message 0"):
        ANTHROPIC_WIRE.read_request({"model": "m", "messages": [{"role": "user", "content": [block]}]})


@pytest.mark.parametrize(
    "given",
    [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "b", "input": {"x": 1}}]},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "7"}]},
        {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "https://a.test/x"}}]},
        {"role": "user", "content": [{"type": "document", "source": {"type": "file", "file_id": "f"}}]},
    ],
)
def test_dictionaries_in_this_form_are_messages_wherever_they_are_passed(given):
    assert as_messages([given]) == (ANTHROPIC_WIRE.read_message(given, 0),)


def test_dictionaries_in_the_other_form_still_are():
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    given = {"role": "assistant", "content": [thinking, {"type": "text", "text": "Hi"}]}
    assert as_messages(given) == (CHAT.read_message(given, 0),)
