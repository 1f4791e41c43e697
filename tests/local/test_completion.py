"""What is missing of an object that was cut off: wherever that was, what follows makes it fit its schema."""

from __future__ import annotations

import json
import random

import pytest

from inferkit.core.errors import InvalidRequest
from inferkit.local.completion import completion_for
from inferkit.local.gbnf import read_gbnf, write_gbnf
from inferkit.typed.json_schema import check

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 2, "maxLength": 60},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "kind": {"enum": ["guest", "guide", 'a "quoted" é', 7, 71, None]},
        "tags": {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 4},
        "sure": {"type": "boolean"},
        "note": {"type": "string"},
    },
    "required": ["name", "age", "kind", "tags", "sure"],
    "additionalProperties": False,
}
TREE = {
    "type": "object",
    "properties": {"value": {"type": "number"}, "children": {"type": "array", "items": {"$ref": "#"}}},
    "required": ["value", "children"],
    "additionalProperties": False,
}
CASES = {
    "a person": (
        PERSON,
        {"name": "Ana \\ Łuk \n", "age": 41, "kind": 'a "quoted" é', "tags": ["a", "b", "c"], "sure": True, "note": ""},
    ),
    "in another order": (PERSON, {"note": "x", "tags": ["a", "b"], "sure": False, "kind": 71, "age": 7, "name": "Bo"}),
    "a tree": (TREE, {"value": -1.5, "children": [{"value": 2e-7, "children": []}, {"value": 0, "children": []}]}),
    "a choice of objects": (
        {
            "$defs": {
                "cat": {
                    "type": "object",
                    "properties": {"is": {"const": "cat"}, "lives": {"type": "integer"}},
                    "required": ["is", "lives"],
                    "additionalProperties": False,
                },
                "dog": {
                    "type": "object",
                    "properties": {"is": {"const": "dog"}, "barks": {"type": "boolean"}},
                    "required": ["is", "barks"],
                    "additionalProperties": False,
                },
            },
            "type": "object",
            "properties": {"pet": {"anyOf": [{"$ref": "#/$defs/cat"}, {"$ref": "#/$defs/dog"}, {"type": "null"}]}},
            "required": ["pet"],
        },
        {"pet": {"is": "dog", "barks": True}},
    ),
    "dates and pairs": (
        {
            "type": "object",
            "properties": {
                "day": {"type": "string", "format": "date"},
                "pair": {"type": "array", "prefixItems": [{"const": 1}, {"type": "string"}], "minItems": 2},
                "other": {"allOf": [{"type": "object"}, {"required": ["x"], "properties": {"x": {"type": "number"}}}]},
            },
            "required": ["day", "pair", "other"],
        },
        {"day": "2026-11-30", "pair": [1, "two", 3], "other": {"x": 1.25, "more": [None, True]}},
    ),
    "anything": ({}, {"a": [1, {"b": "c"}], "d": None}),
}
SPACINGS = {
    "usual": {},
    "tight": {"separators": (",", ":")},
    "in lines": {"indent": 2},
    "escaped": {"ensure_ascii": True},
}


def sample(rules, fortune, name="root"):
    """Write something that a grammar takes."""
    parts = []
    for kind, what in fortune.choice(rules[name]):
        if kind == "rule":
            parts.append(sample(rules, fortune, what))
        elif kind == "text":
            parts.append(what)
        else:
            parts.append(chr(fortune.randint(*fortune.choice(what))) if kind == "chars" else fortune.choice("aé ☃"))
    return "".join(parts)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("case", CASES)
def test_wherever_it_was_cut_what_follows_makes_it_fit(case, spacing):
    schema, value = CASES[case]
    whole = json.dumps(value, **{"ensure_ascii": False, **SPACINGS[spacing]})
    fortune = random.Random(case)
    for cut in range(0, len(whole), 1 if spacing == "usual" else 3):
        rules = completion_for(schema, whole[:cut])
        for _ in range(2):
            rest = sample(rules, fortune)
            assert check(schema, json.loads(whole[:cut] + rest)) == [], (whole[:cut], rest)
    assert completion_for(schema, whole) is None
    assert completion_for(schema, f"\n{whole} \n") is None


def test_as_little_is_written_as_the_schema_allows():
    rules = completion_for(PERSON, '{"name": "Ana", "tags": ["one"')
    found = {sample(rules, random.Random(seed)) for seed in range(200)}
    assert all("note" not in each for each in found)
    assert max(map(len, found)) < 120
    assert all(json.loads('{"name": "Ana", "tags": ["one"' + each)["tags"][2:] == [] for each in found)


def test_a_value_of_a_list_is_gone_on_with_and_not_begun_anew():
    rules = completion_for(PERSON, '{"kind": "gui')
    endings = {sample(rules, random.Random(seed)).partition('"')[0] for seed in range(50)}
    assert endings == {"de"}


def test_it_survives_being_written_down_as_text():
    rules = completion_for(PERSON, '{"name": "A')
    rest = sample(read_gbnf(write_gbnf(rules)), random.Random(1))
    assert check(PERSON, json.loads('{"name": "A' + rest)) == []


@pytest.mark.parametrize(
    "text",
    [
        "Here it is: {",
        '{"nom": "A',
        '{"name": 3',
        '{"name": "Ana", "name": "A',
        '{"name": "Ana" "age"',
        '{"name"= 1',
        '{"age": 400,',
        '{"age": 4.5',
        '{"age": 01,',
        '{"kind": "x',
        '{"sure": nul',
        '{"name": "A\nb',
        '{"name": "\\q',
        '{"name": "\\ud83d',
        '{"name": "' + "x" * 61,
        '{"tags": ["a"]',
        '{"tags": ["a", "b", "c", "d", ',
        '{"tags": ["a" "b"',
        '{"name": "Ana"}',
        '{"name": "Ana",}',
        '{"nax\\',
        '{"kind": "gux\\',
        "[",
        "7",
    ],
)
def test_what_nothing_can_make_fit_is_refused(text):
    with pytest.raises(InvalidRequest, match="no beginning of an object"):
        completion_for(PERSON, text)


def test_nothing_can_follow_what_is_whole():
    whole = '{"name": "Ana", "age": 4, "kind": 7, "tags": ["a", "b"], "sure": true}'
    with pytest.raises(InvalidRequest, match="no beginning"):
        completion_for(PERSON, whole + " and")


@pytest.mark.parametrize(
    ("schema", "text", "rest"),
    [
        ({"type": "integer", "minimum": 3, "maximum": 4}, "", ["3", "4"]),
        ({"type": "integer", "minimum": 10, "maximum": 12}, "1", ["0", "1", "2"]),
        ({"type": "integer"}, "0", [""]),
        ({"type": "array", "items": {"const": 1}, "maxItems": 3}, "[1, ", ["1]"]),
        ({"type": "array", "items": {"const": 1}, "minItems": 3}, "[", ["1, 1, 1]"]),
        ({"type": "array", "prefixItems": [{"const": 1}], "items": False}, "[1", ["]"]),
        ({"type": "object", "properties": {"a": {"const": 1}, "b": {"const": 2}}}, '{"a": 1, ', ['"b": 2}']),
        ({"type": "object", "properties": {"a": {"const": 1}}}, "{", ["}"]),
        ({"const": {"a": 1}}, '{"a"', [": 1}"]),
        (True, "tr", ["ue"]),
    ],
    ids=str,
)
def test_what_follows(schema, text, rest):
    rules = completion_for({"$defs": {"x": schema}, "$ref": "#/$defs/x"}, text)
    assert {sample(rules, random.Random(seed)) for seed in range(40)} == set(rest)
