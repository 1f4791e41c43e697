"""Functions as tools over each wire: what its server is told of them, and of what they gave."""

from __future__ import annotations

import json

import pytest

from four_wires import NAMES, adapter, answer, messages_of
from wire import Wire
from worlds import closing

ARGUMENTS = {"number": "A-1"}


def find(number: str, fast: bool = False) -> dict:
    """Find an order.

    Args:
        number: Its number.
    """
    return {"at": f"near {number}"}


def lose(number: str) -> str:
    """Lose an order."""
    raise LookupError(f"{number} is gone\nand this is not said")


def answer_of(name, asks):
    """Ask for these functions, or end where there are none."""
    calls = [(function, ARGUMENTS) for function in asks]
    return lambda received: answer(name, received, "" if asks else "Done.", *calls)


def served(world, name, *rounds, tools=(find, lose)):
    left = [answer_of(name, asks) for asks in rounds]

    def script(received):
        return left.pop(0)(received)

    async def body(world):
        with Wire(script) as wire:
            settings = {"models": {"m": "p:a-model"}, "providers": {"p": adapter(name, wire.url)}}
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


@pytest.mark.parametrize("name", NAMES)
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
    said = json.dumps(messages_of(name, sent[1]))
    assert "near A-1" in said
    assert "LookupError: A-1 is gone" in said
    assert "not said" not in said
    assert "Traceback" not in said
    if name == "anthropic":  # both stand in the one message that answers
        last = sent[1]["messages"][-1]["content"]
        assert [(one["tool_use_id"], one.get("is_error", False)) for one in last] == [
            ("toolu_0", False), ("toolu_1", True),
        ]  # fmt: skip


NOTHING = {"type": "object", "properties": {}}
SAID = {"name": "find", "description": "Find an order."}
FORMS = {
    "openai": {"type": "function", "function": {**SAID, "parameters": NOTHING}},
    "anthropic": {**SAID, "input_schema": NOTHING},
    "responses": {"type": "function", **SAID, "parameters": NOTHING},
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("given", FORMS.values(), ids=FORMS)
def test_a_tool_in_the_form_of_one_wire_goes_over_each(world, name, given):

    async def body(world):
        with Wire(answer_of(name, ["find"])) as wire:
            settings = {"models": {"m": "p:a-model"}, "providers": {"p": adapter(name, wire.url)}}
            async with closing(world.client(**settings)) as llm:
                got = await llm.complete(model="m", messages="Where is A-1?", tools=[given])
            return got, wire.requests[0].json

    got, sent = world.run(body)
    assert schema_of(name, sent) == {"type": "object", "properties": {}}
    assert [call.values for call in got.tool_calls] == [{"number": "A-1"}]


@pytest.mark.parametrize("name", NAMES)
def test_the_calls_of_a_stream_have_their_values(world, name):
    async def body(world):
        with Wire(answer_of(name, ["find"])) as wire:
            settings = {"models": {"m": "p:a-model"}, "providers": {"p": adapter(name, wire.url)}}
            async with closing(world.client(**settings)) as llm, llm.stream("m", "Hi", tools=[find]) as stream:
                async for _ in stream:
                    pass
                return stream.reply

    (call,) = world.run(body).tool_calls
    assert call.values == {"number": "A-1"}
