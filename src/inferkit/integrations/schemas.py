"""The JSON schema that a request of an SDK asks for, whatever else it says of it: a name, a description, how strict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["take_schema"]

_PLACES = {
    "chat": ("response_format", ("response_format", "json_schema", "schema")),
    "responses": ("text", ("text", "format", "schema")),
}


def take_schema(wire: str, payload: Mapping[str, Any], fields: dict[str, Any]) -> frozenset[str]:
    """Have the other wires, which a fallback may go to, ask for the schema too; the request's own keeps its words.

    `fields` are those that its wire has read. Gives the name of what is said by that, and not left out.
    """
    field, path = _PLACES.get(wire, ("", ()))
    if field not in fields.get("extra", {}) or "response_schema" in fields:
        return frozenset()
    found: Any = payload
    for step in path:
        found = found.get(step) if isinstance(found, dict) else None
    if not isinstance(found, dict):
        return frozenset()
    fields["response_schema"] = found
    return frozenset({field}) if wire == "chat" or payload[field].keys() == {"format"} else frozenset()
