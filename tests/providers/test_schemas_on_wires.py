"""Objects from servers that speak each wire: what they are asked for, and what becomes of their replies."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, Field

from four_wires import NAMES, adapter, answer, messages_of
from inferkit import Cache, InvalidReply
from inferkit.caching.memory import MemoryTier
from wire import Wire
from worlds import closing


class Order(BaseModel):
    """What was ordered."""

    number: str = Field(pattern="^A-", description="It begins with A.")
    count: int = Field(default=1, ge=1, le=9)


GOOD, BAD = '{"number": "A-1", "count": 2}', '{"number": "A-1", "count": 20}'
ORDER = Order(number="A-1", count=2)


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture(params=["whole", "stream"])
def how(request):
    return request.param


def served(world, name, how, *texts, **options):
    """Ask a server that says these texts one after another; give the replies or the error, and what it was asked."""
    left = list(texts)

    async def ask(llm):
        if how == "whole":
            return await llm.complete("m", "An order, please.", schema=Order, **options)
        async with llm.stream("m", "An order, please.", schema=Order, **options) as stream:
            grown = [one async for one in stream.objects()]
            assert grown[-1] == ORDER.model_dump()
            return stream.reply

    async def body(world):
        with Wire(lambda received: answer(name, received, left.pop(0))) as wire:
            provider = adapter(name, wire.url)
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
    said = messages_of(name, sent[1])
    assert [one["role"] for one in said] == ["user", "model" if name == "gemini" else "assistant", "user"]
    assert BAD in str(said[1])


def test_each_wire_says_what_is_wrong_with_an_object(world, name):
    error, sent = served(world, name, "whole", BAD)
    assert str(error).startswith("the reply is no valid Order: count (less_than_equal);")
    assert error.partial == BAD
    assert len(sent) == 1
