"""Requests and messages of the Responses wire, to JSON and back."""

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
from inferkit.providers.wires.responses.quirks import ResponsesQuirks
from inferkit.providers.wires.responses.wire import RESPONSES_WIRE
from inferkit.runtime import clock
from inferkit.runtime.direct import DirectRuntime
from responses_wire import call, message, reasoning, text

PLAIN = Endpoint("acme", "https://acme.test/v1", quirks=ResponsesQuirks())
SEALED = ReasoningPart("hm", "c2VhbA==", {"responses": {"id": "rs_1"}})
FIND = Tool("find", "Finds.", {"type": "object", "properties": {"id": {"type": "integer"}}})
SQL = CustomTool("sql", "Asks.", 'start: "select"')
MARK = {"mode": "explicit", "ttl": "30m"}
SOURCES = "web_search_call.action.sources"
KEPT = {"store": False, "include": ["reasoning.encrypted_content"]}
SEARCHED = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}}


def asked(*messages, **fields):
    fields.setdefault("model", "gpt-5-mini")
    fields.setdefault("stream", False)
    return ask(DirectRuntime(), *messages, **fields)


def write(request, endpoint=PLAIN):
    return json.loads(RESPONSES_WIRE.write_request(request, endpoint))


def written(*messages, **fields):
    return write(asked(*messages, **fields))["input"]


def read(payload):
    return Request(runtime=DirectRuntime(), record=CallRecord(clock), **RESPONSES_WIRE.read_request(payload))


def test_a_question_is_an_item_and_nothing_of_it_is_kept():
    assert write(asked(Message.user("Hi"))) == {
        "model": "gpt-5-mini",
        "input": [{"role": "user", "content": "Hi"}],
        "store": False,
        "include": ["reasoning.encrypted_content"],
    }
    assert RESPONSES_WIRE.path(asked()) == "/responses"


def test_every_option_has_its_field():
    request = asked(
        Message.system("Be brief."),
        Message.user("Hi"),
        Message.system("And kind."),
        stream=True,
        max_output_tokens=50,
        temperature=0.5,
        top_p=0.9,
        seed=7,
        prediction="Hello",
        logprobs=True,
        top_logprobs=3,
        prompt_cache_key="k",
        prompt_cache_retention="24h",
        tools=(FIND, SQL),
        tool_choice="sql",
        response_schema={"type": "object", "title": "An answer", "properties": {}, "additionalProperties": False},
        reasoning_effort="high",
        extra={
            "metadata": {"user_id": "u"},
            "text": {"verbosity": "low"},
            "reasoning": {"summary": "auto"},
            "tools": [{"type": "web_search"}],
        },
    )
    schema = {"type": "object", "title": "An answer", "properties": {}, "additionalProperties": False}
    assert write(request) == {
        "model": "gpt-5-mini",
        "instructions": "Be brief.",
        "input": [{"role": "user", "content": "Hi"}, {"role": "system", "content": "And kind."}],
        "stream": True,
        "store": False,
        "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
        "max_output_tokens": 50,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_logprobs": 3,
        "prompt_cache_key": "k",
        "prompt_cache_retention": "24h",
        "tools": [
            {
                "type": "function",
                "name": "find",
                "description": "Finds.",
                "parameters": dict(FIND.parameters),
                "strict": False,
            },
            {
                "type": "custom",
                "name": "sql",
                "description": "Asks.",
                "format": {"type": "grammar", "syntax": "lark", "definition": 'start: "select"'},
            },
            {"type": "web_search"},
        ],
        "tool_choice": {"type": "custom", "name": "sql"},
        "text": {
            "format": {"type": "json_schema", "name": "An_answer", "schema": schema, "strict": True},
            "verbosity": "low",
        },
        "reasoning": {"effort": "high", "summary": "auto"},
        "metadata": {"user_id": "u"},
    }
    assert request.record.left_out == ("seed", "prediction")


@pytest.mark.parametrize(
    ("choice", "sent"),
    [("auto", "auto"), ("required", "required"), ("find", {"type": "function", "name": "find"})],
)
def test_the_choice_among_tools_is_said_in_its_words(choice, sent):
    assert write(asked(tools=(FIND,), tool_choice=choice))["tool_choice"] == sent


@pytest.mark.parametrize("model", ["gpt-4o-mini", "gpt-3.5-turbo", "chatgpt-4o-latest", "openai/gpt-4.1"])
def test_models_without_reasoning_are_not_asked_for_it(model):
    assert "include" not in write(asked(model=model))
    assert write(asked(model=model, logprobs=True))["include"] == ["message.output_text.logprobs"]


def test_a_caller_may_have_it_kept_and_say_what_is_sent_besides():
    assert write(asked(extra={"store": True}))["store"] is True
    assert "include" not in write(asked(extra={"include": None}))
    assert write(asked(extra={"include": ["web_search_call.results"]}))["include"] == ["web_search_call.results"]
    assert write(asked(extra={"previous_response_id": "resp_1"}))["previous_response_id"] == "resp_1"


def test_a_conversation_is_its_items_in_their_order():
    talk = [
        Message.user("Where?"),
        Message.assistant(
            SEALED,
            TextPart("I look.", {"responses": {"message": {"id": "msg_1", "phase": "commentary"}}}),
            ToolCallPart("call_1", "find", '{"id": 7}', {"responses": {"id": "fc_1", "status": "completed"}}),
            ToolCallPart("call_2", "sql", "select 1", {"responses": {"id": "ctc_1"}}, "custom"),
            OpaquePart("web_search_call", SEARCHED, "responses"),
        ),
        Message.tool("call_1", "gone", is_error=True),
        Message.tool("call_2", "1"),
        Message.user("Well?"),
    ]
    assert written(*talk) == [
        {"role": "user", "content": "Where?"},
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "hm"}],
            "encrypted_content": "c2VhbA==",
        },
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "phase": "commentary",
            "content": [{"type": "output_text", "text": "I look.", "annotations": []}],
        },
        {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "call_1",
            "name": "find",
            "arguments": '{"id": 7}',
            "status": "completed",
        },
        {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_2", "name": "sql", "input": "select 1"},
        SEARCHED,
        {"type": "function_call_output", "call_id": "call_1", "output": "gone"},
        {"type": "custom_tool_call_output", "call_id": "call_2", "output": "1"},
        {"role": "user", "content": "Well?"},
    ]


def test_what_a_reply_said_goes_back_as_it_came():
    output = [
        reasoning("One.", "Two.", status="completed"),
        message(text("Hi"), {"type": "refusal", "refusal": "no"}, phase="final_answer"),
        message(text("So.", annotations=[{"type": "file_path", "file_id": "f", "index": 0}]), id="msg_2"),
        call(),
        SEARCHED,
    ]
    items = [{"role": "user", "content": "Hi"}, *output]
    sent = written(*read({"model": "gpt-5", "input": items}).messages)
    for item in items[2:4]:
        for part in item["content"]:
            part.pop("logprobs", None)
    assert sent == items


def test_what_is_shown_is_sent_as_it_is_or_by_its_address():
    data = base64.b64encode(b"pixels").decode()
    content = written(
        Message.user(
            "Look:",
            ImagePart(data=b"pixels", media_type="image/png", extra={"prompt_cache_breakpoint": MARK}),
            ImagePart(url="https://shop.test/x.png", detail="high"),
            FilePart(b"%PDF", "application/pdf", "bill.pdf"),
            FilePart(url="data:text/plain;base64,eA=="),
            FilePart(url="https://shop.test/x.pdf"),
            FilePart(file_id="file_1", extra={"cache_control": {"type": "ephemeral"}}),
        )
    )[0]["content"]
    assert content == [
        {"type": "input_text", "text": "Look:"},
        {
            "type": "input_image",
            "image_url": f"data:image/png;base64,{data}",
            "detail": "auto",
            "prompt_cache_breakpoint": MARK,
        },
        {"type": "input_image", "image_url": "https://shop.test/x.png", "detail": "high"},
        {
            "type": "input_file",
            "filename": "bill.pdf",
            "file_data": f"data:application/pdf;base64,{base64.b64encode(b'%PDF').decode()}",
        },
        {"type": "input_file", "file_data": "data:text/plain;base64,eA=="},
        {"type": "input_file", "file_url": "https://shop.test/x.pdf"},
        {"type": "input_file", "file_id": "file_1"},
    ]


def test_what_this_wire_has_no_place_for_is_left_to_another_candidate():
    with pytest.raises(InvalidRequest, match="does not take sound") as refused:
        written(Message.user("Hi", AudioPart(b"x", "audio/wav")))
    assert refused.value.code == "unsupported"
    with pytest.raises(InvalidRequest, match="stop sequences"):
        write(asked(stop=("END",)))


@pytest.mark.parametrize(
    "messages",
    [
        (Message("system", (TextPart("x"), ImagePart(url="https://a.test/x.png"))), Message.user("Hi")),
        (Message("user", (ToolCallPart("a", "b", "{}"),)),),
        (Message.user("Hi"), Message.assistant(AudioPart(b"x", "audio/wav"))),
    ],
)
def test_what_no_conversation_is_like_is_a_mistake(messages):
    with pytest.raises(ConfigurationError):
        written(*messages)


@pytest.mark.parametrize(
    "extra", [{"stream": True}, {"input": []}, {"model": "x"}, {"instructions": "x"}, {"background": True}]
)
def test_options_are_no_fields_and_nothing_runs_in_the_background(extra):
    with pytest.raises(ConfigurationError, match=next(iter(extra))):
        write(asked(extra=extra))


def test_a_system_message_that_says_more_than_a_text_stays_where_it_stands():
    marked = Message("system", (TextPart("Long.", {"prompt_cache_breakpoint": MARK}),))
    assert written(marked, Message.user("Hi"))[0] == {
        "role": "system",
        "content": [{"type": "input_text", "text": "Long.", "prompt_cache_breakpoint": MARK}],
    }
    assert written(Message.system("Alone."))[0] == {"role": "system", "content": "Alone."}
    assert written(Message("system", ()), Message.user("Hi")) == [{"role": "user", "content": "Hi"}]


def test_what_a_message_says_of_itself_goes_with_it():
    talk = (
        Message("user", (TextPart("Hi"), ToolResultPart("call_1", "7"), TextPart("so")), {"responses": {"x": 1}}),
        Message("assistant", (TextPart("Well"), TextPart("then")), {"responses": {"phase": "commentary"}}),
    )
    assert written(*talk) == [
        {"role": "user", "content": "Hi", "x": 1},
        {"type": "function_call_output", "call_id": "call_1", "output": "7", "x": 1},
        {"role": "user", "content": "so", "x": 1},
        {
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Well"}, {"type": "output_text", "text": "then"}],
            "phase": "commentary",
        },
    ]


def test_a_call_s_id_that_is_too_long_is_made_to_fit():
    long = "x" * 65
    sent = written(Message.user("Hi"), Message.assistant(ToolCallPart(long, "find", "{}")), Message.tool(long, "7"))
    assert sent[1]["call_id"] == sent[2]["call_id"] != long
    assert len(sent[1]["call_id"]) <= 64


@pytest.mark.parametrize(
    ("part", "extra", "goes"),
    [
        (ReasoningPart("hm", "c2VhbA=="), {}, True),
        (ReasoningPart("hm", None, {"responses": {"id": "rs_1"}}), {}, False),
        (ReasoningPart("hm", None, {"responses": {"id": "rs_1"}}), {"store": True}, True),
        (ReasoningPart("hm", None, {"responses": {"id": "rs_1", "content": []}}), {}, True),
        (ReasoningPart("hm"), {"store": True}, False),
        (ReasoningPart("hm", "x", {"anthropic": {}}), {}, False),
    ],
)
def test_reasoning_goes_back_where_the_provider_understands_it(part, extra, goes):
    request = asked(Message.user("Hi"), Message.assistant(part, "So."), extra=extra)
    kinds = [item.get("type") for item in write(request)["input"]]
    assert ("reasoning" in kinds) is goes
    assert request.record.left_out == (() if goes else ("reasoning",))


def test_what_other_wires_wrote_is_left_out_and_named():
    conversation = (
        Message("user", (TextPart("Hi"), OpaquePart("search_result", {}, "anthropic"))),
        Message.assistant(
            ReasoningPart("hm", None, {"field": "reasoning_content"}),
            TextPart("Hello", {"anthropic": {"citations": [1]}}),
            RefusalPart("But no."),
            ImagePart(url="https://a.test/x.png", extra={"field": "images"}),
            OpaquePart("audio", {"id": "a"}),
            ReasoningPart("hm", "c2VhbA==", {"anthropic": {}}),
            OpaquePart("redacted_thinking", {}, "anthropic"),
            ToolCallPart("call_1", "find", "{}", {"extra_content": {"google": {"thought_signature": "x"}}}),
        ),
        Message("tool", (ToolResultPart("call_1", "7", extra={"anthropic": {"content": []}}),)),
    )
    request = asked(*conversation)
    assert write(request)["input"] == [
        {"role": "user", "content": "Hi"},
        {
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Hello"}, {"type": "refusal", "refusal": "But no."}],
        },
        {"type": "function_call", "call_id": "call_1", "name": "find", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "7"},
    ]
    assert request.record.left_out == ("search_result", "reasoning", "images in replies", "audio", "redacted_thinking")


def test_what_another_model_showed_is_left_out_and_what_was_there_for_its_seal_alone_is_not_sent():
    seal = {"gemini": {"thoughtSignature": "x"}}
    conversation = (
        Message.user("Hi"),
        Message.assistant(
            ReasoningPart("hm", "x", {"gemini": {}}),
            TextPart("Hello"),
            TextPart("", seal),
            AudioPart(b"x", "audio/wav", seal),
            ImagePart(data=b"x", media_type="image/png", extra=seal),
            OpaquePart("executableCode", {}, "gemini"),
        ),
        Message.user("So?"),
    )
    request = asked(*conversation)
    assert write(request)["input"][1] == {"role": "assistant", "content": "Hello"}
    assert request.record.left_out == ("reasoning", "images in replies", "executableCode")
    request = asked(Message.user("Hi"), Message.assistant("Look:", ImagePart(url="https://a.test/x.png")))
    assert write(request)["input"][1] == {"role": "assistant", "content": "Look:"}
    assert request.record.left_out == ("images in replies",)


def test_what_this_wire_wrote_is_left_out_by_others_and_named():
    conversation = (
        Message.user("Hi"),
        Message.assistant(
            SEALED,
            OpaquePart("web_search_call", SEARCHED, "responses"),
            TextPart("Hello", {"responses": {"message": {"id": "msg_1"}, "annotations": [1]}}),
            RefusalPart(" no", {"responses": {"message": {"id": "msg_1"}}}),
            ToolCallPart("call_1", "find", "{}", {"responses": {"id": "fc_1"}}),
        ),
        Message.tool("call_1", "7"),
    )
    request = asked(*conversation)
    chat = json.loads(CHAT.write_request(request, Endpoint("b", "https://b.test/v1", quirks=ChatQuirks())))
    function = {"name": "find", "arguments": "{}"}
    assert chat["messages"][1] == {
        "role": "assistant",
        "content": "Hello",
        "refusal": " no",
        "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
    }
    assert request.record.left_out == ("reasoning", "web_search_call")
    request = asked(*conversation)
    endpoint = Endpoint("a", "https://a.test/v1", quirks=AnthropicQuirks())
    anthropic = json.loads(ANTHROPIC_WIRE.write_request(request, endpoint))
    assert anthropic["messages"][1]["content"] == [
        {"type": "text", "text": "Hello"},
        {"type": "text", "text": " no"},
        {"type": "tool_use", "id": "call_1", "name": "find", "input": {}},
    ]
    assert request.record.left_out == ("reasoning", "web_search_call")


@pytest.mark.parametrize(
    ("status", "said", "learned"),
    [
        (
            400,
            b'{"error": {"message": "Encrypted content is not supported with this model.", "param": "include"}}',
            "m",
        ),
        (400, b'{"error": {"message": "Unknown parameter: \'include\'."}}', "include"),
        (422, b'{"detail": [{"loc": ["body", "store"]}]}', "store"),
        (400, b'{"error": {"param": "prompt_cache_retention"}}', "prompt_cache_retention"),
        (429, b'{"error": {"param": "include"}}', None),
        (400, b'{"error": {"message": "could not store it"}}', None),
        (400, b'{"error": {"param": "prompt_cache_key"}}', None),
    ],
)
def test_what_a_server_can_do_without_is_learned_from_its_refusal(status, said, learned):
    request = asked(model="m", prompt_cache_retention="24h")
    lighter = RESPONSES_WIRE.lighten(request, PLAIN, status, said)
    if learned is None:
        assert lighter is None
        return
    sent = write(request, lighter)
    assert (learned if learned != "m" else "include") not in sent
    assert ("include" in write(asked(model="n"), lighter)) is (learned != "include")
    assert RESPONSES_WIRE.lighten(request, lighter, status, said) is None
    left_out = ("prompt_cache_retention",) if learned == "prompt_cache_retention" else ()
    assert request.record.left_out == left_out


def test_what_a_caller_asked_for_himself_is_not_left_out():
    request = asked(extra={"include": ["x"], "store": False})
    for said in (b'"include"', b'"store"', b"reasoning.encrypted_content"):
        assert RESPONSES_WIRE.lighten(request, PLAIN, 400, said) is None


def test_no_more_models_are_remembered_than_there_may_be():
    full = Endpoint("b", "https://b.test", quirks=ResponsesQuirks(unsealed=frozenset(map(str, range(256)))))
    assert RESPONSES_WIRE.lighten(asked(), full, 400, b"reasoning.encrypted_content") is None


words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=9)
marks = st.none() | st.just({"responses": {"prompt_cache_breakpoint": MARK}})
texts = st.builds(TextPart, words, marks)
shown = st.one_of(
    texts,
    st.builds(
        lambda detail, extra: ImagePart(url="https://a.test/x.png", detail=detail, extra=extra),
        st.none() | st.just("high"),
        marks,
    ),
    st.builds(lambda data, name: FilePart(data, "application/pdf", name), st.binary(min_size=1), st.none() | words),
    st.just(FilePart(file_id="file_1")),
    st.just(FilePart(url="https://a.test/x.pdf")),
    st.just(OpaquePart("input_image", {"type": "input_image", "file_id": "f", "detail": "auto"}, "responses")),
)
said = st.one_of(
    st.builds(lambda text: (TextPart(text),), words),
    st.builds(lambda text: (RefusalPart(text, {"responses": {"message": {"id": "msg_7"}}}),), words),
    st.builds(
        lambda text, more: (
            TextPart(text, {"responses": {"message": {"id": "msg_8"}}}),
            TextPart(more, {"responses": {"message": {"id": "msg_8", "status": "completed", "phase": "final_answer"}}}),
        ),
        words,
        words,
    ),
    st.builds(lambda text: (ReasoningPart(text, "c2VhbA==", {"responses": {"id": "rs_1"}}),), words),
    st.builds(lambda given: (ToolCallPart("call_1", "find", given, {"responses": {"id": "fc_1"}}),), words),
    st.builds(lambda given: (ToolCallPart("call_c", "sql", given, kind="custom"),), words),
    st.just((OpaquePart("web_search_call", SEARCHED, "responses"),)),
)


def settled(parts):
    """Say of each message of the model's that it is complete, as reading finds it, and keep each id to one message."""
    found, seen = [], set()
    for group in parts:
        about = ((group[-1].extra or {}) if hasattr(group[-1], "extra") else {}).get("responses", {}).get("message")
        if about is None or about["id"] in seen:
            if about is None and not (found and type(found[-1]) is type(group[0]) is TextPart):
                found += group
            continue
        seen.add(about["id"])
        about.setdefault("status", "completed")
        found += group
    return Message("assistant", tuple(found))


turns = st.one_of(
    st.lists(shown, min_size=1, max_size=3).map(lambda parts: Message("user", tuple(parts))),
    st.builds(lambda text: Message.tool("call_1", text), words),
)
answers = st.lists(said, min_size=1, max_size=4).map(settled).filter(lambda message: message.parts)
conversations = st.builds(
    lambda system, first, rest: (*system, first, *[one for pair in rest for one in pair]),
    st.lists(st.builds(Message.system, words), max_size=1),
    turns,
    st.lists(st.tuples(answers, turns), max_size=2),
)
schemas = st.none() | st.just({"type": "object", "properties": {}})
requests = st.builds(
    lambda messages, fields: asked(*messages, **{name: value for name, value in fields.items() if value is not None}),
    conversations,
    st.fixed_dictionaries(
        {
            "max_output_tokens": st.none() | st.integers(1, 9000),
            "stream": st.booleans(),
            "temperature": st.none() | st.just(0.5),
            "tools": st.sampled_from([(), (FIND,), (FIND, SQL)]),
            "tool_choice": st.none() | st.sampled_from(["auto", "required", "find"]),
            "response_schema": schemas,
            "reasoning_effort": st.none() | st.sampled_from(["low", "xhigh", "none"]),
            "logprobs": st.none() | st.just(True),
            "prompt_cache_key": st.none() | st.just("k"),
            "extra": st.sampled_from(
                [
                    {},
                    {"metadata": {"user_id": "u"}, "text": {"verbosity": "low"}},
                    {"store": True, "include": None, "tools": [{"type": "web_search"}]},
                    {"reasoning": {"summary": "auto"}, "include": ["reasoning.encrypted_content", SOURCES]},
                ]
            ),
        }
    ),
)


@given(requests)
def test_a_request_that_was_read_is_written_as_it_came(request):
    payload = write(request)
    again = read(payload)
    assert write(again) == payload
    for name in ("max_output_tokens", "stream", "temperature", "tools", "response_schema", "reasoning_effort",
                 "prompt_cache_key", "tool_choice"):  # fmt: skip
        assert getattr(again, name) == getattr(request, name)
    if "include" not in request.extra:
        assert (again.logprobs, again.extra) == (request.logprobs, request.extra)
    assert again.messages == request.messages


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        ([], "object"),
        ({"model": 7}, "model"),
        ({"model": "m"}, "input"),
        ({"model": "m", "input": []}, "input"),
        ({"model": "m", "input": ["Hi"]}, "item 0"),
        ({"model": "m", "input": [{"type": 7}]}, "type"),
        ({"model": "m", "input": "Hi", "instructions": []}, "instructions"),
        ({"model": "m", "input": [{"role": "boss", "content": "Hi"}]}, "role"),
        ({"model": "m", "input": [{"role": "user"}]}, "content"),
        ({"model": "m", "input": [{"role": "user", "content": [{"text": "x"}]}]}, "item 0"),
        ({"model": "m", "input": [{"role": "user", "content": [{"type": "input_text", "text": 7}]}]}, "item 0"),
        ({"model": "m", "input": [{"role": "assistant", "content": [{"type": "x"}]}]}, "item 0"),
        ({"model": "m", "input": [{"type": "function_call", "call_id": "a"}]}, "function_call"),
        ({"model": "m", "input": [{"type": "function_call_output", "call_id": "a"}]}, "function_call_output"),
        ({"model": "m", "input": [{"type": "reasoning", "summary": [7]}]}, "reasoning"),
    ],
)
def test_what_is_no_request_is_explained(payload, says):
    with pytest.raises(ConfigurationError, match=says):
        RESPONSES_WIRE.read_request(payload)


@pytest.mark.parametrize(
    "odd",
    [
        {"tools": [{"type": "web_search"}, {"type": "function", "name": "f", "parameters": {}, "strict": True}]},
        {"tools": [{"type": "custom", "name": "c", "format": {"type": "text"}}]},
        {"tools": [{"type": "function", "name": "f", "parameters": {}, "strict": None}]},
        {"tools": [{"type": "function", "name": "f", "parameters": {}, "strict": False, "defer_loading": True}]},
        {"tools": [{"type": "function", "name": "f", "description": 7}]},
        {"tools": [{"type": "custom", "name": "c", "defer_loading": True}]},
        {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}},
        {"tool_choice": {"type": "custom", "name": "c"}},
        {"tool_choice": {"type": "function", "name": "auto"}},
        {"tool_choice": "mine"},
        {"text": {"format": {"type": "json_object"}}},
        {"text": "x", "reasoning": "x"},
        {"reasoning": {"mode": "pro"}},
        {"top_logprobs": 3, "include": ["message.output_text.logprobs"]},
        {"top_logprobs": 2.5},
        {"conversation": "conv_1", "prompt": {"id": "pmpt_1"}},
    ],
)
def test_what_a_request_has_no_field_for_stays_as_it_came(odd):
    payload = {"model": "gpt-5", "input": [{"role": "user", "content": "Hi"}], **KEPT, **odd}
    assert write(read(payload)) == payload


def test_a_request_with_all_its_options_is_read():
    payload = {
        "model": "gpt-5",
        "input": "Hi",
        **KEPT,
        "top_p": 0.5,
        "prompt_cache_retention": "24h",
        "prompt_cache_key": 7,
    }
    again = read(payload)
    assert (again.top_p, again.prompt_cache_retention, again.extra) == (0.5, "24h", {"prompt_cache_key": 7})
    include = [*KEPT["include"], "message.output_text.logprobs"]
    again = read({"model": "gpt-5", "input": "Hi", "store": False, "include": include, "top_logprobs": 3})
    assert (again.logprobs, again.top_logprobs, again.extra) == (True, 3, {})


def test_a_request_that_says_nothing_of_keeping_is_kept_by_the_provider_as_it_expects():
    payload = {"model": "gpt-5", "input": "Hi"}
    assert write(read(payload)) == {"model": "gpt-5", "input": [{"role": "user", "content": "Hi"}], "store": True}


def test_items_of_other_forms_go_back_as_they_came():
    blocks = [
        {"type": "input_file", "file_data": "eA=="},
        {"type": "input_file", "file_data": "data:text/plain;base64,!"},
        {"type": "input_file", "file_url": "https://a.test", "file_id": "f"},
        {"type": "input_video", "file_id": "f"},
    ]
    items = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": blocks},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {"role": "assistant", "content": "Well.", "phase": "commentary"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "a"}, {"type": "output_text", "text": "b"}],
         "phase": "final_answer", "status": "completed"},
        {"type": "item_reference", "id": "msg_1"},
        {"type": "local_shell_call", "id": "l", "call_id": "c", "action": {}},
        {"type": "local_shell_call_output", "id": "l", "output": "x"},
        {"type": "mcp_approval_response", "approval_request_id": "m", "approve": True},
        {"type": "custom_tool_call_output", "call_id": "unknown", "output": "x"},
        {"type": "custom_tool_call", "call_id": "known", "name": "sql", "input": "x"},
        {"type": "custom_tool_call_output", "call_id": "known", "output": "x", "id": "o"},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "7"}]},
    ]  # fmt: skip
    payload = {"model": "gpt-5", "input": items, **KEPT}
    again = read(payload)
    assert write(again)["input"] == items
    assert [message.role for message in again.messages] == [
        "system", "user", "assistant", "user", "user", "tool", "assistant", "tool", "tool",
    ]  # fmt: skip
    assert again.messages[-1].parts[0].content == "7"


@pytest.mark.parametrize(
    "given",
    [
        {"type": "function_call", "call_id": "a", "name": "b", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "7"},
        reasoning("hm"),
        message(),
        {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        {"role": "user", "content": [{"type": "input_image", "image_url": "https://a.test/x", "detail": "low"}]},
    ],
)
def test_dictionaries_in_this_form_are_messages_wherever_they_are_passed(given):
    assert as_messages([given]) == (RESPONSES_WIRE.read_message(given, 0),)


def test_dictionaries_in_other_forms_still_are():
    given = {"role": "user", "content": [{"type": "text", "text": "Hi"}]}
    assert as_messages(given) == (CHAT.read_message(given, 0),)
    given = {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "https://a.test/x"}}]}
    assert as_messages(given) == (ANTHROPIC_WIRE.read_message(given, 0),)
    for odd in ({"content": "Hi"}, {"type": "text", "text": "Hi"}, {"type": 7}):
        with pytest.raises(ConfigurationError):
            as_messages(odd)
