"""A JSON schema as pydantic writes it, in the form that providers can hold a model to.

They want each object closed and each of its properties required, and take no defaults. What was optional is written
out, and a field with a default is asked for like any other; what comes is validated by the type itself.
https://platform.openai.com/docs/guides/structured-outputs/supported-schemas
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inferkit.typed.json_schema import referenced

__all__ = ["closed"]

_UNKNOWN = frozenset({"default", "discriminator"})
_NAMED = frozenset({"properties", "$defs"})  # their names are the application's, and no keywords


def closed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Give the schema with its objects closed. Its top is an object itself, and no reference to one."""
    definitions = schema.get("$defs")
    top = referenced(schema, schema)
    whole = {**top, "$defs": definitions} if definitions else top
    return _closed(whole, whole)  # type: ignore[no-any-return]  # a mapping gives a dictionary


def _closed(schema: Any, root: Mapping[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_closed(one, root) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    if "$ref" in schema and len(schema) > 1:  # a reference stands alone, so what is said beside it is put with it
        schema = referenced(schema, root)
    new: dict[str, Any] = {}
    for name, value in schema.items():
        if name in _UNKNOWN:
            continue
        if name in _NAMED:
            new[name] = {key: _closed(one, root) for key, one in value.items()}
        elif name in {"enum", "const", "examples"}:
            new[name] = value
        else:
            new["anyOf" if name == "oneOf" else name] = _closed(value, root)
    if isinstance(new.get("properties"), dict):
        new.setdefault("additionalProperties", False)
        new["required"] = list(new["properties"])
    elif new.get("type") == "object" and "additionalProperties" not in new:
        new |= {"properties": {}, "required": [], "additionalProperties": False}
    return new
