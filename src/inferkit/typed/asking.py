"""How the options `schema=` and `repair=` become what a request carries."""

from __future__ import annotations

from typing import Any

from inferkit.core.errors import ConfigurationError
from inferkit.typed.expected import EXPECTED, Expected
from inferkit.typed.form import form_of

__all__ = ["expect"]


def expect(asked: dict[str, Any]) -> Expected | None:
    """Take the two out of a call's options, and put the JSON schema and what the reply is held to in their place.

    Raises `ConfigurationError` for a type that has no JSON schema, and for repairs with nothing to check.
    """
    schema, repair = asked.pop("schema", None), asked.pop("repair", 0)
    if schema is None:
        if repair:
            raise ConfigurationError("repair= mends replies that do not fit a schema; pass that too: schema=Order")
        return None
    form = form_of(schema)
    expected = Expected(form, repair)
    asked["response_schema"] = form.json_schema
    asked["extensions"] = {**asked.get("extensions", {}), EXPECTED: expected}
    return expected
