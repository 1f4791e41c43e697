"""Functions as tools: what the model is told of them, and what becomes of the arguments that it writes."""

from __future__ import annotations

import copy
import functools
import gc
import weakref
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field
from typing_extensions import Doc

from inferkit import Chunk, Client, ConfigurationError, CustomTool, InvalidReply, Tool, ToolCallDelta, budgeted
from inferkit.caching.keys import cache_key
from inferkit.core.messages import Message, ToolCallPart
from inferkit.providers.wires.tools import as_tools
from inferkit.testing import FakeProvider, make_request
from inferkit.typed.docstrings import described
from inferkit.typed.function import function_of


@dataclass
class Place:
    lat: float
    lon: float


class Own:
    """What pydantic knows nothing of."""


class Stay(BaseModel):
    nights: int = Field(ge=1)
    place: Place | None = None


def weather(  # noqa: PLR0917
    city: Annotated[str, "The city's name"],
    day: date,
    days: int = 3,
    unit: Literal["C", "F"] = "C",
    at: Place | None = None,
    tags: Annotated[list[str], Field(description="What else", max_length=2)] = (),  # type: ignore[assignment]
    note: Annotated[str, Doc("A note.")] = "",
    anything=None,
) -> str:
    """Say what the weather will be.

    It is seldom right.

    Args:
        city: Not this, since the annotation says it.
        days (int): How many days,
            at most nine.
        nobody: Not a parameter.

    Returns:
        What it will be.
    """
    return f"{city} {day} {days} {unit} {at} {tags} {note} {anything}"


def test_the_schema_is_made_of_the_signature_and_the_docstring():
    tool = function_of(weather).tool
    assert tool.name == "weather"
    assert tool.description == "Say what the weather will be.\n\nIt is seldom right."
    assert tool.strict is None
    assert tool.parameters == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "The city's name"},
            "day": {"type": "string", "format": "date"},
            "days": {"type": "integer", "description": "How many days, at most nine.", "default": 3},
            "unit": {"type": "string", "enum": ["C", "F"], "default": "C"},
            "at": {"anyOf": [{"$ref": "#/$defs/Place"}, {"type": "null"}], "default": None},
            "tags": {"type": "array", "items": {"type": "string"}, "description": "What else", "maxItems": 2},
            "note": {"type": "string", "description": "A note.", "default": ""},
            "anything": {"default": None},
        },
        "required": ["city", "day"],
        "additionalProperties": False,
        "$defs": {
            "Place": {
                "type": "object",
                "properties": {"lat": {"type": "number"}, "lon": {"type": "number"}},
                "required": ["lat", "lon"],
                **tool.parameters["$defs"]["Place"],
            }
        },
    }


def test_arguments_come_in_the_functions_own_types():
    function = function_of(weather)
    text = '{"city": "Rome", "day": "2026-11-29", "at": {"lat": 1, "lon": 2}}'
    values = function.arguments(text)
    assert values == {"city": "Rome", "day": date(2026, 11, 29), "at": Place(1.0, 2.0)}
    assert function.run(values) == "Rome 2026-11-29 3 C Place(lat=1.0, lon=2.0) ()  None"


def test_arguments_that_do_not_fit_are_told_by_name_and_code():
    with pytest.raises(InvalidReply) as caught:
        function_of(weather).arguments('{"city": 5, "days": "secret", "invented words": 1}')
    error = caught.value
    assert str(error).startswith("the arguments of weather do not fit: city (string_type), day (missing)")
    assert "secret" not in str(error)
    assert "invented" not in str(error)
    assert dict(error.problems) == {
        "city": "string_type", "day": "missing", "days": "int_parsing", "*": "extra_forbidden",
    }  # fmt: skip
    for text in ("{", "[]", "5"):
        with pytest.raises(InvalidReply):
            function_of(weather).arguments(text)


def test_a_function_without_parameters_takes_nothing_in_any_way():
    def now():
        return "now"

    function = function_of(now)
    assert function.tool.parameters == {"type": "object", "properties": {}, "additionalProperties": False}
    for text in ("", "{}"):
        assert function.run(function.arguments(text)) == "now"


def test_methods_partials_objects_and_decorated_functions_are_functions():
    class Shop:
        def __init__(self, name):
            self.name = name

        def find(self, number: int) -> str:
            """Find one."""
            return f"{self.name}{number}"

        async def __call__(self, number: int) -> str:
            """Ask."""
            return f"{self.name}{number}"

        async def later(self, number: int):
            """Later."""

    one, two = Shop("one"), Shop("two")
    for shop in (one, two):
        function = function_of(shop.find)
        assert (function.tool.name, function.tool.description) == ("find", "Find one.")
        assert function.run(function.arguments('{"number": 5}')) == f"{shop.name}5"
        assert not function.is_async
    assert function_of(one).tool.name == "Shop"
    assert function_of(one).is_async
    assert function_of(one.later).is_async

    def of_two(text: str, times: int = 2, /, *, end: str = "") -> str:
        return text * times + end

    function = function_of(functools.partial(of_two, end="!"))
    assert function.tool.name == "of_two"
    assert function.run(function.arguments('{"text": "a", "times": 3}')) == "aaa!"
    assert function.run(function.arguments('{"text": "a"}')) == "aa!"

    @budgeted(calls=5, name="tool")
    def paid(count: int) -> int:
        """Count."""
        return count

    assert function_of(paid).tool.description == "Count."
    assert function_of(paid).arguments('{"count": "5"}') == {"count": 5}


def test_a_parameter_may_be_called_anything():
    def odd(  # noqa: PLR0917
        self_: int, schema: str, copy: Stay, title: int = 1, default: str = "a", properties: int = 2
    ):
        return self_, schema, copy, title, default, properties

    function = function_of(odd)
    assert list(function.tool.parameters["properties"]) == ["self_", "schema", "copy", "title", "default", "properties"]
    values = function.arguments('{"self_": 1, "schema": "x", "copy": {"nights": 2}}')
    assert function.run(values) == (1, "x", Stay(nights=2), 1, "a", 2)


def test_what_cannot_be_a_tool_is_explained():
    def many(*texts: str):
        pass

    def named(**texts: str):
        pass

    def owns(own: Own):
        pass

    def undefined(own: Undefined):  # noqa: F821
        pass

    for function, says in [
        (many, r"many cannot be a tool: its arguments have names, and \*texts"),
        (named, "named cannot be a tool"),
        (owns, "owns cannot be a tool: Unable to generate"),
        (undefined, "undefined cannot be a tool: name 'Undefined'"),
        (lambda x: x, "give '<lambda>' a name"),
        (print, "print cannot be a tool"),
    ]:
        with pytest.raises(ConfigurationError, match=says):
            function_of(function)


def test_a_function_is_worked_out_once_and_not_kept():
    def here(number: int):
        pass

    assert function_of(here).tool is function_of(here).tool
    gone = weakref.ref(here)
    del here
    gc.collect()
    assert gone() is None


GOOGLE = """Find it.

More of it.

Args:
    a: The first,
        on two lines.

    b (int, optional): The second: it has a colon.
    *c: The third.
    not an entry
Returns:
    a: not this one
"""
NUMPY = """Find it.

More of it.

Parameters
----------
a : str
    The first,
    on two lines.
b
    The second: it has a colon.
c : int

Returns
-------
a : str
    not this one
"""
SPHINX = """Find it.

More of it.

:param a: The first,
    on two lines.
:type a: str
:param int b: The second: it has a colon.
:returns: nothing
"""


@pytest.mark.parametrize("docstring", [GOOGLE, NUMPY, SPHINX])
def test_a_docstring_tells_of_each_parameter(docstring):
    words, told = described(docstring, ["a", "b"])
    assert words == "Find it.\n\nMore of it."
    assert told == {"a": "The first, on two lines.", "b": "The second: it has a colon."}


def test_docstrings_without_sections_are_words_alone():
    assert described(None, ["a"]) == ("", {})
    assert described("Find it.\n\n    a: not a section", ["a"]) == ("Find it.\n\na: not a section", {})
    assert described("Parameters matter here.\nReturns\nearly.", [])[0] == "Parameters matter here.\nReturns\nearly."


# In a call


ASKS = Chunk(tool_calls=(ToolCallDelta(0, "c1", "weather", '{"city": "Rome", "day": "2026-11-29"}'),))
OPENAI = {"type": "function", "function": {"name": "a", "description": "A", "parameters": {"type": "object"}}}
ANTHROPIC = {"name": "b", "description": "B", "input_schema": {"type": "object"}}


def client(*scripts, **settings):
    settings = {"cache": False, "ledger": False, **settings}
    return Client(providers={"f": FakeProvider(*scripts)}, models={"any": "f:m"}, **settings)


def test_tools_may_be_functions_dictionaries_and_tools_side_by_side():
    given = [
        weather, OPENAI, ANTHROPIC, Tool("c"), CustomTool("d"),
        {"type": "function", "function": {"name": "e"}}, {"function": {"name": "f"}}, {"type": "function", "name": "g"},
        {"type": "function", "name": "h", "parameters": {"x": 1}}, {"type": "custom", "name": "i"},
    ]  # fmt: skip
    before = copy.deepcopy(given[1:])
    tools, functions = as_tools(given)
    assert [tool.name for tool in tools] == ["weather", *"abcdefghi"]
    assert given[1:] == before
    assert tools[1] == Tool("a", "A", {"type": "object"})
    assert tools[2] == Tool("b", "B", {"type": "object"})
    assert tools[5].parameters == tools[6].parameters == tools[7].parameters == {"type": "object", "properties": {}}
    assert type(tools[9]) is CustomTool
    assert list(functions) == ["weather"]


@pytest.mark.parametrize("how", ["whole", "stream"])
def test_the_calls_of_a_reply_have_their_arguments_as_values(how):
    texts = ['{"city": "Rome", "day": "2026-11-29"}', '{"x": 1}', "{", "plain text"]
    asks = [
        Chunk(tool_calls=(ToolCallDelta(0, "c1", "weather", texts[0]),)),
        Chunk(tool_calls=(ToolCallDelta(1, "c2", "a", texts[1]),)),
        Chunk(tool_calls=(ToolCallDelta(2, "c3", "a", texts[2]),)),
        Chunk(tool_calls=(ToolCallDelta(3, "c4", "d", texts[3], kind="custom"),)),
        Chunk(finish_reason="tool_calls"),
    ]
    with client(asks) as llm:
        options = {"tools": [weather, OPENAI, CustomTool("d")]}
        if how == "whole":
            reply = llm.complete("any", "Hi", **options)
        else:
            with llm.stream("any", "Hi", **options) as stream:
                list(stream)
            reply = stream.reply
    first, second, third, fourth = reply.tool_calls
    assert first.values == {"city": "Rome", "day": date(2026, 11, 29)}
    assert second.values == {"x": 1}
    assert fourth.values == "plain text"
    with pytest.raises(InvalidReply, match="the arguments of a are no JSON"):
        _ = third.values
    assert [call.arguments for call in reply.tool_calls] == texts
    assert first == ToolCallPart("c1", "weather", texts[0])
    assert ToolCallPart("c1", "weather", texts[0]).values == texts[0]


def test_a_reply_without_calls_has_none_to_read():
    with client("Hello.") as llm:
        assert llm.complete("any", "Hi", tools=[weather]).tool_calls == ()


def test_a_call_that_can_be_read_is_the_same_to_the_cache():
    with client([ASKS]) as llm:
        (call,) = llm.complete("any", "Hi", tools=[weather]).tool_calls
    request = make_request().replace(candidates=())
    plain = ToolCallPart(call.id, call.name, call.arguments)
    keys = {cache_key(request.replace(messages=(Message.assistant(one),))) for one in (call, plain)}
    assert len(keys) == 1
    assert None not in keys


def anything_at_all(value: Any = None):
    """Take it."""


def test_no_annotation_and_any_take_anything():
    assert function_of(anything_at_all).arguments('{"value": [1, {"a": null}]}') == {"value": [1, {"a": None}]}


def test_what_annotations_say_beside_descriptions_is_kept():
    def order(count: Annotated[int, 5, Field(ge=1)], size: Annotated[int, "In litres", Field(le=9)]):
        """Order.

        Args:
            count: How many.
        """

    properties = function_of(order).tool.parameters["properties"]
    assert properties["count"] == {"type": "integer", "minimum": 1, "description": "How many."}
    assert properties["size"] == {"type": "integer", "maximum": 9, "description": "In litres"}
    with pytest.raises(InvalidReply, match=r"count \(greater_than_equal\), size \(less_than_equal\)"):
        function_of(order).arguments('{"count": 0, "size": 10}')


@pytest.mark.parametrize(
    "given", [{"type": "function"}, {"function": {"name": 5}}, {"type": "web_search_20250305", "name": "w"}]
)
def test_dictionaries_that_are_no_tools_are_explained(given):
    with pytest.raises(ConfigurationError, match="a tool as a dictionary is"):
        as_tools([given])
