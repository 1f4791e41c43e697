"""Requests and messages of the Gemini wire, to JSON and back."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from chat_wire import ask
from gemini_wire import CALL, SIGNED, answer, says
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
from inferkit.providers.wires.gemini.calls import made_id
from inferkit.providers.wires.gemini.quirks import GeminiQuirks
from inferkit.providers.wires.gemini.wire import GEMINI_WIRE, GeminiWire
from inferkit.providers.wires.messages import as_messages
from inferkit.runtime import clock
from inferkit.runtime.direct import DirectRuntime
from providers.wires.gemini.test_reply import PIXELS, PRINTED, RAN, reply, thought, whole

PLAIN = Endpoint("acme", "https://acme.test/v1beta", quirks=GeminiQuirks())
FIND = Tool("find", "Finds.", {"type": "object", "properties": {"id": {"type": "integer"}}})
UNSIGNED = "skip_thought_signature_validator"


def asked(*messages, **fields):
    fields.setdefault("model", "gemini-2.5-flash")
    fields.setdefault("stream", False)
    return ask(DirectRuntime(), *messages, **fields)


def write(request, endpoint=PLAIN):
    return json.loads(GEMINI_WIRE.write_request(request, endpoint))


def written(*messages, **fields):
    return write(asked(*messages, **fields))["contents"]


def read(payload, model="gemini-2.5-flash"):
    fields = GEMINI_WIRE.read_request({"model": f"models/{model}", **payload})
    return Request(runtime=DirectRuntime(), record=CallRecord(clock), **fields)


def test_a_question_is_one_content():
    assert write(asked(Message.user("Hi"))) == {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}


@pytest.mark.parametrize(
    ("model", "stream", "url"),
    [
        ("gemini-2.5-flash", False, "https://acme.test/v1beta/models/gemini-2.5-flash:generateContent"),
        ("gemini-2.5-flash", True, "https://acme.test/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"),
        ("models/gemini-2.5-flash", False, "https://acme.test/v1beta/models/gemini-2.5-flash:generateContent"),
        ("tunedModels/my-own", False, "https://acme.test/v1beta/tunedModels/my-own:generateContent"),
        ("../x?key=1", False, "https://acme.test/v1beta/models/..%2Fx%3Fkey%3D1:generateContent"),
        ("models/../x", False, "https://acme.test/v1beta/models/models%2F..%2Fx:generateContent"),
    ],
)
def test_the_address_says_which_model_and_whether_it_streams(model, stream, url):
    request = asked(model=model, stream=stream)
    path = GEMINI_WIRE.path(request)
    assert PLAIN.url(path, model) == url
    said = GeminiWire.read_path(url)
    assert said["stream"] is stream
    assert said["model"] == (model if model == "tunedModels/my-own" or ".." in model else "gemini-2.5-flash")


@pytest.mark.parametrize("path", ["/v1beta/models", "/models/x:countTokens", "/models/a/b:generateContent"])
def test_other_addresses_are_no_requests(path):
    with pytest.raises(ConfigurationError, match="generateContent"):
        GeminiWire.read_path(path)


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
        stop=("END",),
        tools=(FIND,),
        tool_choice="find",
        response_schema={"type": "object"},
        reasoning_effort="high",
        logprobs=True,
        top_logprobs=3,
        prompt_cache_key="k",
        prediction="x",
        extra={
            "generationConfig": {"topK": 5},
            "safetySettings": [],
            "tools": [{"googleSearch": {}}],
            "toolConfig": {"includeServerSideToolInvocations": True},
        },
    )
    assert write(request) == {
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
        "systemInstruction": {"parts": [{"text": "Be brief."}, {"text": "And kind."}]},
        "tools": [
            {
                "functionDeclarations": [
                    {"name": "find", "description": "Finds.", "parametersJsonSchema": dict(FIND.parameters)}
                ]
            },
            {"googleSearch": {}},
        ],
        "toolConfig": {
            "functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["find"]},
            "includeServerSideToolInvocations": True,
        },
        "generationConfig": {
            "maxOutputTokens": 50,
            "temperature": 0.5,
            "topP": 0.9,
            "seed": 7,
            "stopSequences": ["END"],
            "responseMimeType": "application/json",
            "responseJsonSchema": {"type": "object"},
            "responseLogprobs": True,
            "logprobs": 3,
            "thinkingConfig": {"thinkingBudget": 24576, "includeThoughts": True},
            "topK": 5,
        },
        "safetySettings": [],
    }
    assert request.record.left_out == ("prediction", "prompt_cache_key")


@pytest.mark.parametrize(("choice", "mode"), [("auto", "AUTO"), ("required", "ANY"), ("none", "NONE")])
def test_the_choice_among_tools_is_said_in_its_words(choice, mode):
    sent = write(asked(tools=(FIND,), tool_choice=choice))["toolConfig"]
    assert sent == {"functionCallingConfig": {"mode": mode}}


@pytest.mark.parametrize(
    ("model", "effort", "sent"),
    [
        ("gemini-2.5-flash", "none", {"thinkingBudget": 0}),
        ("gemini-2.5-pro", "none", {"thinkingBudget": 128}),
        ("gemini-2.5-flash", "low", {"thinkingBudget": 1024, "includeThoughts": True}),
        ("gemini-2.5-flash-lite", "medium", {"thinkingBudget": 8192, "includeThoughts": True}),
        ("gemini-2.5-pro", "max", {"thinkingBudget": 24576, "includeThoughts": True}),
        ("gemini-3-pro-preview", "low", {"thinkingLevel": "low", "includeThoughts": True}),
        ("gemini-3.5-flash", "minimal", {"thinkingLevel": "minimal", "includeThoughts": True}),
        ("gemini-3.5-flash", "max", {"thinkingLevel": "xhigh", "includeThoughts": True}),
        ("gemini-4-argon", "none", {"thinkingLevel": "minimal"}),
        ("gemini-flash-latest", "high", {"thinkingLevel": "high", "includeThoughts": True}),
        ("gemini-robotics-er-1.5-preview", "low", {"thinkingBudget": 1024, "includeThoughts": True}),
        ("gemini-2.0-flash", "high", None),
        ("gemini-1.5-pro", "high", None),
    ],
)
def test_how_long_to_think_is_said_as_the_model_takes_it(model, effort, sent):
    request = asked(model=model, reasoning_effort=effort)
    assert write(request).get("generationConfig", {}).get("thinkingConfig") == sent
    assert request.record.left_out == (() if sent else ("reasoning_effort",))


@pytest.mark.parametrize(
    ("model", "effort", "refusals", "sent"),
    [
        ("gemini-3-pro", "medium", [b"Thinking level MEDIUM is not supported for this model."], "high"),
        ("gemini-3-pro", "none", [b"Thinking level MINIMAL is not supported for this model."], "low"),
        ("gemini-3-pro", "max", [b"'xhigh' is not a supported thinking level for this model."], "high"),
        ("gemini-latest", "low", [b"Thinking level is not supported for this model."], 1024),
        ("gemini-latest", "medium", [b"Thinking level is not supported for this model."], 8192),
        ("gemini-latest", "minimal", [b"thinking_level MINIMAL", b"thinking_level LOW is not supported"], 1024),
    ],
)
def test_levels_that_a_model_lacks_are_learned_from_its_refusals(model, effort, refusals, sent):
    request, endpoint = asked(model=model, reasoning_effort=effort), PLAIN
    for refusal in refusals:
        endpoint = GEMINI_WIRE.lighten(request, endpoint, 400, b'{"error": {"message": "' + refusal + b'"}}')
    config = write(request, endpoint)["generationConfig"]["thinkingConfig"]
    assert config.get("thinkingLevel", config.get("thinkingBudget")) == sent
    other = asked(model="gemini-3.5-flash", reasoning_effort=effort)
    assert write(other, endpoint) == write(other)


@pytest.mark.parametrize(
    ("effort", "status", "said"),
    [("low", 400, b"prompt is too long"), ("low", 429, b"thinking level"), (None, 400, b"thinking level")],
)
def test_other_refusals_teach_nothing(effort, status, said):
    assert GEMINI_WIRE.lighten(asked(reasoning_effort=effort), PLAIN, status, said) is None


def test_what_is_learned_is_bounded_and_ends():
    request = asked(model="m", reasoning_effort="low")
    full = GeminiQuirks(budgeted=frozenset(map(str, range(256))))
    assert GEMINI_WIRE.lighten(request, PLAIN.with_quirks(full), 400, b"thinking level") is None
    known = PLAIN.with_quirks(GeminiQuirks(budgeted=frozenset({"m"})))
    assert GEMINI_WIRE.lighten(request, known, 400, b"thinking level") is None


def test_results_of_tools_have_their_functions_names_and_are_one_turn():
    contents = written(
        Message.user("Where?"),
        Message.assistant("I look.", ToolCallPart("a", "find", '{"id": 7}'), ToolCallPart("b", "now", "")),
        Message.tool("a", "gone", is_error=True),
        Message.tool("b", '{"time": "noon"}'),
        Message.user("Well?"),
        Message.assistant(ToolCallPart("c", "find", "{}")),
        Message.tool("c", '{"output": "x"}'),
    )
    assert contents == [
        {"role": "user", "parts": [{"text": "Where?"}]},
        {
            "role": "model",
            "parts": [
                {"text": "I look."},
                {"functionCall": {"id": "a", "name": "find", "args": {"id": 7}}},
                {"functionCall": {"id": "b", "name": "now", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "a", "name": "find", "response": {"error": "gone"}}},
                {"functionResponse": {"id": "b", "name": "now", "response": {"time": "noon"}}},
            ],
        },
        {"role": "user", "parts": [{"text": "Well?"}]},
        {"role": "model", "parts": [{"functionCall": {"id": "c", "name": "find", "args": {}}}]},
        {
            "role": "user",
            "parts": [{"functionResponse": {"id": "c", "name": "find", "response": {"output": '{"output": "x"}'}}}],
        },
    ]


def test_a_result_without_its_call_says_what_is_missing():
    with pytest.raises(ConfigurationError, match="call before it"):
        written(Message.user("Hi"), Message.tool("call_9", "x"))


def test_an_id_that_was_made_here_is_not_sent():
    one = reply(says(CALL, finish="STOP"))
    id_ = one.tool_calls[0].id
    contents = written(Message.user("Hi"), one.message, Message.tool(id_, "7"))
    assert contents[1]["parts"] == [CALL]
    assert contents[2]["parts"] == [{"functionResponse": {"name": "find", "response": {"output": "7"}}}]


@pytest.mark.parametrize(
    "parts",
    [
        [{"text": "Hello"}, {"text": "", "thoughtSignature": SIGNED}],
        [{"text": "Hel"}, {"text": "lo", "thoughtSignature": SIGNED}],
        [thought("hm"), CALL, {"functionCall": {"name": "find", "args": {"id": 7}}}],
        [RAN, PRINTED, {"text": "7"}],
        [thought("hm"), {"text": "So."}, thought("no"), {"text": "Well."}],
        [thought("hm"), RAN, thought("so"), CALL, thought("no")],
        [thought("hm", thoughtSignature=SIGNED), {"text": "So."}],
        [{"inlineData": {"mimeType": "image/png", "data": PIXELS}, "thoughtSignature": SIGNED}],
        [{"inlineData": {"mimeType": "audio/wav", "data": PIXELS}}],
        [{"functionCall": {"id": "x", "name": "f", "args": {}, "new": 1}, "thoughtSignature": SIGNED}],
    ],
)
@pytest.mark.parametrize("model", ["gemini-2.5-flash", "gemini-3.5-flash"])
def test_what_the_model_said_goes_back_exactly_as_it_came(parts, model):
    streamed = reply(*[says(part) for part in parts], says(finish="STOP"))
    for one in (streamed, whole(answer(*parts))):
        request = asked(Message.user("Hi"), one.message, Message.user("And?"), model=model)
        assert write(request)["contents"][1] == {"role": "model", "parts": parts}
        assert request.record.left_out == ()


def test_calls_of_other_models_are_marked_where_signatures_are_demanded():
    calls = Message.assistant(ToolCallPart("a", "find", "{}"), ToolCallPart("b", "find", "{}"))
    talk = (Message.user("Hi"), calls, Message.tool("a", "7"), Message.tool("b", "8"))
    for model in ("gemini-3-pro-preview", "gemini-flash-latest"):
        parts = written(*talk, model=model)[1]["parts"]
        assert [part.get("thoughtSignature") for part in parts] == [UNSIGNED, None]
    assert "thoughtSignature" not in written(*talk)[1]["parts"][0]


def test_a_signature_that_came_over_chat_completions_is_taken_along():
    call = ToolCallPart("a", "find", "{}", {"extra_content": {"google": {"thought_signature": SIGNED}}})
    contents = written(Message.user("Hi"), Message.assistant(call), model="gemini-3-pro-preview")
    assert contents[1]["parts"][0]["thoughtSignature"] == SIGNED


def test_what_is_shown_is_sent_as_it_is_or_by_its_address():
    request = asked(
        Message.user(
            "Look:",
            ImagePart(data=b"pixels", media_type="image/png", extra={"mediaResolution": {"level": "HIGH"}}),
            ImagePart(url=f"data:image/gif;base64,{PIXELS}", detail="high"),
            ImagePart(url="https://shop.test/x.PNG?y"),
            ImagePart(url="https://shop.test/x", media_type="image/webp"),
            AudioPart(b"sound", "audio/wav"),
            FilePart(b"%PDF", "application/pdf", "bill.pdf"),
            FilePart(url="https://www.youtube.com/watch?v=1"),
            FilePart(file_id="https://generativelanguage.googleapis.com/v1beta/files/a", media_type="video/mp4"),
            FilePart(url=f"data:text/plain;base64,{PIXELS}"),
        )
    )
    assert write(request)["contents"][0]["parts"][1:] == [
        {"inlineData": {"mimeType": "image/png", "data": PIXELS}, "mediaResolution": {"level": "HIGH"}},
        {"inlineData": {"mimeType": "image/gif", "data": PIXELS}},
        {"fileData": {"mimeType": "image/png", "fileUri": "https://shop.test/x.PNG?y"}},
        {"fileData": {"mimeType": "image/webp", "fileUri": "https://shop.test/x"}},
        {"inlineData": {"mimeType": "audio/wav", "data": base64.b64encode(b"sound").decode()}},
        {"inlineData": {"mimeType": "application/pdf", "data": base64.b64encode(b"%PDF").decode()}},
        {"fileData": {"fileUri": "https://www.youtube.com/watch?v=1"}},
        {
            "fileData": {
                "mimeType": "video/mp4",
                "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/a",
            }
        },
        {"inlineData": {"mimeType": "text/plain", "data": PIXELS}},
    ]
    assert request.record.left_out == ("detail", "filename")


@pytest.mark.parametrize(
    "part",
    [
        ImagePart(url="https://www.youtube.com/watch?v=1", media_type="image/jpeg"),
        ImagePart(url="https://youtu.be/1", media_type="image/png"),
        ImagePart(data=b"x", media_type="video/mp4"),
        ImagePart(url="https://shop.test/x.mp4"),
        ImagePart(url="data:video/mp4;base64,eA=="),
        ImagePart(url="http://[bad"),
    ],
)
def test_a_film_is_no_image_whose_tokens_are_few(part):
    with pytest.raises(ConfigurationError, match=r"image"):
        written(Message.user(part))


def test_what_this_wire_has_no_place_for_is_left_to_another_candidate():
    with pytest.raises(InvalidRequest, match="plain text") as refused:
        write(asked(tools=(CustomTool("sql"),)))
    assert refused.value.code == "unsupported"
    with pytest.raises(InvalidRequest, match="media_type"):
        written(Message.user(ImagePart(url="https://shop.test/x")))


@pytest.mark.parametrize(
    "messages",
    [
        (Message("system", (TextPart("x"), ImagePart(url="https://a.test/x.png"))), Message.user("Hi")),
        (Message.system("only"),),
        (Message.user(""),),
        (Message.user("Hi"), Message.user(ReasoningPart("hm"))),
        (Message("user", (ToolCallPart("a", "b", "{}"),)),),
        (Message.user("Hi"), Message("assistant", (ToolResultPart("a", "b"),))),
    ],
)
def test_what_no_conversation_is_like_is_a_mistake(messages):
    with pytest.raises(ConfigurationError):
        written(*messages)


@pytest.mark.parametrize(
    "extra",
    [
        {"stream": True},
        {"contents": []},
        {"model": "x"},
        {"systemInstruction": {}},
    ],
)
def test_options_are_no_fields(extra):
    with pytest.raises(ConfigurationError):
        write(asked(extra=extra))


def test_arguments_may_come_piece_by_piece_in_a_stream_alone():
    piecemeal = {"toolConfig": {"functionCallingConfig": {"streamFunctionCallArguments": True}}}
    streamed = asked(extra=piecemeal, tools=(FIND,), tool_choice="required", stream=True)
    assert write(streamed)["toolConfig"] == {
        "functionCallingConfig": {"mode": "ANY", "streamFunctionCallArguments": True}
    }
    whole = asked(extra=piecemeal, tools=(FIND,), tool_choice="required", stream=False)
    assert write(whole)["toolConfig"] == {"functionCallingConfig": {"mode": "ANY"}}
    assert whole.record.left_out == ("streamFunctionCallArguments",)


def test_what_extra_says_is_sent_as_it_is():
    extra = {
        "tools": [{"codeExecution": {}}],
        "toolConfig": None,
        "generationConfig": {"topK": 1},
        "labels": {"a": "b"},
    }
    assert write(asked(extra=extra)).items() >= extra.items()
    assert write(asked(extra={"tools": None}, tools=(FIND,)))["tools"] is None
    choice = {"functionCallingConfig": {"mode": "VALIDATED"}}
    assert write(asked(extra={"toolConfig": choice}, tool_choice="auto"))["toolConfig"] == choice
    assert write(asked(extra={"generationConfig": {"seed": 2}}, seed=1, top_p=0.5))["generationConfig"] == {
        "seed": 2,
        "topP": 0.5,
    }
    assert write(asked(extra={"generationConfig": None}, seed=1))["generationConfig"] is None


def test_arguments_that_are_no_object_are_made_to_fit():
    calls = (
        ToolCallPart("a", "find", "{not json"),
        ToolCallPart("b", "find", "[1]"),
        ToolCallPart("c", "find", '{"x": NaN}'),
        ToolCallPart("d", "find", '{"x": 1e999}'),
        ToolCallPart("e", "sql", "select 1", kind="custom"),
        ToolCallPart("f", "find", '{"x": 1.5}'),
    )
    parts = written(Message.user("Hi"), Message.assistant(*calls))[1]["parts"]
    assert [part["functionCall"]["args"] for part in parts] == [
        {"INVALID_JSON": "{not json"},
        {"INVALID_JSON": "[1]"},
        {"INVALID_JSON": '{"x": NaN}'},
        {"INVALID_JSON": '{"x": 1e999}'},
        {"input": "select 1"},
        {"x": 1.5},
    ]


def test_strictness_of_tools_is_not_known_here_and_named():
    request = asked(tools=(Tool("find", strict=True, extra={"behavior": "BLOCKING"}), Tool("x", strict=False)))
    assert write(request)["tools"][0]["functionDeclarations"][0] == {
        "name": "find",
        "parametersJsonSchema": {"type": "object", "properties": {}},
        "behavior": "BLOCKING",
    }
    assert request.record.left_out == ("strict",)


def test_images_that_a_caller_has_the_model_show_are_sent():
    picture = ImagePart(data=b"pixels", media_type="image/png")
    parts = written(Message.user("Draw."), Message.assistant("", picture), Message.user("Larger."))[1]["parts"]
    assert parts == [{"inlineData": {"mimeType": "image/png", "data": PIXELS}}]


OTHERS = {
    "chat": (
        ReasoningPart("hm", None, {"field": "reasoning_content"}),
        TextPart("Hello"),
        RefusalPart("But no."),
        ImagePart(url="https://a.test/x.png", extra={"field": "images"}),
        OpaquePart("audio", {"id": "a"}),
        ToolCallPart("call_1", "find", '{"id": 7}', {"function": {"x": 1}}),
    ),
    "anthropic": (
        ReasoningPart("hm", "c2lnbmVk", {"anthropic": {}}),
        OpaquePart("redacted_thinking", {"type": "redacted_thinking", "data": "x"}, "anthropic"),
        TextPart("Hello", {"anthropic": {"citations": [1]}}),
        ToolCallPart("call_1", "find", '{"id": 7}', {"anthropic": {"caller": {"type": "direct"}}}),
    ),
}


@pytest.mark.parametrize(
    ("wire", "texts", "left_out"),
    [
        ("chat", ["Hello", "But no."], ("reasoning", "images in replies", "audio")),
        ("anthropic", ["Hello"], ("reasoning", "redacted_thinking")),
    ],
)
def test_a_conversation_that_began_elsewhere_goes_on_here(wire, texts, left_out):
    request = asked(Message.user("Hi"), Message.assistant(*OTHERS[wire]), Message.tool("call_1", "gone"))
    contents = write(request)["contents"]
    call = {"functionCall": {"id": "call_1", "name": "find", "args": {"id": 7}}}
    assert contents[1]["parts"] == [*[{"text": text} for text in texts], call]
    answered = {"functionResponse": {"id": "call_1", "name": "find", "response": {"output": "gone"}}}
    assert contents[2]["parts"] == [answered]
    assert request.record.left_out == left_out


def test_a_conversation_that_began_here_goes_on_elsewhere_and_comes_back():
    picture = {"inlineData": {"mimeType": "image/png", "data": PIXELS}}
    sound = {"inlineData": {"mimeType": "audio/wav", "data": PIXELS}}
    parts = [thought("hm"), {"text": "Hello"}, {"text": "", "thoughtSignature": SIGNED}, RAN, picture, sound, CALL]
    one = whole(answer(*parts))
    id_ = one.tool_calls[0].id
    talk = (Message.user("Hi"), one.message, Message.tool(id_, "gone"))

    request = asked(*talk)
    chat = json.loads(CHAT.write_request(request, Endpoint("b", "https://b.test/v1", quirks=ChatQuirks())))
    function = {"name": "find", "arguments": '{"id": 7}'}
    assert chat["messages"][1] == {
        "role": "assistant",
        "content": "Hello",
        "tool_calls": [{"id": id_, "type": "function", "function": function}],
    }
    assert request.record.left_out == ("reasoning", "executableCode", "images in replies", "inlineData")

    request = asked(*talk)
    endpoint = Endpoint("c", "https://c.test/v1", quirks=AnthropicQuirks())
    claude = json.loads(ANTHROPIC_WIRE.write_request(request, endpoint))
    assert claude["messages"][1]["content"] == [
        {"type": "text", "text": "Hello"},
        {"type": "tool_use", "id": id_, "name": "find", "input": {"id": 7}},
    ]
    assert request.record.left_out == ("reasoning", "executableCode", "images in replies", "inlineData")

    assert written(*talk, Message.assistant(*OTHERS["chat"]), Message.user("And?"))[1]["parts"] == parts


def test_what_a_caller_adds_for_another_provider_is_not_sent():
    message = Message.user(TextPart("Hi", {"cache_control": {"type": "ephemeral"}}))
    assert written(message)[0]["parts"] == [{"text": "Hi"}]


text = st.text(min_size=1, max_size=12)
schemas = st.none() | st.just({"type": "object", "properties": {}})
texts = st.builds(TextPart, text)
shown = st.one_of(
    texts,
    st.just(ImagePart(data=b"pixels", media_type="image/png")),
    st.just(ImagePart(url="https://a.test/x", media_type="image/png")),
    st.just(AudioPart(b"sound", "audio/wav")),
    st.just(FilePart(b"%PDF", "application/pdf")),
    st.just(FilePart(url="https://youtu.be/1")),
)
said = st.one_of(
    texts,
    st.builds(TextPart, text, st.just({"gemini": {"thoughtSignature": SIGNED}})),
    st.builds(lambda words: ReasoningPart(words, None, {"gemini": {}}), text),
    st.just(OpaquePart("executableCode", RAN, "gemini")),
)
asks = st.builds(lambda parts: Message("user", tuple(parts)), st.lists(shown, min_size=1, max_size=3))


@st.composite
def rounds(draw, place):
    """Draw what the model says, with calls perhaps, and what comes after it."""
    parts = draw(st.lists(said, min_size=1, max_size=3))
    names = draw(st.lists(st.sampled_from(["find", "mail"]), max_size=2))
    ids = [f"fc_{place}_{number}" for number in range(len(names))]
    calls = [ToolCallPart(id_, name, '{"id": 7}') for id_, name in zip(ids, names, strict=True)]
    results = tuple([ToolResultPart(id_, draw(text), draw(st.booleans())) for id_ in ids])
    return [Message("assistant", (*parts, *calls)), Message("tool", results) if results else draw(asks)]


conversations = st.builds(
    lambda system, first, *rest: (*system, first, *[one for pair in rest for one in pair]),
    st.lists(st.builds(lambda part: Message("system", (part,)), texts), max_size=1),
    asks,
    rounds(1),
    rounds(2),
)
requests = st.builds(
    lambda messages, fields: asked(*messages, **{name: value for name, value in fields.items() if value is not None}),
    conversations,
    st.fixed_dictionaries(
        {
            "max_output_tokens": st.none() | st.integers(1, 9000),
            "temperature": st.none() | st.just(0.5),
            "top_p": st.none() | st.just(0.5),
            "seed": st.none() | st.just(0),
            "stop": st.just(()) | st.just(("END",)),
            "tools": st.just(()) | st.just((FIND,)),
            "tool_choice": st.none() | st.sampled_from(["auto", "required", "find"]),
            "response_schema": schemas,
            "reasoning_effort": st.none() | st.sampled_from(["low", "medium", "high", "none"]),
            "logprobs": st.none() | st.just(True),
            "extra": st.just({}) | st.just({"safetySettings": [], "generationConfig": {"topK": 5}}),
        }
    ),
)


@given(requests)
def test_a_request_that_was_read_is_written_as_it_came(request):
    payload = write(request)
    again = read(payload)
    assert write(again) == payload
    for name in ("model", "max_output_tokens", "temperature", "top_p", "seed", "stop", "tools", "tool_choice",
                 "response_schema", "reasoning_effort", "logprobs", "extra"):  # fmt: skip
        assert getattr(again, name) == getattr(request, name)
    assert again.messages == request.messages


CONTENTS = [{"role": "user", "parts": [{"text": "Hi"}]}]


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        ([], "object"),
        ({}, "contents"),
        ({"contents": "Hi"}, "contents"),
        ({"contents": ["Hi"]}, "message 0"),
        ({"contents": [{"role": "boss", "parts": []}]}, "role"),
        ({"contents": [{"role": "user"}]}, "parts"),
        ({"contents": [{"role": "user", "parts": ["Hi"]}]}, "message 0"),
        ({"contents": [{"role": "user", "parts": [{}]}]}, "message 0"),
        ({"contents": [{"role": "user", "parts": [{"text": 7}]}]}, "message 0"),
        ({"contents": [{"role": "user", "parts": [{"thought": True}]}]}, "message 0"),
        ({"contents": [{"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": "!"}}]}]}, "0"),
        ({"contents": [{"role": "model", "parts": [{"functionCall": {"name": "f", "args": []}}]}]}, "message 0"),
        ({"contents": [{"role": "user", "parts": [{"functionResponse": {"name": "f"}}]}]}, "message 0"),
        ({"contents": CONTENTS, "systemInstruction": "x"}, "systemInstruction"),
        ({"contents": CONTENTS, "systemInstruction": {"parts": [{"inlineData": {}}]}}, "systemInstruction"),
    ],
)
def test_what_is_no_request_is_explained(payload, says):
    with pytest.raises(ConfigurationError, match=says):
        GEMINI_WIRE.read_request(payload)


@pytest.mark.parametrize(
    "odd",
    [
        {"tools": [{"googleSearch": {}}]},
        {"tools": [{"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT"}}]}]},
        {"tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": {}, "behavior": "BLOCKING"}]}]},
        {"tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": {}}]}, {"urlContext": {}}]},
        {"tools": [{"functionDeclarations": []}]},
        {"toolConfig": {"functionCallingConfig": {"mode": "VALIDATED"}}},
        {"toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["a", "b"]}}},
        {"toolConfig": {"functionCallingConfig": {"mode": "AUTO", "allowedFunctionNames": ["a"]}}},
        {"toolConfig": {"functionCallingConfig": {"mode": "AUTO"}, "retrievalConfig": {"languageCode": "en"}}},
        {"toolConfig": {"functionCallingConfig": 7}},
        {"generationConfig": {"thinkingConfig": {"thinkingBudget": 77}}},
        {"generationConfig": {"stopSequences": "END", "responseMimeType": "text/plain", "logprobs": 3}},
        {"generationConfig": {"responseLogprobs": True, "logprobs": 0}},
        {"generationConfig": {"responseLogprobs": True, "logprobs": 5}},
        {"generationConfig": 7},
        {"cachedContent": "cachedContents/1"},
    ],
)
def test_what_a_request_has_no_field_for_stays_as_it_came(odd):
    payload = {"contents": CONTENTS, **odd}
    assert write(read(payload)) == payload


def test_how_long_to_think_stays_as_it_came_where_the_model_is_not_known():
    payload = {"contents": CONTENTS, "generationConfig": {"thinkingConfig": {"thinkingBudget": 1024}}}
    assert GEMINI_WIRE.read_request(payload)["extra"] == {"generationConfig": payload["generationConfig"]}


def test_parts_of_other_forms_go_back_as_they_came():
    user = [
        {"fileData": {"fileUri": "https://a.test/x.pdf", "displayName": "x"}},
        {"fileData": {"fileUri": "https://a.test/x.pdf"}},
        {"fileData": {"fileUri": "gs://a/x.mp4", "mimeType": "video/mp4"}, "videoMetadata": {"fps": 2}},
        {"inlineData": {"mimeType": "image/png", "data": PIXELS, "displayName": "x"}},
        {"functionCall": {"name": "odd"}},
        {"text": "Hi", "partMetadata": {"a": 1}},
        {"text": "Hi", "thought": True},
    ]
    result = {"name": "f", "response": {"a": [1]}, "parts": [{"inlineData": {"mimeType": "image/png", "data": PIXELS}}]}
    contents = [
        {"role": "user", "parts": user},
        {"role": "model", "parts": [{"functionCall": {"name": "f", "new": 1}}, {"functionCall": {"name": "f"}}]},
        {"role": "function", "parts": [{"functionResponse": result, "partMetadata": {"a": 1}}]},
        {"role": "user", "parts": [{"functionResponse": {"id": "x", "name": "f", "response": {"output": "7"}}}]},
    ]
    payload = {"contents": contents, "systemInstruction": {"parts": [{"text": "x", "partMetadata": {"a": 1}}]}}
    again = write(read(payload))
    for part in contents[1]["parts"]:
        part["functionCall"]["args"] = {}
    assert again == payload


def test_either_spelling_of_a_name_is_understood_and_data_is_left_as_it_is():
    odd = {"some_name": {"file_uri": 1}}
    asked_ = {"file_data": {"file_uri": "https://a.test/x.pdf", "mime_type": "application/pdf"}}
    call = {"function_call": {"name": "f", "args": odd}, "thought_signature": SIGNED}
    payload = {
        "system_instruction": {"parts": [{"text": "x"}]},
        "contents": [{"role": "user", "parts": [asked_, {"inline_data": {"mime_type": "image/png", "data": "__79"}}]},
                     {"role": "model", "parts": (call,)}],
        "generation_config": {"max_output_tokens": 5, "response_mime_type": "application/json",
                              "response_json_schema": odd},
        "tools": [{"function_declarations": [{"name": "f", "parameters_json_schema": odd}]}],
        "tool_config": {"function_calling_config": {"mode": "ANY", "allowed_function_names": ["f"]}},
        "cached_content": "cachedContents/1",
        7: 7,
    }  # fmt: skip
    request = read(payload)
    assert request.messages[1:] == (
        Message.user(
            FilePart(url="https://a.test/x.pdf", media_type="application/pdf"),
            ImagePart(data=b"\xff\xfe\xfd", media_type="image/png"),
        ),
        Message("assistant", (read_part(call),)),
    )
    assert request.messages[2].parts[0].arguments == json.dumps(odd)
    assert (request.max_output_tokens, request.response_schema, request.tool_choice) == (5, odd, "f")
    assert request.tools == (Tool("f", parameters=odd),)
    assert request.extra["cachedContent"] == "cachedContents/1"


def read_part(part):
    (message,) = as_messages([{"role": "model", "parts": [part]}])
    return replace(message.parts[0], id=made_id(1, "f", 0))


def test_results_without_ids_find_the_calls_that_they_answer():
    calls = [{"functionCall": {"name": name, "args": {}}} for name in ("find", "find", "mail")]
    results = [{"functionResponse": {"name": name, "response": {"output": "7"}}} for name in ("find", "find", "mail")]
    turn = [{"role": "model", "parts": calls}, {"role": "user", "parts": results}]
    messages = read({"contents": [*CONTENTS, *turn, *turn]}).messages
    for asked_, answered in ((messages[1], messages[2]), (messages[3], messages[4])):
        assert [part.id for part in asked_.parts] == [part.id for part in answered.parts]
        assert [part.extra for part in answered.parts] == [None] * 3
    assert len({part.id for one in (messages[1], messages[3]) for part in one.parts}) == 6


def test_what_is_said_in_a_message_of_its_own_kind_stays_with_it():
    results = (ToolResultPart("a", "7"),)
    talk = [
        Message.user("Hi"),
        Message.assistant(ToolCallPart("a", "f", "{}")),
        Message("tool", results, {"gemini": {"role": "function"}}),
        Message("tool", results),
        Message("tool", results),
    ]
    assert [content["role"] for content in written(*talk)] == ["user", "model", "function", "user"]


@pytest.mark.parametrize(
    "given",
    [
        {"role": "user", "parts": [{"text": "Hi"}]},
        {"parts": [{"text": "Hi"}, {"inlineData": {"mimeType": "image/png", "data": PIXELS}}]},
        {"role": "model", "parts": [CALL]},
    ],
)
def test_dictionaries_in_this_form_are_messages_wherever_they_are_passed(given):
    assert as_messages([given]) == (GEMINI_WIRE.read_message(given, 0),)
