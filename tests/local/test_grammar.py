"""A local model is held to a schema while it writes: what it writes fits, whatever the model would rather say."""

from __future__ import annotations

import json
from typing import Literal

import pytest
from pydantic import BaseModel, Field

import tiny_gguf
from inferkit import Client, Local
from inferkit.core.errors import InvalidRequest
from inferkit.local.grammar import grammar_for
from inferkit.typed.json_schema import check
from local_calls import finish
from smollm import NAME, need_smollm

SCHEMAS = {
    "an object": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 6},
            "age": {"type": "integer", "minimum": 0, "maximum": 120},
            "kind": {"enum": ["a", 'é"\\', 3, None, ["x", 1]]},
            "sure": {"type": "boolean"},
            "none": {"type": "null"},
        },
        "required": ["name", "age", "kind", "sure", "none"],
        "additionalProperties": False,
    },
    "optional properties": {
        "type": "object",
        "properties": {"a": {"const": 1}, "b": {"const": 2}, "c": {"const": 3}},
        "required": ["b"],
        "additionalProperties": False,
    },
    "nothing but optional ones": {"type": "object", "properties": {"a": {"const": 1}, "b": {"const": 2}}},
    "an empty object": {"type": "object", "properties": {}, "additionalProperties": False},
    "numbers of a name": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 1, "maximum": 3}},
    "a required name that nothing describes": {
        "type": "object",
        "required": ["x"],
        "additionalProperties": {"const": 1},
    },
    "lists": {
        "type": "object",
        "properties": {
            "one": {"type": "array", "items": {"const": "x"}, "minItems": 1, "maxItems": 1},
            "few": {"type": "array", "items": {"enum": [1, 2]}, "minItems": 2, "maxItems": 3},
            "no": {"type": "array", "items": {"const": 1}, "maxItems": 0},
            "pair": {"type": "array", "prefixItems": [{"const": 1}, {"const": 2}], "items": False},
            "more": {
                "type": "array",
                "prefixItems": [{"const": 1}],
                "items": {"const": 2},
                "maxItems": 3,
                "minItems": 2,
            },
        },
        "required": ["one", "few", "no", "pair", "more"],
    },
    "choices": {
        "anyOf": [{"const": "a"}, {"type": "integer", "minimum": 5, "maximum": 7}, {"type": ["null", "boolean"]}]
    },
    "a choice with what holds for all": {"type": "integer", "oneOf": [{"minimum": 1, "maximum": 2}, {"const": 9}]},
    "two that both hold": {
        "allOf": [
            {"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]},
            {"properties": {"b": {"const": 2}}, "required": ["b"]},
        ]
    },
    "numbers": {
        "type": "array",
        "items": {"type": "number", "minimum": 0},
        "minItems": 2,
        "maxItems": 2,
    },
    "bounds that exclude": {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5},
    "a long text": {"type": "string", "minLength": 3, "maxLength": 8},
    "a uuid": {"type": "string", "format": "uuid"},
    "references": {
        "$defs": {"leaf": {"type": "object", "properties": {"v": {"enum": [1, 2]}}, "required": ["v"]}},
        "type": "object",
        "properties": {"l": {"$ref": "#/$defs/leaf"}, "r": {"$ref": "#/$defs/leaf"}},
        "required": ["l", "r"],
    },
}
UNBOUNDED = {
    "anything": {},
    "a tree": {
        "$defs": {"t": {"type": "object", "properties": {"c": {"type": "array", "items": {"$ref": "#/$defs/t"}}}}},
        "$ref": "#/$defs/t",
    },
    "any text": {"type": "object", "properties": {"t": {"type": "string"}}, "required": ["t"]},
}


@pytest.fixture
def model(start, tmp_path):
    """A model of random weights, that would never write JSON by itself."""
    extra = [(sign, tiny_gguf.NORMAL) for sign in ("\\", '{"', '": ', "</")]
    return start(tiny_gguf.tiny(context=512, extra=extra).write(tmp_path / "m.gguf"))


def written(supervisor, schema, **options):
    return finish(supervisor.open({"prompt": "hello", "grammar": grammar_for(schema), "max_tokens": 300, **options}))


@pytest.mark.parametrize("case", SCHEMAS)
def test_what_a_model_writes_under_a_schema_fits_it(model, case):
    schema = SCHEMAS[case]
    for options in ({}, *({"temperature": 1.5, "seed": seed} for seed in range(6))):
        reply = written(model, schema, **options)
        assert reply.end["end"] == "stop", reply.text
        value = json.loads(reply.text)
        if "\ufffd" not in reply.text:  # random weights write broken UTF-8, each piece of which is then a character
            assert check(schema, value) == []


@pytest.mark.parametrize("case", UNBOUNDED)
def test_what_has_no_end_fits_as_far_as_it_came_and_once_it_ended(model, case):
    for seed in range(6):
        reply = written(model, UNBOUNDED[case], temperature=1.0, seed=seed)
        if reply.end["end"] == "stop":
            assert check(UNBOUNDED[case], json.loads(reply.text)) == []
        else:
            assert reply.text[:1] in '{["-0123456789tfn'


def test_the_next_call_is_free_again_and_the_same_as_ever(model):
    before = finish(model.open({"prompt": "hello", "max_tokens": 20}))
    written(model, SCHEMAS["an object"])
    assert finish(model.open({"prompt": "hello", "max_tokens": 20})).text == before.text


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"enum": []}, "an enumeration is empty"),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 3, "maxItems": 2}, "lower bound is above"),
        ({"type": "integer", "minimum": 3, "maximum": 2}, "lower bound is above"),
        ({"type": "array", "items": False, "minItems": 1}, "forbids a value|lower bound"),
        ({"type": "thing"}, "the unknown type 'thing'"),
        ({"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"}, "in a circle"),
        ({"type": "array", "items": {"type": "string", "minLength": 900, "maxLength": 901}} | {"minItems": 900}, ""),
    ],
)
def test_a_schema_that_nothing_fits_or_that_goes_round_is_refused_before_the_model_is_asked(schema, reason):
    if not reason:
        assert len(grammar_for(schema)) < 100
        return
    with pytest.raises(InvalidRequest, match=f"cannot be held to this schema: .*({reason})"):
        grammar_for(schema)


class Person(BaseModel):
    name: str = Field(max_length=40)
    age: int = Field(ge=0, le=120)
    city: str = Field(max_length=40)
    mood: Literal["happy", "sad", "angry"]


PEOPLE = [
    (name, age, city)
    for name, age in (("Ana", 31), ("Ben", 7), ("Chloé", 64), ("Dmitri", 102), ("Eve", 45))
    for city in ("Porto", "Oslo", "Lima", "Ghent")
]


def test_twenty_of_twenty_objects_are_valid_from_a_real_model():
    need_smollm()
    right = 0
    local = Local(NAME)
    with Client(providers={"own": local}, models={"fast": "own:m"}, ledger=False, cache=False) as llm:
        for name, age, city in PEOPLE:
            question = f"{name} is {age} years old, lives in {city} and is very happy. Write the person as JSON."
            person = llm.complete("fast", question, schema=Person, max_output_tokens=120).parsed
            assert isinstance(person, Person)
            right += (person.name, person.age, person.city) == (name, age, city)
    local.close()
    assert right >= 12, "held to the form, it still says what it was told"


def test_the_embedded_model_is_held_to_a_schema_too():
    schema = {
        "type": "object",
        "properties": {"order": {"type": "integer", "minimum": 0, "maximum": 99999}, "late": {"type": "boolean"}},
        "required": ["order", "late"],
        "additionalProperties": False,
    }
    with Client(models={"triage": "local"}, ledger=False, cache=False) as llm:
        reply = llm.complete("triage", "I was charged twice for order 48213!", schema=schema, max_output_tokens=60)
    assert reply.parsed["order"] == 48213
    assert isinstance(reply.parsed["late"], bool)
