"""Replies as servers in the wild have sent them, each with another of its kind, streamed and whole."""

from __future__ import annotations

import json

import pytest

from chat_wire import USAGE, ask, completion, delta
from inferkit import Client
from inferkit.core.chunks import Chunk, ToolCallDelta
from inferkit.core.errors import (
    ContextOverflow,
    DeadlineExceeded,
    InvalidRequest,
    RateLimited,
    StreamInterrupted,
    Unavailable,
)
from inferkit.core.messages import CustomTool, ImagePart, Message, TextPart, ToolCallPart
from inferkit.core.record import CallRecord
from inferkit.core.reply import Reply
from inferkit.providers.openai_chat import OpenAIChat
from inferkit.providers.presets import PRESETS
from inferkit.providers.wires.chat.reader import ChatReader
from inferkit.providers.wires.chat.wire import CHAT
from inferkit.runtime import clock
from inferkit.runtime.direct import DirectRuntime
from ways import close
from wire import UNTIL_CLOSED, Wire, chunked, event, reply, sse
from worlds import in_time

STREAM = {"content-type": "text/event-stream"}


def read(*pieces, streamed=True, headers=STREAM, **settings):
    """Give the chunks of a reply, and what went wrong at its end."""
    reader = ChatReader("acme", headers, streamed=streamed, **settings)
    chunks = []
    for piece in pieces:
        if reader.failure is None and not reader.done:
            chunks += reader.feed(piece)
    if reader.failure is None and not reader.done:
        chunks += reader.end()
    return chunks, reader.failure


def whole(content):
    return read(json.dumps(content).encode(), streamed=False)


def made(chunks):
    return Reply.of(chunks, CallRecord(clock))


def told(*deltas, finish="stop", **fields):
    """Put together a reply whose deltas are these."""
    events = [*deltas, delta(finish=finish, **fields)]
    chunks, failure = read(b"".join(map(event, events)) + event("[DONE]"))
    assert failure is None
    return made(chunks)


def calls(*pieces):
    """Put together the tool calls that come in these events."""
    return told(*[delta(tool_calls=each) for each in pieces], finish="tool_calls").tool_calls


def piece(index=None, id=None, name=None, arguments=None, **fields):  # noqa: A002 - the wire's name
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    found = {"index": index, "id": id, **({"function": function} if function else {}), **fields}
    return {key: value for key, value in found.items() if value is not None}


def broken(reason="error", error=None, text="", streamed=True):
    choice = {"index": 0, "finish_reason": reason, "delta" if streamed else "message": {"content": text}}
    return {"choices": [choice | ({"error": error} if error else {})]}


@pytest.mark.parametrize(
    ("reason", "error", "kind", "code"),
    [
        ("error", {"code": 502, "message": "x"}, Unavailable, "502"),
        ("error", {"code": 429, "message": "x"}, RateLimited, "429"),
        ("error", {"code": 400, "message": "x"}, InvalidRequest, "400"),
        ("error", {"message": "maximum context length is 5"}, ContextOverflow, None),
        ("error", "it broke", Unavailable, None),
        ("stop", {"code": 502, "message": "x"}, Unavailable, "502"),
        (None, {"code": 502, "message": "x"}, Unavailable, "502"),
        ("error", None, Unavailable, "error"),
        ("ERROR", None, Unavailable, "ERROR"),
        ("insufficient_system_resource", None, Unavailable, "insufficient_system_resource"),
        ("network_error", None, Unavailable, "network_error"),
        ("abort", None, Unavailable, "abort"),
    ],
)
def test_a_reply_that_says_it_broke_is_that_error_after_its_text(reason, error, kind, code):
    for text in ("", "Half of"):
        for streamed in (True, False):
            content = broken(reason, error, text, streamed)
            chunks, failure = read(event(content), event("[DONE]")) if streamed else whole(content)
            assert (type(failure), failure.code) == (kind, code)
            assert made(chunks).text == text


@pytest.mark.parametrize("stream", [True, False])
def test_a_reply_that_broke_is_tried_again_before_its_text_and_interrupted_after(stream):
    bodies = [
        [broken("error", {"code": 502, "message": "x"}, streamed=stream)],
        [delta("Yes", finish="stop")] if stream else [completion("Yes")],
        [delta("Half"), broken("network_error")] if stream else [broken("error", text="Half", streamed=False)],
    ]

    def script(_):
        body = bodies.pop(0)
        return sse(map(event, body)) if stream else [reply(body[0])]

    with Wire(script) as wire:
        provider = OpenAIChat(base_url=wire.url)
        settings = {"providers": {"p": provider}, "models": {"fast": "p:m"}, "ledger": False, "cache": False}
        with Client(**settings) as llm:

            def ask_it():
                if not stream:
                    return llm.complete("fast", "hi").text
                with llm.stream("fast", "hi") as chunks:
                    return "".join(chunk.text for chunk in chunks)

            assert ask_it() == "Yes"
            with pytest.raises(StreamInterrupted) as caught:
                ask_it()
            assert caught.value.partial == "Half"
        provider.close()
    assert len(wire.requests) == 3


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        # the id comes late
        (
            [[piece(0, name="get", arguments="")], [piece(0, "call_1")], [piece(0, arguments="{}")]],
            [("call_1", "get", "{}")],
        ),
        (
            [[piece(0, arguments="{")], [piece(0, name="get")], [piece(0, "c")], [piece(0, arguments="}")]],
            [("c", "get", "{}")],
        ),
        ([[piece(name="get")], [piece(id="c")], [piece(arguments="{}")]], [("c", "get", "{}")]),
        # the name comes late
        ([[piece(0, "c", "", "")], [piece(0, "c", "bash", "{}")]], [("c", "bash", "{}")]),
        ([[piece(0, "c", arguments="{")], [piece(0, name="bash", arguments="}")]], [("c", "bash", "{}")]),
        # what counts otherwise than the calls do
        (
            [[piece(0, "A", "a", "{}")], [piece(0, "B", "b", "")], [piece(1, arguments="{}")]],
            [("A", "a", "{}"), ("B", "b", "{}")],
        ),
        (
            [[piece(0, "A", "a", "{}")], [piece(0, "B", "b", "")], [piece(0, arguments="{}")]],
            [("A", "a", "{}"), ("B", "b", "{}")],
        ),
        (
            [[piece(7, "A", "a", "")], [piece(7, arguments="{}")], [piece(9, "B", "b", "{}")]],
            [("A", "a", "{}"), ("B", "b", "{}")],
        ),
        ([[piece("0", "A", "a", "")], [piece(0, arguments="{}")]], [("A", "a", "{}")]),
        # id and name with every piece
        ([[piece(0, "A", "a", "{")], [piece(0, "A", "a", "}")]], [("A", "a", "{}")]),
        ([[piece(0, "A", "a", "{")], [piece(0, name="a", arguments="}")]], [("A", "a", "{}")]),
        # several at once
        ([[piece(0, "A", "a", "{}"), piece(1, "B", "b", "{}")]], [("A", "a", "{}"), ("B", "b", "{}")]),
        ([[piece(0, "A", "a", "{}"), piece(0, "B", "b", "{}")]], [("A", "a", "{}"), ("B", "b", "{}")]),
        ([[piece(None, "A", "a", "{}"), piece(None, "B", "b", "{}")]], [("A", "a", "{}"), ("B", "b", "{}")]),
        (
            [[piece(0, "", "a", "{}"), piece(0, "", "a", "{}")]],
            [("call_chatcmpl-1_0", "a", "{}"), ("call_chatcmpl-1_1", "a", "{}")],
        ),
        (
            [[piece(0, None, "a", "{}")], [piece(0, None, "b", "{}")]],
            [("call_chatcmpl-1_0", "a", "{}"), ("call_chatcmpl-1_1", "b", "{}")],
        ),
        (
            [
                [piece(0, "A", "a", "{")],
                [piece(1, "B", "b", "[")],
                [piece(0, arguments="}")],
                [piece(1, arguments="]")],
            ],
            [("A", "a", "{}"), ("B", "b", "[]")],
        ),
        # what is no index, no text, and what is nothing
        ([[piece([0], "A", "a", "{")], [piece([0], arguments="}")]], [("A", "a", "{}")]),
        ([[piece(0.0, "A", "a", "{")], [piece({"x": 1}, "B", "b", "[]")]], [("A", "a", "{"), ("B", "b", "[]")]),
        ([[piece(0, 5, "a", {"ö": 1})]], [("5", "a", '{"ö": 1}')]),
        ([[None, piece(0, "A", "a", "{}")]], [("A", "a", "{}")]),
        ([[piece(0, "A", "a", "{}"), {"index": 0}]], [("A", "a", "{}")]),
    ],
)
def test_pieces_of_tool_calls_find_their_calls(pieces, expected):
    assert [(call.id, call.name, call.arguments) for call in calls(*pieces)] == expected


def test_a_call_of_a_custom_tool_has_its_name_and_its_input_and_goes_back_as_it_came():
    told_whole = {"id": "c1", "type": "custom", "custom": {"name": "sql", "input": "select 1"}}
    streamed = calls(
        [{"index": 0, "id": "c1", "type": "custom", "custom": {"name": "sql", "input": ""}}],
        [{"index": 0, "custom": {"input": "select "}}],
        [{"index": 0, "custom": {"input": "1"}}],
    )
    chunks, _ = whole(completion("", tool_calls=[told_whole]))
    assert streamed == made(chunks).tool_calls == (ToolCallPart("c1", "sql", "select 1", kind="custom"),)
    request = ask(DirectRuntime(), made(chunks).message, Message.tool("c1", "1"), tools=(CustomTool("sql"),))
    sent = json.loads(CHAT.write_request(request, PRESETS["openai"].endpoint()))
    assert sent["messages"][0]["tool_calls"] == [told_whole]


@pytest.mark.parametrize("streamed", [True, False])
def test_the_one_call_of_older_servers_is_a_tool_call(streamed):
    if streamed:
        one = told(
            delta(function_call={"name": "find", "arguments": ""}),
            delta(function_call={"arguments": '{"id":'}),
            delta(function_call={"arguments": "7}"}),
            finish="function_call",
        )
    else:
        content = completion("", function_call={"name": "find", "arguments": '{"id":7}'})
        content["choices"][0]["finish_reason"] = "function_call"
        one = made(whole(content)[0])
    reply_id = "chatcmpl-1" if streamed else "chatcmpl-2"
    assert one.tool_calls == (ToolCallPart(f"call_{reply_id}_0", "find", '{"id":7}'),)
    assert one.finish_reason == "tool_calls"
    assert one.extra["native_finish_reason"] == "function_call"


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        ("eos", "stop"), ("eos_token", "stop"), ("end", "stop"), ("STOP", "stop"), ("end_turn", "stop"),
        ("COMPLETE", "stop"), ("max_tokens", "length"), ("MAX_TOKENS", "length"), ("model_length", "length"),
        ("tool_use", "tool_calls"), ("SAFETY", "content_filter"), ("sensitive", "content_filter"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("streamed", [True, False])
def test_an_end_in_a_servers_own_word_is_told_in_the_wires_and_the_word_is_kept(word, meaning, streamed):
    content = completion("Hi")
    content["choices"][0]["finish_reason"] = word
    one = told(delta("Hi"), finish=word) if streamed else made(whole(content)[0])
    assert (one.finish_reason, one.extra["native_finish_reason"]) == (meaning, word)


@pytest.mark.parametrize("word", ["stop", "length", "tool_calls", "content_filter", "budget", "Something New"])
def test_the_wires_own_words_and_unknown_ones_stay_as_they_are(word):
    one = told(delta("Hi"), finish=word)
    assert (one.finish_reason, one.extra) == (word, {})


def test_the_providers_own_account_of_its_word_is_not_replaced():
    last = delta(finish="end")
    last["choices"][0]["native_finish_reason"] = "END_OF_TURN"
    chunks, _ = read(event(delta("Hi")) + event(last))
    assert made(chunks).extra == {"native_finish_reason": "END_OF_TURN"}


def test_a_reply_that_ends_in_a_servers_own_word_is_kept_by_the_cache():
    with Wire(lambda _: sse(map(event, [delta("Hi"), delta(finish="eos")]))) as wire:
        provider = OpenAIChat(base_url=wire.url)
        with Client(providers={"p": provider}, models={"fast": "p:m"}, ledger=False) as llm:
            replies = [llm.complete("fast", "hi", cache=how) for how in ("refresh", "use")]
        provider.close()
    assert [each.cache for each in replies] == ["miss", "hit"]
    assert {each.finish_reason for each in replies} == {"stop"}
    assert {each.extra["native_finish_reason"] for each in replies} == {"eos"}
    assert len(wire.requests) == 1


HALVES = ("\ud83c", "\udf89")
LOST = "�"


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("field", ["content", "reasoning_content", "reasoning", "refusal"])
@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (HALVES, "🎉"),
        (("a" + HALVES[0], HALVES[1] + "b"), "a🎉b"),
        ((HALVES[0], "", HALVES[1]), "🎉"),
        ((HALVES[0], None, HALVES[1]), "🎉"),
        ((HALVES[0], "b"), LOST + "b"),
        ((HALVES[0],), LOST),
        ((HALVES[1], "b"), LOST + "b"),
        ((HALVES[0] + HALVES[0], HALVES[1]), LOST + "🎉"),
        (("🎉" + HALVES[0], HALVES[1] + "🎉"), "🎉🎉🎉"),
    ],
)
def test_a_character_in_two_halves_is_one(field, pieces, text, together):
    deltas = [delta(**{field: each}) if each is not None else delta(role="assistant") for each in pieces]
    body = [*map(event, [*deltas, delta(finish="stop")]), event("[DONE]")]
    chunks, failure = read(b"".join(body)) if together else read(*body)
    assert failure is None
    one = made(chunks)
    assert (one.reasoning if field.startswith("reasoning") else one.text) == text


def test_halves_are_joined_in_each_text_for_itself():
    one, two = HALVES
    found = told(
        delta("x" + one, reasoning="y" + one),
        delta(tool_calls=[piece(0, "A", "a", one), piece(1, "B", "b", one)]),
        delta(tool_calls=[piece(1, arguments=two + "2")]),
        delta(two, reasoning=two),
        delta(tool_calls=[piece(0, arguments=two + "1")]),
    )
    assert (found.text, found.reasoning) == ("x🎉", "y🎉")
    assert [call.arguments for call in found.tool_calls] == ["🎉1", "🎉2"]


@pytest.mark.parametrize("ending", [event("[DONE]"), b"", event(delta(finish="stop"))])
def test_a_half_that_stays_alone_is_told_at_the_end(ending):
    head = event(delta("a" + HALVES[0], tool_calls=[piece(0, "A", "a", HALVES[0])]))
    chunks, failure = read(head, ending)
    if ending:
        assert made(chunks).text == "a" + LOST
        assert made(chunks).tool_calls[0].arguments == LOST
    else:
        assert (type(failure), made(chunks).text) == (Unavailable, "a")


def test_halves_that_do_not_meet_and_nests_without_end_break_nothing():
    chunks, failure = whole(completion("a" + HALVES[0] + "b" + HALVES[1]))
    assert (made(chunks).text, failure) == (f"a{LOST}b{LOST}", None)
    deep = b'{"choices":[{"delta":{"content":"\\ud83c"},"x":' + b"[" * 900 + b"]" * 900 + b"}]}"
    _, failure = read(b"data: " + deep + b"\n\n")
    assert failure is None or type(failure) is Unavailable


@pytest.mark.parametrize(
    "odd",
    [
        {"choices": None, "x": HALVES[0]},
        {"x": HALVES[0]},
        {"choices": [None], "x": HALVES[0]},
        delta(audio={"id": "a", "transcript": HALVES[0]}),
    ],
)
def test_a_half_waits_whatever_stands_between(odd):
    chunks, failure = read(*map(event, [delta("a" + HALVES[0]), odd, delta(HALVES[1]), delta(finish="stop")]))
    assert failure is None
    assert made(chunks).text == "a🎉"


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("index", [1, 3])
def test_a_lone_choice_is_the_reply_whatever_its_index(streamed, index):
    if streamed:
        events = [delta("Hi "), delta("there", finish="stop")]
        for each in events:
            each["choices"][0]["index"] = index
        chunks, failure = read(*map(event, events))
    else:
        content = completion("Hi there")
        content["choices"][0]["index"] = index
        chunks, failure = whole(content)
    assert failure is None
    assert (made(chunks).text, made(chunks).finish_reason) == ("Hi there", "stop")


@pytest.mark.parametrize("first", [delta("A"), delta("A", role="assistant"), delta(reasoning="A")])
def test_a_choice_beside_the_reply_is_not_mixed_into_it(first):
    other = delta("B", finish="length")
    other["choices"][0]["index"] = 1
    both = delta("C")
    both["choices"].insert(0, {"index": 1, "delta": {"content": "D"}})
    chunks, failure = read(*map(event, [first, other, both, delta(finish="stop")]))
    assert failure is None
    one = made(chunks)
    assert (one.text + one.reasoning, one.finish_reason) in {("AC", "stop"), ("CA", "stop")}


@pytest.mark.parametrize(
    "odd",
    [
        {"choices": [None]},
        {"choices": None},
        {"choices": []},
        {"choices": [{}]},
        {"choices": [{"delta": None, "index": 0}]},
        {"choices": [None, {"index": 0, "delta": {}}]},
        {"choices": [{"index": 0, "delta": {"tool_calls": [None], "images": None}}]},
    ],
)
def test_an_event_that_says_nothing_is_skipped(odd):
    chunks, failure = read(event(delta("A")), event(odd), event(delta("B", finish="stop")))
    assert failure is None
    assert made(chunks).text == "AB"


def test_images_among_the_parts_of_the_content_are_kept_and_what_is_unknown_is_told():
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,eA=="}}
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "Here."},
        picture,
        {"type": "reference", "reference_ids": [1]},
    ]
    for one in (told(delta(content=parts)), made(whole(completion(None, content=parts))[0])):
        assert (one.text, one.reasoning) == ("Here.", "hm")
        assert ImagePart(url="data:image/png;base64,eA==", extra={"field": "images"}) in one.message.parts
        assert one.extra == {"content": [{"type": "reference", "reference_ids": [1]}]}


TAGS = ("<reasoning>", "</reasoning>")


@pytest.mark.parametrize(
    ("pieces", "reasoning", "text"),
    [
        (["<reasoning>hm</reasoning>Hi"], "hm", "Hi"),
        (list("<reasoning>hm</reasoning>\n\nHi"), "hm", "Hi"),
        (["<reasoning>h</reasoning>", "<reasoning>m</reasoning>", "Hi"], "hm", "Hi"),
        (["\n<reas", "oning>h</", "m</reasoning>Hi"], "h</m", "Hi"),
        (["Hi <reasoning>x</reasoning>"], "", "Hi <reasoning>x</reasoning>"),
        (["<reasoning>hm</reasoning>Hi", "<reasoning>x"], "hm", "Hi<reasoning>x"),
        (["<reasoning>hm</reas"], "hm</reas", ""),
        (["<reas"], "", "<reas"),
        ([" ", "\n"], "", " \n"),
        (["<b>Hi</b>"], "", "<b>Hi</b>"),
    ],
)
@pytest.mark.parametrize("ends", [True, False])
def test_reasoning_between_tags_is_told_from_the_text(pieces, reasoning, text, ends):
    body = [event(delta(each)) for each in pieces]
    chunks, failure = read(*body, event(delta(finish="stop")) if ends else b"", reasoning_tags=TAGS)
    assert (failure is None) is ends
    assert (made(chunks).reasoning, made(chunks).text) == (reasoning, text)
    if ends:
        content = completion("".join(pieces))
        chunks, _ = read(json.dumps(content).encode(), streamed=False, reasoning_tags=TAGS)
        assert (made(chunks).reasoning, made(chunks).text) == (reasoning, text)


def test_a_server_that_writes_its_thoughts_into_the_text_is_known_by_its_name(monkeypatch):
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    reader = CHAT.reader(PRESETS["bedrock"].endpoint(), STREAM, streamed=True)
    chunks = reader.feed(event(delta("<reasoning>hm</reasoning>Hi", finish="stop")))
    assert (made(chunks).reasoning, made(chunks).text) == ("hm", "Hi")


@pytest.mark.parametrize("ping", [b": ping\n\n", b"event: ping\ndata: {}\n\n"])
@pytest.mark.parametrize("usage", [True, False])
def test_a_reply_without_an_end_of_its_stream_is_whole_after_a_short_grace(run, monkeypatch, ping, usage):
    """The server gives signs of life, and would for ever."""
    monkeypatch.setattr("inferkit.providers.adapter._GRACE_SECONDS", 0.3)
    last = delta("Hi", finish="stop") | ({"usage": USAGE} if usage else {})

    def script(_):
        yield from list(sse([event(last)]))[:-1]
        for _ in range(3):
            yield b"%x\r\n%s\r\n" % (len(ping), ping)
        yield UNTIL_CLOSED

    with Wire(script) as wire:
        adapter = OpenAIChat(base_url=wire.url)

        async def call(runtime):
            return await (await adapter(ask(runtime))).read()

        chunks = run(call)
        assert wire.wait_until_closed()
    assert (made(chunks).text, made(chunks).finish_reason) == ("Hi", "stop")
    assert (chunks[0].usage is not None) is usage


def test_a_deadline_between_a_replys_end_and_its_streams_does_no_harm(way, monkeypatch):
    monkeypatch.setattr("inferkit.providers.adapter._GRACE_SECONDS", 3600)
    last = delta("Hi", finish="stop") | {"usage": USAGE}

    def script(_):
        yield from list(sse([event(last)]))[:-1]
        yield chunked(b": ping\n\n")
        yield UNTIL_CLOSED

    def whole_after(seconds):
        with way.wire(script) as wire:
            adapter = way.adapter(wire.url)

            async def call(runtime):
                try:
                    return await (await adapter(ask(runtime, deadline=runtime.now() + seconds))).read()
                except DeadlineExceeded:
                    return None  # not even the reply had come
                finally:
                    await close(adapter, runtime)

            chunks = way(call)
            assert wire.wait_until_closed(wire.connections)
        return chunks

    chunks = in_time(whole_after)
    assert (made(chunks).text, made(chunks).finish_reason, chunks[0].usage is not None) == ("Hi", "stop", True)


def test_pieces_without_ids_can_be_written_and_read_again():
    writer = CHAT.writer(model="m", id="r", created=1, streamed=True)
    pieces = [
        ToolCallDelta(0, None, "get", "{"),
        ToolCallDelta(0, "c", None, "}"),
        ToolCallDelta(1, "d", "sql", "x", None, "custom"),
    ]
    body = b"".join(writer.write([Chunk(tool_calls=(each,))]) for each in pieces)
    chunks, _ = read(body + writer.write([Chunk(finish_reason="tool_calls")]) + writer.end())
    assert made(chunks).tool_calls == (ToolCallPart("c", "get", "{}"), ToolCallPart("d", "sql", "x", kind="custom"))
    assert TextPart("") not in made(chunks).message.parts
