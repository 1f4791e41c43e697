"""A JSON schema for the reply, in the form of the Chat Completions wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferkit.providers.wires.strict_schemas import named_schema

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["write_schema"]


def write_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Give the `response_format` that asks for a schema, in strict mode where the schema allows that."""
    return {"type": "json_schema", "json_schema": named_schema(schema)}
