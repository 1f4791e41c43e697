"""Schemas for replies: what the wire refuses is put into words, and stays out of its way."""

from __future__ import annotations

from inferkit.providers.wires.anthropic.request import read_request
from inferkit.providers.wires.anthropic.schemas import write_schema

SCHEMA = {
    "type": "object",
    "title": "Order",
    "properties": {
        "minimum": {"type": "integer", "minimum": 1, "exclusiveMaximum": 9.5, "description": "How few."},
        "mail": {"type": "string", "format": "email"},
        "colour": {"type": "string", "format": "color", "maxLength": 7},
        "items": {
            "type": "array", "minItems": 2, "items": {"anyOf": [{"type": "string", "pattern": "ü"}, {"type": "null"}]},
        },
        "one": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/pattern"}},
        "kind": {"enum": ["minimum", "pattern"], "default": {"minimum": 1}},
    },
    "required": ["minimum", "pattern"],
    "additionalProperties": False,
    "$defs": {"pattern": {"type": "number", "multipleOf": 5}},
}  # fmt: skip


def test_bounds_patterns_and_unknown_formats_are_put_into_words():
    written = write_schema(SCHEMA)
    assert written["properties"] == {
        "minimum": {"type": "integer", "description": "How few. (minimum: 1, exclusiveMaximum: 9.5)"},
        "mail": {"type": "string", "format": "email"},
        "colour": {"type": "string", "description": 'format: "color", maxLength: 7'},
        "items": {
            "type": "array",
            "items": {"anyOf": [{"type": "string", "description": 'pattern: "ü"'}, {"type": "null"}]},
            "description": "minItems: 2",
        },
        "one": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/pattern"}},
        "kind": {"enum": ["minimum", "pattern"], "default": {"minimum": 1}},
    }
    assert written["$defs"] == {"pattern": {"type": "number", "description": "multipleOf: 5"}}
    assert (written["required"], written["additionalProperties"]) == (["minimum", "pattern"], False)
    assert write_schema(written) == written


def test_what_would_be_written_otherwise_stays_as_it_came():
    format_ = {"type": "json_schema", "schema": {"type": "integer", "minimum": 1}}
    payload = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}
    read = read_request({**payload, "output_config": {"format": format_}})
    assert "response_schema" not in read
    assert read["extra"]["output_config"]["format"] == format_
    plain = {"type": "json_schema", "schema": {"type": "integer"}}
    assert read_request({**payload, "output_config": {"format": plain}})["response_schema"] == {"type": "integer"}
