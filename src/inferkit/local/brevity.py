"""Grammars of schemas under which as little is written as the schema allows.

Required properties come in their order, optional ones and further items do not, and texts are short.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from inferkit.local.grammar import SchemaCompiler

if TYPE_CHECKING:
    from inferkit.local.rules import Item

__all__ = ["BriefCompiler", "property_of", "required_of", "says", "written"]

_TEXT_LENGTH = 40
"""Characters of a text at most, where its schema does not ask for more."""


def says(words: str) -> Item:
    """Give the item of these words."""
    return ["text", words]


def written(value: Any) -> str:
    """Write a value down."""
    return json.dumps(value, ensure_ascii=False)


def required_of(schema: Mapping[str, Any]) -> list[str]:
    """Give the names of what is required, those first that are described, in their order."""
    properties = schema.get("properties")
    required = [name for name in schema.get("required") or () if isinstance(name, str)]
    known = [name for name in properties if name in required] if isinstance(properties, Mapping) else []
    return [*known, *(name for name in dict.fromkeys(required) if name not in known)]


def property_of(schema: Mapping[str, Any], name: str) -> Any:
    """Give the schema of a property; False where it may not be there."""
    properties = schema.get("properties")
    if isinstance(properties, Mapping) and name in properties:
        return properties[name]
    return schema.get("additionalProperties", True)


class BriefCompiler(SchemaCompiler):
    """See above. Without `words`, texts are left out, or as short as the schema allows."""

    def __init__(self, root: Mapping[str, Any], *, words: bool = True) -> None:
        super().__init__(root)
        self.words = words
        self.text_length = _TEXT_LENGTH if words else 0

    def _anything(self) -> Item:
        return self._string({})

    def _string(self, schema: Mapping[str, Any]) -> Item:
        least, most = schema.get("minLength", 0), schema.get("maxLength", self.text_length)
        return super()._string({**schema, "maxLength": min(most, max(least, self.text_length))})

    def _array(self, schema: Mapping[str, Any]) -> Item:
        return super()._array({**schema, "maxItems": schema.get("minItems", 0)})

    def _object(self, schema: Mapping[str, Any]) -> Item:
        return self.rule([says("{"), *self.rest_of_object(schema, set(), comma=False)])

    def rest_of_object(self, schema: Mapping[str, Any], seen: set[str], *, comma: bool = True) -> list[Item]:
        """Give the required properties that are missing, and the end of their object."""
        items: list[Item] = []
        for name in required_of(schema):
            if name not in seen:
                items += [says(f"{', ' if comma else ''}{written(name)}: "), self.value(property_of(schema, name))]
                comma = True
        return [*items, says("}")]
