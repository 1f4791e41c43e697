"""A stream that breaks goes on, joined with certainty or not at all: whichever wire, wherever it is cut."""

from __future__ import annotations

import re

import pytest

import anthropic_wire
import gemini_wire
import responses_wire
from inferkit import (
    Anthropic,
    Budget,
    Chunk,
    Client,
    ConfigurationError,
    Gemini,
    Health,
    Insert,
    OpenAIChat,
    OpenAIResponses,
    Price,
    Retry,
    StreamInterrupted,
    ToolCallDelta,
    Unavailable,
    Usage,
)
from inferkit.providers.wires.chat.quirks import ChatQuirks
from inferkit.providers.wires.prefill import Prefill
from inferkit.testing import FakeProvider
from wire import CLOSE, SSE_HEAD_UNTIL_CLOSE, Wire, event
from worlds import closing

TEXT = "It left the depot\nat 6:40 — “due” today ☃ and is on its way."
WORDS = re.compile(r"<<<(.*)>>>", re.DOTALL)
BROKEN = Unavailable("the connection broke", provider="fake")


def in_three(text):
    third = max(1, len(text) // 3)
    return [text[:third], text[third : 2 * third], text[2 * third :]]


def chat(text):
    usage = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}}
    said = [{"choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]} for piece in in_three(text)]
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    return b"".join([*map(event, said), event(end), event(usage), event("[DONE]")])


def anthropic(text):
    blocks = [anthropic_wire.start(0, type="text", text="")]
    blocks += [anthropic_wire.delta(0, "text_delta", text=piece) for piece in in_three(text)]
    return b"".join(map(anthropic_wire.event, anthropic_wire.stream(*blocks, anthropic_wire.stop(0))))


def gemini(text):
    said = [gemini_wire.says(piece) for piece in in_three(text)]
    return b"".join(map(gemini_wire.event, [*said, gemini_wire.says(finish="STOP", usage=gemini_wire.USAGE)]))


def responses(text):
    said = responses_wire.stream(responses_wire.message(responses_wire.text(text)))
    return b"".join(map(responses_wire.event, said))


def prompt(body):
    """Give the texts of a request's messages, whatever the wire."""
    found = []

    def walk(value):
        if isinstance(value, dict):
            if isinstance(value.get("text"), str):
                found.append(value["text"])
            for each in value.values():
                walk(each)
        elif isinstance(value, list):
            for each in value:
                walk(each)
        elif isinstance(value, str) and "<<<" in value:
            found.append(value)

    walk(body)
    return found


class Model:
    """Says the text, cut at a byte the first time, and goes on with it when asked to."""

    def __init__(self, write):
        self.write = write
        self.cut = 0
        self.asked = []

    def __call__(self, request):
        body = request.json
        words = next((found[1] for text in prompt(body) if (found := WORDS.search(text))), None)
        last = (body.get("messages") or [{}])[-1]
        yield SSE_HEAD_UNTIL_CLOSE
        if words is not None:
            self.asked.append("overlap")
            yield self.write(words + TEXT[TEXT.rindex(words) + len(words) :])
        elif last.get("role") == "assistant":
            self.asked.append("prefill")
            said = last["content"] if isinstance(last["content"], str) else last["content"][0]["text"]
            assert TEXT.startswith(said)
            yield self.write(TEXT[len(said) :])
        elif not self.asked:
            self.asked.append("first")
            yield self.write(TEXT)[: self.cut]
        else:
            self.asked.append("again")
            yield self.write(TEXT)
        yield CLOSE


WIRES = {
    "chat": (chat, lambda url: OpenAIChat(base_url=url, api_key="k", name="p")),
    "chat-prefill": (
        chat,
        lambda url: OpenAIChat(base_url=url, api_key="k", name="p", quirks=ChatQuirks(prefill=Prefill())),
    ),
    "anthropic": (anthropic, lambda url: Anthropic(base_url=url, api_key="k", name="p")),
    "gemini": (gemini, lambda url: Gemini(base_url=url, api_key="k", name="p")),
    "responses": (responses, lambda url: OpenAIResponses(base_url=url, api_key="k", name="p")),
}


@pytest.mark.parametrize("name", WIRES)
def test_a_reply_that_is_cut_at_any_byte_comes_whole(name):
    write, adapter = WIRES[name]
    model = Model(write)
    length, seams = len(write(TEXT)), set()
    with (
        Wire(model) as wire,
        Client(
            providers={"p": adapter(wire.url)},
            layers=[Insert(Retry(2, base=1e-6, health=Health(breaker=None, retries=None)), instead_of="retry")],
            on_interrupt="continue",
            cache=False,
            ledger=False,
        ) as llm,
    ):
        for model.cut in range(length + 1):
            model.asked.clear()
            with llm.stream("p:m", "Where is my order?") as stream:
                text = "".join(chunk.text for chunk in stream)
            assert text == stream.reply.text == TEXT, f"cut at {model.cut}: {model.asked}"
            assert stream.reply.message.text == TEXT
            assert stream.reply.finish_reason == "stop"
            seams.update(stream.reply.seams)
            kinds = [attempt.kind for attempt in stream.reply.attempts]
            if stream.reply.seams:
                assert kinds == ["primary", "continuation"]
    assert len(seams) >= 2
    assert all(0 < seam <= len(TEXT) for seam in seams)


def sure(*pieces):
    return [*pieces, Chunk(finish_reason="stop", usage=Usage(10, 5))]


def settings(provider, **more):
    return {
        "providers": {"fake": provider}, "on_interrupt": "continue", "max_retries": 0, "cache": False, "ledger": False,
        **more,
    }  # fmt: skip


def goes_on(rest):
    """Give a script that repeats what it is asked to repeat, and goes on."""

    def script(request):
        words = WORDS.search(request.messages[-1].text)[1]
        return sure(*words, rest)

    return script


def test_a_reply_goes_on_in_every_world(world):
    provider = FakeProvider(["It left the depot", BROKEN], goes_on(" today."))

    async def body(world):
        async with closing(world.client(**settings(provider))) as llm:
            return await llm.complete("fake:m", "Where?")

    reply = world.run(body)
    assert (reply.text, reply.seams) == ("It left the depot today.", (17,))
    assert [attempt.kind for attempt in reply.attempts] == ["primary", "continuation"]
    assert provider.open_streams == 0


def test_by_default_it_ends_as_it_was_broken():
    provider = FakeProvider(["It left", BROKEN], "never")
    with Client(**settings(provider, on_interrupt="raise")) as llm, pytest.raises(StreamInterrupted) as caught:
        llm.complete("fake:m", "Where?")
    assert caught.value.partial == "It left"
    assert len(provider.requests) == 1


def test_the_rest_may_break_too_and_at_most_two_times_it_goes_on():
    def part(rest, *end):
        return lambda request: [WORDS.search(request.messages[-1].text)[1], rest, *end]

    provider = FakeProvider(["one ", BROKEN], part("two ", BROKEN), goes_on("three"))
    with Client(**settings(provider)) as llm:
        reply = llm.complete("fake:m", "Count.")
    assert (reply.text, reply.seams) == ("one two three", (4, 8))
    broken = FakeProvider(["one ", BROKEN], part("two ", BROKEN), part("three ", BROKEN), part("four ", BROKEN))
    with Client(**settings(broken)) as llm, pytest.raises(StreamInterrupted) as caught:
        llm.complete("fake:m", "Count.")
    assert caught.value.partial == "one two three "
    assert len(broken.requests) == 3


@pytest.mark.parametrize(
    "rest",
    [
        "Sorry, here is it again: It left the depot today.",
        "today.",
        ["It left", Chunk(finish_reason="stop", usage=Usage(1, 1))],
        ["It le", BROKEN],
        Unavailable("down", provider="fake"),
        [Chunk(tool_calls=(ToolCallDelta(0, "id", "f", "{}"),))],
    ],
)
def test_what_cannot_be_joined_with_certainty_is_not_joined(rest):
    provider = FakeProvider(["It left the depot", BROKEN], rest)
    with Client(**settings(provider)) as llm, pytest.raises(StreamInterrupted) as caught:
        llm.complete("fake:m", "Where?")
    assert caught.value.partial == "It left the depot"
    assert [attempt.kind for attempt in caught.value.attempts] == ["primary", "continuation"]
    assert provider.open_streams == 0


@pytest.mark.parametrize(
    "begun",
    [
        [Chunk(reasoning="hm"), BROKEN],
        ["Let me see.", Chunk(tool_calls=(ToolCallDelta(0, "id", "f", '{"a'),)), BROKEN],
    ],
)
def test_what_is_more_than_text_is_not_gone_on_with(begun):
    provider = FakeProvider(begun, "never")
    with Client(**settings(provider)) as llm, pytest.raises(StreamInterrupted):
        llm.complete("fake:m", "Where?")
    assert len(provider.requests) == 1


def test_a_server_that_echoes_what_it_goes_on_with_is_not_doubled():
    provider = FakeProvider(["It left ", BROKEN], lambda request: sure(request.messages[-1].text + " the depot."))
    provider.prefill = Prefill(message={"prefix": True}, fields={"go_on": True}, echoes=True)
    with Client(**settings(provider)) as llm:
        reply = llm.complete("fake:m", "Where?")
    assert reply.text == "It left the depot."
    assert (provider.requests[1].messages[-1].extra, provider.requests[1].extra) == ({"prefix": True}, {"go_on": True})


def test_a_server_that_refuses_to_go_on_with_a_message_is_asked_in_words():
    provider = FakeProvider(["It left", BROKEN], BROKEN, goes_on(" the depot."))
    provider.prefill = Prefill()
    with Client(**settings(provider)) as llm:
        reply = llm.complete("fake:m", "Where?")
    assert reply.text == "It left the depot."
    assert [attempt.kind for attempt in reply.attempts] == ["primary", "continuation", "continuation"]


def test_another_candidate_goes_on_where_the_first_is_gone():
    gone, other = FakeProvider(["It left", BROKEN], BROKEN), FakeProvider(goes_on(" the depot."))
    more = {"providers": {"gone": gone, "other": other}, "models": {"any": ["gone:m", "other:m"]}}
    with Client(**settings(gone, **more)) as llm:
        reply = llm.complete("any", "Where?")
    assert (reply.text, reply.provider) == ("It left the depot.", "other")
    assert [attempt.kind for attempt in reply.attempts] == ["primary", "continuation", "fallback"]


def test_all_parts_are_charged_to_the_call_within_its_budget_and_its_limit(tmp_path):
    provider = FakeProvider(["It left the depot", BROKEN], goes_on(" today."))
    budget = Budget(usd="1", per="month", name="all")
    more = {"ledger": tmp_path / "ledger.db", "budget": budget, "prices": {"fake:m": Price(1, 10)}}
    with Client(**settings(provider, **more)) as llm:
        reply = llm.complete("fake:m", "Where?", max_output_tokens=100)
        assert budget.usage(ledger=llm.ledger).usd == reply.cost
    assert reply.cost_nanos == sum(attempt.cost_nanos for attempt in reply.attempts)
    first, second = provider.requests
    assert first.max_output_tokens == 100
    assert second.max_output_tokens < 100 + len("It left the depot")


def test_one_that_had_written_all_that_it_may_is_not_gone_on_with():
    provider = FakeProvider(["one two", Chunk(usage=Usage(5, 40)), BROKEN], "never")
    with Client(**settings(provider)) as llm, pytest.raises(StreamInterrupted):
        llm.complete("fake:m", "Count.", max_output_tokens=40)
    assert len(provider.requests) == 1


def test_a_reply_that_was_whole_but_for_its_end_is_whole():
    provider = FakeProvider(["It left.", Chunk(finish_reason="stop"), BROKEN], "never")
    with Client(**settings(provider)) as llm:
        reply = llm.complete("fake:m", "Where?")
    assert (reply.text, reply.finish_reason, reply.seams) == ("It left.", "stop", ())
    assert reply.attempts[0].usage.estimated
    assert len(provider.requests) == 1


def test_a_reply_with_a_seam_is_not_kept_in_the_cache(tmp_path):
    provider = FakeProvider(["It left", BROKEN], goes_on(" today."), "whole")
    with Client(**settings(provider, cache=True, home=tmp_path)) as llm:
        assert [llm.complete("fake:m", "Where?").text for _ in range(3)] == ["It left today.", "whole", "whole"]
    assert len(provider.requests) == 3


def test_an_object_goes_on_too_and_is_judged_as_one():
    provider = FakeProvider(['{"number": "A-', BROKEN], goes_on('208"}'))
    schema = {"type": "object", "properties": {"number": {"type": "string"}}, "required": ["number"]}
    with Client(**settings(provider)) as llm:
        assert llm.complete("fake:m", "Which?", schema=schema).parsed == {"number": "A-208"}
    assert provider.requests[1].response_schema is None, "an API would begin the object anew"


def test_a_stream_that_is_closed_while_it_goes_on_leaves_nothing_open(world):
    provider = FakeProvider(["It left", BROKEN], goes_on(" today."))

    async def body(world):
        async with closing(world.client(**settings(provider))) as llm, llm.stream("fake:m", "Where?") as stream:
            async for _ in stream:
                break

    world.run(body)
    assert provider.open_streams == 0


def test_the_setting_is_checked():
    with pytest.raises(ConfigurationError, match='on_interrupt is "raise" or "continue"'):
        Client(on_interrupt="retry")
