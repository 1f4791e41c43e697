"""Objects from servers that speak each wire: what they are asked for, and what becomes of their replies."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, Field

import anthropic_wire
import gemini_wire
import responses_wire
from chat_wire import USAGE_EVENT, completion, delta
from inferkit import Anthropic, Cache, Gemini, InvalidReply, OpenAIChat, OpenAIResponses
from inferkit.caching.memory import MemoryTier
from wire import SSE_HEAD, Wire, chunked, event, reply, sse
from worlds import closing


class Order(BaseModel):
    """What was ordered."""

    number: str = Field(pattern="^A-", description="It begins with A.")
    count: int = Field(default=1, ge=1, le=9)


GOOD, BAD = '{"number": "A-1", "count": 2}', '{"number": "A-1", "count": 20}'
ORDER = Order(number="A-1", count=2)


def chat(text, received):
    if not received.json.get("stream"):
        return [reply(completion(text))]
    pieces = [delta(text[:9]), delta(text[9:]), delta(finish="stop"), USAGE_EVENT]
    return sse([*map(event, pieces), event("[DONE]")])


def anthropic(text, received):
    if not received.json.get("stream"):
        return [reply(anthropic_wire.message({"type": "text", "text": text}))]
    events = anthropic_wire.stream(
        anthropic_wire.start(0, type="text", text=""),
        anthropic_wire.delta(0, "text_delta", text=text[:9]),
        anthropic_wire.delta(0, "text_delta", text=text[9:]),
        anthropic_wire.stop(0),
    )
    return [SSE_HEAD, *[chunked(anthropic_wire.event(one)) for one in events], chunked(b"")]


def gemini(text, received):
    if ":streamGenerateContent" not in received.line:
        return [reply(gemini_wire.answer(text))]
    events = [gemini_wire.says(text[:9]), gemini_wire.says(text[9:], finish="STOP", usage=gemini_wire.USAGE)]
    return [SSE_HEAD, *[chunked(gemini_wire.event(one)) for one in events], chunked(b"")]


def responses(text, received):
    output = responses_wire.message(responses_wire.text(text))
    if not received.json.get("stream"):
        return [reply(responses_wire.response(output))]
    return [SSE_HEAD, *[chunked(responses_wire.event(one)) for one in responses_wire.stream(output)], chunked(b"")]


WIRES = {
    "chat": (chat, lambda url: OpenAIChat(base_url=url, api_key="sk-test")),
    "anthropic": (anthropic, lambda url: Anthropic(base_url=url, api_key="sk-test")),
    "gemini": (gemini, lambda url: Gemini(base_url=url, api_key="sk-test")),
    "responses": (responses, lambda url: OpenAIResponses(base_url=url, api_key="sk-test")),
}


@pytest.fixture(params=list(WIRES))
def name(request):
    return request.param


@pytest.fixture(params=["whole", "stream"])
def how(request):
    return request.param


def served(world, name, how, *texts, **options):
    """Ask a server that says these texts one after another; give the replies or the error, and what it was asked."""
    says, make = WIRES[name]
    left = list(texts)

    async def ask(llm):
        if how == "whole":
            return await llm.complete("m", "An order, please.", schema=Order, **options)
        async with llm.stream("m", "An order, please.", schema=Order, **options) as stream:
            grown = [one async for one in stream.objects()]
            assert grown[-1] == ORDER.model_dump()
            return stream.reply

    async def body(world):
        with Wire(lambda received: says(left.pop(0), received)) as wire:
            provider = make(wire.url)
            settings = {"models": {"m": "p:a-model"}, "providers": {"p": provider}, "cache": Cache(MemoryTier())}
            async with closing(world.client(**settings)) as llm:
                try:
                    return [await ask(llm), await ask(llm)], [one.json for one in wire.requests]
                except InvalidReply as error:
                    return error, [one.json for one in wire.requests]

    return world.run(body)


def schema_of(name, sent):
    if name == "chat":
        assert sent["response_format"]["json_schema"]["strict"] is True
        assert sent["response_format"]["json_schema"]["name"] == "Order"
        return sent["response_format"]["json_schema"]["schema"]
    if name == "anthropic":
        assert sent["output_config"]["format"]["type"] == "json_schema"
        return sent["output_config"]["format"]["schema"]
    if name == "responses":
        form = sent["text"]["format"]
        assert (form["type"], form["strict"], form["name"]) == ("json_schema", True, "Order")
        return form["schema"]
    assert sent["generationConfig"]["responseMimeType"] == "application/json"
    return sent["generationConfig"]["responseJsonSchema"]


def test_each_wire_asks_for_the_object_and_gives_it(world, name, how):
    (first, again), (sent,) = served(world, name, how, GOOD)
    assert [first.parsed, again.parsed] == [ORDER] * 2
    assert (first.cache, again.cache) == ("miss", "hit")
    schema = schema_of(name, sent)
    assert schema["required"] == ["number", "count"]
    assert schema["additionalProperties"] is False
    count = schema["properties"]["count"]
    if name == "anthropic":  # it refuses bounds, so they are in words
        assert count == {"type": "integer", "title": "Count", "description": "maximum: 9, minimum: 1"}
        assert schema["properties"]["number"]["description"] == 'It begins with A. (pattern: "^A-")'
    else:
        assert (count["minimum"], count["maximum"]) == (1, 9)


def test_each_wire_has_a_bad_object_mended(world, name, how):
    (first, again), sent = served(world, name, how, BAD, GOOD, repair=1)
    assert [first.parsed, again.parsed] == [ORDER] * 2
    assert [one.kind for one in first.attempts] == ["primary", "repair"]
    assert len(sent) == 2
    assert schema_of(name, sent[0]) == schema_of(name, sent[1])
    said = sent[1][{"gemini": "contents", "responses": "input"}.get(name, "messages")]
    assert [one["role"] for one in said] == ["user", "model" if name == "gemini" else "assistant", "user"]
    assert BAD in str(said[1])


def test_each_wire_says_what_is_wrong_with_an_object(world, name):
    error, sent = served(world, name, "whole", BAD)
    assert str(error).startswith("the reply is no valid Order: count (less_than_equal);")
    assert error.partial == BAD
    assert len(sent) == 1
