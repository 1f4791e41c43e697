"""A JSON schema for the reply, as far as OpenAI's wires say it alike: its name, and whether strict mode takes it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["named_schema"]

_NAME = re.compile(r"[^A-Za-z0-9_-]+")


def named_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Give a schema with its name, in strict mode where the schema allows that."""
    title = schema.get("title")
    name = _NAME.sub("_", title)[:64].strip("_") if isinstance(title, str) else ""
    return {"name": name or "response", "schema": dict(schema), "strict": _fits_strict(schema)}


def _fits_strict(schema: Any) -> bool:
    """Say whether a schema keeps the rules of strict mode: closed objects, and every property required."""
    if isinstance(schema, list | tuple):
        return all(_fits_strict(item) for item in schema)
    if not isinstance(schema, Mapping):
        return True
    properties = schema.get("properties")
    if schema.get("type") == "object" or isinstance(properties, dict):
        if schema.get("additionalProperties") is not False:
            return False
        if set(schema.get("required") or ()) != set(properties or ()):
            return False
    return all(_fits_strict(value) for value in schema.values())
