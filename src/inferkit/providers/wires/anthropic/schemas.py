"""A JSON schema for the reply, as far as the Anthropic wire holds a model to one.

It refuses bounds, patterns and most formats; they are said in the description instead, and whoever asks with `schema=`
has them checked when the reply has come.
https://platform.claude.com/docs/en/build-with-claude/structured-outputs
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["write_schema"]

_REFUSED = (
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern",
    "maxItems", "uniqueItems", "minProperties", "maxProperties",
)  # fmt: skip
_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)  # fmt: skip
_BY_NAME = frozenset({"properties", "$defs", "definitions"})
_VALUES = frozenset({"enum", "const", "default", "examples", "required"})


def write_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Give the schema with what the wire refuses put into words."""
    words: dict[str, Any] = {}
    written: dict[str, Any] = {}
    for name, value in schema.items():
        if _is_refused(name, value):
            words[name] = value
        elif name in _BY_NAME and isinstance(value, Mapping):
            written[name] = {key: _write(one) for key, one in value.items()}
        else:
            written[name] = value if name in _VALUES else _write(value)
    if words:
        said = ", ".join(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in words.items())
        before = written.get("description")
        written["description"] = f"{before} ({said})" if isinstance(before, str) and before else said
    return written


def _write(schema: Any) -> Any:
    if isinstance(schema, list | tuple):
        return [_write(one) for one in schema]
    return write_schema(schema) if isinstance(schema, Mapping) else schema


def _is_refused(name: str, value: Any) -> bool:
    if name == "format":
        return isinstance(value, str) and value not in _FORMATS
    if name == "minItems":
        return isinstance(value, int) and value > 1
    return name in _REFUSED and not isinstance(value, Mapping)
