"""What an object has to look like, from types and from JSON schemas, and what is said of one that does not."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, strategies as st
from pydantic import BaseModel, Field, field_validator
from typing_extensions import TypedDict

from inferkit import ConfigurationError
from inferkit.client.checks import is_schema
from inferkit.typed.form import form_of, partial_of
from inferkit.typed.json_schema import check
from inferkit.typed.problems import MisfitError, Problem, in_full, in_short


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Item(BaseModel):
    """One line of an order."""

    name: str
    price: Decimal = Field(gt=0, description="In dollars")
    colour: Colour = Colour.RED


class Order(BaseModel):
    number: str
    items: list[Item] = Field(default_factory=list, description="What was ordered")
    first: Item | None = Field(default=None, description="The first of them")
    when: date | None = None
    extra: dict[str, int] = {}

    @field_validator("number")
    @classmethod
    def is_a_number(cls, value: str) -> str:
        if not value.startswith("A-"):
            raise ValueError(f"{value} is no number of an order")
        return value


class Node(BaseModel):
    name: str
    children: list[Node] = []


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str]


class Owner(BaseModel):
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]


@dataclass
class Point:
    x: float
    y: float = 0.0
    names: list[str] = field(default_factory=list)


class Movie(TypedDict):
    title: str
    year: int


WHOLE = '{"number": "A-1", "items": [{"name": "cup", "price": "3.50", "colour": "blue"}], "when": "2026-11-01"}'


def wrong(form, text):
    with pytest.raises(MisfitError) as caught:
        form_of(form).parse(text)
    return caught.value.problems


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        (
            Order,
            WHOLE,
            Order(
                number="A-1",
                items=[Item(name="cup", price=Decimal("3.50"), colour=Colour.BLUE)],
                when=date(2026, 11, 1),
            ),
        ),
        (Point, '{"x": 1, "y": 2.5, "names": ["a"]}', Point(1.0, 2.5, ["a"])),
        (Movie, '{"title": "Metropolis", "year": 1927}', {"title": "Metropolis", "year": 1927}),
        ({"type": "object", "required": ["a"]}, '{"a": 1}', {"a": 1}),
        (Node, '{"name": "a", "children": [{"name": "b", "children": []}]}', Node(name="a", children=[Node(name="b")])),
    ],
)
def test_a_text_becomes_the_object_that_was_asked_for(form, text, expected):
    assert is_schema(form)
    for written in (text, f"```json\n{text}\n```", f"\n```\n{text}", f"  {text}\n"):
        assert form_of(form).parse(written) == expected


@pytest.mark.parametrize("form", [Order, Node, Owner, Point, Movie])
def test_every_object_of_a_schema_is_closed_and_asks_for_all_its_properties(form):
    """That is what strict mode demands; where a dictionary has keys of the model's choice, it cannot be had."""
    objects, left = [], [form_of(form).json_schema]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            assert not one.keys() & {"default", "oneOf", "discriminator"}
            assert "$ref" not in one or one.keys() == {"$ref"}
            objects += [one] if one.get("type") == "object" else []
            left += one.values()
        elif isinstance(one, list):
            left += one
    assert objects
    for one in objects:
        if "properties" in one:
            assert one["additionalProperties"] is False
            assert one["required"] == list(one["properties"])
    assert form_of(form).json_schema["type"] == "object"


def test_what_is_said_of_a_field_stays_in_the_schema():
    schema = form_of(Order).json_schema
    assert schema["properties"]["items"]["description"] == "What was ordered"
    assert schema["properties"]["extra"]["additionalProperties"] == {"type": "integer"}
    assert schema["$defs"]["Item"]["properties"]["price"]["description"] == "In dollars"
    assert schema["$defs"]["Colour"]["enum"] == ["red", "blue"]


def test_an_empty_model_is_an_object_without_properties():
    class Nothing(BaseModel):
        pass

    schema = form_of(Nothing).json_schema
    assert (schema["properties"], schema["required"], schema["additionalProperties"]) == ({}, [], False)


def test_a_property_may_be_called_like_a_keyword():
    class Odd(BaseModel):
        default: int
        properties: Item
        enum: str = "a"

    schema = form_of(Odd).json_schema
    assert list(schema["properties"]) == ["default", "properties", "enum"]
    assert form_of(Odd).parse('{"default": 1, "properties": {"name": "a", "price": 1}}').properties.name == "a"


def test_what_is_wrong_is_told_by_field_and_code_and_quotes_nothing():
    text = '{"number": "secret", "items": [{"name": 5, "price": "-1"}], "extra": {"my own words": "secret"}}'
    problems = wrong(Order, text)
    assert [(one.path, one.code) for one in problems] == [
        ("number", "value_error"),
        ("items.0.name", "string_type"),
        ("items.0.price", "greater_than"),
        ("extra.*", "int_parsing"),
    ]
    short = in_short(problems)
    assert short == "number (value_error), items.0.name (string_type), items.0.price (greater_than) and 1 more"
    assert "secret" not in short + repr(problems)
    assert "secret is no number of an order" in in_full(problems)


@pytest.mark.parametrize("form", [Order, {"type": "object"}])
@pytest.mark.parametrize("text", ["", "No.", '{"number": ', "```json\n```"])
def test_what_is_no_json_is_told(form, text):
    (problem,) = wrong(form, text)
    assert (problem.path, problem.code) == ("", "json_invalid")
    assert in_short([problem]) == "json_invalid"
    assert in_full([problem]).startswith("- Invalid JSON")


@pytest.mark.parametrize("given", [5, "Order", int, list[int], Order(number="A-1"), None, Movie(title="a", year=1)])
def test_what_can_be_a_schema(given):
    assert is_schema(given) == isinstance(given, dict)


def test_a_type_that_is_no_object_or_has_no_schema_is_explained():
    from pydantic import RootModel

    class Names(RootModel[list[str]]):
        pass

    class Own:
        pass

    @dataclass
    class Holds:
        own: Own

    class Calls(BaseModel):
        call: Any = None
        done: "Undefined"  # noqa: F821, UP037

    with pytest.raises(ConfigurationError, match="Names is no object in JSON"):
        form_of(Names)
    for kind in (Holds, Calls):
        with pytest.raises(ConfigurationError, match=f"{kind.__name__} has no JSON schema"):
            form_of(kind)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None), ("  ", None), ("No", None), ("{", {}), ('{"a', {}), ('{"a": "bc', {"a": "bc"}),
        ('{"a": [1, 2,', {"a": [1, 2]}), ('```json\n{"a": 1', {"a": 1}), ("`", None),
    ],
)  # fmt: skip
def test_the_beginning_of_a_text_is_the_beginning_of_an_object(text, expected):
    assert partial_of(text) == expected


SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 2, "maxLength": 5},
        "count": {"type": ["integer", "null"], "minimum": 0, "exclusiveMaximum": 10},
        "share": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        "kind": {"enum": ["a", "b", 1]},
        "on": {"const": True},
        "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 2},
        "pair": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False},
        "who": {"$ref": "#/$defs/who"},
        "one": {"oneOf": [{"type": "integer"}, {"type": "number", "minimum": 5}]},
        "any": {"anyOf": [{"$ref": "#/$defs/who"}, {"type": "string"}]},
        "all": {"allOf": [{"type": "object"}, {"required": ["x"]}]},
        "map": {"type": "object", "additionalProperties": {"type": "integer"}},
        "odd": {"$ref": "#/nowhere"},
        "strange": {"type": "strange"},
        "round": {"$ref": "#/$defs/round"},
    },
    "required": ["name"],
    "additionalProperties": False,
    "$defs": {
        "who": {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]},
        "round": {"$ref": "#/$defs/round"},
    },
}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, []),
        ({"name": 5}, [("name", "type")]),
        ({"name": "a"}, [("name", "minLength")]),
        ({"name": "abcdef"}, [("name", "maxLength")]),
        ({"count": None}, []),
        ({"count": 3.0}, []),
        ({"count": True}, [("count", "type")]),
        ({"count": -1}, [("count", "minimum")]),
        ({"count": 10}, [("count", "exclusiveMaximum")]),
        ({"share": 0}, [("share", "exclusiveMinimum")]),
        ({"share": 1.5}, [("share", "maximum")]),
        ({"kind": "c"}, [("kind", "enum")]),
        ({"kind": True}, [("kind", "enum")]),
        ({"kind": 1}, []),
        ({"on": 1}, [("on", "const")]),
        ({"on": True}, []),
        ({"tags": []}, [("tags", "minItems")]),
        ({"tags": ["a", 1, "c"]}, [("tags", "maxItems"), ("tags.1", "type")]),
        ({"pair": ["a", 1]}, []),
        ({"pair": ["a", "b", "c"]}, [("pair.1", "type"), ("pair.2", "not_allowed")]),
        ({"who": {}}, [("who.id", "missing")]),
        ({"who": {"id": 1, "more": 2}}, []),
        ({"one": 5}, [("one", "oneOf")]),
        ({"one": 1}, []),
        ({"one": "x"}, [("one", "type")]),
        ({"any": {"id": "x"}}, [("any.id", "type")]),
        ({"any": 5}, [("any", "type")]),
        ({"all": {}}, [("all.x", "missing")]),
        ({"map": {"my own key": "x"}}, [("map.*", "type")]),
        ({"new": 1}, [("*", "not_allowed")]),
        ({"odd": 1, "strange": 2, "round": 3}, []),
    ],
)  # fmt: skip
def test_an_object_is_held_to_a_json_schema(more, expected):
    value = {"name": "ana", **more}
    found = check(SCHEMA, value)
    if expected and expected[0][0] == "all.x":  # no property of that name is declared
        expected = [("all.*", "missing")]
    assert [(one.path, one.code) for one in found] == expected
    for one in found:
        assert one.words


def test_what_is_nested_without_end_is_told():
    assert [one.code for one in wrong({"allOf": [{"$ref": "#"}]}, "{}")] == ["too_deep"]


def test_a_value_that_is_no_object_is_told():
    assert check(SCHEMA, [1]) == [Problem("", "type", "should be of type object")]
    assert check(SCHEMA, {}) == [Problem("name", "missing", "is missing")]


KEYWORDS = [
    "type", "properties", "required", "additionalProperties", "items", "prefixItems", "enum", "const", "anyOf", "oneOf",
    "allOf", "$ref", "$defs", "minimum", "maxItems", "minLength",
]  # fmt: skip
names = st.text("ab", max_size=1) | st.sampled_from(KEYWORDS)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text("abc", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(json_values, json_values)
def test_no_schema_and_no_value_is_a_crash(schema, value):
    check(schema if isinstance(schema, dict) else {"const": schema}, value)


@given(st.text())
def test_no_text_is_a_crash(text):
    partial_of(text)
    with pytest.raises(MisfitError):
        form_of(Order).parse(text)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "strng"},
        {"type": "object", "properties": {"a": {"type": ["null", "strng"]}}},
        {"type": "array", "items": {"type": "strng"}},
        {"anyOf": [{"type": "string"}, {"type": "object", "additionalProperties": {"type": "strng"}}]},
        {"$defs": {"A": {"type": "array", "prefixItems": [{"type": "strng"}]}}, "$ref": "#/$defs/A"},
    ],
)
def test_a_schema_whose_type_is_misspelt_is_refused_since_everything_would_fit(schema):
    with pytest.raises(ConfigurationError, match=r'no type "strng" \(did you mean string\?\); its types are: object'):
        form_of(schema)


def test_what_is_only_called_like_a_type_is_none():
    named = {"type": {"type": "STRING"}, "items": {"enum": [{"type": "strng"}], "default": {"type": "strng"}}}
    assert form_of({"type": "OBJECT", "properties": named}).parse('{"type": "x"}') == {"type": "x"}


def test_a_schema_that_holds_itself_is_an_error_that_says_what_to_do():
    schema = {"type": "object", "properties": {}}
    schema["properties"]["again"] = schema
    with pytest.raises(ConfigurationError, match=r"write that as a \$ref"):
        form_of(schema)
