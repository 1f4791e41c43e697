"""Functions as tools over each wire: what its server is told of them, and of what they gave."""

from __future__ import annotations

import json

import pytest

import anthropic_wire
import gemini_wire
import responses_wire
from chat_wire import USAGE_EVENT, completion, delta
from inferkit import Anthropic, Gemini, OpenAIChat, OpenAIResponses
from wire import Wire, event, reply, sse
from worlds import closing

ARGUMENTS = '{"number": "A-1"}'


def find(number: str, fast: bool = False) -> dict:
    """Find an order.

    Args:
        number: Its number.
    """
    return {"at": f"near {number}"}


def lose(number: str) -> str:
    """Lose an order."""
    raise LookupError(f"{number} is gone\nand this is not said")


def chat(asks, received):
    calls = [
        {"id": f"call_{name}", "type": "function", "function": {"name": name, "arguments": ARGUMENTS}} for name in asks
    ]
    if not received.json.get("stream"):
        whole = completion("" if asks else "Done.", **({"tool_calls": calls} if asks else {}))
        whole["choices"][0]["finish_reason"] = "tool_calls" if asks else "stop"
        return [reply(whole)]
    pieces = [delta(tool_calls=[{**call, "index": place}]) for place, call in enumerate(calls)] or [delta("Done.")]
    return sse([*map(event, [*pieces, delta(finish="tool_calls" if asks else "stop"), USAGE_EVENT]), event("[DONE]")])


def anthropic(asks, received):
    blocks = [
        {"type": "tool_use", "id": f"toolu_{name}", "name": name, "input": json.loads(ARGUMENTS)} for name in asks
    ]
    whole = anthropic_wire.message(
        *(blocks or [{"type": "text", "text": "Done."}]), reason="tool_use" if asks else "end_turn"
    )
    return [reply(whole)]


def gemini(asks, received):
    calls = [{"functionCall": {"name": name, "args": json.loads(ARGUMENTS)}} for name in asks]
    return [reply(gemini_wire.answer(*(calls or ["Done."])))]


def responses(asks, received):
    calls = [responses_wire.call(name, ARGUMENTS, place) for place, name in enumerate(asks)]
    return [reply(responses_wire.response(*(calls or [responses_wire.message(responses_wire.text("Done."))])))]


WIRES = {
    "chat": (chat, lambda url: OpenAIChat(base_url=url, api_key="sk-test")),
    "anthropic": (anthropic, lambda url: Anthropic(base_url=url, api_key="sk-test")),
    "gemini": (gemini, lambda url: Gemini(base_url=url, api_key="sk-test")),
    "responses": (responses, lambda url: OpenAIResponses(base_url=url, api_key="sk-test")),
}


def served(world, name, *rounds, tools=(find, lose)):
    says, make = WIRES[name]
    left = list(rounds)

    async def body(world):
        with Wire(lambda received: says(left.pop(0), received)) as wire:
            settings = {"models": {"m": "p:a-model"}, "providers": {"p": make(wire.url)}}
            async with closing(world.client(**settings)) as llm:
                got = await llm.run_tools("m", "Where is A-1?", tools=list(tools))
            return got, [one.json for one in wire.requests]

    return world.run(body)


def schema_of(name, sent):
    first = sent["tools"][0]
    if name == "chat":
        assert first["type"] == "function"
        first = first["function"]
    if name == "gemini":
        first = first["functionDeclarations"][0]
    assert (first["name"], first["description"]) == ("find", "Find an order.")
    return first[{"anthropic": "input_schema", "gemini": "parametersJsonSchema"}.get(name, "parameters")]


@pytest.mark.parametrize("name", list(WIRES))
def test_functions_are_told_and_answered_over_each_wire(world, name):
    got, sent = served(world, name, ["find", "lose"], [])
    assert got.text == "Done."
    assert schema_of(name, sent[0]) == {
        "type": "object",
        "properties": {
            "number": {"type": "string", "description": "Its number."},
            "fast": {"type": "boolean", "default": False},
        },
        "required": ["number"],
        "additionalProperties": False,
    }
    assert schema_of(name, sent[1]) == schema_of(name, sent[0])
    said = json.dumps(sent[1][{"gemini": "contents", "responses": "input"}.get(name, "messages")])
    assert "near A-1" in said
    assert "LookupError: A-1 is gone" in said
    assert "not said" not in said
    assert "Traceback" not in said
    if name == "anthropic":  # both stand in the one message that answers
        last = sent[1]["messages"][-1]["content"]
        assert [(one["tool_use_id"], one.get("is_error", False)) for one in last] == [
            ("toolu_find", False), ("toolu_lose", True),
        ]  # fmt: skip


NOTHING = {"type": "object", "properties": {}}
SAID = {"name": "find", "description": "Find an order."}
FORMS = {
    "openai": {"type": "function", "function": {**SAID, "parameters": NOTHING}},
    "anthropic": {**SAID, "input_schema": NOTHING},
    "responses": {"type": "function", **SAID, "parameters": NOTHING},
}


@pytest.mark.parametrize("name", list(WIRES))
@pytest.mark.parametrize("given", FORMS.values(), ids=FORMS)
def test_a_tool_in_the_form_of_one_wire_goes_over_each(world, name, given):
    says, make = WIRES[name]

    async def body(world):
        with Wire(lambda received: says(["find"], received)) as wire:
            settings = {"models": {"m": "p:a-model"}, "providers": {"p": make(wire.url)}}
            async with closing(world.client(**settings)) as llm:
                got = await llm.complete(model="m", messages="Where is A-1?", tools=[given])
            return got, wire.requests[0].json

    got, sent = world.run(body)
    assert schema_of(name, sent) == {"type": "object", "properties": {}}
    assert [call.values for call in got.tool_calls] == [{"number": "A-1"}]


def test_the_calls_of_a_stream_have_their_values(world):
    async def body(world):
        with Wire(lambda received: chat(["find"], received)) as wire:
            settings = {"models": {"m": "p:a-model"}, "providers": {"p": OpenAIChat(base_url=wire.url, api_key="sk")}}
            async with closing(world.client(**settings)) as llm, llm.stream("m", "Hi", tools=[find]) as stream:
                async for _ in stream:
                    pass
                return stream.reply

    (call,) = world.run(body).tool_calls
    assert call.values == {"number": "A-1"}
